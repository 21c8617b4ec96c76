import json
from concurrent.futures import Future

import pytest
from torch.profiler import ProfilerActivity, profile

from realface.tiling.engine import stitch
from realface.tiling.plan import plan
from tests.tiling.maps import Ledger, Rows


class InPlace:
    """Stands for the engine's threads: torch's profiler sees one thread only."""

    def __init__(self, *_):
        pass

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def submit(self, work, *arguments):
        done = Future()
        done.set_result(work(*arguments))
        return done


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("realface.tiling.engine.ThreadPoolExecutor", InPlace)
        yield


def peak_of_stitch(laid, folder):
    """Largest sum of live tensors while stitching [bytes], by torch's own account."""
    # x + 1, so that the output does not share the input's memory as identity's would.
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as recorded:
        stitch(
            lambda maps: {"out": maps["in"] + 1},
            {"in": Rows(laid.size, 3)},
            {"out": Ledger()},
            laid,
        )
    trace = folder / "trace.json"
    recorded.export_chrome_trace(str(trace))
    events = json.loads(trace.read_text())["traceEvents"]
    steps = [one["args"]["Bytes"] for one in events if one["name"] == "[memory]"]
    held = peak = 0
    for step in steps:
        held += step
        peak = max(peak, held)
    return peak


@pytest.fixture(scope="module")
def low_peak(tmp_path_factory):
    return peak_of_stitch(plan((512, 512), window=128, overlap=32), tmp_path_factory.mktemp("low"))


def test_peak_does_not_grow_with_the_height(low_peak, tmp_path):
    high = peak_of_stitch(plan((8192, 512), window=128, overlap=32), tmp_path)
    assert high <= 1.05 * low_peak
    assert high < 8192 * 512 * 3 * 4 / 10  # a tenth of one map


def test_the_plan_foresees_the_peak(low_peak):
    foreseen = plan((512, 512), window=128, overlap=32).peak_memory
    assert 0.6 * foreseen <= low_peak <= 1.05 * foreseen
