"""Samples of shards in torch's loaders: read, varied and batched in worker processes."""

import logging
import random
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch.utils.data import DataLoader, Dataset

from realface.data.moves import Moves
from realface.data.order import Request, Stream
from realface.data.samples import read_stored
from realface.data.shard_set import Located
from realface.data.transforms import (
    Sample,
    SkinTone,
    centre_crop,
    collate,
    random_crop,
    stored,
)
from realface.errors import FailureError, InputError, RealfaceError
from realface.maps.files import Array
from realface.maps.io import decode
from realface.maps.kinds import KINDS
from realface.maps.record import MapRecord

log = logging.getLogger(__name__)

OnError = Literal["stop", "skip"]
"""What to do about a sample that cannot be read: end, or take another in its place and say so."""

_SUBSTITUTES = 20  # unreadable ones in a row, and there is no use in going on

Loaded = Sample | RealfaceError


class ShardSamples(Dataset):
    """The samples of shards by number, as they are stored.

    Args:
        samples: Where they lie.
        kinds: Of map, that are wanted.
        on_error: What to do about a sample that cannot be read.
        wholes: Whole faces, to come with the patches of their subjects; None: they come alone.

    Raises:
        InputError: If a subject has no whole face.
    """

    def __init__(
        self,
        samples: Sequence[Located],
        kinds: Sequence[str],
        on_error: OnError = "stop",
        wholes: Sequence[Located] | None = None,
    ) -> None:
        self.samples = [sample.only(kinds) for sample in samples]  # what workers are sent
        self.kinds, self.on_error = tuple(kinds), on_error
        self.wholes = None if wholes is None else _by_subject(wholes, samples, kinds)

    def read(self, number: int, rng: random.Random) -> Sample:
        """A sample; or, if that is allowed, one drawn in its place, with ``skipped`` naming it.

        Raises:
            InputError: If the sample cannot be read.
            FailureError: If a server does not answer, which is no damage to skip; or if too many
                samples in a row are unreadable.
        """
        skipped: list[str] = []
        while True:
            try:
                return {**self._read(self.samples[number]), "skipped": skipped}
            except InputError as error:
                if self.on_error == "stop":
                    raise
                skipped.append(error.given)
            if len(skipped) > _SUBSTITUTES:
                raise FailureError(
                    f"{len(skipped)} samples in a row that cannot be read, the last: {skipped[-1]}",
                    "damage here and there",
                    "run `realface verify` on the shards",
                )
            number = rng.randrange(len(self.samples))

    def _read(self, sample: Located) -> Sample:
        found = self._maps(sample)
        if self.wholes is None:
            return found
        return {**found, "whole": self._maps(self.wholes[_face(sample)])}

    def _maps(self, sample: Located) -> Sample:
        # A sample of a folder without masks has none.
        kinds = [kind for kind in self.kinds if kind != "mask" or kind in sample.kinds]
        _, maps = read_stored(sample.read(), sample.where, kinds)
        return stored(sample.entry.key, {kind: _values(kind, *map) for kind, map in maps.items()})


def _face(sample: Located) -> tuple[str, str | None]:
    """Whose, in which folder: folders may use the same names."""
    return sample.folder, sample.entry.subject


def _by_subject(
    wholes: Sequence[Located], samples: Sequence[Located], kinds: Sequence[str]
) -> dict[tuple[str, str | None], Located]:
    found = {_face(whole): whole.only(kinds) for whole in wholes}
    without = next((sample for sample in samples if _face(sample) not in found), None)
    if without is not None or (None in {subject for _, subject in found}):
        what = without.where if without is not None else "whole faces without a subject"
        raise InputError(
            f"{what}, without its whole face",
            "the whole face of every patch, which whole_texture is made from",
            "pack whole subjects (lent patches, as RealFaceDB's, have none: leave whole_texture "
            "out of the inputs)",
        )
    return found


def _values(kind: str, pixels: Array, record: MapRecord) -> Array:
    """As they are stored; positions in millimetres, for each patch has a range of its own."""
    if KINDS[kind].encoding != "position":
        return pixels
    return decode(pixels, KINDS[kind], record).permute(1, 2, 0).numpy()


class TrainingSamples(Dataset):
    """Samples varied for training; what is drawn follows from the request alone.

    Args:
        samples: To train on.
        crop: Side of the random crop [px].
        tone_probability: Of each change of skin tone.
        moves: That the device is to make.
        seed: Of what is drawn.
    """

    def __init__(
        self, samples: ShardSamples, crop: int, tone_probability: float, moves: Moves, seed: int
    ) -> None:
        self.samples, self.crop, self.moves, self.seed = samples, crop, moves, seed
        self.tone = SkinTone(tone_probability)

    def __getitem__(self, request: Request) -> Loaded:
        rng = random.Random(f"{self.seed} {request.position}")
        try:
            sample = random_crop(self.samples.read(request.number, rng), self.crop, rng)
        except RealfaceError as error:
            return error  # torch would carry an exception out of a worker as plain text
        return {**self.tone(sample, rng), **self.moves.draw(rng)}


class ValidationSamples(Dataset):
    """Samples as they are, cropped in the middle.

    Args:
        samples: To validate with.
        crop: Side of the crop [px].
    """

    def __init__(self, samples: ShardSamples, crop: int) -> None:
        self.samples, self.crop = samples, crop

    def __getitem__(self, number: int) -> Loaded:
        try:
            rng = random.Random(f"instead of {number}")
            return centre_crop(self.samples.read(number, rng), self.crop)
        except RealfaceError as error:
            return error


class EpochBatches:
    """A batch sampler for torch: the requests of an epoch, from a step on.

    Attributes:
        epoch: Which epoch, from 0.
        first: Which step, from 0.
    """

    def __init__(self, stream: Stream) -> None:
        self.stream, self.epoch, self.first = stream, 0, 0

    def __iter__(self) -> Iterator[list[Request]]:
        for step in range(self.first, self.stream.steps):
            yield self.stream.batch(self.epoch, step)


class TrainingBatches:
    """Batches of an epoch, from a step on, by worker processes that stay between epochs.

    Args:
        samples: To train on.
        stream: In which order.
        workers: Processes; 0: this one.
    """

    def __init__(self, samples: TrainingSamples, stream: Stream, workers: int) -> None:
        self._order = EpochBatches(stream)
        self._loader = _loader(samples, self._order, workers)

    def __call__(self, epoch: int, first: int) -> Iterator[dict[str, Any]]:
        """The batches of an epoch.

        Raises:
            InputError: If a sample cannot be read.
            FailureError: If a server does not answer, or too many samples are unreadable.
        """
        self._order.epoch, self._order.first = epoch, first
        left = self._order.stream.steps - first
        yield from _report_skipped(_batches(self._loader), left, f"epoch {epoch}")


class ValidationBatches:
    """The same batches at every call.

    Args:
        samples: To validate with.
        numbers: Of the samples in each batch.
        workers: Processes; 0: this one.
    """

    def __init__(
        self, samples: ValidationSamples, numbers: Sequence[Sequence[int]], workers: int
    ) -> None:
        self._steps = len(numbers)
        self._loader = _loader(samples, numbers, workers)

    def __call__(self) -> Iterator[dict[str, Any]]:
        """The batches.

        Raises:
            InputError: If a sample cannot be read.
            FailureError: If a server does not answer, or too many samples are unreadable.
        """
        yield from _report_skipped(_batches(self._loader), self._steps, "validation")


def _loader(samples: Dataset, batches: Any, workers: int) -> DataLoader:
    return DataLoader(
        samples,
        batch_sampler=batches,
        num_workers=workers,
        collate_fn=collate_loaded,
        persistent_workers=workers > 0,
        pin_memory=torch.cuda.is_available(),
    )


def collate_loaded(samples: Sequence[Loaded]) -> dict[str, Any] | RealfaceError:
    """A batch, or the first error among the samples."""
    skipped: list[str] = []
    readable: list[Sample] = []
    for sample in samples:
        if isinstance(sample, RealfaceError):
            return sample
        skipped += sample.pop("skipped")
        readable.append(sample)
    return {**collate(readable), "skipped": skipped}


def _batches(loader: DataLoader) -> Iterator[dict[str, Any]]:
    """The batches of a loader; an error that came instead of one is raised."""
    try:
        for batch in loader:
            if isinstance(batch, RealfaceError):
                raise batch
            yield batch
    except (RuntimeError, EOFError, ConnectionError) as error:
        # What torch says of a worker that was killed, between batches or within one.
        what = next(iter(str(error).splitlines()), type(error).__name__)
        if isinstance(error, RuntimeError) and "DataLoader worker" not in what:
            raise
        raise FailureError(
            f"a loader process that died: {what}",
            "memory for the samples that the workers hold, shared memory included",
            "give fewer --data.workers or a smaller --data.batch_size; in a container, more "
            "shared memory (docker run --shm-size 8g)",
        ) from error


def _report_skipped(
    batches: Iterator[dict[str, Any]], steps: int, what: str
) -> Iterator[dict[str, Any]]:
    """Take what was skipped out of the batches and tell it; the count with the last of them."""
    count = 0
    for step, batch in enumerate(batches, 1):
        skipped = batch.pop("skipped")
        for one in skipped:
            log.warning("skipped: %s", one)
        count += len(skipped)
        if count and step == steps:  # Lightning does not ask for what comes after it
            log.warning("%s: %d samples were skipped and replaced", what, count)
        yield batch
