"""`realface pack` and `realface verify`."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from realface.cli.console import progress, say


def _one_thread() -> None:
    """Patches are too small to share among cores: threads would only wait for each other."""
    import torch

    torch.set_num_threads(1)


def pack(arguments: Sequence[str]) -> None:
    """Pack subject folders or RealFaceDB."""
    parser = argparse.ArgumentParser(
        prog="realface pack",
        description="Pack subject folders, or a folder of patches by kind, into shards.",
    )
    parser.add_argument("source", type=Path, help="subject folder(s), or RealFaceDB's folder")
    parser.add_argument("out", type=Path, help="new folder for the shards")
    parser.add_argument(
        "--layout",
        type=Path,
        help="YAML of `kind: pattern with {key}`, or `kind: {files: pattern, space:, green:, "
        "encoding:}`",
    )
    parser.add_argument("--patch", type=int, default=512, help="side in px (%(default)s)")
    parser.add_argument("--stride", type=int, default=256, help="of the grid in px (%(default)s)")
    parser.add_argument("--patches-per-subject", type=int, help="draw so many at random instead")
    parser.add_argument("--minimum-valid", type=float, default=0.5,
                        help="share of a patch inside the mask (%(default)s)")  # fmt: skip
    parser.add_argument("--val-fraction", type=float, default=0.1, help="(%(default)s)")
    parser.add_argument("--samples-per-shard", type=int, default=64, help="(%(default)s)")
    parser.add_argument("--millimetres-per-unit", type=float, help="of shape, if you know it")
    parser.add_argument("--seed", type=int, default=0, help="(%(default)s)")
    given = parser.parse_args(arguments)

    from realface.data.pack import pack as pack_shards

    _one_thread()
    with progress("samples") as update:
        packed = pack_shards(
            given.source,
            given.out,
            layout=given.layout,
            patch=given.patch,
            stride=given.stride,
            patches_per_subject=given.patches_per_subject,
            minimum_valid=given.minimum_valid,
            val_fraction=given.val_fraction,
            samples_per_shard=given.samples_per_shard,
            millimetres_per_unit=given.millimetres_per_unit,
            seed=given.seed,
            progress=update,
        )
    say(f"{packed.train} training and {packed.val} validation samples in {packed.folder}")


def verify(arguments: Sequence[str]) -> int:
    """Check shards; 1 if anything is wrong."""
    parser = argparse.ArgumentParser(
        prog="realface verify", description="Read every byte of shards and list what is wrong."
    )
    parser.add_argument("shards", type=Path, help="folder that `realface pack` wrote")
    given = parser.parse_args(arguments)

    from realface.data.verify import verify as verify_shards

    _one_thread()
    with progress("shards") as update:
        faults = verify_shards(given.shards, update)
    for fault in faults:
        say(fault)
    say(f"{len(faults)} faults" if faults else "no faults")
    return 1 if faults else 0
