"""Textures of a step, and what the whole-face stage would leave of them."""

import torch

from realface.metrics.gain import with_best_gain
from realface.metrics.image import psnr
from realface.networks.channels import DELIT_TEXTURE
from realface.translators.lit import lit
from tests.faces import face_batch


def batch_lit(delit_too=True):
    return lit(
        face_batch(64), "studio", whole=False, delit_too=delit_too, flaw_probability=0.0,
        generator=torch.Generator().manual_seed(3),
    )  # fmt: skip


def test_the_delit_texture_is_nearer_to_the_albedo_than_the_texture_is():
    maps = batch_lit()
    albedo, mask = maps["diffuse_albedo"], maps["mask"]
    lit_error, left = (
        psnr(with_best_gain(maps[kind], albedo, mask), albedo, mask)
        for kind in ("texture", DELIT_TEXTURE)
    )
    assert left > lit_error + 3


def test_its_tone_is_the_albedos_without_any_gain():
    maps = batch_lit()
    off = (maps[DELIT_TEXTURE] - maps["diffuse_albedo"]) * maps["mask"]
    assert (off.sum(dim=(2, 3)) / maps["mask"].sum(dim=(2, 3))).abs().max() < 0.02


def test_it_is_made_only_where_it_is_read():
    assert DELIT_TEXTURE not in batch_lit(delit_too=False)
