import pytest

from realface.errors import InputError
from realface.tiling.plan import plan


def test_a_size_off_the_grid_is_refused_with_the_size_that_fits():
    with pytest.raises(InputError) as error:
        plan((4000, 6100), multiple_of=32)
    assert "4000x6100 (height x width)" in error.value.given
    assert "32" in error.value.expected
    assert "pad or crop it to 4000x6112, or pass --pad" in error.value.remedy


@pytest.mark.parametrize(
    ("changed", "named"),
    [
        ({"overlap": 2000}, "overlap=2000"),
        ({"overlap": -1}, "overlap=-1"),
        ({"window": 8, "overlap": 0}, "window=8"),
        ({"batch": 0}, "batch=0"),
        ({"multiple_of": 0}, "multiple_of=0"),
    ],
)
def test_what_is_out_of_range_is_named(changed, named):
    with pytest.raises(InputError) as error:
        plan((4096, 6144), **{"multiple_of": 16, **changed})
    assert named in error.value.given


def test_the_plan_of_a_full_map():
    full = plan((4096, 6144), multiple_of=16)
    assert full.window == (1312, 1536)
    assert full.windows == len(full.rows) * len(full.columns) == 20
    assert full.redundancy == pytest.approx(20 * 1312 * 1536 / (4096 * 6144))
    assert full.overlaps == ((384, 384), (384, 384))


def test_the_plan_prints_what_it_will_cost():
    text = str(plan((4096, 6144), multiple_of=16))
    for part in ("4096x6144", "20 (4 rows x 5 columns)", "1312x1536", "384 px", "1.60", "MiB"):
        assert part in text


def test_one_window_is_one_row():
    assert "1 (1 row x 1 column) of 64x96" in str(plan((64, 96)))


def test_memory_does_not_grow_with_the_height():
    low = plan((4096, 6144), window=512, overlap=128)
    high = plan((65536, 6144), window=512, overlap=128)
    assert high.peak_memory == pytest.approx(low.peak_memory, rel=0.05)
