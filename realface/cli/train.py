"""`train.py`: LightningCLI with the project's loggers, checkpoints and resume."""

import logging
import sys
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
import torch
import yaml
from jsonargparse import ArgumentError
from jsonargparse.typing import NonNegativeFloat, restricted_number_type
from pytorch_lightning.callbacks import (
    LearningRateMonitor,
    ModelCheckpoint,
    ProgressBar,
    TQDMProgressBar,
)
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI, SaveConfigCallback
from pytorch_lightning.loggers import CSVLogger, TensorBoardLogger, WandbLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from realface.cli.config_errors import in_words
from realface.cli.console import run
from realface.cli.trainer_options import check_trainer
from realface.cli.wandb_run import wandb_id, wandb_mode
from realface.data.datamodule import ReflectanceDataModule
from realface.data.patch_datamodule import PatchDataModule
from realface.errors import FailureError, InputError, is_out_of_memory
from realface.maps.files import disk_failure
from realface.report.error_histograms import ErrorHistograms
from realface.report.speed import SpeedMonitor
from realface.report.training_panels import PanelWriter
from realface.translators import Translator
from realface.translators.averaging import MovingAverage
from realface.translators.checkpoints import AtomicCheckpointIO, TimedCheckpoint
from realface.translators.warm_start import differences, start_from
from realface.weights import load_checkpoint

log = logging.getLogger(__name__)

_ACCEPTED = "values that the translator, the data module and the trainer accept"
_CORRECT = "correct the flag or the line of the config"
# When a run is resumed: where data lies, and what changes speed and memory, not what is learned.
_MAY_CHANGE = {
    "data": {"shards", "workers", "validation_samples", "on_error", "cache"},
    "model": {
        "channels_last",
        "compile_networks",
        "gradient_checkpointing",
        "collapse_patience",
        "licence",
    },
}


class ShortBar(TQDMProgressBar):
    """The epoch's time left, the generator's total loss and the validation metrics, on one line."""

    def get_metrics(self, *arguments: Any) -> dict[str, Any]:
        """What stands behind the bar."""
        return {
            name: value
            for name, value in super().get_metrics(*arguments).items()
            if name != "v_num"
        }


class RunConfig(SaveConfigCallback):
    """Keeps the resolved config in the run's folder, and beside each numbered log."""

    def save_config(self, trainer: pl.Trainer, *_: Any) -> None:
        """Write ``config.yaml`` of the newest start."""
        path = Path(trainer.loggers[0].save_dir) / self.config_filename
        self.parser.save(self.config, path, skip_none=False, overwrite=True)


class TrainCLI(LightningCLI):
    """One run of one translator, kept in a folder of its own."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What a run has besides model, data and trainer."""
        # A config that names another data module replaces it, and keeps the values that both take.
        shards = f"{ReflectanceDataModule.__module__}.{ReflectanceDataModule.__name__}"
        parser.set_defaults({"data": {"class_path": shards}})
        parser.add_argument(
            "--run_dir",
            type=Path | None,
            default=None,
            help="folder of the run (runs/<translator>); one that holds a checkpoint is resumed",
        )
        parser.add_argument(
            "--checkpoint_minutes",
            type=NonNegativeFloat,
            default=10.0,
            help="a checkpoint at least so often within an epoch; there is one at its end too",
        )
        parser.add_argument(
            "--wandb",
            type=Literal["auto", "online", "offline", "disabled"],
            default="auto",
            help="auto: online where you are logged in, offline elsewhere",
        )
        parser.add_argument(
            "--tensorboard", type=bool, default=False, help="log for TensorBoard too"
        )
        parser.add_argument(
            "--start_from",
            type=Path | None,
            default=None,
            help="checkpoint or weights folder whose networks a new run starts from",
        )
        parser.add_argument(
            "--ema_decay",
            type=restricted_number_type("decay", float, [(">=", 0), ("<", 1)]),
            default=0.0,
            help="of an average of the weights, which is validated and kept; 0: the weights "
            "themselves; 0.999 is usual",
        )

    def instantiate_classes(self) -> None:
        """Build model, data and trainer.

        Raises:
            InputError: If one of them refuses a value.
        """
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
            said = error.__cause__ or error  # jsonargparse wraps it and tells the whole config
            if isinstance(said, InputError):
                raise said from error
            raise InputError(str(said), _ACCEPTED, _CORRECT) from error

    def instantiate_trainer(self, **arguments: Any) -> pl.Trainer:
        """The trainer with loggers, checkpoints and panels in the run's folder.

        Raises:
            InputError: If the config asks for what train.py or the translator brings or refuses.
        """
        asked = self._get(self.config_init, "trainer")
        check_trainer(asked)
        self.run_dir = Path(self._get(self.config_init, "run_dir") or f"runs/{self.model.name}")
        arguments["logger"] = self._loggers(str(self._get(self.config_init, "wandb")))
        arguments["plugins"] = [AtomicCheckpointIO()]
        return super().instantiate_trainer(callbacks=self._callbacks(asked), **arguments)

    def _callbacks(self, asked: Any) -> list[pl.Callback]:
        given = asked["callbacks"] or []
        decay = float(self._get(self.config_init, "ema_decay"))
        callbacks = [
            *(given if isinstance(given, list) else [given]),
            # Before whatever saves: a checkpoint holds the average after its batch.
            *([MovingAverage(decay)] if decay else []),
            self._checkpoint("best", monitor="val/psnr", mode="max"),
            # At the epoch's very end, when the schedulers have made their step too.
            self._checkpoint("last", save_on_train_epoch_end=True),
            TimedCheckpoint(self._last, float(self._get(self.config_init, "checkpoint_minutes"))),
            LearningRateMonitor(),
            SpeedMonitor(),
            PanelWriter(self.run_dir / "panels"),
            ErrorHistograms(self.run_dir / "panels"),
        ]
        own_bar = any(isinstance(one, ProgressBar) for one in callbacks)
        if not own_bar and asked["enable_progress_bar"] is not False:
            # A log keeps every state of the bar, a terminal only the last.
            callbacks.append(ShortBar(refresh_rate=1 if sys.stdout.isatty() else 20))
        return callbacks

    @property
    def _last(self) -> Path:
        return self.run_dir / "checkpoints" / "last.ckpt"

    def _checkpoint(self, name: str, **arguments: Any) -> ModelCheckpoint:
        return ModelCheckpoint(
            dirpath=self.run_dir / "checkpoints",
            filename=name,
            enable_version_counter=False,
            **arguments,
        )

    def _loggers(self, wandb: str) -> list[Any]:
        # Numbered folders: a resumed run keeps the metrics of the runs before.
        loggers: list[Any] = [CSVLogger(self.run_dir, name="logs")]
        mode = wandb_mode(wandb)
        if mode != "disabled":
            loggers.append(
                WandbLogger(
                    name=self.run_dir.name,
                    save_dir=self.run_dir,
                    project="realface",
                    offline=mode == "offline",
                    mode=mode,
                    id=wandb_id(self.run_dir),
                    resume="allow",
                )
            )
        if self._get(self.config_init, "tensorboard"):
            try:
                loggers.append(TensorBoardLogger(self.run_dir, name="tensorboard"))
            except ModuleNotFoundError as error:
                raise InputError(
                    "--tensorboard true, and TensorBoard is not installed",
                    "the optional extra",
                    'pip install "realface[tensorboard]"',
                ) from error
        return loggers

    @staticmethod
    def subcommands() -> dict[str, set[str]]:
        """``fit`` and ``validate``: maps are predicted by infer.py."""
        return {
            name: skipped
            for name, skipped in LightningCLI.subcommands().items()
            if name in ("fit", "validate")
        }

    def _check_same_settings(self) -> None:
        """Refuse to go on with a run that was started with other settings.

        The checkpoint's optimisers keep their own rates: a changed one would be recorded and have
        no effect. Data with other settings would repeat some patches and leave out others; shards
        may have moved.
        """
        saved = self.run_dir / "config.yaml"
        if not saved.is_file():
            return
        before = yaml.safe_load(saved.read_text(encoding="utf-8")) or {}
        here = yaml.safe_load(self._parser("fit").dump(self.config["fit"]))
        old, new = _settings(before), _settings(here)
        changed = [name for name in new if name in old and old[name] != new[name]]
        if changed:
            raise InputError(
                f"{self.run_dir}, a run with "
                + ", ".join(f"{name} {old[name]}" for name in changed),
                "the same settings as here: "
                + ", ".join(f"{name} {new[name]}" for name in changed),
                "name another --run_dir, or go on with the run's own config.yaml",
            )
        moved = [_shards(config) for config in (before, here)]
        if moved[0] != moved[1]:
            log.warning("this run was trained on shards %s; now on %s", *moved)

    def fit(self, **arguments: Any) -> None:
        """Train; a run folder that holds a checkpoint is resumed.

        Raises:
            InputError: If that checkpoint is damaged or of another translator, or its run had
                other settings, or there are more processes than validation samples.
            FailureError: If memory runs out.
        """
        self._check_validation_samples()
        if not arguments.get("ckpt_path") and self._last.is_file():
            log.info("resuming from %s; name another --run_dir to start anew", self._last)
            arguments["ckpt_path"] = self._last
        if arguments.get("ckpt_path"):
            arguments["weights_only"] = True
            self._check_checkpoint(arguments["ckpt_path"])
        elif (started := self._get(self.config_init, "start_from")) is not None:
            start_from(self.model, Path(started))
        try:
            self.trainer.fit(**arguments)
        except MisconfigurationException as error:
            raise InputError(str(error), _ACCEPTED, _CORRECT) from error
        except (RuntimeError, MemoryError) as error:
            if not is_out_of_memory(error):
                raise
            raise FailureError(
                f"out of memory: {(str(error).splitlines() or ['no details'])[0]}",
                "memory for a batch and the networks",
                "add --config configs/small_gpu.yaml, or give a smaller --data.batch_size, "
                "--data.crop or base_channels; name another --run_dir if an epoch of this run is "
                "finished",
            ) from error
        if self.trainer.is_global_zero:
            log.info("checkpoints and panels are in %s", self.run_dir)

    def _check_checkpoint(self, path: str | Path) -> None:
        """Refuse to go on from another run's networks, or from this run's with other settings."""
        checkpoint = Path(path)
        if not checkpoint.is_file():
            if str(path) in ("best", "last", "hpc", "registry"):  # Lightning's words
                return
            raise InputError(
                f"checkpoint {path}, which is no file", "a checkpoint", "check --ckpt_path"
            )
        self._check_same_networks(checkpoint)
        if checkpoint.resolve().is_relative_to(self.run_dir.resolve()):
            self._check_same_settings()

    def _check_validation_samples(self) -> None:
        """A process without a validation sample would keep the others waiting for ever."""
        processes = self.trainer.world_size
        if processes == 1:
            return
        used = self.datamodule.validation_count()
        if used < processes:
            raise InputError(
                f"{used} validation samples for {processes} processes",
                "at least one for each",
                "raise --data.validation_samples, pack more subjects, or lower --trainer.devices",
            )

    def _check_same_networks(self, checkpoint: Path) -> None:
        differing = differences(load_checkpoint(checkpoint).descriptor, self.model)
        stored = torch.load(checkpoint, map_location="cpu", weights_only=True, mmap=True)
        if not differing and _shapes(stored["state_dict"]) != _shapes(self.model.state_dict()):
            differing.append("another discriminator")
        if differing:
            raise InputError(
                f"{checkpoint}, of a run with {', '.join(differing)}",
                "a checkpoint of the translator that the config describes, or a new folder",
                "name another --run_dir, or the config that this run was started with",
            )


def _settings(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a resumed run must have in common with the one before, by name."""
    values: dict[str, Any] = {
        name: config[name] for name in ("seed_everything", "ema_decay") if name in config
    }
    for part in ("model", "data"):
        chosen = config.get(part) or {}
        values[part] = str(chosen.get("class_path")).rpartition(".")[2]
        for name, value in (chosen.get("init_args") or {}).items():
            if name not in _MAY_CHANGE[part]:
                values[f"{part}.{name}"] = value
    return values


def _shards(config: Mapping[str, Any]) -> list[str]:
    shards = (config["data"].get("init_args") or {}).get("shards") or []
    return [str(one) for one in (shards if isinstance(shards, list) else [shards])]


def _check_flags(arguments: Sequence[str]) -> None:
    """Of a flag that is repeated, the parser would take the last one without a word."""
    named = [one for one in arguments if one.partition("=")[0] == "--data.shards"]
    if len(named) > 1:
        raise InputError(
            "--data.shards more than once",
            "one flag that names all folders",
            "give --data.shards '[FOLDER, FOLDER]', or braces",
        )


def _shapes(state: Mapping[str, torch.Tensor]) -> dict[str, tuple[int, ...]]:
    return {name: tuple(tensor.shape) for name, tensor in state.items()}


def _leave_out_noise() -> None:
    """What Lightning and WebDataset say that no user can act on."""
    for message in (
        "LightningCLI's args parameter",  # `realface train` passes its own on purpose
        r"\.with_length\(\) only sets",  # it is meant to
        r"`isinstance\(treespec, LeafSpec\)`",  # Lightning's to mend
        ".*does not have many workers",  # --data.workers says how many
        ".*exists and is not empty",  # a resumed run's folder is not
        ".*smaller than the logging interval",  # a short run is meant to be short
    ):
        warnings.filterwarnings("ignore", message=message)
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).addFilter(lambda record: "Tip:" not in record.getMessage())


def main(arguments: Sequence[str] | None = None) -> None:
    """Run and exit with a code: 0 done, 1 failure, 2 the input is at fault."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    sys.exit(run(lambda: train(given)))


def train(arguments: Sequence[str]) -> None:
    """Parse, then do what the subcommand says.

    Raises:
        InputError: If an option or config key is unknown or ill-typed.
        FailureError: If the disk refuses.
    """
    _leave_out_noise()
    _check_flags(arguments)
    try:
        TrainCLI(
            Translator,
            PatchDataModule,
            subclass_mode_model=True,
            subclass_mode_data=True,
            auto_configure_optimizers=False,  # one of the command line's would replace both Adams
            seed_everything_default=0,
            save_config_callback=RunConfig,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"exit_on_error": False},
            args=list(arguments),
        )
    except ArgumentError as error:
        raise in_words(str(error)) from error
    except OSError as error:
        raise disk_failure(Path(error.filename or "the run's folder"), error) from error
