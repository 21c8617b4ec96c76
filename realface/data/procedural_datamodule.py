"""Procedural subjects as a stream of batches, for Lightning."""

import math
from collections.abc import Iterator, Sequence
from typing import Any

import torch

from realface.data.epochs import EpochLoader, FixedLoader
from realface.data.order import steps_of
from realface.data.patch_datamodule import PatchDataModule
from realface.data.procedural import (
    TRAINING_SUBJECTS,
    VALIDATION_SUBJECTS,
    Draw,
    draw_batch,
    make_batch,
    make_wholes,
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
            None: 1500, since there is no end to them.
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
        samples_per_epoch: int | None = 1500,
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
        samples_per_epoch = 1500 if samples_per_epoch is None else samples_per_epoch
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

    @property
    def about(self) -> dict[str, Any]:
        """What is trained on, for the descriptor of the weights."""
        terms = {"source": "realface, procedural subjects", "licence": "none needed"}
        return {"terms": [{**terms, "expires": None}]}

    def training_draw(self, step: int, rank: int = 0) -> Draw:
        """What process ``rank`` trains on in a step, counted from the start of the run."""
        return draw_batch(
            f"{self.seed} {rank} {step}", TRAINING_SUBJECTS, self.batch_size, self.crop,
            self.map_widths, self.minimum_valid, self.mirror_probability,
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

    def train_dataloader(self) -> EpochLoader:
        """Epochs of ``samples_per_epoch``; a resumed run goes on with the step it stopped at."""
        rank, world = self.ranks()
        steps = steps_of(self.samples_per_epoch, self.batch_size, world)

        # Drawing takes a millisecond, so there is nothing for worker processes to do.
        def draws(epoch: int, first: int) -> Iterator[Draw]:
            for step in range(first, steps):
                yield self.training_draw(epoch * steps + step, rank)

        layout = {
            "batch_size": self.batch_size, "processes": world, "steps": steps, "seed": self.seed
        }  # fmt: skip
        return EpochLoader(draws, steps, self.epoch_now, layout)

    def val_dataloader(self) -> FixedLoader:
        """Every held-out patch once, dealt out over the processes."""
        rank, world = self.ranks()
        mine = range(self.validation_samples)[rank::world]
        batches = [mine[i : i + self.batch_size] for i in range(0, len(mine), self.batch_size)]
        return FixedLoader(lambda: (self.validation_draw(one) for one in batches), len(batches))

    def validation_count(self) -> int:
        """As many as asked for."""
        return self.validation_samples

    def transfer_batch_to_device(
        self, batch: Draw, device: torch.device, dataloader_idx: int
    ) -> Batch:
        """Make the batch on the device, whole faces too where the translator reads them."""
        made = make_batch(batch, device, self.flaws)
        translator = self.trainer.lightning_module if self.trainer else None
        if translator is not None and translator.reads_whole_faces:
            made["whole"] = make_wholes(batch, device)
        return made
