"""What tests of several kinds share."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

# The processes that tests start find the packages of the repository as pytest itself does, installed or not.
_ROOT = Path(__file__).parents[1]
os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(_ROOT / "artifact"), os.environ.get("PYTHONPATH", ""))))

# Parallel test processes are given the width of a terminal that they do not have.
os.environ.pop("COLUMNS", None)


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT to train, and the same as a sentence encoder."""
    from tests.support.daemons import make_models  # noqa: PLC0415 - brings torch, which most tests do without

    return make_models(tmp_path_factory.mktemp("models"))
