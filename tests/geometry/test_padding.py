import pytest
import torch

from realface.geometry.padding import fill_from_around, pad_islands


def island(height=20, width=30):
    mask = torch.zeros(1, height, width)
    mask[:, 6:12, 8:20] = 1
    return mask


@pytest.mark.parametrize("texels", [0, 1, 3, 100])
def test_inside_and_beyond_the_rim_stay(texels):
    mask, values = island(), torch.rand(2, 20, 30)
    before = values.clone()
    padded = pad_islands(values, mask, texels)
    assert torch.equal(values, before)
    assert torch.equal(padded[:, mask[0] > 0], values[:, mask[0] > 0])
    reach = torch.zeros(20, 30, dtype=torch.bool)
    reach[max(6 - texels, 0) : 12 + texels, max(8 - texels, 0) : 20 + texels] = True
    assert torch.equal(padded[:, ~reach], values[:, ~reach])


def test_rim_takes_only_values_from_inside():
    mask = island()
    values = torch.where(mask > 0, 5.0, torch.nan)
    padded = pad_islands(values.expand(3, -1, -1), mask, 40)
    assert torch.isfinite(padded).all()
    assert torch.allclose(padded, torch.tensor(5.0))


def test_nearest_side_wins():
    mask = torch.zeros(1, 5, 12)
    mask[..., 0], mask[..., -1] = 1, 1
    values = torch.zeros(1, 5, 12)
    values[..., -1] = 1
    padded = pad_islands(values, mask, 5)
    assert (padded[..., :6] == 0).all()
    assert (padded[..., 6:] == 1).all()


def test_full_and_empty_masks_change_nothing():
    values = torch.rand(1, 7, 5)
    for mask in (torch.zeros(1, 7, 5), torch.ones(1, 7, 5)):
        assert torch.equal(pad_islands(values, mask, 4), values)


def test_sizes_must_agree():
    with pytest.raises(ValueError, match="mask"):
        pad_islands(torch.zeros(3, 4, 4), torch.zeros(1, 4, 5), 1)


def test_filling_keeps_a_constant_and_reaches_everywhere():
    known = torch.zeros(40, 50, dtype=torch.bool)
    known[3:9, 4:12] = True
    image = torch.where(known, 0.7, -100.0).expand(2, 40, 50)
    filled = fill_from_around(image, known, (1.0, 5.0, 30.0))
    torch.testing.assert_close(filled, torch.full_like(filled, 0.7))
