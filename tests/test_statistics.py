"""Frozen statistics of a map: the whole image's, and windows that agree."""

from pathlib import Path

import pytest
import torch

from realface.errors import FailureError
from realface.networks.channels import WHOLE_TEXTURE
from realface.networks.generator import GENERATORS
from realface.networks.interface import Interface
from realface.networks.norms import InstanceNorm, instance_norms, is_local
from realface.pipeline.statistics import frozen_statistics
from realface.tiling.engine import stitch
from realface.tiling.plan import Plan, exact_plan, plan
from realface.weights import Descriptor, TrainedTranslator

FROZEN = ["exact", "thumbnail", "pooled", "patch"]
SHAPES = {
    "global": {"base_channels": 4, "downsamples": 2, "blocks": 1},
    "local": {"base_channels": 2, "downsamples": 1, "blocks": 1, "local_blocks": 1},
    "unet": {"base_channels": 4, "downsamples": 1, "blocks": 1},
}


class InMemory:
    """A map as source and sink."""

    def __init__(self, values: torch.Tensor) -> None:
        self.values, self.size = values, tuple(values.shape[-2:])

    def read(self, y, x, height, width):
        return self.values[:, y : y + height, x : x + width]

    def write(self, y, x, values):
        self.values[:, y : y + values.shape[1], x : x + values.shape[2]] = values


def translator(name: str = "global", *, inputs=("diffuse_albedo",), **about) -> TrainedTranslator:
    torch.manual_seed(0)
    interface = Interface(inputs, ("specular_albedo",))
    arguments = {**SHAPES[name], "norm": about.pop("norm", "instance")}
    generator = GENERATORS[name](interface.in_channels, interface.out_channels, **arguments)
    descriptor = Descriptor(
        translator="specular_albedo",
        inputs=inputs,
        outputs=("specular_albedo",),
        generator=name,
        arguments=generator.arguments,
        multiple_of=generator.multiple_of,
        receptive_margin=generator.receptive_margin,
        spatial_statistics=generator.spatial_statistics,
        **about,
    )
    return TrainedTranslator(descriptor, generator, Path("fresh"))


def maps(height: int, width: int) -> dict[str, torch.Tensor]:
    """Brighter to one side, blank outside an ellipse."""
    draw = torch.Generator().manual_seed(0)
    y, x = torch.linspace(-1, 1, height)[:, None], torch.linspace(-1, 1, width)
    albedo = 0.3 * torch.rand(3, height, width, generator=draw) + 0.3 + 0.2 * x
    return {"diffuse_albedo": albedo, "mask": (y**2 + x**2 < 1.2).float()[None]}


def cut(one: TrainedTranslator, size, *, window: int = 112, batch: int = 2) -> Plan:
    generator = one.generator
    return exact_plan(
        size,
        margin=generator.receptive_margin,
        window=window,
        minimum=generator.minimum_size,
        multiple_of=generator.multiple_of,
        batch=batch,
    )


def stitched(one, given, laid, mode, **about):
    sink = InMemory(torch.zeros(1, *laid.size))
    sources = {kind: InMemory(values) for kind, values in given.items()}
    with frozen_statistics(one, sources, laid, mode, **about) as (fn, sources):
        done = stitch(fn, sources, {"specular_albedo": sink}, laid)
    return sink.values, done.disagreement["specular_albedo"]


def in_one_piece(one, given):
    with torch.no_grad():
        return one({kind: values[None] for kind, values in given.items()})["specular_albedo"][0]


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("size", [(128, 192), (176, 144), (64, 256), (64, 64)])
@pytest.mark.parametrize("batch", [1, 3])
def test_exact_windows_are_the_whole_image(name, size, batch):
    one, given = translator(name), maps(*size)
    laid = cut(one, size, batch=batch)
    assert laid.windows > 1 or size == (64, 64)
    made, _ = stitched(one, given, laid, "exact")
    torch.testing.assert_close(made, in_one_piece(one, given), atol=1e-5, rtol=0)


def test_live_windows_are_not():
    one, given = translator(), maps(128, 192)
    made, _ = stitched(one, given, cut(one, (128, 192)), "live")
    assert (made - in_one_piece(one, given)).abs().max() > 0.05


@pytest.mark.parametrize("name", GENERATORS)
@pytest.mark.parametrize("mode", FROZEN)
def test_windows_agree_where_they_are_faded(name, mode):
    one, size = translator(name), (128, 192)
    overlap = 2 * one.generator.receptive_margin // 8 * 8 + 32
    laid = plan(
        size, window=112, overlap=overlap, ramp=8, multiple_of=one.generator.multiple_of, batch=2
    )
    _, disagreement = stitched(one, maps(*size), laid, mode, patch=64)
    assert disagreement.values
    assert disagreement.max < 1e-5
    _, live = stitched(one, maps(*size), laid, "live")
    assert live.mean > 1e-3


@pytest.mark.parametrize("mode", ["exact", "pooled", "patch"])
def test_one_window_of_the_whole_map_has_the_whole_images_statistics(mode):
    one, given = translator(), maps(64, 96)
    made, _ = stitched(one, given, cut(one, (64, 96)), mode, patch=512)
    torch.testing.assert_close(made, in_one_piece(one, given), atol=1e-5, rtol=0)


@pytest.mark.parametrize("mode", FROZEN)
@pytest.mark.parametrize("broken", [False, True])
def test_norms_are_live_again_at_the_end(mode, broken):
    one, given = translator(), maps(64, 96)
    sources = {kind: InMemory(values) for kind, values in given.items()}
    laid = cut(one, (64, 96))
    try:
        with frozen_statistics(one, sources, laid, mode):
            assert is_local(one.generator)
            if broken:
                raise KeyError
    except KeyError:
        pass
    assert not is_local(one.generator)
    assert not any(norm._forward_pre_hooks for norm in instance_norms(one.generator))


def test_without_norms_nothing_is_run():
    one, given = translator(norm="none"), maps(64, 96)
    one.generator.register_forward_pre_hook(lambda *given: pytest.fail("it was run"))
    sources = {kind: InMemory(values) for kind, values in given.items()}
    with frozen_statistics(one, sources, cut(one, (64, 96)), "exact") as (fn, made):
        assert fn is one
        assert made == sources


def gathered(one, given, laid, mode, **about) -> list[torch.Tensor]:
    sources = {kind: InMemory(values) for kind, values in given.items()}
    with frozen_statistics(one, sources, laid, mode, **about):
        norms = instance_norms(one.generator)
        return [norm.statistics.mean for norm in norms] + [
            norm.statistics.variance for norm in norms
        ]


@pytest.mark.parametrize("mode", FROZEN)
def test_what_lies_outside_does_not_count_where_a_mask_is_given(mode):
    """A first convolution's features, over the texels of the mask alone."""
    one, given = translator(), maps(128, 192)
    laid = cut(one, (128, 192))
    counts = gathered(one, given, laid, mode, counted="mask", patch=512)[0].flatten()
    features = first_features(one, given)
    mask = given["mask"][0] > 0.5
    close = {"thumbnail": 0.05, "patch": 1e-4}.get(mode, 1e-4)
    torch.testing.assert_close(counts, features[:, mask].mean(1), atol=close, rtol=close)
    everything = gathered(one, given, laid, mode, patch=512)[0].flatten()
    torch.testing.assert_close(everything, features.mean((1, 2)), atol=close, rtol=close)


def first_features(one, given) -> torch.Tensor:
    """Input of the first norm over the whole map, ``(C, H, W)``."""
    norm: InstanceNorm = instance_norms(one.generator)[0]
    seen: list[torch.Tensor] = []
    handle = norm.register_forward_pre_hook(
        lambda module, inputs: seen.append(inputs[0][0].clone())
    )
    in_one_piece(one, given)
    handle.remove()
    return seen[0]


def test_a_patch_without_a_texel_that_counts_takes_the_maps():
    one, given = translator(), maps(128, 192)
    given["mask"][:] = 0
    given["mask"][:, :, :40] = 1
    made, _ = stitched(one, given, cut(one, (128, 192)), "patch", counted="mask", patch=64)
    assert made.isfinite().all()


@pytest.mark.parametrize("mode", FROZEN)
def test_a_mask_without_a_texel_is_refused(mode):
    one, given = translator(), maps(64, 96)
    given["mask"][:] = 0
    with pytest.raises(FailureError, match="no texel"):
        gathered(one, given, cut(one, (64, 96)), mode, counted="mask", patch=64)


@pytest.mark.parametrize("size", [(128, 192), (132, 188), (64, 256)])
def test_a_constant_map_is_its_own_thumbnail_at_any_size(size):
    one, given = translator(), maps(*size)
    given["diffuse_albedo"][:] = 0.4
    given["mask"][:] = 1
    made = gathered(one, given, cut(one, size), "thumbnail")
    assert all(values.isfinite().all() for values in made)
    features = first_features(one, given)[:, 8:-8, 8:-8]
    torch.testing.assert_close(made[0], features.mean((1, 2)), atol=1e-3, rtol=1e-3)


def test_the_whole_texture_is_seen_in_place_by_the_thumbnail():
    """In one piece the squeezed texture and the texture are one."""

    class Squeezed(InMemory):
        def read(self, y, x, height, width):
            resize = torch.nn.functional.interpolate
            return resize(self.values[None], (height, width), mode="nearest-exact")[0]

    size = (128, 192)
    given = {"texture": maps(*size)["diffuse_albedo"]}
    twice = translator(inputs=("texture", WHOLE_TEXTURE))
    weight = twice.generator.features[0].weight
    weight[:, 3:] = -weight[:, :3]  # what both see alike cancels
    sources = {
        "texture": InMemory(given["texture"]),
        WHOLE_TEXTURE: Squeezed(given["texture"]),
    }
    with frozen_statistics(twice, sources, cut(twice, size), "thumbnail"):
        first = instance_norms(twice.generator)[0].statistics
    torch.testing.assert_close(first.variance, torch.zeros(4), atol=1e-9, rtol=0)


def test_progress_counts_every_run_of_a_window():
    one, given = translator(), maps(128, 192)
    laid, seen = cut(one, (128, 192)), []
    gathered(one, given, laid, "exact", progress=lambda done, total: seen.append((done, total)))
    total = laid.windows * len(instance_norms(one.generator))
    assert seen[-1] == (total, total)
    assert seen == sorted(seen)
