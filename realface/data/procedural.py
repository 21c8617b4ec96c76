"""An endless stream of patches of procedural subjects, made on the training device.

What a step holds is drawn on the host, as a pure function of the seed, the process and the step;
the maps are made from that, a batch at a time, wherever they are wanted. Nothing is read, nothing
is kept, and a run that resumes at a step goes on with that step's patches.
"""

import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from realface.data.packing.whole_faces import REDUCTION
from realface.data.transforms import Batch
from realface.errors import InputError
from realface.synthetic import subject_windows
from realface.synthetic.flaws import apply_flaws
from realface.synthetic.folder import subject_name as subject_name
from realface.synthetic.lattice import Window
from realface.synthetic.placement import placements, valid_share

TRAINING_SUBJECTS = range(2**31 - 1024)
VALIDATION_SUBJECTS = range(2**31 - 1024, 2**31)
"""Seeds of the subjects that are trained on, and of those that are held out: the last ones, since
people and `realface synth` count from 0."""

_TRIES = 1000  # windows drawn before a minimum share of valid texels is given up


@dataclass(frozen=True)
class Draw:
    """What a batch holds, before it is made.

    Attributes:
        subjects: Seeds of the faces, one for each patch.
        map_size: ``(height, width)`` of the maps that the windows are of [px].
        windows: ``(y, x, height, width)`` within the maps.
        mirrored: Which patches are to be mirrored left to right; empty: none.
    """

    subjects: tuple[int, ...]
    map_size: tuple[int, int]
    windows: tuple[Window, ...]
    mirrored: tuple[bool, ...] = ()


def draw_batch(
    words: object,
    subjects: Sequence[int],
    batch_size: int,
    patch: int,
    map_widths: tuple[int, int],
    minimum_valid: float,
    mirror_probability: float = 0.0,
) -> Draw:
    """Draw a batch: which subjects, at which scale, and where; equal words draw the same.

    Args:
        words: Seed of this draw, for example ``"seed rank step"``.
        subjects: Seeds to draw from; more than once in a batch only by chance.
        batch_size: Patches; all of one scale.
        patch: Side of a patch [px].
        map_widths: Narrowest and widest map; drawn evenly in the logarithm between them.
        minimum_valid: Share of a patch that lies inside the mask.
        mirror_probability: Of a left-right mirror.

    Raises:
        InputError: If no window that is valid enough is found.
    """
    rng = random.Random(str(words))
    low, high = map_widths
    width = round(math.exp(rng.uniform(math.log(low), math.log(high))))
    size = (round(width * 2 / 3), width)
    chosen = tuple(subjects[rng.randrange(len(subjects))] for _ in range(batch_size))
    windows = tuple(draw_window(rng, size, patch, minimum_valid) for _ in chosen)
    return Draw(chosen, size, windows, tuple(rng.random() < mirror_probability for _ in chosen))


def draw_window(
    rng: random.Random, map_size: tuple[int, int], patch: int, minimum_valid: float
) -> Window:
    """A square window at a random place where it is valid enough.

    Raises:
        InputError: If the patch is larger than the map, or no such place is found.
    """
    height, width = map_size
    for _ in range(_TRIES if patch <= height else 0):
        window = (rng.randint(0, height - patch), rng.randint(0, width - patch), patch, patch)
        if valid_share(width, window) >= minimum_valid:
            return window
    raise InputError(
        f"patches of {patch}x{patch} in maps of {height}x{width} (height x width), of which "
        f"{minimum_valid:g} must be valid",
        "patches that fit into the face",
        "give a smaller patch, larger maps or a smaller share of valid texels",
    )


def make_batch(draw: Draw, device: torch.device | str, flaws: Sequence[str] = ()) -> Batch:
    """Make what was drawn, on a device.

    Args:
        draw: What to make.
        device: Where.
        flaws: Of captures, to put on the maps: names of `realface.synthetic.flaws.IN_TRUTH`.

    Returns:
        ``key``, a list, and the maps ``(B, C, patch, patch)`` float32 that `subject_windows`
        describes, as `realface.data.transforms.to_maps` gives them: ``shape`` in millimetres from
        each subject's median position; and ``mirrored`` ``(B,)``, what is still to be done.
    """
    maps = subject_windows(draw.subjects, *draw.map_size, draw.windows, device=device)
    maps = apply_flaws(maps, flaws, draw.subjects, windows=draw.windows, map_width=draw.map_size[1])
    centres = placements(draw.subjects, device).centres
    mirrored = {"mirrored": torch.tensor(draw.mirrored, device=device)} if draw.mirrored else {}
    return {
        "key": [
            patch_key(subject, window)
            for subject, window in zip(draw.subjects, draw.windows, strict=True)
        ],
        **maps,
        "shape": maps["shape"] - centres[:, :, None, None],
        **mirrored,
    }


def make_wholes(draw: Draw, device: torch.device | str) -> dict[str, torch.Tensor]:
    """The whole faces of what was drawn, at an eighth of the maps' size, as shards have them.

    Args:
        draw: What to make.
        device: Where.

    Returns:
        Maps ``(B, C, h, w)`` as `make_batch`'s, not mirrored yet.
    """
    width = -(-draw.map_size[1] // REDUCTION)
    height = round(width * 2 / 3)
    windows = ((0, 0, height, width),) * len(draw.subjects)
    maps = subject_windows(draw.subjects, height, width, windows, device=device)
    centres = placements(draw.subjects, device).centres
    return {**maps, "shape": maps["shape"] - centres[:, :, None, None]}


def patch_key(seed: int, window: Window) -> str:
    """A patch's key in shards and batches."""
    return f"{subject_name(seed)}-y{window[0]:05d}-x{window[1]:05d}"
