"""The generator/discriminator step, once, for all translators."""

import math
import os
from dataclasses import asdict
from typing import Any, ClassVar, Literal

import numpy as np
import pytorch_lightning as pl
import torch
from torch import Tensor

from realface.errors import FailureError, InputError
from realface.losses.adversarial import least_squares_discriminator, least_squares_generator
from realface.losses.angular import angular
from realface.losses.feature_matching import feature_matching
from realface.losses.reconstruction import reconstruction
from realface.maps.kinds import KINDS, REFLECTANCE
from realface.metrics.image import SMALLEST
from realface.metrics.measure import measure
from realface.networks.channels import (
    assemble,
    input_channels,
    input_kinds,
    map_to_output,
    output_to_map,
    residual_channels,
)
from realface.networks.discriminator import MultiScaleDiscriminator
from realface.networks.generator import GENERATORS, Generator
from realface.shading.capture import Lighting
from realface.synthetic.flaws import IN_INPUTS, apply_flaws, check_flaws
from realface.tiling.windows import next_multiple
from realface.weights import Descriptor

Maps = dict[str, Tensor]


class Translator(pl.LightningModule):
    """One reflectance map from others, trained as pix2pixHD trains (arXiv:1711.11585).

    Least-squares adversarial and feature-matching losses, no perceptual one, as AvatarMe; a
    reconstruction loss can be added. Optimisation is manual, with two traps of Lightning's to
    know: ``global_step`` counts the steps of both optimisers (so set ``max_epochs``, not
    ``max_steps``), and ``gradient_clip_val`` is refused (use ``clip_gradient_norm``).

    Lights and whatever else is drawn from torch's own generators depend on the seed (Lightning's
    ``seed_everything``), the epoch, the step and the process: a resumed run draws what it would
    have drawn, and processes do not share their draws.

    Args:
        inputs: Words of `realface.networks.channels.INPUTS`.
        generator: ``local`` (AvatarMe) or ``global``, its inner part alone.
        base_channels: Of the generator at full resolution.
        downsamples: Halvings inside the global generator.
        blocks: Residual blocks of the global generator.
        local_blocks: Residual blocks of the local generator.
        norm: ``instance`` (the paper) or ``none``.
        upsampling: ``transposed`` (the paper) or ``resize`` (no checkerboard).
        residual: The generator corrects the input that is close to its output (texture,
            shape_normals) or, where none is, starts from a typical value, instead of making the
            output from nothing; not the paper's.
        discriminator_channels: Of its first layer.
        discriminator_layers: Stride-2 convolutions.
        discriminator_scales: Image scales.
        learning_rate: Of both Adams.
        beta1: Of both Adams.
        beta2: Of both Adams.
        constant_share: Share of the epochs before the rate falls linearly to zero.
        adversarial_weight: 0 together with ``feature_matching_weight`` trains no discriminator.
        feature_matching_weight: As pix2pixHD's lambda.
        reconstruction_weight: L1 for albedos, 1 - cosine for normals; 0 in the paper.
        lighting: Of textures, which de-lighting alone reads: ``varied`` (rooms, skies and lamps,
            cast shadows, scattering) or ``studio`` (AvatarMe++'s, around three lamps).
        flaw_probability: Of each camera flaw (blur, noise, JPEG) on a lit training texture.
        input_flaws: Of files, put on the reflectance maps that are read in training, not on the
            truth: names of `realface.synthetic.flaws.IN_INPUTS`.
        clip_gradient_norm: Of each network; 0: not clipped.
        licence: Of the weights, kept in their descriptor.

    Raises:
        InputError: If an input or a flaw is unknown, or all three weights are 0.
        ValueError: If a network refuses a number.
    """

    output: ClassVar[str]
    """The kind of map that is made."""

    residual_base: ClassVar[str | None]
    """The input word that is close to the output, if one is."""

    typical: ClassVar[float] = 0.0
    """A usual value of the output in [-1, 1], where no input is close to it."""

    def __init__(
        self,
        inputs: list[str],
        generator: Literal["local", "global"] = "local",
        base_channels: int = 32,
        downsamples: int = 4,
        blocks: int = 9,
        local_blocks: int = 3,
        norm: Literal["instance", "none"] = "instance",
        upsampling: Literal["transposed", "resize"] = "transposed",
        residual: bool = False,
        discriminator_channels: int = 64,
        discriminator_layers: int = 3,
        discriminator_scales: int = 2,
        learning_rate: float = 1e-4,
        beta1: float = 0.5,
        beta2: float = 0.999,
        constant_share: float = 0.5,
        adversarial_weight: float = 1.0,
        feature_matching_weight: float = 10.0,
        reconstruction_weight: float = 0.0,
        lighting: Lighting = "varied",
        flaw_probability: float = 0.0,
        input_flaws: list[str] | None = None,
        clip_gradient_norm: float = 0.0,
        licence: str | None = None,
    ) -> None:
        super().__init__()
        self.automatic_optimization = False
        self.inputs = tuple(inputs)
        self.learning_rate, self.betas = learning_rate, (beta1, beta2)
        self.constant_share = constant_share
        self.weights = {
            "adversarial": adversarial_weight,
            "feature_matching": feature_matching_weight,
            "reconstruction": reconstruction_weight,
        }
        if not any(self.weights.values()):
            names = [f"{name}_weight" for name in self.weights]
            raise InputError(
                f"{', '.join(names)}: all 0",
                "a loss to train with",
                "give one of them a weight above 0",
            )
        self.lighting: Lighting = lighting
        self.flaw_probability = flaw_probability
        self.input_flaws = tuple(input_flaws or ())
        check_flaws(self.input_flaws, IN_INPUTS)
        self.clip_gradient_norm = clip_gradient_norm
        self.licence = licence
        channels = input_channels(inputs)
        made = KINDS[self.output].channels
        arguments: dict[str, Any] = {
            "base_channels": base_channels,
            "downsamples": downsamples,
            "blocks": blocks,
            "norm": norm,
            "upsampling": upsampling,
        }
        if generator == "local":
            arguments["local_blocks"] = local_blocks
        if residual and self.residual_base is not None:
            arguments["residual_channels"] = residual_channels(inputs, self.residual_base, made)
        self.generator_name = generator
        self.generator: Generator = GENERATORS[generator](channels, made, **arguments)
        if residual and self.residual_base is None:
            self.generator.head.start_at(self.typical)
        self.discriminator = (
            MultiScaleDiscriminator(
                channels + made,
                base_channels=discriminator_channels,
                layers=discriminator_layers,
                scales=discriminator_scales,
            )
            if adversarial_weight or feature_matching_weight
            else None
        )

    # What the four translators declare.

    @property
    def required_kinds(self) -> tuple[str, ...]:
        """Kinds of map that a training sample must hold."""
        return tuple(dict.fromkeys((*input_kinds(self.inputs), self.output)))

    @property
    def optional_kinds(self) -> tuple[str, ...]:
        """Kinds that are used where they are there."""
        return ()

    def prepare(self, batch: Maps, generator: torch.Generator | None) -> Maps:
        """Complete a batch before the step, for example light it.

        Args:
            batch: Maps ``(B, C, H, W)`` by kind.
            generator: Of random numbers; None: torch's own.

        Returns:
            The maps, and ``known`` ``(B, 1, H, W)`` where losses and metrics should leave out
            more than the mask does.
        """
        return batch

    # The step.

    def setup(self, stage: str) -> None:
        """Refuse what would end the first step.

        Raises:
            InputError: If the crop does not fit the generator or the metrics, or gradients that
                float16 has scaled would be clipped.
        """
        crop = getattr(self.trainer.datamodule, "crop", None)
        if crop is not None:
            self._check_crop(crop)
        scaler = getattr(self.trainer.precision_plugin, "scaler", None)
        if scaler is not None and self.clip_gradient_norm:
            raise InputError(
                f"clip_gradient_norm {self.clip_gradient_norm} with precision 16-mixed",
                "unscaled gradients: float16 multiplies them by a factor that clipping ignores",
                "use bf16-mixed or 32-true, or set clip_gradient_norm to 0",
            )

    def _check_crop(self, crop: int) -> None:
        multiple = self.generator.multiple_of
        smallest = next_multiple(max(self.generator.minimum_size, SMALLEST), multiple)
        if crop % multiple or crop < smallest:
            below, above = crop // multiple * multiple, next_multiple(crop, multiple)
            nearest = [f"{size}" for size in (below, above) if size >= smallest] or [f"{smallest}"]
            raise InputError(
                f"data.crop {crop}",
                f"a multiple of {multiple}, at least {smallest}, for this generator",
                f"crop to {' or '.join(nearest)}",
            )

    def on_train_start(self) -> None:
        """Set the rates of this epoch: a run that goes on after its end had come to zero."""
        for optimizer in self.trainer.optimizers:
            for group in optimizer.param_groups:
                group["lr"] = self.learning_rate * self._rate_at(self.current_epoch)

    def on_train_batch_start(self, batch: dict[str, Any], batch_index: int) -> None:
        """Seed torch's own generators by the run's seed, the epoch, the step and the process."""
        seed = int(os.environ.get("PL_GLOBAL_SEED", 0))
        words = np.random.SeedSequence((seed, self.current_epoch, batch_index, self.global_rank))
        torch.manual_seed(int(words.generate_state(1)[0]))

    def forward(self, maps: Maps) -> Tensor:
        """The predicted map ``(B, C, H, W)``: albedo as encoded, unclamped; normals unit."""
        inputs = assemble(maps, self.inputs) * maps["mask"]
        return output_to_map(self.generator(inputs), self.output)

    def training_step(self, batch: dict[str, Any], batch_index: int) -> None:
        """Generator step, then discriminator step, on one forward pass of the generator.

        Raises:
            FailureError: If a loss is not finite, naming it and the samples.
        """
        optimizers = self.optimizers()
        both = optimizers if isinstance(optimizers, list) else [optimizers]
        maps = self.prepare(batch, None)
        truth, mask = maps[self.output], maps.get("known", maps["mask"])
        inputs = assemble(self._as_read(maps), self.inputs) * maps["mask"]
        # Before the generator's step freezes the discriminator: both steps look at it.
        real = self._judge(inputs, truth, mask) if self.discriminator else []
        self.toggle_optimizer(both[0])
        prediction = output_to_map(self.generator(inputs), self.output)
        losses = self._generator_losses(inputs, prediction, truth, mask, real)
        total = torch.stack([self.weights[name] * loss for name, loss in losses.items()]).sum()
        self._step(both[0], total, losses, batch["key"])
        self.untoggle_optimizer(both[0])
        if self.discriminator is not None:
            self.toggle_optimizer(both[1])
            fake = self._judge(inputs, prediction.detach(), mask)
            losses["discriminator"] = least_squares_discriminator(real, fake)
            self._step(both[1], losses["discriminator"], losses, batch["key"])
            self.untoggle_optimizer(both[1])
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

    def _generator_losses(
        self,
        inputs: Tensor,
        prediction: Tensor,
        truth: Tensor,
        mask: Tensor,
        real: list[list[Tensor]],
    ) -> Maps:
        """By name; ``real`` is what the discriminator says of the truth, if there is one."""
        losses: Maps = {}
        if self.discriminator is not None:
            fake = self._judge(inputs, prediction, mask)
            losses["adversarial"] = least_squares_generator(fake)
            losses["feature_matching"] = feature_matching(real, fake)
        if self.weights["reconstruction"]:
            if KINDS[self.output].encoding == "unit_vector":
                losses["reconstruction"] = angular(prediction, truth, mask)
            else:
                losses["reconstruction"] = reconstruction(prediction, truth, mask)
        return losses

    def _judge(self, inputs: Tensor, made: Tensor, mask: Tensor) -> list[list[Tensor]]:
        """The discriminator's features of input and map, blank where the mask is not set."""
        assert self.discriminator is not None
        pair = torch.cat((inputs, map_to_output(made, self.output)), dim=1)
        return self.discriminator(pair * mask)

    def _step(self, optimizer: Any, loss: Tensor, losses: Maps, keys: list[str]) -> None:
        if not torch.isfinite(loss):
            numbers = {name: float(value.detach()) for name, value in losses.items()}
            values = ", ".join(f"{name} {number:.4g}" for name, number in numbers.items())
            raise FailureError(
                f"a loss that is not finite: {values}; samples {', '.join(keys)}",
                "finite losses",
                "look at these samples; lower the learning rate; in half precision, try bf16",
            )
        optimizer.zero_grad()
        self.manual_backward(loss)
        if self.clip_gradient_norm:
            self.clip_gradients(
                optimizer, gradient_clip_val=self.clip_gradient_norm, gradient_clip_algorithm="norm"
            )
        optimizer.step()

    def on_train_epoch_end(self) -> None:
        """Lower the learning rates where it is time."""
        schedulers = self.lr_schedulers() or []
        for scheduler in schedulers if isinstance(schedulers, list) else [schedulers]:
            scheduler.step()

    def on_validation_epoch_start(self) -> None:
        """Begin the sums of the metrics."""
        self._sums: Maps = {}

    def validation_step(self, batch: dict[str, Any], batch_index: int) -> dict[str, Tensor]:
        """Sum the metrics; returns the completed maps and the prediction, for panels."""
        generator = torch.Generator(device=self.device).manual_seed(batch_index)
        maps = self.prepare(batch, generator)
        prediction, mask = self(maps), maps.get("known", maps["mask"])
        seen = (mask > 0.5).flatten(1).any(dim=1).sum().float()
        for name, value in measure(prediction, maps[self.output], mask, self.output).items():
            # A batch without a valid texel has no number, and no weight.
            weighted = torch.where(seen > 0, value * seen, torch.zeros_like(value))
            self._sums[name] = self._sums.get(name, 0) + torch.stack((weighted, seen))
        return {**{name: maps[name] for name in maps if name in KINDS}, "prediction": prediction}

    def on_validation_epoch_end(self) -> None:
        """Log the metrics' means over the images of all processes; NaN where no texel was valid.

        Every process logs every metric, whatever its batches held: one that is missing on one
        process would keep the others waiting.
        """
        for name, sums in self._sums.items():
            value, count = self.trainer.strategy.reduce(sums, reduce_op="sum")
            self.log(f"val/{name}", value / count, prog_bar=True, sync_dist=True)

    def configure_optimizers(self) -> Any:
        """Adam for each network, its rate constant and then falling linearly to zero."""
        networks = [self.generator] + ([self.discriminator] if self.discriminator else [])
        optimizers = [
            torch.optim.Adam(network.parameters(), lr=self.learning_rate, betas=self.betas)
            for network in networks
        ]
        schedulers = [
            torch.optim.lr_scheduler.LambdaLR(optimizer, self._rate_at) for optimizer in optimizers
        ]
        return optimizers, schedulers

    def _rate_at(self, epoch: int) -> float:
        epochs = self.trainer.max_epochs or 0
        if epochs < 1:  # without an end there is nothing to fall towards
            return 1.0
        constant = self.constant_share * epochs
        return 1.0 if epoch < constant else (epochs - epoch) / max(1.0, epochs - constant)

    # What is kept.

    def descriptor(self) -> Descriptor:
        """What the generator is, for whoever loads it."""
        data = getattr(self.trainer, "datamodule", None)
        metrics = {
            name.removeprefix("val/"): float(value)
            for name, value in self.trainer.callback_metrics.items()
            if name.startswith("val/") and math.isfinite(value)
        }
        return Descriptor(
            translator=self.output,
            inputs=self.inputs,
            generator=self.generator_name,
            arguments=self.generator.arguments,
            multiple_of=self.generator.multiple_of,
            receptive_margin=self.generator.receptive_margin,
            spatial_statistics=self.generator.spatial_statistics,
            millimetres_per_texel=getattr(data, "millimetres_per_texel", None),
            metrics=metrics,
            licence=self.licence,
        )

    def on_save_checkpoint(self, checkpoint: dict[str, Any]) -> None:
        """Put the descriptor into the checkpoint."""
        checkpoint["descriptor"] = asdict(self.descriptor())
