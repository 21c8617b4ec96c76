"""infer.py killed at random moments: is every map that bears its name whole, and does work go on?

    python benchmarks/kills.py --input SUBJECT --checkpoint CKPT ... [--kills 50] [-- INFER FLAGS]

One run that is left alone is the reference. Then the same command is killed (SIGKILL, or what the
system has for it) at a moment drawn from the reference's duration and started again in the same
folder, until it has been killed ``--kills`` times; whenever it comes to its end the folder is
cleared. After every kill each map under its own name is decoded and compared with the reference.
Exits with 1 where one differs.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from realface.maps.files import read_image

_INFER = Path(__file__).parents[1] / "infer.py"


def main() -> int:
    """Print a line for each kill."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=0)
    own, _, flags = _split(sys.argv[1:])
    given = parser.parse_args(own)
    command = [sys.executable, str(_INFER), "--input", str(given.input), "--checkpoint"]
    command += [*map(str, given.checkpoint), *flags]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        started = time.perf_counter()
        subprocess.run([*command, "--output", str(folder / "alone")], check=True,
                       capture_output=True)  # fmt: skip
        seconds = time.perf_counter() - started
        maps = sorted(path.name for path in (folder / "alone").glob("*_*.tif"))
        reference = {name: read_image(folder / "alone" / name) for name in maps}
        print(f"alone: {seconds:.1f} s, {len(maps)} maps", flush=True)
        return kill([*command, "--output"], folder / "killed", reference, seconds, given)


def kill(command, output: Path, reference, seconds: float, given) -> int:
    """Kill and start again."""
    draw, broken, finished, killed = random.Random(given.seed), 0, 0, 0
    while killed < given.kills:
        process = subprocess.Popen([*command, str(output)], stdout=subprocess.DEVNULL,
                                   stderr=subprocess.PIPE, text=True)  # fmt: skip
        moment = draw.uniform(0, seconds)
        try:
            _, told = process.communicate(timeout=moment)
            if process.returncode:
                print(told)
                return 1
            finished += 1
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            killed += 1
        whole = {name for name in reference if (output / name).exists()}
        wrong = [n for n in whole if not np.array_equal(read_image(output / n), reference[n])]
        broken += len(wrong)
        begun = [path.name for path in output.glob(".*.partial")] if output.exists() else []
        ended = process.returncode == 0
        print(f"{killed:3d} {'end' if ended else f'kill at {moment:5.1f} s'}: {len(whole)} whole, "
              f"{len(begun)} begun, {len(wrong)} broken", flush=True)  # fmt: skip
        if ended:
            shutil.rmtree(output)
    print(f"{killed} kills, {finished} runs came to their end, {broken} broken maps")
    return int(broken > 0)


def _split(arguments: list[str]) -> tuple[list[str], str, list[str]]:
    """What stands before and behind ``--``."""
    at = arguments.index("--") if "--" in arguments else len(arguments)
    return arguments[:at], "--", arguments[at + 1 :]


if __name__ == "__main__":
    sys.exit(main())
