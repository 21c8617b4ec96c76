import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from realface.errors import InputError
from realface.tiling.engine import Stitched, stitch
from realface.tiling.offsets import NoSink, OffsetSource, solve_offsets, window_offsets
from realface.tiling.plan import Plan, plan
from realface.tiling.tensors import TensorSink, TensorSource
from tests.tiling.maps import coordinates, noise

SIZE = (64, 100)
PLAN = plan(SIZE, window=40, overlap=12)


def drawn(laid: Plan, channels: int, seed: int = 0) -> Tensor:
    """A constant of its own for each window."""
    draw = torch.Generator().manual_seed(seed)
    return torch.rand(len(laid.rows), len(laid.columns), channels, generator=draw) - 0.5


def off(maps: dict[str, Tensor]) -> dict[str, Tensor]:
    """The map, off by its window's constant; 0 outside the mask, as the pipeline leaves it."""
    values = maps["in"] + maps["wrong"]
    values = values + maps["offsets"] if "offsets" in maps else values
    return {"out": values * maps["mask"] if "mask" in maps else values}


def solved(
    truth: Tensor, wrong: Tensor, laid: Plan, mask: Tensor | None = None
) -> tuple[Tensor, Stitched, Stitched]:
    """The stitched map, and what the runs before and after solving showed."""
    sources = {"in": TensorSource(truth), "wrong": OffsetSource(laid, wrong)}
    if mask is not None:
        sources["mask"] = TensorSource(mask[None].float())
    counted, blank = (None, None) if mask is None else ("mask", lambda maps: off(maps))
    about = {"counted": counted, "blank": blank}
    before = stitch(off, sources, {"out": NoSink()}, laid, **about)
    sources["offsets"] = OffsetSource(laid, window_offsets(before.disagreement["out"]))
    sink = TensorSink(laid.size)
    after = stitch(off, sources, {"out": sink}, laid, **about)
    return sink.values, before, after


def spread(values: Tensor) -> float:
    """Largest difference from the mean of each channel, ``(C, N)``."""
    return float((values - values.mean(1, keepdim=True)).abs().max())


@given(
    height=st.integers(20, 70),
    width=st.integers(20, 70),
    window=st.integers(16, 40),
    overlap=st.integers(2, 8),
    fade=st.sampled_from(["hann", "linear", "gaussian"]),
    seed=st.integers(0, 5),
)
@settings(max_examples=20)
def test_windows_off_by_constants_give_the_truth_up_to_one(
    height, width, window, overlap, fade, seed
):
    laid = plan((height, width), window=window, overlap=overlap, fade=fade)
    truth = coordinates(height, width)
    made, _, after = solved(truth, drawn(laid, 2, seed), laid)
    assert spread((made - truth).flatten(1)) < 1e-5
    assert after.disagreement["out"].max < 1e-5


def test_without_solving_they_do_not():
    wrong = drawn(PLAN, 2)
    sources = {"in": TensorSource(coordinates(*SIZE)), "wrong": OffsetSource(PLAN, wrong)}
    sink = TensorSink(SIZE)
    before = stitch(off, sources, {"out": sink}, PLAN).disagreement["out"]
    assert spread((sink.values - coordinates(*SIZE)).flatten(1)) > 0.2
    assert before.tone > 0.1
    assert before.tone == pytest.approx(before.mean, rel=0.6)  # nothing but constants


def test_the_mean_of_the_map_stays():
    truth, wrong = noise(3, *SIZE), drawn(PLAN, 3)
    made, *_ = solved(truth, wrong, PLAN)
    sink = TensorSink(SIZE)
    sources = {"in": TensorSource(truth), "wrong": OffsetSource(PLAN, wrong)}
    stitch(off, sources, {"out": sink}, PLAN)
    torch.testing.assert_close(made.mean((1, 2)), sink.values.mean((1, 2)), atol=1e-5, rtol=0)


def test_islands_are_solved_each_by_itself():
    """Between them nothing is known: each keeps a mean of its own."""
    size = (48, 160)
    laid = plan(size, window=40, overlap=12)
    mask = torch.ones(size, dtype=torch.bool)
    mask[:, 60:100] = False
    truth, wrong = coordinates(*size), drawn(laid, 2)
    made, before, after = solved(truth, wrong, laid, mask)
    difference = made - truth
    left, right = mask.clone(), mask.clone()
    left[:, 60:], right[:, :100] = False, False
    assert spread(difference[:, left]) < 1e-5
    assert spread(difference[:, right]) < 1e-5
    assert spread(difference[:, mask]) > 0.01
    assert before.blank == after.blank
    assert after.disagreement["out"].max < 1e-5


def test_texels_outside_the_mask_do_not_count():
    mask = torch.ones(SIZE, dtype=torch.bool)
    mask[20:34, 30:] = False
    truth, wrong = coordinates(*SIZE), drawn(PLAN, 2)
    wild = torch.where(mask, truth, 100 * noise(2, *SIZE))
    tame, *_ = solved(truth, wrong, PLAN, mask)
    made, *_ = solved(wild, wrong, PLAN, mask)
    torch.testing.assert_close(made[:, mask], tame[:, mask], atol=1e-6, rtol=0)


def test_one_window_has_no_offset():
    laid, truth = plan(SIZE), coordinates(*SIZE)
    made, *_ = solved(truth, torch.zeros(1, 1, 2), laid)
    assert torch.equal(made, truth)


def test_windows_that_agree_stay_as_they_are():
    truth = noise(2, *SIZE)
    wrong = torch.zeros(len(PLAN.rows), len(PLAN.columns), 2)
    before = solved(truth, wrong, PLAN)[1]
    assert torch.equal(window_offsets(before.disagreement["out"]), wrong)


@given(seed=st.integers(0, 20), count=st.integers(1, 12))
def test_noisy_differences_are_met_by_least_squares(seed, count):
    """Against the pseudo-inverse, brought to a weighted mean of zero."""
    draw = torch.Generator().manual_seed(seed)
    pairs = [(i, j) for i in range(count) for j in range(i)]
    pairs = torch.tensor(pairs, dtype=torch.int64).view(-1, 2)
    pairs = pairs[: 2 * count]  # not all hang together
    differences = torch.randn(len(pairs), 3, generator=draw)
    weights = torch.rand(len(pairs), generator=draw) + 0.1
    shares = torch.rand(count, generator=draw)
    made = solve_offsets(pairs, differences, weights, shares)
    design = torch.zeros(len(pairs), count, dtype=torch.float64)
    for edge, (one, other) in enumerate(pairs.tolist()):
        design[edge, one], design[edge, other] = 1, -1
    root = weights.double().sqrt()[:, None]
    best = torch.linalg.pinv(root * design) @ (root * differences.double())
    torch.testing.assert_close(design @ made, design @ best, atol=1e-9, rtol=1e-9)
    touched = sorted({window for pair in pairs.tolist() for window in pair})
    assert (shares.double()[touched] @ made[touched]).abs().max() < 1e-9 if touched else True
    alone = [window for window in range(count) if window not in touched]
    assert not made[alone].any()


@pytest.mark.parametrize(
    ("weights", "windows", "expected"),
    [
        (torch.tensor([0.0]), torch.ones(2), "positive"),
        (torch.tensor([1.0, 1.0]), torch.ones(2), "(E,)"),
        (torch.tensor([1.0]), torch.ones(2, 1), "(N,)"),
    ],
)
def test_what_does_not_go_together_is_refused(weights, windows, expected):
    with pytest.raises(InputError) as error:
        solve_offsets(torch.tensor([[0, 1]]), torch.ones(1, 1), weights, windows)
    assert expected in str(error.value.expected)
