"""The command line as such: help, exit codes, errors."""

import errno
import subprocess
import sys
import time

import pytest

from realface.cli import console
from realface.cli.main import _COMMANDS
from realface.errors import FailureError, InputError
from tests.cli.command import PARTS, run


def test_help_is_quick_and_imports_neither_torch_nor_lightning():
    program = (
        "import sys\n"
        "from realface.cli.main import main\n"
        "try:\n    main(['--help'])\n"
        "finally:\n    sys.stderr.write(' '.join(sys.modules))\n"
    )
    seconds = []
    for _ in range(3):  # the first may find cold files
        started = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
        seconds.append(time.perf_counter() - started)
    assert done.returncode == 0
    for command in _COMMANDS:
        assert command in done.stdout
    assert not {"torch", "pytorch_lightning", "numpy", "jsonargparse"} & set(done.stderr.split())
    assert min(seconds) < 1


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_command_has_its_help(capsys, command):
    code, out, _ = run(capsys, command, "--help")
    assert code == 0
    assert "usage:" in out
    assert "--" in out


def test_help_of_nested_commands(capsys):
    for words in (("weights", "export"), ("derive", "texture"), ("train", "fit")):
        code, out, _ = run(capsys, *words, "--help")
        assert code == 0
        assert "usage:" in out


@pytest.mark.parametrize("arguments", [[], ["dance"], ["--dance"], ["--dance", "infer"]])
def test_no_command_or_an_unknown_one(capsys, arguments):
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "usage:" in err


@pytest.mark.parametrize("command", _COMMANDS)
def test_unknown_flag(capsys, command):
    code, _, err = run(capsys, command, "--dance")
    assert code == 2
    assert err


@pytest.mark.parametrize("flag", [["--window", "large"], ["--format", "gif"], ["--dance"], []])
def test_wrong_flag_of_infer_is_told_in_three_parts(capsys, flag):
    code, _, err = run(capsys, "infer", "--input", "a", *flag)
    assert code == 2
    for part in PARTS:
        assert part in err
    for word in flag:
        assert word.removeprefix("--") in err


def test_version(capsys):
    code, out, _ = run(capsys, "--version")
    assert code == 0
    assert out.startswith("realface ")


def raising(error):
    def command():
        raise error

    return command


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (InputError("one", "two", "three"), 2),
        (FailureError("one", "two", "three"), 1),
        (OSError(errno.ENOSPC, "No space left on device", "maps/one.tif"), 1),
        (PermissionError(errno.EACCES, "Permission denied", "one"), 1),
    ],
)
def test_errors_are_told_in_three_parts(capsys, error, code):
    assert console.run(raising(error)) == code
    out, err = capsys.readouterr()
    assert not out
    assert "one" in err
    for part in PARTS:
        assert part in err


def test_names_in_brackets_are_printed_as_they_are(capsys):
    console.run(raising(InputError("[bold]map[/bold].png", "[red]", "[/]")))
    assert "[bold]map[/bold].png" in capsys.readouterr().err
    console.say("[bold]map[/bold].png")
    assert capsys.readouterr().out == "[bold]map[/bold].png\n"


def test_control_c_is_no_traceback(capsys):
    assert console.run(raising(KeyboardInterrupt())) == 130
    assert "stopped" in capsys.readouterr().err


def test_a_bug_keeps_its_traceback():
    with pytest.raises(ZeroDivisionError):
        console.run(raising(ZeroDivisionError()))


def test_reader_that_has_gone_is_no_traceback():
    program = (
        "from realface.cli.console import run, say\n"
        "def talk():\n    [say(n) for n in range(100000)]\n"
        "raise SystemExit(run(talk))\n"
    )
    talk = subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    talk.stdout.readline()
    talk.stdout.close()
    assert talk.stderr.read() == b""
    assert talk.wait() == 1


def test_progress_keeps_a_bar_for_each_title(capsys):
    with console.progress("samples") as update:
        update(1, 2)
        update(2, 2)
    with console.progress("windows") as update:
        update(3, 4, "diffuse_albedo")
        update(1, 5, "specular_albedo")
    err = capsys.readouterr().err
    for words in ("samples", "2/2", "diffuse_albedo", "3/4", "specular_albedo", "1/5"):
        assert words in err
    assert "windows" not in err
