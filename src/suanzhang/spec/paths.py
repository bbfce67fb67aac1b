"""Paths as users write them."""

from __future__ import annotations

from pathlib import Path


def from_home(text: str | Path) -> Path:
    """A path with its ``~`` written out; that of a user who does not exist stays as it is."""
    try:
        return Path(text).expanduser()
    except RuntimeError:
        return Path(text)
