"""The folder of shards that are not all whole yet, and what is known of those that are."""

import json
import os
import shutil
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from realface.data.index import Shard
from realface.data.packing.statistics import Statistics
from realface.errors import InputError
from realface.maps.files import partial_path

_LOCK = "lock"
_NAMED = 16  # letters of a plan's hash that name its folder


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
    """Unfinished work on one plan, in ``.OUT.partial/PLAN``: a record of each whole shard, shards.

    The folder of shards is renamed as the last step, so that a kill just before it loses nothing.
    What is not whole lies beside it under a name of its own: worker processes outlive a parent
    that is killed by some milliseconds, and may meet those of the next run. They write what
    these write, since another plan's work lies in another folder; or find their folder gone.

    Args:
        out: Where the shards shall be in the end.
        plan: Hash of everything that their bytes depend on.
    """

    out: Path
    plan: str

    @property
    def folder(self) -> Path:
        """Where all of it lies."""
        return partial_path(self.out) / self.plan[:_NAMED]

    @property
    def shards(self) -> Path:
        """Where whole shards lie."""
        return self.folder / "shards"

    @contextmanager
    def held(self) -> Iterator[None]:
        """The only run that works on ``out``; the system lets go of it however the run ends.

        Raises:
            InputError: If another run does.
        """
        root = partial_path(self.out)
        root.mkdir(parents=True, exist_ok=True)
        try:
            with FileLock(root / _LOCK, timeout=0):
                yield
        except Timeout as error:
            raise InputError(
                f"{self.out}, which another process is making now",
                "one process at a time",
                "wait until it is done, or name another folder",
            ) from error

    def begin(self) -> None:
        """Go on with this plan; remove what others and killed processes have left."""
        for path in partial_path(self.out).iterdir():
            if path.is_dir() and path != self.folder:
                shutil.rmtree(path)
        self.shards.mkdir(parents=True, exist_ok=True)
        for path in self.folder.glob("*.partial"):
            path.unlink(missing_ok=True)

    def remove(self) -> None:
        """Delete all of it."""
        shutil.rmtree(partial_path(self.out))

    @contextmanager
    def whole(self, path: Path) -> Iterator[Path]:
        """A name to write to that no other process has; renamed to ``path`` at the end."""
        part = self.folder / f"{path.name}.{uuid.uuid4().hex}.partial"
        try:
            yield part
            os.replace(part, path)
        finally:
            part.unlink(missing_ok=True)

    def write(self, path: Path, text: str) -> None:
        """Write a text file as a whole."""
        with self.whole(path) as part:
            part.write_text(text, encoding="utf-8", newline="\n")

    def keep(self, made: Made) -> None:
        """Record a whole shard."""
        self.write(self._record(made.shard.file), json.dumps(asdict(made)))

    def made(self, file: str) -> Made | None:
        """What is recorded of a shard, if it is whole."""
        path, tar = self._record(file), self.shards / file
        if not path.is_file() or not tar.is_file():
            return None
        made = _made_from(json.loads(path.read_text(encoding="utf-8")))
        return made if tar.stat().st_size == made.shard.bytes else None

    def _record(self, file: str) -> Path:
        return self.folder / f"{file}.json"


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
