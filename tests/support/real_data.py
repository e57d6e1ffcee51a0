"""Where the real sets lie; a test that reads them skips with the reason, or fails in CI, where they always stand."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"


def real(relative: str) -> Path:
    """Return the path of one real file."""
    path = FOLDER / relative
    if not path.exists():
        reason = f"real data is missing: {relative} is looked for in shared/data beside the repository"
        if os.environ.get("CI", "").lower() in ("1", "true"):
            pytest.fail(reason)
        pytest.skip(reason)
    return path
