"""Where a model keeps an adapter apart from the weights that it was learnt on."""

from __future__ import annotations

from pathlib import Path

ADAPTER_FOLDER = "adapter"
FOUNDATION_FOLDER = "foundation"
"""The weights that an adapter was learnt on, without it: those of the base model, or of a champion that was tuned whole."""


def has_adapter(folder: Path) -> bool:
    """Return whether the model in `folder` keeps an adapter apart from the weights that it was learnt on."""
    return (folder / ADAPTER_FOLDER).is_dir()
