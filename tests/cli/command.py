"""Commands run in this process."""

import pytest

from realface.cli.main import main

PARTS = ("given:", "expected:", "what to do:")
TINY_NETWORK = {
    "model.init_args.generator": "global",
    "model.init_args.base_channels": 2,
    "model.init_args.downsamples": 1,
    "model.init_args.blocks": 1,
    "model.init_args.discriminator_channels": 2,
    "model.init_args.discriminator_layers": 1,
    "model.init_args.discriminator_scales": 1,
}
"""Flags of `train fit` for networks that train in a blink."""


def run(capsys, *arguments) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of ``realface ...``."""
    with pytest.raises(SystemExit) as caught:
        main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return caught.value.code, out, err


def refused(capsys, *arguments) -> str:
    """What a command says that must end with 2 and a message of three parts."""
    code, _, err = run(capsys, *arguments)
    assert code == 2
    for part in PARTS:
        assert part in err
    return err
