"""Where the real sets lie; a test that reads them skips with the reason, or fails in CI, where they always stand."""

from __future__ import annotations

from pathlib import Path

from tests.support.missing import missing

FOLDER = Path(__file__).resolve().parents[3] / "shared" / "data"


def real(relative: str) -> Path:
    """Return the path of one real file."""
    path = FOLDER / relative
    if not path.exists():
        missing(f"real data is missing: {relative} is looked for in shared/data beside the repository")
    return path
