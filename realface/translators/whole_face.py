"""The whole-face stage: the light on a face, seen at once."""

import os
from typing import Any

import torch
from torch import Tensor

from realface.data.whole_moves import STRIDE, random_layout, random_turns, turned
from realface.errors import InputError
from realface.losses.masked import masked_mean
from realface.maps.encoding import linear_to_srgb, srgb_to_linear
from realface.maps.kinds import KINDS
from realface.metrics.gain import best_gain, with_best_gain
from realface.networks.channels import FITTED_LIGHT, WHOLE_LIGHT
from realface.networks.interface import Frame
from realface.networks.precision import full_precision
from realface.networks.whole_face import INPUTS, WholeFaceNetwork
from realface.shading.camera import camera_flaws
from realface.shading.capture import Lighting, captured_face, random_capture
from realface.shading.light_fit import Openings, fitted_light, openings
from realface.shading.whole_light import delit, log_shading, true_log_shading
from realface.translators.base import Maps, Translator
from realface.translators.checks import check_numbers
from realface.translators.schedule import face_seed
from realface.translators.scores import Scores

FaceName = tuple[str, int, int]
"""Key, and size with the room that its batch gave it [px]."""

_KEPT = ("texture", "diffuse_albedo", "shape_normals", "shape", "mask")
"""Kinds of map of a lit face, besides its light, that are read."""


class WholeFace(Translator):
    """What the light on a face multiplies its albedo by, from the whole face made small.

    Light is global, detail is local: a patch of two centimetres cannot tell pigment from light.
    After AvatarMe++'s whole texture beside each patch (Lattas et al., TPAMI 2021), as a stage of
    its own, with the light tied to the normals (`realface.shading.whole_light`).

    Heads are turned and lit with shadows that their own shape throws; each step draws a UV layout
    (`realface.data.whole_moves`), for it is to serve charts that it has never seen.

    Args:
        base_channels: Of the network at full resolution.
        downsamples: Halvings.
        blocks: Gated blocks at each level.
        learning_rate: Of Adam.
        beta1: Of Adam.
        beta2: Of Adam.
        constant_share: Share of the epochs before the rate falls linearly to zero.
        reconstruction_weight: L1 of the logarithm of the shading, less its mean over the face.
        gain_weight: L1 of that mean, which is a guess: a dark skin in bright light looks as a
            bright one in the dark.
        albedo_weight: L1 of the texture without its shading, after the best gain, sRGB: where a
            texture is black its logarithm is far off and its albedo is not.
        lighting: As `Translator`.
        cleaned_share: Of textures without gloss, and three in five of these without shadows, as
            artists clean them.
        shadow_samples: Places on a lamp's disc that shadows are cast from, at most.
        relight_every: Visits of a face until it is turned and lit anew: on a CPU light takes as
            long as the network. Lit faces are kept in the host's memory, 2 MB a face of 128x192.
        turns: Of the head, at most: about the vertical, the horizontal and the axis of view
            [degrees].
        layouts: Whether UV layouts are drawn, or left as they are.
        flaw_probability: Of each camera flaw.
        clip_gradient_norm: 0: not clipped.
        accumulate_batches: Whose mean gradient makes one step.
        channels_last: Memory format; None: on CUDA, where it is faster.
        compile_networks: By torch.compile.
        licence: Of the weights, kept in their descriptor.

    Raises:
        InputError: If a number is out of range.
    """

    name = "whole_face"
    outputs = (WHOLE_LIGHT,)
    on_whole_faces = True

    def __init__(
        self,
        base_channels: int = 16,
        downsamples: int = 5,
        blocks: int = 2,
        learning_rate: float = 1e-3,
        beta1: float = 0.9,
        beta2: float = 0.99,
        constant_share: float = 0.3,
        reconstruction_weight: float = 1.0,
        gain_weight: float = 0.25,
        albedo_weight: float = 5.0,
        lighting: Lighting = "varied",
        cleaned_share: float = 0.35,
        shadow_samples: int = 8,
        relight_every: int = 1,
        turns: tuple[float, float, float] = (60.0, 30.0, 25.0),
        layouts: bool = True,
        flaw_probability: float = 0.3,
        clip_gradient_norm: float = 1.0,
        accumulate_batches: int = 1,
        channels_last: bool | None = None,
        compile_networks: bool = False,
        licence: str | None = None,
    ) -> None:
        check_numbers(locals())
        super().__init__(
            list(INPUTS),
            base_channels=base_channels,
            downsamples=downsamples,
            blocks=blocks,
            learning_rate=learning_rate,
            beta1=beta1,
            beta2=beta2,
            constant_share=constant_share,
            adversarial_weight=0.0,
            feature_matching_weight=0.0,
            reconstruction_weight=reconstruction_weight,
            lighting=lighting,
            flaw_probability=flaw_probability,
            clip_gradient_norm=clip_gradient_norm,
            accumulate_batches=accumulate_batches,
            channels_last=channels_last,
            compile_networks=compile_networks,
            collapse_patience=0,
            licence=licence,
        )
        if STRIDE % self.generator.multiple_of:
            most = STRIDE.bit_length() - 1
            raise InputError(
                f"model.downsamples {downsamples}",
                f"at most {most}: faces come in multiples of {STRIDE} px",
                "correct the config",
            )
        self.generator_name = self.name
        self.weights |= {"gain": gain_weight, "albedo": albedo_weight}
        self.cleaned_share, self.shadow_samples = cleaned_share, shadow_samples
        self.relight_every, self.turns, self.layouts = relight_every, turns, layouts
        self._kept_openings: dict[FaceName, Openings] = {}
        self._kept_lit: dict[FaceName, tuple[int, Maps]] = {}

    def _new_generator(self, arguments: dict[str, Any], residual: bool) -> WholeFaceNetwork:
        sizes = {name: value for name, value in arguments.items() if value is not None}
        return WholeFaceNetwork(self.interface.in_channels, self.interface.out_channels, **sizes)

    @torch.no_grad()
    def prepare(self, batch: dict[str, Any], generator: torch.Generator | None) -> Maps:
        """Light whole faces; in training with turned heads, drawn layouts and a camera's flaws.

        Args:
            batch: Maps of whole faces ``(B, C, H, W)`` by kind, their ``key``; in training
                ``visit``, how often each was seen before.
            generator: Of random numbers; None: torch's own, and this is training.

        Returns:
            The maps with ``texture``; ``fitted_light`` and ``whole_light`` ``(B, 27, H, W)``, the
            latter with the gains at every texel that make its shading the true one; ``known``:
            where no channel is clipped.
        """
        maps: Maps = {kind: one for kind, one in batch.items() if isinstance(one, Tensor)}
        with full_precision(maps["mask"].device):
            if generator is not None:
                seen = self._openings(batch["key"], maps)
                maps = self._lit_faces(maps, seen, None, generator)
            else:
                faces = zip(batch["key"], batch["visit"], strict=True)
                lit = [
                    self._lit_face(key, visit, {kind: one[[number]] for kind, one in maps.items()})
                    for number, (key, visit) in enumerate(faces)
                ]
                maps = {kind: torch.cat([one[kind] for one in lit]) for kind in lit[0]}
                if self.layouts:
                    maps = random_layout(maps)
            maps["texture"] = maps["texture"] * maps["mask"]
            true = true_log_shading(maps["texture"], maps["diffuse_albedo"])
            clear = (maps["texture"] < 0.995).all(dim=1, keepdim=True)
            maps["known"] = maps["mask"] * clear
            light = maps[FITTED_LIGHT]
            gain = (true - log_shading(light, maps["shape_normals"])).exp()
            maps[WHOLE_LIGHT] = (light.unflatten(1, (3, 9)) * gain[:, :, None]).flatten(1, 2)
        return {**maps, "key": batch["key"]}

    def _lit_face(self, key: str, visit: int, maps: Maps) -> Maps:
        """One training face, turned and lit, as it was on its last visit or anew.

        What is drawn depends on the run's seed, the face and how often it was lit before, so a
        resumed run lights it as it was.
        """
        device, name = maps["mask"].device, (key, *maps["mask"].shape[-2:])
        turn = visit // self.relight_every
        before, lit = self._kept_lit.get(name, (None, {}))
        if before != turn:
            seen = self._openings([key], maps)
            seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
            with torch.random.fork_rng([device] if device.type == "cuda" else []):
                torch.manual_seed(face_seed(seed, key, turn))
                turns = random_turns(1, self.turns, device)
                made = self._lit_faces(turned(maps, turns), seen, turns, None)
            lit = {kind: made[kind].half() for kind in (*_KEPT, FITTED_LIGHT)}
            if self.relight_every > 1:
                self._kept_lit[name] = turn, {kind: one.cpu() for kind, one in lit.items()}
        return {kind: one.to(device).float() for kind, one in lit.items()}

    def _lit_faces(
        self,
        maps: Maps,
        seen: Openings,
        turns: Tensor | None,
        generator: torch.Generator | None,
    ) -> Maps:
        """Faces, turned or not, with their texture and the light fitted to it."""
        count, device = len(maps["mask"]), maps["mask"].device
        capture = random_capture(count, self.lighting, device, generator, self.cleaned_share)
        texture = captured_face(maps, capture, self.shadow_samples) * maps["mask"]
        if generator is None:
            texture = camera_flaws(texture, self.flaw_probability)
        light = fitted_light(texture, maps["shape_normals"], maps["mask"], seen, turns)
        return {**maps, "texture": texture, FITTED_LIGHT: light}

    def _openings(self, keys: list[str], maps: Maps) -> Openings:
        """Of each face as it is, found once and kept in the host's memory, 3 MB a face at most."""
        names = [(key, *maps["mask"].shape[-2:]) for key in keys]
        for number, name in enumerate(names):
            if name not in self._kept_openings:
                read = (maps[kind][[number]] for kind in ("shape", "shape_normals", "mask"))
                made = openings(*read)
                self._kept_openings[name] = Openings(made.seen.cpu(), made.factor)
        found = [self._kept_openings[name] for name in names]
        seen = torch.cat([one.seen for one in found]).to(maps["mask"].device)
        return Openings(seen, found[0].factor)

    def map_losses(
        self, made: Maps, truth: Maps, maps: Maps, frame: Frame | None, mask: Tensor
    ) -> Maps:
        """Of the logarithm of the shading: its variation, its mean; of the albedo that is left."""
        found = log_shading(made[WHOLE_LIGHT], maps["shape_normals"])
        off = (found - true_log_shading(maps["texture"], maps["diffuse_albedo"])) * mask
        count = mask.sum(dim=(2, 3), keepdim=True).clamp(min=1)
        mean = off.sum(dim=(2, 3), keepdim=True) / count
        varying = ((off - mean).abs() * mask).sum(dim=(2, 3), keepdim=True) / count
        left = srgb_to_linear(maps["texture"]) * (-found).exp()
        albedo = maps["diffuse_albedo"]
        gained = linear_to_srgb(left * best_gain(left, srgb_to_linear(albedo), mask))
        return {
            "reconstruction": varying.mean(),
            "gain": mean.abs().mean(),
            "albedo": masked_mean((gained - albedo).abs(), mask),
        }

    def forward(self, maps: Maps) -> Maps:
        """``diffuse_albedo`` ``(B, 3, H, W)``, sRGB: the texture by the light that was found."""
        light = self.generator(self.interface.read(maps, None))
        return {"diffuse_albedo": delit(maps["texture"], log_shading(light, maps["shape_normals"]))}

    @property
    def required_kinds(self) -> tuple[str, ...]:
        """Kinds of map that a face must hold; its light is made."""
        made = (FITTED_LIGHT, WHOLE_LIGHT)
        return tuple(kind for kind in super().required_kinds if kind not in made)

    @property
    def shown_outputs(self) -> tuple[str, ...]:
        """What people judge the light by."""
        return ("diffuse_albedo",)

    def on_validation_epoch_start(self) -> None:
        """Begin the sums of the metrics."""
        self._scores = Scores(self.shown_outputs)

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Maps]:
        """Sum the metrics of the de-lit texture, after the best gain of each channel."""
        generator = torch.Generator(device=self.device).manual_seed(batch_index)
        maps = self.prepare(batch, generator)
        predicted, mask = self(maps), maps["known"]
        albedo = with_best_gain(predicted["diffuse_albedo"], maps["diffuse_albedo"], mask)
        self._scores.add({"diffuse_albedo": albedo}, maps, mask)
        shown = {name: maps[name] for name in maps if name in (*KINDS, "known")}
        return {"maps": shown, "predicted": {"diffuse_albedo": albedo}}
