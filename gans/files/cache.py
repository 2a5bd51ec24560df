"""The folder for what can be had again: downloaded weights, features of reference images."""

from __future__ import annotations

import os
from pathlib import Path

from gans.files import paths


def folder() -> Path:
    """`gans` in XDG_CACHE_HOME, or else in ~/.cache; not made yet."""
    root = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(os.path.abspath(paths.expanded(root)), "gans")
