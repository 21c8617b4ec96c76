import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from realface.errors import FailureError, InputError
from realface.tiling.engine import stitch
from realface.tiling.plan import exact_plan, plan
from realface.tiling.seams import seam_ratio
from realface.tiling.tensors import TensorSink, TensorSource
from tests.tiling.maps import Ledger, Rows, coordinates, noise, stitch_tensor

SIZES = [(51, 37), (32, 32), (97, 64), (7, 200)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize(
    ("change", "scale"), [(lambda v: v, 1), (lambda v: v + 1, 2), (lambda v: 1 - 2 * v, 1)]
)
def test_pointwise_functions_come_out_as_they_are(size, change, scale):
    values = coordinates(*size)
    stitched = stitch_tensor(
        lambda maps: {"out": change(maps["in"])}, values, plan(size, window=32, overlap=9)
    )
    assert (stitched - change(values)).abs().max() <= 3e-7 * scale


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(1, 12), st.integers(1, 12)),
    window=st.integers(1, 8),
    share=st.floats(0, 0.99),
    multiple_of=st.sampled_from([1, 4]),
    batch=st.integers(1, 4),
)
def test_identity_for_any_plan(size, window, share, multiple_of, batch):
    size = size[0] * multiple_of, size[1] * multiple_of
    overlap = int(share * window) * multiple_of
    values = coordinates(*size)
    laid = plan(
        size, window=window * multiple_of, overlap=overlap, multiple_of=multiple_of, batch=batch
    )
    stitched = stitch_tensor(lambda maps: {"out": maps["in"]}, values, laid)
    assert (stitched - values).abs().max() <= 3e-7


def test_a_map_smaller_than_the_window_is_one_window_and_exact():
    values = noise(3, 20, 30)
    laid = plan((20, 30), window=64, overlap=16)
    assert laid.windows == 1
    assert torch.equal(stitch_tensor(lambda maps: {"out": maps["in"]}, values, laid), values)


def test_several_inputs_and_outputs_of_different_channels():
    colour, height = noise(3, 40, 60), coordinates(40, 60)[:1]
    sinks = {"sum": TensorSink((40, 60)), "all": TensorSink((40, 60))}
    stitched = stitch(
        lambda maps: {
            "sum": maps["colour"].sum(1, keepdim=True) + maps["height"],
            "all": torch.cat((maps["colour"], maps["height"]), 1),
            "unasked": maps["height"],
        },
        {"colour": TensorSource(colour), "height": TensorSource(height)},
        sinks,
        plan((40, 60), window=24, overlap=6),
    )
    expected = colour.sum(0, keepdim=True) + height
    torch.testing.assert_close(sinks["sum"].values, expected, atol=2e-6, rtol=0)
    assert (sinks["all"].values - torch.cat((colour, height))).abs().max() <= 3e-7
    assert set(stitched.disagreement) == {"sum", "all"}


def small_network(seed=0):
    """Three 3x3 convolutions with zero padding: a window's outer 3 px differ from the whole."""
    torch.manual_seed(seed)
    layers = [nn.Conv2d(2, 8, 3, padding=1), nn.ReLU(), nn.Conv2d(8, 8, 3, padding=1), nn.ReLU()]
    return nn.Sequential(*layers, nn.Conv2d(8, 1, 3, padding=1)).eval()


def test_a_network_with_a_margin_is_whole_outside_overlaps_and_near_it_inside():
    # What a window gets wrong lies within the margin of its inner border. Outside the overlaps
    # nothing of that is seen. Inside, it carries the foot of the ramp: at most
    # sin^2(pi/2 * 3/24) = 4 % of it where two windows meet.
    net, margin, overlap = small_network(), 3, 24
    values, laid = noise(2, 96, 160), plan((96, 160), window=64, overlap=24)
    stitched = stitch_tensor(lambda maps: {"out": net(maps["in"])}, values, laid)
    with torch.inference_mode():
        whole = net(values[None])[0]
    covered = torch.zeros(96, 160)
    largest = 0.0
    for top, bottom in laid.rows:
        for left, right in laid.columns:
            covered[top:bottom, left:right] += 1
            with torch.inference_mode():
                alone = net(values[None, :, top:bottom, left:right])[0]
            error = (alone - whole[:, top:bottom, left:right]).abs()
            largest = max(largest, float(error.max()))
    error = (stitched - whole).abs()
    foot = float(torch.sin(torch.tensor(torch.pi / 2 * margin / overlap)) ** 2)
    assert error[:, covered == 1].max() <= 3e-7
    # Two windows across times two down can each be wrong by that much.
    assert error.max() <= 2 * foot * largest + 1e-6
    assert largest > 0.01  # the test would see nothing otherwise
    assert seam_ratio(stitched, whole, laid) == pytest.approx(1, abs=0.05)


def test_a_strided_network_stays_on_its_grid():
    # Pooling in blocks of 4: off the grid it would pool other pixels.
    def blocks(values):
        return nn.functional.interpolate(nn.functional.avg_pool2d(values, 4), scale_factor=4)

    values, laid = noise(1, 92, 60), plan((92, 60), window=33, overlap=7, multiple_of=4)
    stitched = stitch_tensor(lambda maps: {"out": blocks(maps["in"])}, values, laid)
    assert (stitched - blocks(values[None])[0]).abs().max() <= 3e-7


@pytest.mark.parametrize("batch", [2, 3, 100])
def test_batches_change_nothing(batch):
    values = noise(2, 64, 100)
    sizes = []

    def fn(maps):
        sizes.append(maps["in"].shape[0])
        return {"out": maps["in"] ** 2}

    alone = stitch_tensor(fn, values, plan((64, 100), window=32, overlap=8))
    sizes.clear()
    laid = plan((64, 100), window=32, overlap=8, batch=batch)
    together = stitch_tensor(fn, values, laid)
    assert torch.equal(alone, together)
    assert sum(sizes) == laid.windows
    assert max(sizes) == min(batch, laid.windows)


def test_half_precision_is_summed_in_float32():
    values = coordinates(60, 60)
    laid = plan((60, 60), window=32, overlap=8)
    stitched = stitch_tensor(lambda maps: {"out": maps["in"].bfloat16()}, values, laid)
    assert stitched.dtype == torch.float32
    assert (stitched - values.bfloat16().float()).abs().max() <= 3e-7


def test_a_constant_offset_between_windows_is_the_disagreement():
    count = iter(range(100))
    laid = plan((20, 90), window=40, overlap=10)  # one row of three windows
    assert len(laid.columns) == 3
    stitched = stitch(
        lambda maps: {"out": torch.full_like(maps["in"], 0.25 * next(count))},
        {"in": Rows((20, 90))},
        {"out": TensorSink((20, 90))},
        laid,
    )
    one = stitched.disagreement["out"]
    assert (one.mean, one.max) == (0.25, 0.25)
    assert one.values == 20 * 2 * laid.ramp
    assert one.picture.shape == (2, 6)
    assert one.picture.max() == 0.25


def test_disagreement_is_measured_where_the_mask_is_set():
    laid = plan((20, 90), window=40, overlap=10)
    valid = torch.zeros(1, 20, 90)
    valid[:, :5] = 1
    sources = {"in": Rows((20, 90)), "mask": TensorSource(valid)}

    def fn(maps):
        made = maps["mask"] * torch.rand(())
        maps["mask"].zero_()  # what it does to its inputs changes nothing
        return {"out": made}

    measured = []
    for counted in (None, "mask"):
        torch.manual_seed(0)
        stitched = stitch(fn, sources, {"out": TensorSink((20, 90))}, laid, counted=counted)
        measured.append(stitched.disagreement["out"])
    everywhere, inside = measured
    assert inside.values == everywhere.values / 4
    assert inside.mean == pytest.approx(4 * everywhere.mean)
    assert inside.max == everywhere.max


def test_disagreement_down_and_across_with_several_in_a_batch():
    # The value is the number of the window's row: neighbours across agree, down they differ by 1.
    laid = plan((90, 90), window=40, overlap=10, batch=2)
    starts = [start / 1000 for start, _ in laid.rows]

    def fn(maps):
        tops = [float(one.min()) for one in maps["in"]]
        numbers = [min(range(3), key=lambda row: abs(starts[row] - top)) for top in tops]
        return {"out": torch.ones_like(maps["in"]) * torch.tensor(numbers).view(-1, 1, 1, 1)}

    sink = TensorSink((90, 90))
    one = stitch(fn, {"in": Rows((90, 90))}, {"out": sink}, laid).disagreement["out"]
    assert one.max == 1
    assert 0 < one.mean < 1
    kept = sum(last - first for first, last in laid.kept_columns)
    assert one.mean == pytest.approx(0.5)  # as many pairs down as across, in a square map
    assert one.values == 2 * 2 * laid.ramp * kept
    assert sink.values[0, 0, 0] == 0
    assert sink.values[0, -1, 0] == 2
    assert (sink.values.diff(dim=1) >= -1e-6).all()  # the blend rises from one to the next


def test_without_overlap_there_is_nothing_to_disagree_about():
    laid = plan((40, 40), window=20, overlap=0)
    stitched = stitch(
        lambda maps: {"out": maps["in"]}, {"in": Rows((40, 40))}, {"out": Ledger()}, laid
    )
    assert stitched.disagreement["out"].values == 0
    assert stitched.disagreement["out"].mean == 0
    assert stitched.windows == 4


@pytest.mark.parametrize("ramp", [0, 5, 9])
def test_each_pixel_is_written_once(ramp):
    ledger, laid = Ledger(), plan((101, 70), window=32, overlap=9, ramp=ramp)
    stitch(lambda maps: {"out": maps["in"]}, {"in": Rows((101, 70), 3)}, {"out": ledger}, laid)
    count = torch.zeros(101, 70)
    for y, x, (channels, height, width) in ledger.writes:
        assert channels == 3
        count[y : y + height, x : x + width] += 1
    assert (count == 1).all()


def test_neither_the_source_nor_the_output_is_written_into():
    values = noise(1, 60, 60)
    before, returned = values.clone(), []

    def greedy(maps):
        maps["in"].mul_(0)  # fn spoils its own input: the source must not notice
        out = torch.ones_like(maps["in"])
        returned.append(out)
        return {"out": out}

    stitched = stitch_tensor(greedy, values, plan((60, 60), window=32, overlap=8))
    assert torch.equal(values, before)
    assert all(bool((out == 1).all()) for out in returned)
    assert (stitched - 1).abs().max() <= 3e-7


def test_fn_may_reuse_the_memory_of_its_output():
    values, laid = coordinates(60, 60), plan((60, 60), window=32, overlap=8)
    buffer = torch.empty(1, 2, *laid.window)
    sink = TensorSink((60, 60))
    stitched = stitch(
        lambda maps: {"out": buffer.copy_(maps["in"])},
        {"in": TensorSource(values)},
        {"out": sink},
        laid,
    )
    assert stitched.disagreement["out"].max == 0
    assert (sink.values - values).abs().max() <= 3e-7


def test_no_gradients_and_ordinary_tensors_for_the_sink():
    weight = torch.ones(1, requires_grad=True)
    seen = []

    def fn(maps):
        seen.append(torch.is_inference_mode_enabled())
        return {"out": maps["in"] * weight}

    stitched = stitch_tensor(fn, noise(1, 40, 40), plan((40, 40), window=32, overlap=8))
    assert all(seen)
    assert not stitched.requires_grad
    assert not stitched.is_inference()
    stitched.add_(1)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_a_value_that_is_not_finite_names_output_and_window(bad):
    values, laid = noise(2, 60, 60), plan((60, 60), window=32, overlap=8)
    y, x = laid.rows[1][0], laid.columns[2][0]
    values[1, y + laid.window[0] // 2, -1] = bad
    ledger = Ledger()
    with pytest.raises(FailureError) as error:
        stitch(
            lambda maps: {"albedo": maps["in"]},
            {"in": TensorSource(values)},
            {"albedo": ledger},
            laid,
        )
    height, width = laid.window
    assert error.value.given.startswith("albedo ")
    assert f"y={y}, x={x}, height={height}, width={width}" in error.value.given
    # Whatever was finished before stays.
    assert 0 < len(ledger.writes) < laid.windows


def test_a_source_of_another_size_is_refused_before_any_window():
    with pytest.raises(InputError, match="source mask is 50x60") as error:
        stitch(
            lambda maps: pytest.fail("a window was computed"),
            {"in": Rows((60, 60)), "mask": Rows((50, 60))},
            {},
            plan((60, 60), window=32, overlap=8),
        )
    assert "60x60" in error.value.expected


@pytest.mark.parametrize(
    ("fn", "part"),
    [
        (lambda maps: {"other": maps["in"]}, "returned other"),
        (lambda maps: {"out": maps["in"][..., :-1]}, "of shape"),
        (lambda maps: {"out": maps["in"][0]}, "of shape"),
        (lambda maps: {"out": maps["in"][:1]}, "of shape"),
    ],
)
def test_a_function_that_does_not_return_what_was_asked_is_refused(fn, part):
    laid = plan((60, 60), window=32, overlap=8, batch=2)
    with pytest.raises(InputError, match=part):
        stitch(fn, {"in": Rows((60, 60))}, {"out": Ledger()}, laid)


def test_channels_that_change_from_window_to_window_are_refused():
    channels = iter([3, 3, 1, 3])

    def fn(maps):
        return {"out": maps["in"].expand(-1, next(channels), -1, -1)}

    with pytest.raises(InputError, match="out with 1 channels"):
        stitch_tensor(fn, noise(1, 20, 90), plan((20, 90), window=32, overlap=8))


def test_a_source_that_is_not_float32_is_refused():
    source = TensorSource(torch.zeros(1, 60, 60, dtype=torch.uint8))
    laid = plan((60, 60), window=32, overlap=8)
    with pytest.raises(InputError, match=r"source in gave .* torch.uint8"):
        stitch(lambda maps: maps, {"in": source}, {}, laid)


def test_progress_counts_to_the_end():
    seen = []
    laid = plan((60, 90), window=32, overlap=8, batch=3)
    stitch(
        lambda maps: {"out": maps["in"]},
        {"in": Rows((60, 90))},
        {"out": Ledger()},
        laid,
        progress=lambda done, total: seen.append((done, total)),
    )
    counts = [done for done, _ in seen]
    assert counts == sorted(set(counts))
    assert seen[-1] == (laid.windows, laid.windows)


# Exact plans: the whole image's result, to the bit.


def strided_network(seed=0):
    """Down by 4, two convolutions there, up again; reaches 29 px at most, on a grid of 4."""
    torch.manual_seed(seed)
    return nn.Sequential(
        nn.Conv2d(2, 6, 5, padding=2, padding_mode="reflect"), nn.ReLU(),
        nn.Conv2d(6, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, stride=2, padding=1), nn.ReLU(),
        nn.Conv2d(8, 8, 3, padding=1, padding_mode="reflect"), nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 3, stride=2, padding=1, output_padding=1), nn.ReLU(),
        nn.ConvTranspose2d(6, 1, 3, stride=2, padding=1, output_padding=1),
    ).eval()  # fmt: skip


@pytest.mark.parametrize(
    ("network", "margin", "multiple_of", "size"),
    [
        (small_network(), 3, 1, (97, 131)),
        (small_network(), 3, 1, (7, 200)),
        (small_network(), 3, 1, (20, 20)),
        (strided_network(), 16, 4, (100, 172)),
        (strided_network(), 16, 4, (52, 300)),
    ],
)
@pytest.mark.parametrize("window", [48, 64, 1000])
@pytest.mark.parametrize("batch", [1, 3])
def test_an_exact_plan_gives_the_whole_images_result(
    network, margin, multiple_of, size, window, batch
):
    values = noise(2, *size)
    laid = exact_plan(size, margin=margin, window=window, multiple_of=multiple_of, batch=batch)
    assert (laid.windows == 1) == (size[0] * size[1] <= window**2)
    stitched = stitch_tensor(lambda maps: {"out": network(maps["in"])}, values, laid)
    with torch.inference_mode():
        whole = network(values[None])[0]
    # Not a tolerance of ours: kernels for other sizes may sum in another order.
    assert (stitched - whole).abs().max() <= 1e-6 * float(whole.abs().max())
    if laid.windows > 1:
        short = exact_plan(size, margin=0, window=window, multiple_of=multiple_of)
        wrong = stitch_tensor(lambda maps: {"out": network(maps["in"])}, values, short)
        assert (wrong - whole).abs().max() > 1e-3  # the test would see nothing otherwise


@settings(deadline=None, max_examples=40)
@given(
    size=st.tuples(st.integers(1, 40), st.integers(1, 40)),
    window=st.integers(3, 40),
    margin=st.integers(0, 20),
    multiple_of=st.sampled_from([1, 3, 4]),
    batch=st.integers(1, 4),
)
def test_identity_is_bit_exact_in_exact_plans(size, window, margin, multiple_of, batch):
    size, window = tuple(side * multiple_of for side in size), window * multiple_of
    try:
        laid = exact_plan(size, margin=margin, window=window, multiple_of=multiple_of, batch=batch)
    except InputError:
        assert window**2 < size[0] * size[1]
        return
    height, width = laid.window
    assert height * width <= max(window**2, 0)
    assert all(start % multiple_of == 0 for start, _ in (*laid.rows, *laid.columns))
    assert laid.margin is None or laid.margin >= margin
    values = coordinates(*size)
    assert torch.equal(stitch_tensor(lambda maps: {"out": maps["in"]}, values, laid), values)


def test_ramps_inside_the_margin_keep_an_exact_network_exact():
    net, values = small_network(), noise(2, 96, 160)
    for fade in ("linear", "hann", "gaussian"):
        laid = plan((96, 160), window=48, overlap=6 + 12, ramp=12, fade=fade)
        stitched = stitch_tensor(lambda maps: {"out": net(maps["in"])}, values, laid)
        with torch.inference_mode():
            whole = net(values[None])[0]
        assert (stitched - whole).abs().max() <= 3e-7


# Windows that are not computed.


def test_windows_without_a_texel_that_counts_go_through_blank():
    valid = torch.zeros(1, 64, 96)
    valid[:, :, :20] = 1
    laid = exact_plan((64, 96), margin=2, window=24, batch=3)
    computed = []

    def fn(maps):
        computed.extend(bool(one.any()) for one in maps["mask"])
        return {"out": torch.ones_like(maps["mask"])}

    sink = TensorSink((64, 96))
    stitched = stitch(
        fn,
        {"mask": TensorSource(valid)},
        {"out": sink},
        laid,
        counted="mask",
        blank=lambda maps: {"out": torch.full_like(maps["mask"], 7)},
    )
    assert all(computed)
    assert stitched.windows == len(computed)
    assert stitched.blank == laid.windows - len(computed) > 0
    assert (sink.values[:, :, :20] == 1).all()
    assert (sink.values[:, :, -20:] == 7).all()


@pytest.mark.parametrize("ramp", [0, 6])
def test_windows_of_an_earlier_run_are_left_out_and_spoil_nothing(ramp):
    net, values = small_network(), noise(2, 90, 90)
    laid = plan((90, 90), window=32, overlap=6 + ramp, ramp=ramp)
    whole = stitch_tensor(lambda maps: {"out": net(maps["in"])}, values, laid)
    there = torch.zeros(90, 90, dtype=torch.bool)
    there[:40, :70] = True

    sink, calls = TensorSink((90, 90)), []

    def fn(maps):
        calls.append(1)
        return {"out": net(maps["in"])}

    stitched = stitch(
        fn, {"in": TensorSource(values)}, {"out": sink}, laid,
        done=lambda rows, columns: bool(there[slice(*rows), slice(*columns)].all()),
    )  # fmt: skip
    assert 0 < stitched.kept == laid.windows - len(calls)
    assert torch.equal(sink.values[:, ~there], whole[:, ~there])


def test_a_batch_that_does_not_fit_is_halved(caplog, monkeypatch):
    values, sizes = noise(2, 64, 100), []

    def fn(maps):
        sizes.append(len(maps["in"]))
        if len(maps["in"]) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        time.sleep(0.05)  # long enough for a read to spoil this one's memory
        maps["in"].mul_(2)
        return {"out": maps["in"]}

    class Late(ThreadPoolExecutor):
        """What is read ahead has not begun when memory runs out."""

        def submit(self, work, *arguments):
            return super().submit(lambda: (time.sleep(0.02), work(*arguments))[1])

    monkeypatch.setattr("realface.tiling.engine.ThreadPoolExecutor", Late)
    laid, sink = plan((64, 100), window=32, overlap=8, batch=6), TensorSink((64, 100))
    stitch(fn, {"in": TensorSource(values)}, {"out": sink}, laid)
    assert (sink.values - 2 * values).abs().max() <= 6e-7
    assert sizes[0] == 6
    assert "batches of 3" in caplog.text
    with pytest.raises(torch.OutOfMemoryError):
        stitch_tensor(lambda maps: fn({"in": maps["in"].repeat(9, 1, 1, 1)}), values, laid)
