"""A folder of shards: its index, and its samples as streams.

WebDataset reads the tars; what it would leave to chance or to the reader's luck is settled
here: shards are drawn from a seed, `pipe:` and other addresses that run programs are refused,
members are decoded by `read_patch` alone.
"""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import webdataset

from realface.errors import InputError

INDEX_NAME = "index.json"
INDEX_VERSION = 1


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
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: {error}",
            "a folder of shards with its index.json",
            "make one with `realface pack SOURCE SHARDS`",
        ) from error
    return dict(index)


def shard_urls(folder: Path, index: dict[str, Any], split: str) -> list[str]:
    """Addresses of a split's shards, for WebDataset; ``file:`` keeps a drive letter whole.

    Raises:
        InputError: If the split is empty or a shard is missing.
    """
    paths = [folder / shard["file"] for shard in index["shards"] if shard["split"] == split]
    missing = [path.name for path in paths if not path.is_file()]
    if missing or not paths:
        raise InputError(
            f"{folder} without {', '.join(missing) or f'{split} shards'}",
            "every shard that index.json names",
            "copy the folder again, or pack again",
        )
    return [f"file:{path.resolve().as_posix()}" for path in paths]


def endless_samples(urls: list[str], seed: int, shuffle: int) -> webdataset.DataPipeline:
    """Undecoded samples without end: shards drawn with replacement, shuffled in a buffer.

    Every worker of every rank draws its own sequence from (seed, rank, worker), so ranks never
    run dry at different times.
    """
    return webdataset.DataPipeline(
        webdataset.ResampledShards(urls, seed=seed, deterministic=True),
        webdataset.tarfile_to_samples(handler=webdataset.reraise_exception),
        webdataset.detshuffle(bufsize=shuffle, initial=shuffle // 2, seed=seed),
    )


def all_samples(urls: list[str]) -> webdataset.DataPipeline:
    """Undecoded samples, each once, in order; split over ranks and workers by shard."""
    return webdataset.DataPipeline(
        webdataset.SimpleShardList(urls),
        webdataset.split_by_node,
        webdataset.split_by_worker,
        webdataset.tarfile_to_samples(handler=webdataset.reraise_exception),
    )


def each(samples: webdataset.DataPipeline, *steps: Callable[[Any], Any]) -> webdataset.DataPipeline:
    """The pipeline with functions applied to each sample in turn."""
    return webdataset.DataPipeline(samples, *(webdataset.map(step) for step in steps))


def iterate(folder: Path, split: str) -> Iterator[dict[str, Any]]:
    """Undecoded samples of a split, in order, in this process."""
    yield from all_samples(shard_urls(folder, read_index(folder), split))
