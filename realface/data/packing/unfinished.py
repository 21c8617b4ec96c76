"""The folder of shards that are not all whole yet, and what is known of those that are."""

import json
import os
import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from realface.data.index import Shard
from realface.data.packing.statistics import Statistics
from realface.maps.files import partial_path

_PLAN = "plan"  # which shards the folder is to hold


@dataclass(frozen=True)
class Made:
    """A shard that is written: what the index and the table say of it.

    Attributes:
        shard: Its entry in the index.
        keys: Of its samples.
        table: Its lines of the table.
        maps: By kind, ``encoding``, ``space``, ``green``, ``bits``, as in the index.
        scales: Millimetres per texel of the samples, where known.
        statistics: By kind; only of training patches.
    """

    shard: Shard
    keys: tuple[str, ...]
    table: str
    maps: dict[str, dict[str, Any]]
    scales: tuple[float, ...]
    statistics: dict[str, Statistics]


@dataclass(frozen=True)
class Unfinished:
    """The folder of unfinished work: the plan, a record of each whole shard, the shards.

    The folder of shards is renamed as the last step, so that a kill just before it loses nothing.

    Args:
        folder: Where it is, or is to be.
    """

    folder: Path

    @property
    def shards(self) -> Path:
        """Where they are written."""
        return self.folder / "shards"

    def begin(self, wanted: str) -> None:
        """Go on with this plan, or start it anew."""
        if self._plan() != wanted:
            self.remove()
        self.shards.mkdir(parents=True, exist_ok=True)
        write_whole(self.folder / _PLAN, wanted)

    def remove(self) -> None:
        """Delete all of it."""
        if self.folder.exists():
            (self.folder / _PLAN).unlink(missing_ok=True)  # a part of the rest is no plan's work
            shutil.rmtree(self.folder)

    def keep(self, made: Made) -> None:
        """Record a whole shard."""
        write_whole(self._record(made.shard.file), json.dumps(asdict(made)))

    def made(self, file: str) -> Made | None:
        """What is recorded of a shard, if it is whole."""
        path, tar = self._record(file), self.shards / file
        if not path.is_file() or not tar.is_file():
            return None
        made = _made_from(json.loads(path.read_text(encoding="utf-8")))
        return made if tar.stat().st_size == made.shard.bytes else None

    def _plan(self) -> str | None:
        path = self.folder / _PLAN
        return path.read_text(encoding="utf-8") if path.is_file() else None

    def _record(self, file: str) -> Path:
        return self.folder / f"{file}.json"


def write_whole(path: Path, text: str) -> None:
    """A text file that is there as a whole or not at all."""
    partial = partial_path(path)
    partial.write_text(text, encoding="utf-8")
    os.replace(partial, path)


def _made_from(data: dict[str, Any]) -> Made:
    return Made(
        shard=Shard(**data["shard"]),
        keys=tuple(data["keys"]),
        table=data["table"],
        maps=data["maps"],
        scales=tuple(data["scales"]),
        statistics={kind: _statistics(values) for kind, values in data["statistics"].items()},
    )


def _statistics(data: dict[str, Any]) -> Statistics:
    lists = {name: tuple(values) for name, values in data.items() if name != "count"}
    return Statistics(count=data["count"], **lists)
