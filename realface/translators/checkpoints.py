"""Checkpoints that are either whole or absent."""

import os
from pathlib import Path
from typing import Any

from pytorch_lightning.plugins.io import TorchCheckpointIO

from realface.maps.files import partial_path


class AtomicCheckpointIO(TorchCheckpointIO):
    """Writes a checkpoint under a temporary name and renames it into place.

    Lightning's own writer leaves half a file when the disk fills up or the process is killed,
    and that half would then be resumed from.
    """

    def save_checkpoint(
        self, checkpoint: dict[str, Any], path: str | Path, storage_options: Any = None
    ) -> None:
        """Save.

        Raises:
            OSError: If the disk refuses; what stood under ``path`` before stays.
        """
        target = Path(path)
        partial = partial_path(target)
        try:
            super().save_checkpoint(checkpoint, partial, storage_options)
            os.replace(partial, target)
        except RuntimeError as error:  # torch's zip writer turns a full disk into one
            raise OSError(f"{target}: {error}") from error
        finally:
            partial.unlink(missing_ok=True)
