"""Procedural subjects as a stream of batches, for Lightning."""

import math
from collections.abc import Callable, Iterable, Iterator, Sequence

import torch

from realface.data.patch_datamodule import PatchDataModule
from realface.data.procedural import (
    TRAINING_SUBJECTS,
    VALIDATION_SUBJECTS,
    Draw,
    draw_batch,
    make_batch,
)
from realface.data.transforms import Batch
from realface.errors import InputError
from realface.synthetic.flaws import IN_TRUTH, check_flaws
from realface.synthetic.lattice import CHART_WIDTH
from realface.synthetic.placement import placements


class ProceduralDataModule(PatchDataModule):
    """Training and validation batches of procedural subjects, without end and without files.

    The loader carries draws; the maps are made where Lightning would copy a batch to the device.
    Every training patch is of a face of its own; validation has faces that training never draws,
    always the same.

    Args:
        batch_size: Patches per process and step.
        crop: Side of a patch [px].
        samples_per_epoch: Over all processes; validation and checkpoints come at an epoch's end.
        validation_samples: Patches, each of another held-out subject.
        narrowest_map: Width of the maps that patches are cut from [px], at least: 6144 is
            0.05 mm a texel. Each batch draws its own.
        widest_map: At most; validation is at this scale.
        minimum_valid: Share of a patch that lies inside the mask.
        flaws: Of captures, put on every patch: names of `realface.synthetic.flaws.IN_TRUTH`.
        mirror_probability: Of a left-right mirror.
        seed: Of the stream.

    Raises:
        InputError: If a number is out of range, or a flaw is not for maps that are learnt.
    """

    def __init__(
        self,
        batch_size: int = 1,
        crop: int = 512,
        samples_per_epoch: int = 1500,
        validation_samples: int = 64,
        narrowest_map: int = 6144,
        widest_map: int = 6144,
        minimum_valid: float = 0.5,
        flaws: list[str] | None = None,
        mirror_probability: float = 0.5,
        seed: int = 0,
    ) -> None:
        super().__init__()
        held = len(VALIDATION_SUBJECTS)
        for name, value, good, expected in (
            ("batch_size", batch_size, batch_size >= 1, "at least 1"),
            ("crop", crop, crop >= 1, "at least 1"),
            ("samples_per_epoch", samples_per_epoch, samples_per_epoch >= 1, "at least 1"),
            ("validation_samples", validation_samples, 1 <= validation_samples <= held,
             f"between 1 and {held}"),
            ("widest_map", widest_map, widest_map >= 1, "at least 1"),
            ("narrowest_map", narrowest_map, 1 <= narrowest_map <= widest_map,
             f"between 1 and widest_map, {widest_map}"),
            ("minimum_valid", minimum_valid, 0 <= minimum_valid <= 1, "a share"),
            ("mirror_probability", mirror_probability, 0 <= mirror_probability <= 1,
             "a probability"),
        ):  # fmt: skip
            if not good:
                raise InputError(f"data.{name} {value}", expected, "correct the config")
        self.flaws = tuple(flaws or ())
        check_flaws(self.flaws, IN_TRUTH)
        self.batch_size, self.crop = batch_size, crop
        self.samples_per_epoch = samples_per_epoch
        self.validation_samples = validation_samples
        self.map_widths = (narrowest_map, widest_map)
        self.minimum_valid = minimum_valid
        self.mirror_probability = mirror_probability
        self.seed = seed

    @property
    def millimetres_per_texel(self) -> float:
        """In the middle of the range of scales, on the surface of a typical face."""
        stretch = float(placements(VALIDATION_SUBJECTS[:16]).stretch.median())
        return stretch * CHART_WIDTH / math.sqrt(self.map_widths[0] * self.map_widths[1])

    def training_draw(self, step: int, rank: int = 0) -> Draw:
        """What process ``rank`` trains on in a step, counted from the start of the run."""
        return draw_batch(
            f"{self.seed} {rank} {step}", TRAINING_SUBJECTS, self.batch_size, self.crop,
            self.map_widths, self.minimum_valid,
        )  # fmt: skip

    def validation_draw(self, samples: Sequence[int]) -> Draw:
        """Held-out patches by number: the same in every epoch, however they are batched."""
        widest = (self.map_widths[1],) * 2
        parts = [
            draw_batch(
                f"{self.seed} held out {n}", VALIDATION_SUBJECTS[n : n + 1], 1, self.crop,
                widest, self.minimum_valid,
            )
            for n in samples
        ]  # fmt: skip
        return Draw(
            tuple(part.subjects[0] for part in parts),
            parts[0].map_size,
            tuple(part.windows[0] for part in parts),
        )

    def train_dataloader(self) -> Iterable[Draw]:
        """One epoch of ``samples_per_epoch``; the next call of ``iter`` gives the next epoch."""
        rank, world = self._ranks()
        steps = max(1, self.samples_per_epoch // (self.batch_size * world))

        def epoch() -> Iterator[Draw]:
            first = steps * self.epoch_now()  # a generator: at the first batch, not before
            for step in range(first, first + steps):
                yield self.training_draw(step, rank)

        return _Draws(epoch, steps)

    def val_dataloader(self) -> Iterable[Draw]:
        """Every held-out patch once, dealt out over the processes."""
        rank, world = self._ranks()
        mine = range(self.validation_samples)[rank::world]
        batches = [mine[i : i + self.batch_size] for i in range(0, len(mine), self.batch_size)]
        return _Draws(lambda: (self.validation_draw(batch) for batch in batches), len(batches))

    def _ranks(self) -> tuple[int, int]:
        """This process's number and how many train together."""
        if self.trainer is None:
            return 0, 1
        return self.trainer.global_rank, self.trainer.world_size

    def transfer_batch_to_device(
        self, batch: Draw, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Make the batch on the device."""
        return make_batch(batch, device, self.flaws)


class _Draws:
    """An iterator that is made anew for each epoch, and its length: all that Lightning asks for.

    Drawing takes a millisecond, so there is nothing for torch's loader to do.
    """

    def __init__(self, epoch: Callable[[], Iterator[Draw]], steps: int) -> None:
        self._epoch, self._steps = epoch, steps

    def __iter__(self) -> Iterator[Draw]:
        return self._epoch()

    def __len__(self) -> int:
        return self._steps
