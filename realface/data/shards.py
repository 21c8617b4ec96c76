"""A folder of shards: its index, and its samples as streams.

WebDataset reads the tars; what it would leave to chance or to the reader's luck is settled
here: shards are drawn from a seed, `pipe:` and other addresses that run programs are refused,
members are decoded by `read_patch` alone.
"""

import hashlib
import json
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import webdataset
from torch.utils.data import get_worker_info

from realface.errors import InputError

INDEX_NAME = "index.json"
INDEX_VERSION = 1
_KEYS = {"kinds", "samples", "millimetres_per_texel", "shards"}
_SHARD_KEYS = {"file", "split", "samples", "bytes", "sha256"}


def read_index(folder: Path) -> dict[str, Any]:
    """The ``index.json`` of packed shards.

    Raises:
        InputError: If it is missing or of another version.
    """
    path = folder / INDEX_NAME
    try:
        index = json.loads(path.read_text(encoding="utf-8"))
        if index["version"] != INDEX_VERSION:
            raise ValueError(f"version {index['version']}, and this realface reads {INDEX_VERSION}")
        lacking = _KEYS - index.keys()
        for shard in index["shards"]:
            lacking |= _SHARD_KEYS - shard.keys()
        if lacking:
            raise ValueError(f"{', '.join(sorted(lacking))} missing")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise InputError(
            f"{path}: {error}",
            "a folder of shards with its index.json",
            "make one with `realface pack SOURCE SHARDS`",
        ) from error
    return dict(index)


def shard_urls(folder: Path, index: dict[str, Any], split: str) -> list[str]:
    """Addresses of a split's shards, for WebDataset.

    Raises:
        InputError: If the split is empty, or a shard is missing or not as long as it was.
    """
    shards = [shard for shard in index["shards"] if shard["split"] == split]
    bad = [shard["file"] for shard in shards if _length(folder / shard["file"]) != shard["bytes"]]
    if bad or not shards:
        raise InputError(
            f"{folder} without {f'{split} shards' if not shards else f'a whole {bad[0]}'}",
            "every shard that index.json names, at its full length",
            "copy the folder again, or pack again",
        )
    return [url_of(folder / shard["file"]) for shard in shards]


def _length(path: Path) -> int | None:
    return path.stat().st_size if path.is_file() else None


def url_of(path: Path) -> str:
    """A file's address for WebDataset: percent-encoded, drive letters and all."""
    return path.resolve().as_uri()


def endless_samples(
    urls: list[str], seed: int, shuffle: int, *, rank: int = 0, epoch: int = 0
) -> webdataset.DataPipeline:
    """Undecoded samples without end: shards drawn with replacement, shuffled in a buffer.

    Every worker of every rank draws its own sequence, and every epoch another, so ranks never
    run dry at different times.

    Args:
        urls: Of the shards.
        seed: Of the draws.
        shuffle: Samples in the buffer.
        rank: Of this process among those that train together.
        epoch: The first epoch's number: a resumed run goes on with fresh draws.
    """
    shards = webdataset.ResampledShards(
        urls, seed=seed, worker_seed=partial(worker_seed, rank), deterministic=True
    )
    shards.epoch = epoch - 1  # it counts on before each epoch
    return webdataset.DataPipeline(
        shards,
        webdataset.tarfile_to_samples(handler=_refuse),
        webdataset.detshuffle(bufsize=shuffle, initial=shuffle // 2, seed=seed, epoch=epoch - 1),
    )


def worker_seed(rank: int) -> int:
    """A number for this loader process, distinct over the workers of all ranks."""
    worker = get_worker_info()
    # A power of two far above any count of epochs: WebDataset's seeds are sums.
    return (rank << 20) + ((worker.id if worker else 0) << 10)


def all_samples(
    urls: list[str], limit: int | None = None, *, rank: int = 0, world: int = 1
) -> webdataset.DataPipeline:
    """Undecoded samples, each once, in order, dealt out over ranks and workers.

    Samples are dealt and not shards, so that every worker of every rank has its share however
    few shards there are; each reads past the samples of the others without decoding them.
    """
    return webdataset.DataPipeline(
        webdataset.SimpleShardList(urls),
        webdataset.tarfile_to_samples(handler=_refuse),
        webdataset.slice(limit),
        webdataset.slice(rank, None, world),
        webdataset.split_by_worker,
    )


def _refuse(error: Exception) -> bool:
    """WebDataset's handler for a tar that cannot be read."""
    if isinstance(error, InputError):
        error.args = error.args[:3]  # WebDataset adds its own on the way up
        raise error
    where = next((str(item) for item in error.args if str(item).startswith("file:")), "a shard")
    raise InputError(
        f"{where}, which cannot be read ({error.args[0] if error.args else error})",
        "shards as `realface pack` wrote them",
        "run `realface verify` on the folder, then copy or pack it again",
    ) from error


def open_shard(path: Path, stack: ExitStack) -> webdataset.TarWriter:
    """A new shard, closed with the stack."""
    # A fixed time and owner: the same input gives the same bytes. GNU's format: long names.
    file = stack.enter_context(path.open("wb"))
    writer = webdataset.TarWriter(
        file, encoder=False, mtime=0, user="", group="", format="GNU_FORMAT"
    )
    stack.callback(writer.close)
    return writer


def describe_shard(path: Path, split: str, samples: int) -> dict[str, Any]:
    """What ``index.json`` says of a finished shard."""
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    size = path.stat().st_size
    return {
        "file": path.name, "split": split, "samples": samples, "bytes": size, "sha256": digest
    }  # fmt: skip
