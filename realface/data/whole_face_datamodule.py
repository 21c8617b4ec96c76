"""Whole faces at a small size, for the stage that sees a face at once."""

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict
from functools import cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from realface.data.epochs import EpochLoader, FixedLoader
from realface.data.order import permutation, steps_of
from realface.data.packing.whole_faces import REDUCTION
from realface.data.patch_datamodule import PatchDataModule
from realface.data.procedural import (
    TRAINING_SUBJECTS,
    VALIDATION_SUBJECTS,
    Draw,
    make_wholes,
)
from realface.data.shard_samples import ShardSamples
from realface.data.shard_set import ShardSet, open_shards
from realface.data.transforms import Batch, to_maps
from realface.data.whole_moves import STRIDE
from realface.errors import InputError
from realface.synthetic.bust import bust_maps
from realface.synthetic.folder import subject_name
from realface.synthetic.lattice import CHART_WIDTH
from realface.synthetic.placement import placements

Face = tuple[str, dict[str, Tensor]]
"""Key, and maps ``(C, h, w)`` in half precision; ``shape`` in single."""


class WholeFaceDataModule(PatchDataModule):
    """Whole faces from shards, an eighth of their maps' size, or procedural ones.

    Faces are few and small: they are kept in memory, mostly in half precision, once they are read
    or made, about 17 MB each of 512x768. Light, pose and chart are drawn in each step. Procedural
    faces end before the ears' back and at the chin; every other batch is of busts
    (`realface.synthetic.bust`), whole heads with neck and shoulders.

    Args:
        shards: Folders that `realface pack` wrote of whole subjects; None: procedural faces.
        batch_size: Faces per process and step.
        width: Of procedural faces' maps [px]; their height is two thirds of it.
        subjects: Procedural faces to train on; the first epoch makes them, in seconds each.
        busts: Procedural busts, likewise; their maps are ``width`` high and a third wider.
        samples_per_epoch: Over all processes; None: as many as there are
            faces and busts.
        validation_samples: At most so many per epoch; 0: all of the shards'.
        seed: Of the order.

    Raises:
        InputError: If a number is out of range.
    """

    whole_faces = True

    def __init__(
        self,
        shards: str | list[str] | None = None,
        batch_size: int = 4,
        width: int = 768,
        subjects: int = 256,
        busts: int = 128,
        samples_per_epoch: int | None = None,
        validation_samples: int = 16,
        seed: int = 0,
    ) -> None:
        super().__init__()
        held = len(VALIDATION_SUBJECTS)
        for name, value, good, expected in (
            ("batch_size", batch_size, batch_size >= 1, "at least 1"),
            ("width", width, width >= 48, "at least 48"),
            ("subjects", subjects, subjects >= 1, "at least 1"),
            ("busts", busts, busts >= 0, "at least 0"),
            ("samples_per_epoch", samples_per_epoch, (samples_per_epoch or 1) >= 1, "at least 1"),
            ("validation_samples", validation_samples, 0 <= validation_samples <= held,
             f"between 0 and {held}"),
        ):  # fmt: skip
            if not good:
                raise InputError(f"data.{name} {value}", expected, "correct the config")
        self.shards = [shards] if isinstance(shards, str) else shards
        self.batch_size, self.width = batch_size, width
        self.subjects, self.busts = subjects, busts
        self.samples_per_epoch = samples_per_epoch
        self.validation_samples = validation_samples
        self.seed = seed
        self._set: ShardSet | None = None

    def setup(self, stage: str) -> None:
        """Read the indices.

        Raises:
            InputError: If shards are missing or hold no whole faces, or not the kinds that are
                needed.
        """
        if self.shards is None:
            return
        self._set = open_shards(self.shards)
        translator = self.trainer.lightning_module if self.trainer else None
        needed = set(translator.required_kinds) if translator else set()
        where = ", ".join(self.shards)
        if missing := sorted(needed - {*self._set.kinds, "mask"}):
            raise InputError(
                f"{where} with {', '.join(self._set.kinds)}",
                f"{', '.join(missing)} too, which light is cast from",
                "pack subjects that have these maps",
            )
        if not self._set.splits.get("whole-train"):
            raise InputError(
                f"{where} without whole faces",
                "shards of whole subjects (lent patches, as RealFaceDB's, have none)",
                "pack whole subjects, or leave data.shards out: procedural faces",
            )

    @property
    def millimetres_per_texel(self) -> float | None:
        """Of the whole faces; None where it is not known."""
        if self._set is not None:
            texel = self._set.millimetres_per_texel
            return texel and texel * REDUCTION
        stretch = float(placements(VALIDATION_SUBJECTS[:16]).stretch.median())
        return stretch * CHART_WIDTH / self.width

    @property
    def about(self) -> dict[str, Any]:
        """What is trained on, for the descriptor of the weights."""
        if self._set is None:
            terms = {"source": "realface, procedural subjects", "licence": "none needed"}
            subjects = self.subjects + self.busts
            return {"subjects": subjects, "terms": [{**terms, "expires": None}]}
        terms_of = [asdict(one) for one in self._set.terms]
        return {"subjects": len(self._set.samples("whole-train")), "terms": terms_of}

    def train_dataloader(self) -> EpochLoader:
        """Epochs of ``samples_per_epoch``; a resumed run goes on with the face it stopped at."""
        rank, world = self.ranks()
        pools = [self._faces("train"), *self._busts()]
        samples = self.samples_per_epoch or sum(count for count, _ in pools)
        steps = steps_of(samples, self.batch_size, world)

        def batches(epoch: int, first: int) -> Iterator[Batch]:
            for step in range(first, steps):
                turn, which = divmod(epoch * steps + step, len(pools))
                count, face = pools[which]
                place = (turn * world + rank) * self.batch_size
                visits, places = zip(
                    *(divmod(at, count) for at in range(place, place + self.batch_size)),
                    strict=True,
                )
                numbers = [
                    permutation(count, self.seed, visit)[at]
                    for visit, at in zip(visits, places, strict=True)
                ]
                faces = [face(number) for number in numbers]
                yield {**collate_faces(faces), "visit": list(visits)}

        layout = {
            "batch_size": self.batch_size, "processes": world, "samples": samples, "steps": steps,
            "seed": self.seed,
        }  # fmt: skip
        return EpochLoader(batches, steps, self.epoch_now, layout)

    def val_dataloader(self) -> FixedLoader:
        """Every held-out face once, dealt out over the processes."""
        rank, world = self.ranks()
        count, face = self._faces("val")
        mine = range(count)[: self.validation_samples or None][rank::world]
        batches = [mine[i : i + self.batch_size] for i in range(0, len(mine), self.batch_size)]
        return FixedLoader(
            lambda: (collate_faces([face(number) for number in one]) for one in batches),
            len(batches),
        )

    def validation_count(self) -> int:
        """As many as asked for, or as there are."""
        held = self._faces("val")[0] if self.shards else len(VALIDATION_SUBJECTS)
        return min(held, self.validation_samples or held)

    def _faces(self, split: str) -> tuple[int, Callable[[int], Face]]:
        """How many faces there are, and each by its number; read or made once."""
        if self._set is None:
            held = VALIDATION_SUBJECTS if split == "val" else TRAINING_SUBJECTS
            subjects = held[: self.validation_samples if split == "val" else self.subjects]
            return len(subjects), cache(lambda number: _procedural(subjects[number], self.width))
        located = self._set.splits.get(f"whole-{split}", ())
        read = ShardSamples(located, self._set.kinds, "stop").read
        return len(located), cache(lambda number: _stored(read(number, random.Random(0))))

    def _busts(self) -> list[tuple[int, Callable[[int], Face]]]:
        """Likewise, where there are some beside the procedural faces."""
        if self._set is not None or not self.busts:
            return []
        return [(self.busts, cache(lambda number: _bust(TRAINING_SUBJECTS[number], self.width)))]


def collate_faces(faces: Sequence[Face]) -> Batch:
    """A batch of faces, float32, with room to the right and below that is not of the mask."""
    height, width = (
        -(-max(maps["mask"].shape[axis] for _, maps in faces) // STRIDE) * STRIDE for axis in (1, 2)
    )

    def placed(values: Tensor) -> Tensor:
        room = (0, width - values.shape[2], 0, height - values.shape[1])
        return F.pad(values.float(), room)

    kinds = set.intersection(*(set(maps) for _, maps in faces))
    batch: Batch = {kind: torch.stack([placed(maps[kind]) for _, maps in faces]) for kind in kinds}
    return {"key": [key for key, _ in faces], **batch}


def _procedural(seed: int, width: int) -> Face:
    whole = REDUCTION * width
    maps = make_wholes(Draw((seed,), (round(whole * 2 / 3), whole), ()), "cpu")
    return subject_name(seed), _small({kind: one[0] for kind, one in maps.items()})


def _bust(seed: int, width: int) -> Face:
    maps = bust_maps(seed, width, round(width * 4 / 3))
    return f"bust-{seed}", _small(maps)


def _stored(sample: dict[str, Any]) -> Face:
    arrays = {kind: one for kind, one in sample.items() if kind not in ("key", "skipped")}
    maps = to_maps({kind: torch.from_numpy(one)[None] for kind, one in arrays.items()})
    return sample["key"], _small({kind: one[0] for kind, one in maps.items()})


def _small(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    mask = (maps["mask"] > 0.5).half()
    return {kind: one if kind == "shape" else one.half() for kind, one in maps.items()} | {
        "mask": mask
    }
