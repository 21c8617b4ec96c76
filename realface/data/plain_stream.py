"""A shard as any program that reads WebDataset tars sees it: one sample after the other."""

from collections.abc import Iterator, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import Any

from realface.data.index import Entry


def plain_samples(path: Path) -> Iterator[dict[str, Any]]:
    """The samples of a shard from its first to its last, by WebDataset's own reader.

    Args:
        path: Of the tar.

    Returns:
        By sample ``__key__``, and its members as bytes by name.
    """
    import webdataset  # slow to import

    # As a URL: percent-encoded, drive letters and all.
    shards = webdataset.SimpleShardList([path.resolve().as_uri()])
    yield from webdataset.DataPipeline(shards, webdataset.tarfile_to_samples())


def plain_faults(path: Path, entries: Sequence[Entry]) -> list[str]:
    """Where a plain reader sees other samples than the table lists."""
    try:
        found = [(str(one["__key__"]), _names(one)) for one in plain_samples(path)]
    except Exception as error:  # the reader lets anything through
        return [f"WebDataset cannot read it ({type(error).__name__})"]
    listed = [(entry.key, {member.name for member in entry.members}) for entry in entries]
    for seen, expected in zip_longest(found, listed):
        if seen != expected:
            return [f"WebDataset reads {_words(seen)}, samples.jsonl says {_words(expected)}"]
    return []


def _names(sample: dict[str, Any]) -> set[str]:
    return {name for name in sample if not name.startswith("__")}


def _words(sample: tuple[str, set[str]] | None) -> str:
    if sample is None:
        return "no further sample"
    key, names = sample
    return f"{key} ({', '.join(sorted(names))})"
