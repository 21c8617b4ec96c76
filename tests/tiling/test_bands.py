import pytest
import torch

from realface.errors import FailureError, InputError
from realface.tiling.bands import stitch_on
from realface.tiling.plan import exact_plan, plan
from realface.tiling.tensors import TensorSink, TensorSource
from tests.tiling.maps import noise, stitch_tensor


@pytest.mark.parametrize("devices", [1, 2, 3, 50])
def test_bands_of_several_devices_make_the_same_map(devices):
    values = noise(2, 90, 70)
    net = torch.nn.Conv2d(2, 1, 3, padding=1)
    laid = exact_plan((90, 70), margin=1, window=24)
    sink, seen = TensorSink((90, 70)), []
    sink.write(0, 0, torch.full((1, 90, 70), torch.nan))
    done = stitch_on(
        [(lambda maps: {"out": net(maps["in"])}, "cpu")] * devices,
        {"in": TensorSource(values)},
        {"out": sink},
        laid,
        progress=lambda *state: seen.append(state),
    )
    alone = stitch_tensor(lambda maps: {"out": net(maps["in"])}, values, laid)
    assert torch.equal(sink.values, alone)
    assert done.windows == laid.windows
    assert seen[-1] == (laid.windows, laid.windows)
    assert sorted(seen) == seen


def test_a_band_that_fails_ends_the_work():
    laid = exact_plan((64, 64), margin=0, window=16)
    with pytest.raises(FailureError, match="NaN"):
        stitch_on(
            [
                (lambda maps: maps, "cpu"),
                (lambda maps: {"in": maps["in"] * torch.nan}, "cpu"),
            ],
            {"in": TensorSource(noise(1, 64, 64))},
            {"in": TensorSink((64, 64))},
            laid,
        )


def test_faded_windows_are_refused():
    with pytest.raises(InputError, match="2 devices"):
        stitch_on([(dict, "cpu")] * 2, {}, {}, plan((64, 64), window=32, overlap=8))
