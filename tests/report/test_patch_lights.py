"""The lamps stand around a patch, wherever on a face it is."""

import pytest
import torch

from realface.report.patch_lights import facing, relit
from tests.faces import face_batch


def flat(normal):
    """A grey patch whose normals are all one."""
    direction = torch.tensor(normal).view(1, 3, 1, 1) / torch.tensor(normal).norm()
    normals = direction.expand(1, 3, 8, 8)
    grey = torch.full((1, 3, 8, 8), 0.5)
    return {
        "diffuse_albedo": grey,
        "specular_albedo": grey[:, :1],
        "diffuse_normals": normals,
        "specular_normals": normals,
        "shape": torch.zeros(1, 3, 8, 8),
        "mask": torch.ones(1, 1, 8, 8),
    }


@pytest.mark.parametrize("normal", [(1.0, 0, 0.2), (-1.0, 0.1, 0), (0, -1.0, 0.5)])
def test_a_flat_patch_looks_the_same_wherever_it_faces(normal):
    ahead, turned = (
        relit(maps, facing(maps["diffuse_normals"], maps["mask"]))
        for maps in (flat((0.0, 0, 1)), flat(normal))
    )
    assert set(ahead) == {"side light", "front light"}
    for lamp, image in ahead.items():
        assert image.shape == (1, 3, 8, 8)
        assert 0.2 < image.mean() < 0.9  # neither black nor burnt out
        torch.testing.assert_close(turned[lamp], image, atol=1e-4, rtol=0)


def test_relief_shows_more_from_the_side():
    maps = {kind: values[:1] for kind, values in face_batch(32).items() if kind != "key"}
    rough = flat((0.0, 0, 1))
    tilt = torch.randn(1, 3, 8, 8) * 0.2
    rough["diffuse_normals"] = torch.nn.functional.normalize(rough["diffuse_normals"] + tilt, dim=1)
    lit = relit(rough, facing(rough["diffuse_normals"], rough["mask"]))
    assert lit["side light"].std() > 2 * lit["front light"].std()
    assert all(
        torch.isfinite(image).all() for image in relit(maps, torch.zeros(1, 3, 1, 1)).values()
    )


def test_facing_is_the_valid_normals_own():
    normals = torch.tensor((0.0, 0.0, 1.0)).view(1, 3, 1, 1).repeat(1, 1, 4, 4)
    normals[..., :2, :] = torch.tensor((1.0, 0.0, 0.0)).view(1, 3, 1, 1)
    mask = torch.ones(1, 1, 4, 4)
    mask[..., :2, :] = 0
    assert facing(normals, mask).flatten().tolist() == [0, 0, 1]
    assert not facing(normals, 0 * mask).any()  # no valid texel: nowhere
