"""What production apps install: predictions and feedback over HTTP, and models that follow the champion.

`perennial_client.kafka` publishes feedback to Kafka; it needs the extra `kafka`.
"""

from __future__ import annotations

from perennial_client.client import AsyncClient, Client
from perennial_client.errors import MissingExtraError, ModelError, NoChampionError, PerennialError, RefusedError, UnavailableError
from perennial_client.model import Model
from perennial_client.results import Champion, Classified, FeedbackFate, FeedbackReceipt, Prediction, Signal, Span
from perennial_client.retries import Retries
from perennial_client.version import __version__

__all__ = [
    "AsyncClient",
    "Champion",
    "Classified",
    "Client",
    "FeedbackFate",
    "FeedbackReceipt",
    "MissingExtraError",
    "Model",
    "ModelError",
    "NoChampionError",
    "PerennialError",
    "Prediction",
    "RefusedError",
    "Retries",
    "Signal",
    "Span",
    "UnavailableError",
    "__version__",
]
