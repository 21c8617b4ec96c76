"""Compiled on a GPU, as written elsewhere, and never worse off for a compiler that fails."""

import pytest
import torch

from realface.synthetic import fusing, noise
from realface.synthetic.fusing import fused


@pytest.fixture
def everywhere(monkeypatch):
    """Compile on the CPU too."""
    monkeypatch.setattr(fusing, "_pays", lambda values: True)


def test_nothing_is_compiled_on_a_cpu(monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("compiled")

    monkeypatch.setattr(torch, "compile", lambda function, **_: refuse)
    double = fused(lambda values: 2 * values)
    assert double(torch.ones(2)).tolist() == [2, 2]


def test_a_compiler_that_fails_is_told_and_done_without(monkeypatch, everywhere, caplog):
    tries = []

    def refuse(*_, **__):
        tries.append(1)
        raise RuntimeError("no ptxas")

    monkeypatch.setattr(torch, "compile", lambda function, **_: refuse)

    @fused
    def double(values):
        return 2 * values

    assert [double(torch.ones(1)).item() for _ in range(2)] == [2, 2]
    assert len(tries) == 1
    assert "double is not compiled (no ptxas)" in caplog.text


def test_an_error_of_the_function_itself_is_raised(monkeypatch, everywhere):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)

    @fused
    def broken(values):
        raise ValueError("mine")

    with pytest.raises(ValueError, match="mine"):
        broken(torch.ones(1))


@pytest.mark.slow
def test_compiled_noise_is_the_same_noise(monkeypatch):
    torch.compiler.reset()
    row, column = torch.rand(2, 2, 24, 40, generator=torch.Generator().manual_seed(0)) * 30
    seed = torch.tensor([5, 2**30])[:, None, None]
    expected = noise.value_noise(row, column, seed), noise.nearest_points(row, column, seed)[0]
    monkeypatch.setattr(fusing, "_pays", lambda values: True)
    found = noise.value_noise(row, column, seed), noise.nearest_points(row, column, seed)[0]
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=0)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="no GPU")
def test_a_gpu_makes_what_a_cpu_makes():
    from realface.synthetic import subject_windows

    windows = [(100, 300, 64, 64), (200, 350, 64, 64)]
    expected = subject_windows([1, 2], 512, 768, windows)
    found = subject_windows([1, 2], 512, 768, windows, device="cuda")
    for kind, values in expected.items():
        assert (found[kind].cpu() - values).abs().mean() < 1e-3, kind
