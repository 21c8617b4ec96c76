"""Shards to batches, for Lightning."""

import logging
import math
import os
from collections.abc import Sequence
from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import Any

from realface.data import storage
from realface.data.epochs import EpochLoader, FixedLoader
from realface.data.fetch import fetch_folder
from realface.data.index import INDEX_NAME, expiry_warnings
from realface.data.moves import Moves
from realface.data.order import Stream, steps_of
from realface.data.patch_datamodule import PatchDataModule
from realface.data.shard_samples import (
    OnError,
    ShardSamples,
    TrainingBatches,
    TrainingSamples,
    ValidationBatches,
    ValidationSamples,
)
from realface.data.shard_set import Located, count_samples, open_shards, read_index, split_location
from realface.data.transforms import Batch, to_maps
from realface.errors import InputError, RealfaceError

log = logging.getLogger(__name__)


class ReflectanceDataModule(PatchDataModule):
    """Streams training and validation batches from shards.

    Args:
        shards: Folder that `realface pack` wrote, or several; or their URLs (http, https, s3, gs);
            braces are expanded. One shard of a folder may be named too.
        batch_size: Samples per process and step.
        crop: Side of the training crop [px]; at most the packed patch.
        samples_per_epoch: Over all processes; None: each training sample once, but for those that
            would not fill a step. Fewer: the next epoch goes on where this one ends.
        validation_samples: At most so many per epoch; 0: all.
        workers: Loader processes; 0 loads in the training process.
        mirror_probability: Of a left-right mirror.
        quarter_turns: Whether to turn training patches by 0, 90, 180 or 270 degrees too.
        rotation: Turns them by at most so much either way [degrees].
        zoom: Enlarges them at most so much, or makes them as much smaller; 1: neither.
        tone_probability: Of each change of skin tone.
        on_error: ``stop`` at a sample that cannot be read, or ``skip`` it: another one takes its
            place, and both are reported.
        cache: Folder that shards behind URLs are fetched to once, before training; None: they are
            read over the network as they are wanted.
        seed: Of the order and of what is varied.
    """

    def __init__(
        self,
        shards: str | list[str],
        batch_size: int = 1,
        crop: int = 512,
        samples_per_epoch: int | None = None,
        validation_samples: int = 64,
        workers: int = 2,
        mirror_probability: float = 0.5,
        quarter_turns: bool = False,
        rotation: float = 0.0,
        zoom: float = 1.0,
        tone_probability: float = 0.3,
        on_error: OnError = "stop",
        cache: Path | None = None,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("crop", crop, 1),
            ("samples_per_epoch", samples_per_epoch, 1),
            ("validation_samples", validation_samples, 0),
            ("workers", workers, 0),
        ):
            if value is not None and value < least:
                raise InputError(f"data.{name} {value}", f"at least {least}", "correct the config")
        for name, number, good, expected in (
            ("mirror_probability", mirror_probability, 0 <= mirror_probability <= 1,
             "a probability"),
            ("tone_probability", tone_probability, 0 <= tone_probability <= 1, "a probability"),
            ("rotation", rotation, 0 <= rotation <= 180, "0 to 180 degrees"),
            ("zoom", zoom, 1 <= zoom < math.inf, "at least 1"),
        ):  # fmt: skip
            if not good:
                raise InputError(f"data.{name} {number}", expected, "correct the config")
        named = [shards] if isinstance(shards, str | os.PathLike) else shards
        self.shards = [os.fspath(one) for one in named]
        self.batch_size, self.crop = batch_size, crop
        self.samples_per_epoch = samples_per_epoch
        self.validation_samples = validation_samples
        self.workers = workers
        self.moves = Moves(mirror_probability, quarter_turns, rotation, zoom)
        self.tone_probability = tone_probability
        self.on_error: OnError = on_error
        self.cache = cache
        self.seed = seed

    def prepare_data(self) -> None:
        """Fetch the shards, where there is a folder to keep them in."""
        self._locations()

    def setup(self, stage: str) -> None:
        """Read the indices and check them against what the translator needs.

        Raises:
            InputError: If shards are missing, or a kind that the translator needs is not packed.
        """
        self._set = open_shards(self._locations())
        where = ", ".join(self.shards)
        if self.ranks()[0] == 0:
            for line in expiry_warnings(self._set.terms, date.today(), where):
                log.warning(line)
        translator = self.trainer.lightning_module if self.trainer else None
        if translator is None:
            self._kinds = self._shown = self._set.kinds
            self._with_wholes = False
            return
        self._with_wholes = translator.reads_whole_faces
        if self._with_wholes:
            self.moves.check_for_wholes()
        optional = {"mask", *translator.optional_kinds} & set(self._set.kinds)
        self._kinds = tuple(dict.fromkeys((*translator.required_kinds, *sorted(optional))))
        shown = [kind for kind in translator.shown_kinds if kind in self._set.kinds]
        self._shown = tuple(dict.fromkeys((*self._kinds, *shown)))
        missing = sorted(set(translator.required_kinds) - set(self._set.kinds))
        if missing:
            raise InputError(
                f"{where} with {', '.join(self._set.kinds)}",
                f"{', '.join(missing)} too, which {type(translator).__name__} needs",
                "pack subjects that have these maps",
            )

    def validation_count(self) -> int:
        """Validation samples per epoch, over all processes.

        Raises:
            InputError: If an index cannot be read.
        """
        held = count_samples(self.shards, "val")
        return min(held, self.validation_samples or held)

    @property
    def millimetres_per_texel(self) -> float | None:
        """Median over the packed samples; None where it is not known."""
        return self._set.millimetres_per_texel

    @property
    def about(self) -> dict[str, Any]:
        """What is trained on, for the descriptor of the weights."""
        located = self._set.samples("train")
        subjects = {sample.entry.subject for sample in located}
        known = {} if None in subjects else {"subjects": len(subjects)}
        terms = [asdict(one) for one in self._set.terms]
        return {"samples": len(located), **known, "terms": terms}

    def train_dataloader(self) -> EpochLoader:
        """Batches, in epochs of ``samples_per_epoch``."""
        located = self._set.samples("train")
        rank, world = self.ranks()
        count = self.samples_per_epoch or len(located)
        steps = steps_of(count, self.batch_size, world)
        samples = TrainingSamples(
            ShardSamples(located, self._kinds, self.on_error, self._wholes("train")),
            self.crop, self.tone_probability, self.moves, self.seed,
        )  # fmt: skip
        stream = Stream(len(located), self.seed, self.batch_size, steps, rank, world)
        return EpochLoader(
            TrainingBatches(samples, stream, self.workers),
            steps,
            self.epoch_now,
            {
                "batch_size": self.batch_size,
                "processes": world,
                "samples": len(located),
                "steps": steps,
                "seed": self.seed,
            },
        )

    def val_dataloader(self) -> FixedLoader:
        """Every validation sample once, dealt out over the processes, cropped in the middle."""
        located = self._set.samples("val")
        rank, world = self.ranks()
        mine = range(len(located))[: self.validation_samples or None][rank::world]
        batches = [mine[at : at + self.batch_size] for at in range(0, len(mine), self.batch_size)]
        samples = ShardSamples(located, self._shown, self.on_error, self._wholes("val"))
        workers = min(self.workers, len(batches))
        cropped = ValidationSamples(samples, self.crop)
        return FixedLoader(ValidationBatches(cropped, batches, workers), len(batches))

    def _wholes(self, split: str) -> Sequence[Located] | None:
        """The whole faces of a split, where the translator reads them; none: it says so itself."""
        return self._set.splits.get(f"whole-{split}", ()) if self._with_wholes else None

    def on_after_batch_transfer(self, batch: Batch, dataloader_idx: int) -> Batch:
        """Stored values to maps, and these moved, on the device."""
        return super().on_after_batch_transfer(to_maps(batch), dataloader_idx)

    def _locations(self) -> list[str]:
        """Where the shards are read; fetched ones are fetched no second time."""
        if self.cache is None:
            return self.shards
        return [
            _fetched(location, self.cache) if storage.is_remote(location) else location
            for location in storage.expand(self.shards)
        ]


def _fetched(location: str, cache: Path) -> str:
    """Where a copy of remote shards lies."""
    folder, shard = split_location(location)
    try:
        kept = fetch_folder(folder, cache, read_index(folder))
    except RealfaceError as error:
        copies = sorted(path.parent for path in cache.glob(f"*/{INDEX_NAME}"))
        if copies:  # which of them it is, only the server's index tells
            error.remedy += f"; or train on a copy: --data.shards {copies[-1]}"
        raise
    return os.fspath(kept / (shard or ""))
