"""What the README shows is what works."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
_CODE = re.compile(r"```python\n(.*?)```", re.DOTALL)
EXAMPLES = _CODE.findall(README)


@pytest.mark.parametrize("example", EXAMPLES)
def test_python_examples_run(example):
    names: dict[str, object] = {}
    exec(example, names)
    assert names["texture"].shape == (1, 3, 512, 768)
    assert 0.05 < names["texture"].mean() < 0.95


def test_the_stitching_example_runs():
    for example in _CODE.findall((ROOT / "docs/stitching.md").read_text(encoding="utf-8")):
        exec(example, {})


@pytest.mark.parametrize(
    "page",
    ["README.md", "docs/data.md", "docs/mitsuba.md", "docs/stitching.md", "docs/training.md"],
)
def test_pictures_and_pages_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
