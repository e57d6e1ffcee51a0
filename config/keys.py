"""The dotted names of settings, and the environment variables that set them: `serving.port` is PERENNIAL_SERVING__PORT."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

ENV_PREFIX = "PERENNIAL_"
ENV_FILE_VARIABLE = "PERENNIAL_CONFIG"
"""Names the settings file; the one variable with the prefix that is not a setting."""


def variables() -> list[str]:
    """Return the names of the environment's variables that set something, sorted."""
    return sorted(name for name in os.environ if name.upper().startswith(ENV_PREFIX) and name.upper() != ENV_FILE_VARIABLE)


def key_of(variable: str) -> str:
    """Return the dotted key that a variable sets."""
    return variable[len(ENV_PREFIX) :].lower().replace("__", ".")


def variable_of(key: str) -> str:
    """Return the variable that sets a dotted key."""
    return ENV_PREFIX + key.upper().replace(".", "__")


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return the leaves of nested mappings under their dotted keys."""
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if isinstance(value, Mapping):
            flat.update(flatten(value, f"{prefix}{key}."))
        else:
            flat[prefix + key] = value
    return flat
