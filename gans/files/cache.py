"""The cache folder: downloaded weights, features of real images, compiled programs."""

from __future__ import annotations

import os
from pathlib import Path

from gans.files import paths


def folder() -> Path:
    """The path of the cache folder: `gans` in XDG_CACHE_HOME, or else in ~/.cache.

    The folder may not exist yet.
    """
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.abspath(paths.expanded(root)), "gans")
