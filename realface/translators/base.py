"""The generator/discriminator step, once, for all translators."""

import logging
import math
import os
from dataclasses import asdict, replace
from typing import Any, ClassVar, Literal

import pytorch_lightning as pl
import torch
from torch import Tensor, nn

from realface.host_memory import keep_freed_memory
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.networks.blocks import Upsampling
from realface.networks.channels import DELIT_TEXTURE, WHOLE_TEXTURE
from realface.networks.discriminator import DiscriminatorNorm, MultiScaleDiscriminator
from realface.networks.generator import GENERATORS, Generator
from realface.networks.interface import Frame, Interface, NormalSpace
from realface.networks.norms import Norm
from realface.shading.capture import LIT_FROM, Lighting
from realface.synthetic.flaws import IN_INPUTS, apply_flaws, check_flaws
from realface.translators.adversarial import adversarial_losses, pair, r1_penalty
from realface.translators.checks import (
    check_crop,
    check_data,
    check_generator,
    check_numbers,
    check_precision,
    check_rim,
    check_scale,
    check_weights,
)
from realface.translators.lit import lit
from realface.translators.map_losses import gradient_loss, reconstruction_loss, rendering_loss
from realface.translators.schedule import batch_seed, batches_together, rate_share
from realface.translators.scores import Scores
from realface.translators.watch import Watch, contrast, failure
from realface.weights import Descriptor

log = logging.getLogger(__name__)

Maps = dict[str, Tensor]

MADE_BY_LIGHT = ("texture", WHOLE_TEXTURE, DELIT_TEXTURE)
"""What samples do not hold: each step lights them anew."""


class Translator(pl.LightningModule):
    """Reflectance maps from others, trained as pix2pixHD trains (arXiv:1711.11585).

    Least-squares adversarial and feature-matching losses, no perceptual one, as AvatarMe; losses of
    the maps themselves can be added. A ``texture`` among the inputs is never stored: each step
    shades it from the sample's own maps with fresh lights.

    Optimisation is manual, with traps of Lightning's to know: ``global_step`` counts the steps of
    both optimisers (so set ``max_epochs``, not ``max_steps``), ``gradient_clip_val`` and
    ``accumulate_grad_batches`` are refused (use ``clip_gradient_norm``, ``accumulate_batches``),
    and schedulers are not stepped for us.

    Lights and whatever else is drawn from torch's own generators depend on the seed (Lightning's
    ``seed_everything``), the epoch, the step and the process: a resumed run draws what it would
    have drawn, and processes do not share their draws.

    Args:
        inputs: Words of `realface.networks.channels.INPUTS`.
        generator: ``local`` (AvatarMe); ``global``, its inner part alone; ``unet``
            (`realface.networks.unet`, ours).
        base_channels: Of the generator at full resolution. This and the next five: None, what the
            generator itself has.
        downsamples: Halvings inside the global generator, or of the U-Net.
        blocks: Residual blocks of the global generator; gated ones at each level of the U-Net.
        local_blocks: Residual blocks of the local generator; not for the U-Net.
        norm: Of the generator: ``instance`` (the paper), ``batch_renorm``, ``position`` or
            ``none``; with all but the first, windows of a map agree.
        upsampling: ``transposed`` (the paper) or ``resize`` (no checkerboard); not for the U-Net.
        residual: The generator corrects the input that is close to an output (texture,
            shape_normals) or, where none is, starts from a typical value, instead of making the
            output from nothing; not the paper's.
        space: Of the normals that the networks see: ``object``, or ``tangent`` to low-passed
            ``shape_normals``. Files and metrics are in object space either way.
        frame_millimetres: Sigma of that low-pass [mm].
        discriminator_channels: Of its first layer.
        discriminator_layers: Stride-2 convolutions.
        discriminator_scales: Image scales.
        discriminator_norm: ``instance`` (the paper), ``spectral`` or ``none``.
        learning_rate: Of both Adams.
        beta1: Of both Adams.
        beta2: Of both Adams.
        constant_share: Share of the epochs before the rate falls linearly to zero.
        adversarial_weight: 0 together with ``feature_matching_weight`` trains no discriminator.
        feature_matching_weight: As pix2pixHD's lambda.
        reconstruction_weight: L1 for albedos, 1 - cosine for normals; 0 in the paper.
        gradient_weight: L1 of differences between neighbouring texels; 0 in the paper.
        rendering_weight: Of AvatarMe++'s rendering loss: predicted maps, with the truth's other
            ones, relit. Where samples lack a map that light is shaded from, it is left out and
            said so; training by it alone needs them all.
        rendering_lights: Fresh sets of lights for it, each step.
        r1_weight: Gamma of the discriminator's gradient penalty R1; 0, none, in the paper.
        r1_interval: Steps from one to the next; each counts as many times (StyleGAN2, Karras et
            al., CVPR 2020, arXiv:1912.04958).
        lighting: Of textures: ``varied`` (rooms, skies and lamps, cast shadows, scattering) or
            ``studio`` (AvatarMe++'s, around three lamps).
        flaw_probability: Of each camera flaw (blur, noise, JPEG) on a lit training texture.
        input_flaws: Of files, put on the reflectance maps that are read in training, not on the
            truth: names of `realface.synthetic.flaws.IN_INPUTS`.
        clip_gradient_norm: Of each network; 0: not clipped.
        accumulate_batches: Whose mean gradient makes one step.
        channels_last: Memory format of the networks; None: on CUDA, where it is faster.
        compile_networks: By torch.compile; the first steps then take minutes.
        gradient_checkpointing: Recompute the generator's activations in the backward pass: less
            memory, one more forward pass of it.
        collapse_patience: Steps in a row with a flat output that end the training; 0: never.
        licence: Of the weights, kept in their descriptor.

    Raises:
        InputError: If an input or a flaw is unknown, or a number is out of range.
        ValueError: If a network refuses a number.
    """

    name: ClassVar[str]
    """Of its weights: the map that it makes, or ``joint``."""

    outputs: ClassVar[tuple[str, ...]]
    """The kinds of map that it makes."""

    on_whole_faces: ClassVar[bool] = False
    """Whether it trains on whole faces, not on patches."""

    def __init__(
        self,
        inputs: list[str],
        generator: Literal["local", "global", "unet"] = "local",
        base_channels: int | None = None,
        downsamples: int | None = None,
        blocks: int | None = None,
        local_blocks: int | None = None,
        norm: Norm | None = None,
        upsampling: Upsampling | None = None,
        residual: bool = False,
        space: NormalSpace = "object",
        frame_millimetres: float = 4.0,
        discriminator_channels: int = 64,
        discriminator_layers: int = 3,
        discriminator_scales: int = 2,
        discriminator_norm: DiscriminatorNorm = "instance",
        learning_rate: float = 1e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        constant_share: float = 0.5,
        adversarial_weight: float = 1.0,
        feature_matching_weight: float = 10.0,
        reconstruction_weight: float = 0.0,
        gradient_weight: float = 0.0,
        rendering_weight: float = 0.0,
        rendering_lights: int = 3,
        r1_weight: float = 0.0,
        r1_interval: int = 16,
        lighting: Lighting = "varied",
        flaw_probability: float = 0.0,
        input_flaws: list[str] | None = None,
        clip_gradient_norm: float = 0.0,
        accumulate_batches: int = 1,
        channels_last: bool | None = None,
        compile_networks: bool = False,
        gradient_checkpointing: bool = False,
        collapse_patience: int = 500,
        licence: str | None = None,
    ) -> None:
        check_numbers(locals())
        super().__init__()
        self.automatic_optimization = False
        self.learning_rate, self.betas = learning_rate, (beta1, beta2)
        self.constant_share = constant_share
        self.weights = {
            "adversarial": adversarial_weight,
            "feature_matching": feature_matching_weight,
            "reconstruction": reconstruction_weight,
            "gradient": gradient_weight,
            "rendering": rendering_weight,
        }
        self.rendering_lights, self._told = rendering_lights, False
        self.r1_weight, self.r1_interval = r1_weight, r1_interval
        # The discriminator's. A penalty of one step in k counts k times.
        self._own_weights = {"discriminator": 1.0, "r1": r1_weight * r1_interval}
        self.lighting: Lighting = lighting
        self.flaw_probability = flaw_probability
        self.input_flaws = tuple(input_flaws or ())
        check_flaws(self.input_flaws, IN_INPUTS)
        self.clip_gradient_norm = clip_gradient_norm
        self.accumulate_batches = accumulate_batches
        self.channels_last, self.compile_networks = channels_last, compile_networks
        self.licence = licence
        self.frame_millimetres = frame_millimetres if space == "tangent" else 0.0
        self.interface = Interface(tuple(inputs), self.outputs, space)
        self._watch = Watch(collapse_patience)
        self._metrics: dict[str, float] = {}
        self.generator_name: str = generator
        arguments: dict[str, Any] = {
            "base_channels": base_channels,
            "downsamples": downsamples,
            "blocks": blocks,
            "norm": norm,
            "upsampling": upsampling,
            "local_blocks": local_blocks,
        }
        check_generator(generator, arguments)
        if generator == "global":  # a config of the local one may be laid under
            del arguments["local_blocks"]
        self.generator = self._new_generator(arguments, residual)
        self.generator.gradient_checkpointing = gradient_checkpointing
        self.discriminator = (
            MultiScaleDiscriminator(
                self.interface.in_channels + self.interface.out_channels,
                base_channels=discriminator_channels,
                layers=discriminator_layers,
                scales=discriminator_scales,
                norm=discriminator_norm,
            )
            if adversarial_weight or feature_matching_weight
            else None
        )

    def _new_generator(self, arguments: dict[str, Any], residual: bool) -> Generator:
        about = self.interface
        arguments = {name: value for name, value in arguments.items() if value is not None}
        if residual:
            arguments["residual_channels"] = about.residual_channels()
        made = GENERATORS[self.generator_name](about.in_channels, about.out_channels, **arguments)
        if residual:
            made.head.start_at(about.typical())
        return made

    # What samples must hold, and what is made of them.

    @property
    def inputs(self) -> tuple[str, ...]:
        """Words of `realface.networks.channels.INPUTS`."""
        return self.interface.inputs

    @property
    def _lit(self) -> bool:
        return bool({*MADE_BY_LIGHT} & {*self.interface.kinds})

    @property
    def required_kinds(self) -> tuple[str, ...]:
        """Kinds of map that a training sample must hold."""
        rendering_alone = [name for name, one in self.weights.items() if one] == ["rendering"]
        lit = LIT_FROM if self._lit or rendering_alone else ()
        kinds = dict.fromkeys((*lit, *self.interface.kinds, *self.outputs))
        return tuple(kind for kind in kinds if kind not in MADE_BY_LIGHT)

    @property
    def optional_kinds(self) -> tuple[str, ...]:
        """What a face is relit from; what dims light, sharpens or dulls highlights, scatters."""
        relit = LIT_FROM if self.weights["rendering"] else ()
        more = ("occlusion", "exponent", "translucency") if self._lit or relit else ()
        return tuple(kind for kind in (*relit, *more) if kind not in self.required_kinds)

    @property
    def reads_whole_faces(self) -> bool:
        """Whether each patch is to come with its whole face, ``whole``, of the same kinds."""
        return WHOLE_TEXTURE in self.interface.kinds

    @property
    def shown_kinds(self) -> tuple[str, ...]:
        """What relights a validation sample for people, where it is there."""
        return LIT_FROM

    @property
    def shown_outputs(self) -> tuple[str, ...]:
        """The predicted maps of validation, which panels and histograms show."""
        return self.outputs

    def prepare(self, batch: dict[str, Any], generator: torch.Generator | None) -> Maps:
        """Light a batch whose texture is read; training ones get a camera's flaws too.

        Args:
            batch: Maps ``(B, C, H, W)`` by kind; ``whole``, likewise, where it is read.
            generator: Of random numbers; None: torch's own, and this is training.

        Returns:
            The maps, and ``known`` ``(B, 1, H, W)`` where losses and metrics leave out more than
            the mask does: scattered light near a patch's edge comes from beyond it.
        """
        if not self._lit:
            return batch
        return lit(
            batch,
            self.lighting,
            whole=self.reads_whole_faces,
            delit_too=DELIT_TEXTURE in self.interface.kinds,
            flaw_probability=self.flaw_probability if generator is None else 0.0,
            generator=generator,
        )

    # Before training.

    def setup(self, stage: str) -> None:
        """Refuse what would end the first step, and ready the networks.

        Raises:
            InputError: If the data is not of patches, all losses have weight 0, the precision is
                float16's, the crop does not fit the generator or the metrics or is all rim, or
                tangent space has no scale.
        """
        check_weights(self.weights)
        check_precision(self.trainer)
        data = self.trainer.datamodule
        check_data(self.on_whole_faces, data)
        crop = getattr(data, "crop", None)
        texel = getattr(data, "millimetres_per_texel", None)
        if crop is not None:
            check_crop(crop, self.generator)
            if self._lit and self.lighting == "varied" and texel:
                check_rim(crop, texel)
        if self.interface.space == "tangent":
            sigma = check_scale(texel, self.frame_millimetres)
            self.interface = replace(self.interface, frame_sigma=sigma)
        self._ready_networks()

    def _ready_networks(self) -> None:
        """Give them their memory and its format, before they are wrapped; have them compiled."""
        device = self.trainer.strategy.root_device.type
        if device == "cpu":
            keep_freed_memory()
        wanted = device == "cuda" if self.channels_last is None else self.channels_last
        self._format = torch.channels_last if wanted else torch.contiguous_format
        for network in self._networks:
            network.to(memory_format=self._format)  # type: ignore[call-overload]
            if self.compile_networks:
                network.compile()

    def configure_optimizers(self) -> Any:
        """Adam for each network, its rate constant and then falling linearly to zero.

        Fused: one pass over weights, gradients and moments instead of one for each operation.
        """
        optimizers = [
            torch.optim.Adam(
                network.parameters(), lr=self.learning_rate, betas=self.betas, fused=True
            )
            for network in self._networks
        ]
        schedulers = [
            torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate_at) for optimizer in optimizers
        ]
        return optimizers, schedulers

    @property
    def _networks(self) -> list[nn.Module]:
        return [self.generator] + ([self.discriminator] if self.discriminator else [])

    def _rate_at(self, epoch: int) -> float:
        return rate_share(epoch, self.trainer.max_epochs, self.constant_share)

    def on_train_start(self) -> None:
        """Set the rates of this epoch: a run that goes on after its end had come to zero."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * self._rate_at(self.current_epoch)

    def on_train_batch_start(self, batch: dict[str, Any], batch_index: int) -> None:
        """Seed torch's own generators by the run's seed, the epoch, the step and the process."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        torch.manual_seed(batch_seed(seed, self.current_epoch, batch_index, self.global_rank))

    # The step.

    def training_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """One forward and one backward pass of each network, then both of their steps.

        As in pix2pixHD, both losses are of the networks before the step. The discriminator looks at
        the prediction once (there: twice). The gradient with respect to that drives the generator,
        and no gradient of the discriminator's weights is computed for it; they get theirs from
        the same look. One backward pass serves both networks, so plain DDP sends each gradient
        once, and autograd frees the discriminator's part before it comes to the generator's.

        Raises:
            FailureError: If a loss or a gradient is not finite, or an output has collapsed.
        """
        maps = self.prepare(batch, None)
        mask = maps.get("known", maps["mask"])
        frame = self.interface.frame(maps)
        inputs = self.interface.read(self._as_read(maps), frame)
        truth = self.interface.relative({kind: maps[kind] for kind in self.outputs}, frame)
        raw = self.generator(inputs.contiguous(memory_format=self._format))
        leaf = raw.detach().requires_grad_()
        made = self.interface.split(leaf)
        losses, own = self._adversarial_losses(inputs, made, truth, mask)
        losses |= self.map_losses(made, truth, maps, frame, mask)
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        (gradient,) = torch.autograd.grad(total, leaf, retain_graph=True)
        contrasts = {kind: contrast(made[kind], truth[kind], mask) for kind in self.outputs}
        losses |= own
        self._stop_if_wrong(losses, leaf, gradient, contrasts, batch["key"], batch_index)
        owned = sum(self._own_weights[name] * loss for name, loss in own.items())
        self._descend((raw * gradient).sum() + owned, batch_index)
        scalars = {f"train/{name}": loss.detach() for name, loss in losses.items()}
        self.log_dict(scalars, batch_size=len(mask))
        self.log("train/total", total.detach(), prog_bar=True, batch_size=len(mask))

    def _as_read(self, maps: Maps) -> Maps:
        """The maps with the flaws of files on those that a network made or somebody captured."""
        read = {kind: maps[kind] for kind in REFLECTANCE if kind in maps}
        if not self.input_flaws or not read:
            return maps
        seeds = torch.randint(1 << 31, (len(maps["mask"]),)).tolist()
        with torch.no_grad():
            return {**maps, **apply_flaws(read, self.input_flaws, seeds)}

    def _adversarial_losses(
        self, inputs: Tensor, made: Maps, truth: Maps, mask: Tensor
    ) -> tuple[Maps, Maps]:
        """The generator's, and the discriminator's own; both empty without a discriminator."""
        if self.discriminator is None:
            return {}, {}
        real, fake = (self.interface.join(one) for one in (truth, made))
        both = (pair(inputs, one, mask, self._format) for one in (real, fake))
        generators, own = adversarial_losses(self.discriminator, *both)
        if self.r1_weight and self._step % self.r1_interval == 0:  # all batches of such a step
            own["r1"] = r1_penalty(self.discriminator, inputs, real, mask, self._format)
        return generators, own

    @property
    def _step(self) -> int:
        """Steps done, those before a run was resumed too; Lightning counts both optimisers'."""
        return self.trainer.global_step // len(self._networks)

    def map_losses(
        self, made: Maps, truth: Maps, maps: Maps, frame: Frame | None, mask: Tensor
    ) -> Maps:
        """Losses of the maps themselves, by the names of ``weights``.

        Args:
            made: By kind, normals in the networks' space.
            truth: Likewise.
            maps: The prepared batch, in object space.
            frame: Between the two.
            mask: Where texels count.
        """
        weights, kinds, losses = self.weights, self.outputs, {}
        if weights["reconstruction"]:
            losses["reconstruction"] = reconstruction_loss(made, truth, mask, kinds)
        if weights["gradient"]:
            losses["gradient"] = gradient_loss(made, truth, mask, kinds)
        if weights["rendering"] and self._can_relight(maps):
            absolute = self.interface.absolute(made, frame)
            count, lighting = self.rendering_lights, self.lighting
            losses["rendering"] = rendering_loss(absolute, maps, mask, lighting, count)
        return losses

    def _can_relight(self, maps: Maps) -> bool:
        """Whether all is there; what is missing is told once."""
        missing = [kind for kind in LIT_FROM if kind not in maps]
        if missing and not self._told:
            log.warning("no rendering loss: samples have no %s", ", ".join(missing))
            self._told = True
        return not missing

    def _stop_if_wrong(
        self,
        losses: Maps,
        leaf: Tensor,
        gradient: Tensor,
        contrasts: Maps,
        keys: list[str],
        batch_index: int,
    ) -> None:
        """End all processes together: one that is left alone would wait for the others."""
        problem = self._watch.look(losses, leaf, gradient, contrasts)
        wrong = torch.tensor(float(problem is not None), device=self.device)
        if self.trainer.world_size > 1:
            wrong = self.trainer.strategy.reduce(wrong, reduce_op="max")
        if wrong:
            where = f"epoch {self.current_epoch}, step {batch_index}"
            raise failure(problem or "another process has stopped", where, keys)

    def _descend(self, loss: Tensor, batch_index: int) -> None:
        """Add a loss's gradients, and step where enough batches are together."""
        # Of the weights alone: what the prediction gets was computed before.
        weights = [weight for weight in self.parameters() if weight.requires_grad]
        self.manual_backward(loss / self._together(batch_index), inputs=weights)
        if self.accumulating(batch_index):
            return
        optimizers = self.optimizers()
        for optimizer in optimizers if isinstance(optimizers, list) else [optimizers]:
            optimizer.step()
            optimizer.zero_grad()

    def _together(self, batch_index: int) -> int:
        batches = self.trainer.num_training_batches
        return batches_together(batch_index, self.accumulate_batches, batches)

    def accumulating(self, batch_index: int) -> bool:
        """Whether gradients are left over from this batch for the next one."""
        at = batch_index % self.accumulate_batches + 1
        return at < self._together(batch_index)

    def on_before_optimizer_step(self, optimizer: torch.optim.Optimizer) -> None:
        """Clip, where that is asked for."""
        if self.clip_gradient_norm:
            weights = [weight for group in optimizer.param_groups for weight in group["params"]]
            norm = nn.utils.clip_grad_norm_(weights, self.clip_gradient_norm)
            which = "generator" if optimizer is self.trainer.optimizers[0] else "discriminator"
            self.log(f"train/{which}_gradient_norm", norm)

    def on_train_epoch_end(self) -> None:
        """Lower the learning rates where it is time."""
        schedulers = self.lr_schedulers() or []
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            scheduler.step()

    # Validation.

    def forward(self, maps: Maps) -> Maps:
        """The predicted maps by kind: albedo as encoded, unclamped; normals unit, object space."""
        frame = self.interface.frame(maps)
        raw = self.generator(self.interface.read(maps, frame))
        return self.interface.absolute(self.interface.split(raw), frame)

    def on_validation_epoch_start(self) -> None:
        """Begin the sums of the metrics."""
        self._scores = Scores(self.outputs)

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Maps]:
        """Sum the metrics; returns the completed ``maps``, and the ``predicted`` ones."""
        generator = torch.Generator(device=self.device).manual_seed(batch_index)
        maps = self.prepare(batch, generator)
        predicted, mask = self(maps), maps.get("known", maps["mask"])
        self._scores.add(predicted, maps, mask)
        shown = {name: maps[name] for name in maps if name in (*KINDS, *MADE_BY_LIGHT)}
        return {"maps": {**shown, "known": mask}, "predicted": predicted}

    def on_validation_epoch_end(self) -> None:
        """Log the metrics' means over the images of all processes."""
        means = self._scores.means(self.trainer.strategy)
        for name, value in means.items():
            self.log(f"val/{name}", value, prog_bar="/" not in name, sync_dist=True)
        self._metrics = {name: float(value) for name, value in means.items()}

    # What is kept.

    def descriptor(self) -> Descriptor:
        """What the generator is, for whoever loads it."""
        data = getattr(self.trainer, "datamodule", None)
        return Descriptor(
            translator=self.name,
            inputs=self.inputs,
            outputs=self.outputs,
            generator=self.generator_name,
            arguments=self.generator.arguments,
            multiple_of=self.generator.multiple_of,
            receptive_margin=self.generator.receptive_margin + self.interface.frame_reach,
            spatial_statistics=self.generator.spatial_statistics,
            space=self.interface.space,
            frame_millimetres=self.frame_millimetres,
            millimetres_per_texel=getattr(data, "millimetres_per_texel", None),
            metrics={name: one for name, one in self._metrics.items() if math.isfinite(one)},
            data=getattr(data, "about", {}),
            epochs=self._epochs_trained(),
            licence=self.licence,
        )

    def _epochs_trained(self) -> int:
        """Lightning counts an epoch only after the checkpoints of its end."""
        loop = self.trainer.fit_loop
        counted, begun = loop.epoch_progress.current.processed, loop.epoch_progress.current.started
        return counted + (begun > counted and loop.epoch_loop.batch_progress.is_last_batch)

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the descriptor into the checkpoint."""
        checkpoint["descriptor"] = asdict(self.descriptor())
