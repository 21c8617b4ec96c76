import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from realface.errors import InputError
from realface.geometry.rasterise import rasterise


def grid(points, rows, columns):
    """Triangles of a grid of points, with alternating diagonals."""
    number = np.arange((rows + 1) * (columns + 1)).reshape(rows + 1, columns + 1)
    triangles = []
    for y in range(rows):
        for x in range(columns):
            a, b, c, d = number[y, x], number[y, x + 1], number[y + 1, x + 1], number[y + 1, x]
            triangles += [(a, b, c), (a, c, d)] if (x + y) % 2 else [(a, b, d), (c, b, d)]
    return points, np.array(triangles)


def brute_force(uvs, triangles, height, width):
    """How many triangles hold each texel centre strictly inside, and inside or on the edge."""
    y, x = np.mgrid[:height, :width]
    p = np.stack([(x + 0.5) / width, 1 - (y + 0.5) / height], -1)
    strict, loose = np.zeros((height, width), int), np.zeros((height, width), int)
    for triangle in triangles:
        a, b, c = uvs[triangle]
        signs = [
            (q[0] - o[0]) * (p[..., 1] - o[1]) - (q[1] - o[1]) * (p[..., 0] - o[0])
            for o, q in ((a, b), (b, c), (c, a))
        ]
        turned = np.sign(np.linalg.det([b - a, c - a]))
        if turned == 0:
            continue
        nearest = np.min([turned * s for s in signs], axis=0)
        strict += nearest > 1e-12
        loose += nearest > -1e-12
    return strict, loose


@given(
    seed=st.integers(0, 2**31),
    rows=st.integers(1, 5),
    columns=st.integers(1, 5),
    height=st.integers(1, 40),
    width=st.integers(1, 40),
    snap=st.sampled_from([0, 2, 8]),
)
@settings(max_examples=60, deadline=None)
def test_partition_of_the_square_covers_every_texel_exactly_once(
    seed, rows, columns, height, width, snap
):
    # A jittered grid that fills the unit square; snapped, its edges run through texel centres.
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[: rows + 1, : columns + 1].astype(float)
    inner_y, inner_x = (y > 0) & (y < rows), (x > 0) & (x < columns)
    y += rng.uniform(-0.3, 0.3, y.shape) * inner_y
    x += rng.uniform(-0.3, 0.3, x.shape) * inner_x
    points = np.stack([x / columns, y / rows], -1).reshape(-1, 2)
    if snap:
        points = np.rint(points * (width * snap, height * snap)) / (width * snap, height * snap)
    raster = rasterise(*grid(points, rows, columns), height, width)
    # Snapping small grids may fold triangles; then texels are covered again, never left empty.
    assert (raster.index >= 0).all()
    if not snap:
        assert raster.overlaps == 0


@given(
    points=st.lists(st.tuples(st.integers(-4, 40), st.integers(-4, 40)), min_size=4, max_size=4),
    size=st.sampled_from([(16, 16), (9, 18), (18, 6)]),
)
@settings(max_examples=150, deadline=None)
def test_two_triangles_on_one_edge_miss_nothing_and_share_nothing(points, size):
    # Multiples of 1/36 put edges on centres. The quad's halves lie on opposite sides or the same.
    uvs = np.array(points) / 36
    a, b, c, d = uvs
    side = [np.sign(np.round(np.linalg.det([b - a, p - a]), 9)) for p in (c, d)]
    triangles = np.array([[0, 1, 2], [1, 0, 3]])
    raster = rasterise(uvs, triangles, *size)
    strict, loose = brute_force(uvs, triangles, *size)
    assert (raster.index[strict > 0] >= 0).all()
    assert (raster.index[loose == 0] == -1).all()
    if side[0] * side[1] < 0:
        assert raster.overlaps == 0
        alone = [rasterise(uvs, triangles[[i]], *size).index >= 0 for i in (0, 1)]
        assert not (alone[0] & alone[1]).any()
        y, x = np.mgrid[: size[0], : size[1]]
        p = np.stack([(x + 0.5) / size[1], 1 - (y + 0.5) / size[0]], -1)
        along = ((p - a) @ (b - a)) / ((b - a) @ (b - a))
        away = (b - a)[0] * (p - a)[..., 1] - (b - a)[1] * (p - a)[..., 0]
        on_shared_edge = (np.abs(away) < 1e-9) & (along > 1e-9) & (along < 1 - 1e-9)
        assert (raster.index[on_shared_edge] >= 0).all()


def test_weights_reproduce_the_texel_centres():
    rng = np.random.default_rng(0)
    uvs = rng.uniform(-0.2, 1.2, (30, 2))
    triangles = rng.permutation(30).reshape(10, 3)
    raster = rasterise(uvs, triangles, 33, 47)
    rows, columns = np.nonzero(raster.index >= 0)
    weights = raster.barycentric()[rows, columns]
    assert weights.sum(axis=1) == pytest.approx(1)
    assert weights.min() > -1e-3  # snapping by 1/8192 texel, seen by thin triangles
    centres = (weights[..., None] * uvs[triangles[raster.index[rows, columns]]]).sum(axis=1)
    assert np.abs(centres[:, 0] * 47 - columns - 0.5).max() < 1 / 4096
    assert np.abs((1 - centres[:, 1]) * 33 - rows - 0.5).max() < 1 / 4096


def test_first_triangle_wins_and_overlaps_are_counted():
    uvs = np.array([[0, 0], [2, 0], [0, 2], [0, 0], [0.5, 0], [0.5, 1], [0, 1]])
    triangles = np.array([[0, 1, 2], [3, 4, 5], [3, 5, 6], [0, 2, 1]])
    raster = rasterise(uvs, triangles, 8, 8)
    assert (raster.index == 0).all()
    assert raster.overlaps == 64  # every texel is covered twice or more
    turned = rasterise(uvs, triangles[[1, 2, 0]], 8, 8)
    assert (turned.index[:, 4:] == 2).all()
    assert (turned.index[:, :4] < 2).all()


def test_batches_do_not_change_the_result(monkeypatch):
    rng = np.random.default_rng(1)
    uvs, triangles = rng.uniform(0, 1, (60, 2)), rng.integers(0, 60, (40, 3))
    whole = rasterise(uvs, triangles, 50, 70)
    monkeypatch.setattr("realface.geometry.rasterise._RUNS_AT_ONCE", 7)
    batched = rasterise(uvs, triangles, 50, 70)
    assert (whole.index == batched.index).all()
    assert whole.overlaps == batched.overlaps


def test_triangles_without_area_and_empty_meshes_cover_nothing():
    uvs = np.array([[0, 0], [1, 1], [0.5, 0.5], [0, 0]])
    assert (rasterise(uvs, np.array([[0, 1, 2], [0, 3, 1]]), 8, 8).index == -1).all()
    assert (rasterise(uvs, np.zeros((0, 3), dtype=np.int64), 8, 8).index == -1).all()


def test_a_size_beyond_the_exact_range_is_refused():
    with pytest.raises(InputError, match="20000"):
        rasterise(np.zeros((3, 2)), np.array([[0, 1, 2]]), 20000, 4)
