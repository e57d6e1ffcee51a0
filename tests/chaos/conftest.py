"""What the chaos tests share."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.daemons import make_models


@pytest.fixture(scope="session")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny BERT to train, and the same as a sentence encoder."""
    return make_models(tmp_path_factory.mktemp("models"))
