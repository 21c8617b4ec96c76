"""Do window borders show? The stitched maps against the same maps made in one piece.

    python benchmarks/seams.py --input SUBJECT --checkpoint CKPT ... --window 512 [--overlap 128]

For each map: the mean step across the window borders over the whole-image result's step on the
same lines (1.00: no border shows), and beside it how far overlapping windows disagreed, since a
ratio of 1 can hide a smeared tone; windows that are cut and not blended, as they are where no
overlap is given and the network's margin is known, have none. The whole image is the peer: it must
fit into memory. With ``--limit``, exits with 1 where a ratio is above it.
"""

import argparse
import sys
import tempfile
from pathlib import Path

from realface.maps.subject import Subject
from realface.pipeline import Job
from realface.tiling.seams import seam_ratio
from realface.weights import load_checkpoint


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--input", type=Path, required=True)
    parser.add_argument("--checkpoint", type=Path, nargs="+", required=True)
    parser.add_argument("--window", type=int, default=1536)
    parser.add_argument("--overlap", type=int)
    parser.add_argument("--limit", type=float, help="on the step ratio")
    given = parser.parse_args()
    subject = Subject(given.input)
    loaded = [load_checkpoint(path) for path in given.checkpoint]
    translators = {kind: one for one in loaded for kind in one.descriptor.outputs}
    tiled = Job(subject, translators, window=given.window, overlap=given.overlap)
    whole = Job(subject, translators, window=max(subject.size()))
    with tempfile.TemporaryDirectory() as folder:
        results = tiled.run(Path(folder) / "tiled")
        whole.run(Path(folder) / "whole")
        return report(tiled, results, Path(folder), given.limit)


def report(tiled, results, folder: Path, limit: float | None) -> int:
    print(tiled.stages[0].plan)
    print(f"\n{'map':18} {'step ratio':>10} {'mean disagreement':>18} {'mean error':>11}")
    worst = 0.0
    for stage in tiled.stages:
        for kind in stage.outputs:
            made, reference = (
                Subject(folder / name).open(kind).whole() for name in ("tiled", "whole")
            )
            ratio = seam_ratio(made, reference, stage.plan)
            worst = max(worst, ratio)
            error = (made - reference).abs().mean()
            disagreement = results[stage.title].disagreement[kind].mean
            print(f"{kind:18} {ratio:10.4f} {disagreement:18.5f} {error:11.5f}")
    print(f"\nlargest step ratio {worst:.4f}" + (f", at most {limit}" if limit else ""))
    return int(limit is not None and worst > limit)


if __name__ == "__main__":
    sys.exit(main())
