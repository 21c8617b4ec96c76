"""Shards to batches, for Lightning."""

from collections.abc import Callable, Iterable, Iterator
from functools import cached_property
from pathlib import Path

import torch
import webdataset

from realface.data.patch_datamodule import PatchDataModule
from realface.data.shards import all_samples, endless_samples, read_index, shard_urls
from realface.data.transforms import (
    Augment,
    Batch,
    CentreCrop,
    ReadPatch,
    ToTensors,
    collate,
)
from realface.errors import InputError, RealfaceError


class ReflectanceDataModule(PatchDataModule):
    """Streams training and validation batches from a folder of shards.

    Args:
        shards: Folder that `realface pack` wrote.
        batch_size: Samples per process and step.
        crop: Side of the training crop [px]; at most the packed patch.
        samples_per_epoch: Over all processes; an epoch is a number of samples, since shards are
            drawn without end. Checkpoints and validation come at its end.
        validation_samples: At most so many per epoch; 0: all.
        workers: Loader processes; 0 loads in the training process.
        shuffle: Samples held for shuffling, per worker; 1: none.
        mirror_probability: Of a left-right mirror.
        tone_probability: Of a change of skin tone.
        seed: Of the stream.
    """

    def __init__(
        self,
        shards: Path,
        batch_size: int = 1,
        crop: int = 512,
        samples_per_epoch: int = 1500,
        validation_samples: int = 64,
        workers: int = 2,
        shuffle: int = 64,
        mirror_probability: float = 0.5,
        tone_probability: float = 0.3,
        seed: int = 0,
    ) -> None:
        super().__init__()
        for name, value, least in (
            ("batch_size", batch_size, 1),
            ("crop", crop, 1),
            ("samples_per_epoch", samples_per_epoch, 1),
            ("validation_samples", validation_samples, 0),
            ("workers", workers, 0),
            ("shuffle", shuffle, 1),
        ):
            if value < least:
                raise InputError(f"data.{name} {value}", f"at least {least}", "correct the config")
        for name, share in (
            ("mirror_probability", mirror_probability),
            ("tone_probability", tone_probability),
        ):
            if not 0 <= share <= 1:
                raise InputError(f"data.{name} {share}", "a probability", "correct the config")
        self.shards = Path(shards)
        self.batch_size, self.crop = batch_size, crop
        self.samples_per_epoch = samples_per_epoch
        self.validation_samples = validation_samples
        self.workers, self.shuffle = workers, shuffle
        self.mirror_probability = mirror_probability
        self.tone_probability = tone_probability
        self.seed = seed
        self._kinds: tuple[str, ...] | None = None
        self._optional: tuple[str, ...] = ("mask",)

    def setup(self, stage: str) -> None:
        """Read the index and check it against what the translator needs.

        Raises:
            InputError: If a kind that the translator needs was not packed.
        """
        self._index = read_index(self.shards)
        translator = self.trainer.lightning_module if self.trainer else None
        if translator is None:
            return
        self._kinds = translator.required_kinds
        self._optional = ("mask", *translator.optional_kinds)
        missing = sorted(set(translator.required_kinds) - set(self._index["kinds"]))
        if missing:
            raise InputError(
                f"{self.shards} with {', '.join(self._index['kinds'])}",
                f"{', '.join(missing)} too, which {type(translator).__name__} needs",
                "pack subjects that have these maps",
            )

    @property
    def millimetres_per_texel(self) -> float | None:
        """Median over the packed samples; None where it is not known."""
        scale = self._index["millimetres_per_texel"]
        return None if scale is None else float(scale)

    def train_dataloader(self) -> "LateLoader":
        """Endless batches, cut into epochs of ``samples_per_epoch``."""
        rank, world = self._ranks()
        urls = shard_urls(self.shards, self._index, "train")
        steps = max(1, self.samples_per_epoch // (self.batch_size * world))
        return LateLoader(lambda: self._batches_from(self.epoch_now(), urls, rank, steps), steps)

    def _batches_from(
        self, epoch: int, urls: list[str], rank: int, steps: int
    ) -> webdataset.WebLoader:
        """The batches of an epoch, and of those after it."""
        batches = webdataset.DataPipeline(
            endless_samples(urls, self.seed, self.shuffle, rank=rank, epoch=epoch),
            webdataset.map(ReadPatch(self._kinds, self._optional)),
            webdataset.map(ToTensors()),
            Augment(self.crop, self.tone_probability, self.seed, rank=rank, epoch=epoch),
            webdataset.batched(self.batch_size, collation_fn=collate),
        )
        return self._loader(batches, self.workers).with_epoch(steps)

    def val_dataloader(self) -> webdataset.WebLoader:
        """Every validation sample once, cropped in the middle."""
        rank, world = self._ranks()
        urls = shard_urls(self.shards, self._index, "val")
        limit = self.validation_samples or None
        batches = webdataset.DataPipeline(
            all_samples(urls, limit, rank=rank, world=world),
            webdataset.map(ReadPatch(self._kinds, self._optional)),
            webdataset.map(ToTensors()),
            webdataset.map(CentreCrop(self.crop)),
            webdataset.batched(self.batch_size, collation_fn=collate, partial=True),
        )
        samples = len(range(self._index["samples"]["val"])[slice(limit)][rank::world])
        workers = min(self.workers, samples)
        # Each worker batches its own share.
        shares = [len(range(worker, samples, workers or 1)) for worker in range(workers or 1)]
        steps = sum(-(-share // self.batch_size) for share in shares)
        return self._loader(batches, workers).with_length(steps, silent=True)

    def _ranks(self) -> tuple[int, int]:
        """This process's number and how many train together."""
        if self.trainer is not None:
            return self.trainer.global_rank, self.trainer.world_size
        rank, world, *_ = webdataset.utils.pytorch_worker_info()
        return rank, world

    def _loader(self, batches: webdataset.DataPipeline, workers: int) -> webdataset.WebLoader:
        # Workers stay: epochs are counted in them, and a new one would repeat the first.
        loader = webdataset.WebLoader(
            batches.compose(carry_error),
            batch_size=None,
            num_workers=workers,
            persistent_workers=workers > 0,
            pin_memory=torch.cuda.is_available(),
        )
        return loader.compose(raise_carried)


class LateLoader:
    """A loader that is made when its first batch is asked for: it may not know its epoch before.

    Args:
        make: Makes the loader, once; it counts the epochs itself.
        steps: Batches in an epoch.
    """

    def __init__(self, make: Callable[[], webdataset.WebLoader], steps: int) -> None:
        self._make, self._steps = make, steps

    @cached_property
    def loader(self) -> webdataset.WebLoader:
        """The loader."""
        return self._make()

    def __iter__(self) -> Iterator[Batch]:
        yield from self.loader

    def __len__(self) -> int:
        return self._steps


def carry_error(batches: Iterable[Batch]) -> Iterator[Batch | RealfaceError]:
    """Pass an error on as the last item: torch would carry it out of a worker as plain text."""
    try:
        yield from batches
    except RealfaceError as error:
        yield error


def raise_carried(items: Iterable[Batch | RealfaceError]) -> Iterator[Batch]:
    """Raise what `carry_error` has passed on."""
    for item in items:
        if isinstance(item, RealfaceError):
            raise item
        yield item
