import pytest
import torch

from realface.errors import InputError
from realface.geometry.flat_sheet import EAR_TO_EAR, flat_sheet, texel_from_width
from realface.geometry.measure import median_position, millimetres_per_texel
from realface.geometry.normals import normals_from_shape


def test_a_sheet_faces_the_viewer_at_its_scale():
    maps, mask = flat_sheet(7, 12, 0.5), torch.ones(1, 7, 12)
    assert millimetres_per_texel(maps["shape"], mask, 1.0) == pytest.approx(0.5)
    made = normals_from_shape(maps["shape"], mask)
    torch.testing.assert_close(made, maps["shape_normals"])
    assert max(map(abs, median_position(maps["shape"], mask))) <= 0.5


def test_a_mask_spans_the_face():
    mask = torch.zeros(1, 4, 20)
    mask[:, 1, 5:15] = 1
    assert texel_from_width(mask) == pytest.approx(EAR_TO_EAR / 10)
    with pytest.raises(InputError):
        texel_from_width(torch.zeros(1, 4, 20))


@pytest.mark.parametrize("texel", [0.0, -1.0, float("inf"), float("nan")])
def test_texels_without_a_size(texel):
    with pytest.raises(InputError):
        flat_sheet(4, 4, texel)
