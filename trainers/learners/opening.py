"""Published models opened by the daemon, each by what it says of itself (`model.json`), whatever its task is by now."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from config.errors import RunFailedError
from config.sections import TrainingSettings
from perennial_artifact import formats
from perennial_artifact.description import Description, describe
from perennial_artifact.errors import UnusableError
from perennial_artifact.formats import Opened
from perennial_artifact.predictor import Predictor
from trainers import hardware


def import_library(folder: Path) -> None:
    """Import the library that runs the model in a published folder, which takes seconds. Raises `RunFailedError`."""
    with usable():
        formats.find(describe(folder).format)


def open_model(folder: Path, settings: TrainingSettings) -> Predictor:
    """Return the model in a published folder; the library that runs it is imported now. Raises `RunFailedError`."""
    return open_after(folder, settings, None).predictor


def open_after(folder: Path, settings: TrainingSettings, before: Opened | None) -> Opened:
    """Return the model in a published folder, which may take what has not changed from one that is open. As `open_model`."""
    with usable():
        description = describe(folder)
        formats.find(description.format)
        resources = hardware.resolve(settings, backend=description.backend)
        if "torch" in sys.modules:
            sys.modules["torch"].set_num_threads(resources.threads)
        if "transformers" in sys.modules:
            quieten()
        return formats.open_after(folder, resources.compute, before)


def described(folder: Path) -> Description:
    """Return what a published model says of itself. Raises `RunFailedError`."""
    with usable():
        return describe(folder)


@contextmanager
def usable() -> Iterator[None]:
    """Raise `RunFailedError` where a published model cannot be used."""
    try:
        yield
    except UnusableError as error:
        message = f"{error}; it is not used. Publish the version again or roll back"
        raise RunFailedError(message) from error
    except ImportError as error:
        message = (
            f"a published model needs the package {error.name or error}, which is not installed here; it is not used. Install "
            "what it came from: pip install 'perennial[spacy-transformers]' for a spaCy pipeline with a transformer"
        )
        raise RunFailedError(message) from error


def quieten() -> None:
    """Keep Hugging Face Transformers from drawing progress bars and from warning of what is as it should be."""
    from transformers.utils import logging  # noqa: PLC0415 - heavy

    logging.set_verbosity_error()  # type: ignore[no-untyped-call]  # the library leaves it without types
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]  # same
