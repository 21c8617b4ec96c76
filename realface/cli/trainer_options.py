"""Options of Lightning's trainer that train.py sets itself, or that would train something else."""

from collections.abc import Mapping
from typing import Any

from realface.errors import InputError

_LEAVE_OUT = {  # option: accepted values, what is expected, what to use
    "logger": ((None, []), "no logger in the config: train.py brings its own", "--wandb"),
    "plugins": ((None, []), "no plugins in the config: train.py brings its own",
                "--trainer.precision"),
    "gradient_clip_val": ((None, 0), "clipping by the translator, which steps two optimisers",
                          "--model.init_args.clip_gradient_norm"),
    "accumulate_grad_batches": ((None, 1), "accumulation by the translator, which steps two "
                                "optimisers", "--model.init_args.accumulate_batches"),
    "max_steps": ((None, -1), "a length in epochs: Lightning would count the steps of both "
                  "optimisers, and the rate falls by epochs",
                  "--trainer.max_epochs and --data.samples_per_epoch"),
}  # fmt: skip
_PRECISIONS = (None, "32-true", "32", 32, "bf16-mixed", "bf16")


def check_trainer(asked: Mapping[str, Any]) -> None:
    """Refuse what would be ignored, fail later, or quietly train something else.

    Args:
        asked: The trainer's options by name.

    Raises:
        InputError: With what to use in its place.
    """
    for name, (accepted, expected, other) in _LEAVE_OUT.items():
        if asked[name] not in accepted:
            raise InputError(
                f"trainer.{name} {asked[name]}", expected, f"leave it out; see {other}"
            )
    if asked["precision"] not in _PRECISIONS:
        raise InputError(
            f"trainer.precision {asked['precision']}",
            "32-true or bf16-mixed: float16 overflows in networks of this kind, and weights are "
            "float32",
            "give --trainer.precision bf16-mixed, or 32-true on cards that are slow at it (before "
            "NVIDIA's Ampere)",
        )
