"""What the README shows is what works."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_python_examples_run(example):
    names: dict[str, object] = {}
    exec(example, names)
    assert names["texture"].shape == (1, 3, 512, 768)
    assert 0.05 < names["texture"].mean() < 0.95


@pytest.mark.parametrize(
    "page", ["README.md", "docs/data.md", "docs/mitsuba.md", "docs/training.md"]
)
def test_pictures_and_pages_are_there(page):
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", text):
        assert (ROOT / page).parent.joinpath(target).exists(), target
