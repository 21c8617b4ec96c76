"""Where a run is logged by W&B, and under which id, without asking W&B itself."""

import netrc
import os
from pathlib import Path


def wandb_mode(asked: str) -> str:
    """``online``, ``offline`` or ``disabled``; ``auto`` follows WANDB_MODE, then the login."""
    if asked != "auto":
        return asked
    stated = {"dryrun": "offline"}.get(mode := os.environ.get("WANDB_MODE", ""), mode)
    if stated in ("online", "offline", "disabled"):
        return stated
    return "online" if logged_in() else "offline"


def logged_in() -> bool:
    """Whether W&B has a key; asked of the places it looks in, for `wandb.api` would go online."""
    if os.environ.get("WANDB_API_KEY"):
        return True
    stated = os.environ.get("NETRC")
    files = [Path(stated)] if stated else [Path.home() / name for name in (".netrc", "_netrc")]
    for file in files:
        try:
            if netrc.netrc(file.expanduser()).authenticators("api.wandb.ai") is not None:
                return True
        except (OSError, netrc.NetrcParseError):
            continue
    return False


def wandb_id(run_dir: Path) -> str | None:
    """The id of the run that the folder holds, from the names that W&B gives its own folders."""
    earlier = sorted(run_dir.glob("wandb/*run-*-*"), key=lambda folder: folder.stat().st_mtime)
    # [offline-]run-DATE_TIME-ID, and -1 behind it for a second one in the same second.
    return earlier[-1].name.removeprefix("offline-").split("-")[2] if earlier else None
