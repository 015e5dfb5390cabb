"""Where things of the user are kept."""

from __future__ import annotations

import os
from pathlib import Path


def cache_folder() -> Path:
    """What may be deleted at any time and is made again when needed."""
    root = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(root) / "segscape"
