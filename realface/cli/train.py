"""`train.py`: LightningCLI with the project's loggers, checkpoints and resume."""

import logging
import netrc
import os
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytorch_lightning as pl
from jsonargparse import ArgumentError
from pytorch_lightning.callbacks import LearningRateMonitor, ModelCheckpoint
from pytorch_lightning.cli import LightningArgumentParser, LightningCLI
from pytorch_lightning.loggers import CSVLogger, WandbLogger
from pytorch_lightning.utilities.exceptions import MisconfigurationException

from realface.cli.console import run
from realface.data.datamodule import ReflectanceDataModule
from realface.errors import InputError
from realface.maps.files import disk_failure
from realface.translators import Translator
from realface.translators.checkpoints import AtomicCheckpointIO
from realface.translators.panels import PanelWriter
from realface.weights import load_checkpoint

log = logging.getLogger(__name__)


class TrainCLI(LightningCLI):
    """One run of one translator, kept in a folder of its own."""

    def add_arguments_to_parser(self, parser: LightningArgumentParser) -> None:
        """What a run has besides model, data and trainer."""
        parser.add_argument(
            "--run_dir",
            type=Path | None,
            default=None,
            help="folder of the run (runs/<translator>); one that holds a checkpoint is resumed",
        )
        parser.add_argument(
            "--wandb",
            type=Literal["auto", "online", "offline", "disabled"],
            default="auto",
            help="auto: online where you are logged in, offline elsewhere",
        )

    def instantiate_classes(self) -> None:
        """Build model, data and trainer.

        Raises:
            InputError: If one of them refuses a value.
        """
        try:
            super().instantiate_classes()
        except (ValueError, TypeError, ImportError, MisconfigurationException) as error:
            raise InputError(
                str(error),
                "values that the translator, the data module and the trainer accept",
                "correct the flag or the line of the config",
            ) from error

    def instantiate_trainer(self, **arguments: Any) -> pl.Trainer:
        """The trainer with loggers, checkpoints and panels in the run's folder."""
        self.run_dir = Path(self._get(self.config_init, "run_dir") or f"runs/{self.model.output}")
        arguments["logger"] = self._loggers(str(self._get(self.config_init, "wandb")))
        arguments["callbacks"] = [
            self._checkpoint("best", monitor="val/psnr", mode="max"),
            # At the epoch's very end, when the schedulers have made their step too.
            self._checkpoint("last", save_on_train_epoch_end=True),
            LearningRateMonitor(),
            PanelWriter(self.run_dir / "panels"),
        ]
        arguments["plugins"] = [AtomicCheckpointIO()]
        return super().instantiate_trainer(**arguments)

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
        if wandb != "disabled":
            offline = wandb == "offline" or (wandb == "auto" and not _logged_in())
            loggers.append(
                WandbLogger(
                    name=self.run_dir.name,
                    save_dir=self.run_dir,
                    project="realface",
                    offline=offline,
                    mode="offline" if offline else "online",
                )
            )
        return loggers

    def fit(self, **arguments: Any) -> None:
        """Train; a run folder that holds a checkpoint is resumed.

        Raises:
            InputError: If that checkpoint is damaged or of another generator.
        """
        last = self.run_dir / "checkpoints" / "last.ckpt"
        if not arguments.get("ckpt_path") and last.is_file():
            self._check_same_generator(last)
            log.info("resuming from %s; name another --run_dir to start anew", last)
            arguments["ckpt_path"] = last
        if arguments.get("ckpt_path"):
            arguments["weights_only"] = True
        self.trainer.fit(**arguments)

    def _check_same_generator(self, checkpoint: Path) -> None:
        found, here = load_checkpoint(checkpoint).descriptor, self.model
        if (found.translator, found.arguments) != (here.output, here.generator.arguments):
            raise InputError(
                f"{self.run_dir}, a run of {found.translator} with {found.arguments}",
                f"a run of {here.output} with {here.generator.arguments}, or a new folder",
                "name another --run_dir, or the config that this run was started with",
            )


def _leave_out_noise() -> None:
    """What Lightning and WebDataset say that no user can act on."""
    for message in (
        "LightningCLI's args parameter",  # `realface train` passes its own on purpose
        r"\.with_length\(\) only sets",  # it is meant to
        r"`isinstance\(treespec, LeafSpec\)`",  # Lightning's to mend
        ".*does not have many workers",  # --data.workers says how many
        ".*exists and is not empty",  # a resumed run's folder is not
    ):
        warnings.filterwarnings("ignore", message=message)
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).addFilter(lambda record: "Tip:" not in record.getMessage())


def _logged_in() -> bool:
    """Whether W&B has a key; asked of the places it looks in, for `wandb.api` would go online."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    try:
        return netrc.netrc().authenticators("api.wandb.ai") is not None
    except (OSError, netrc.NetrcParseError):
        return False


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
    try:
        TrainCLI(
            Translator,
            ReflectanceDataModule,
            subclass_mode_model=True,
            seed_everything_default=0,
            save_config_kwargs={"overwrite": True},
            parser_kwargs={"exit_on_error": False},
            args=list(arguments),
        )
    except ArgumentError as error:
        raise InputError(
            str(error),
            "options and config keys that `train.py fit --help` lists",
            "correct the flag or the line of the config",
        ) from error
    except OSError as error:
        raise disk_failure(Path(error.filename or "the run's folder"), error) from error
