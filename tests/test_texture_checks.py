import pytest
import torch

from realface.errors import InputError
from realface.maps.subject import Subject, save_map
from realface.pipeline.texture_checks import check_texture


def checked(folder, texture, mask=None):
    save_map(folder, "texture", texture)
    if mask is not None:
        save_map(folder, "mask", mask, bits=8)
    subject = Subject(folder)
    check_texture(subject.open("texture"), subject.open("mask") if mask is not None else None)


@pytest.mark.parametrize(("value", "word"), [(0.0, "black"), (1.0, "clipped")])
def test_nothing_in_it(tmp_path, value, word):
    with pytest.raises(InputError, match=word):
        checked(tmp_path, torch.full((3, 8, 8), value))
    texture = torch.rand(3, 8, 8) * 0.5 + 0.2
    mask = torch.zeros(1, 8, 8)
    mask[:, :, :4] = 1
    texture[:, :, :4] = value
    with pytest.raises(InputError, match=word):
        checked(tmp_path, texture, mask)


def test_little_in_it(tmp_path, caplog):
    texture = torch.rand(3, 16, 16) * 0.5 + 0.2
    checked(tmp_path, texture)
    assert not caplog.text
    texture[:, :, :8] = 1
    checked(tmp_path, texture)
    assert "50 % of it is clipped" in caplog.text
    checked(tmp_path, torch.full((3, 8, 8), 0.4))
    assert "one colour" in caplog.text


def test_a_mask_without_texels_is_the_jobs_to_refuse(tmp_path):
    checked(tmp_path, torch.zeros(3, 8, 8), torch.zeros(1, 8, 8))


def test_texels_beside_the_mask_do_not_count(tmp_path, caplog):
    mask = torch.zeros(1, 300, 1500)
    mask[:, 100:200, 500:1000] = 1
    checked(tmp_path, (torch.rand(3, 300, 1500) * 0.5 + 0.2) * mask, mask)
    assert not caplog.text
