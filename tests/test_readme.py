"""What the README shows is what works."""

import re
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
EXAMPLES = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


@pytest.mark.parametrize("example", EXAMPLES)
def test_python_examples_run(example):
    names: dict[str, object] = {}
    exec(example, names)
    assert names["texture"].shape == (1, 3, 512, 768)
    assert 0.05 < names["texture"].mean() < 0.95


def test_pictures_and_pages_are_there():
    for target in re.findall(r"\]\((?!http)([^)#]+)\)", README):
        assert (Path(__file__).parents[1] / target).exists(), target
