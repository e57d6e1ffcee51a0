"""Opens a version's folder, by what it says of itself, and makes sure that it answers."""

from __future__ import annotations

from pathlib import Path

from perennial_artifact import formats
from perennial_artifact.compute import Compute
from perennial_artifact.errors import UnusableError
from perennial_artifact.formats import Opened
from perennial_artifact.warming import warm
from perennial_client.errors import ModelError, missing_extra, unusable
from perennial_client.results import Champion

_FIRST_FORMATS = {("ner", "spacy"): "spacy-ner", ("classification", "transformer"): "transformers-classification"}
"""What the first release served, by kind and backend; it did not name formats."""
_EXTRAS = {"spacy": "spacy", "transformer": "transformers"}
"""By backend, where the format needs none of its own."""
_EXTRAS_OF_FORMATS = {"spacy-curated-ner": "spacy-transformers"}


def check(champion: Champion) -> None:
    """Raise `MissingExtraError`, or `ModelError` for an unknown format, where this version could not be opened here.

    What cannot be opened need not be fetched.
    """
    # A pair that the first release did not serve is reported as an unknown format.
    name = champion.format or _FIRST_FORMATS.get((champion.kind, champion.backend), f"{champion.kind} on {champion.backend}")
    try:
        formats.find(name)
    except UnusableError as error:
        raise ModelError(str(error), champion.version, "or ask serving with Client.predict") from None
    except ImportError as error:
        raise missing_extra(error, _extra(champion)) from error


def load(champion: Champion, folder: Path, precision: str, before: Opened | None, *, variants: bool = True) -> Opened:
    """Return the model in a verified folder, warm; what has not changed may come from the one that is open.

    With `variants` one beside the weights answers where it fits this machine.

    Raises what `check` raises, and whatever a broken model raises.
    """
    try:
        opened = formats.open_after(folder, Compute(precision=precision, variants=variants), before)
        warm(opened.predictor, shares=opened.shares)
    except UnusableError as error:
        raise unusable(error, champion.version) from error
    except ImportError as error:
        raise missing_extra(error, _extra(champion)) from error
    return opened


def _extra(champion: Champion) -> str:
    return _EXTRAS_OF_FORMATS.get(champion.format or "", _EXTRAS.get(champion.backend, champion.backend))
