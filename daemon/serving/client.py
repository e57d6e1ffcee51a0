"""`perennial predict`: ask the serving process, or the champion itself where none is up."""

from __future__ import annotations

import http.client
import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping, Sequence
from typing import Any

from rich.text import Text

from config.errors import RetryError, UserError
from config.kinds import catalog as kinds
from config.settings import Settings
from config.tasks import TaskSpec, load_tasks
from config.words import printable
from daemon.process import presence
from daemon.serving.http import tls
from perennial_artifact.abstaining import abstains
from perennial_artifact.keywords import version_of
from perennial_artifact.predictor import Answer, Predictor
from registry.artifacts.open import open_store
from registry.store import Registry
from registry.versions import Version

_TIMEOUT_S = 60.0
_SERVER_ERROR, _UNAVAILABLE = 500, 503
_STYLES = {"plain": "", "strong": "bold green", "faint": "dim", "warning": "yellow"}
_TOLD = ("correction", "keywords")
"""Who answers in the place of a model, and is named."""
# Serving is on this machine or beside it: a proxy set for the web must not get between.
_NO_PROXY = urllib.request.ProxyHandler({})


def ask(settings: Settings, task: str, texts: Sequence[str]) -> dict[str, Any]:
    """Return `{"version", "by", "predictions"}`. Raises as `post` does."""
    here = presence.read(settings.data_dir)
    if here is not None and presence.is_alive(here):
        path = f"/v1/tasks/{urllib.parse.quote(task, safe='')}/predict"
        return {**post(settings, here.address, path, {"texts": list(texts)}), "by": here.address}
    return _ask_here(settings, task, texts)


def post(settings: Settings, address: str, path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    """Post JSON to the serving process and return its answer.

    Raises `UserError` for a 4xx, such as while the task has no champion, and for a 503; `RetryError` when serving failed or did
    not answer.
    """
    request = urllib.request.Request(  # noqa: S310 - the address is our own serving process's
        address + path, data=json.dumps(body).encode(), headers={"Content-Type": "application/json"}
    )
    token = settings.serving.token.get_secret_value()
    if token:
        request.add_header("Authorization", f"Bearer {token}")
    handlers = [urllib.request.HTTPSHandler(context=tls.client_context(settings.serving))] if address.startswith("https:") else []
    try:
        with urllib.request.build_opener(_NO_PROXY, *handlers).open(request, timeout=_TIMEOUT_S) as response:
            answer: dict[str, Any] = json.loads(response.read())
            return answer
    except urllib.error.HTTPError as error:
        message = _message(error.read())
        if error.code >= _SERVER_ERROR and error.code != _UNAVAILABLE:
            raise RetryError(message) from None
        raise UserError(message) from None
    except (OSError, http.client.HTTPException) as error:
        reason = getattr(error, "reason", None) or str(error) or type(error).__name__
        message = f"the serving process at {address} did not answer ({reason}); ask again once `perennial status` says it is up"
        raise RetryError(message) from None


def load_version(settings: Settings, version: Version) -> Predictor:
    """Return the model of a version, every byte checked. Raises `RunFailedError` naming the file that is not as published."""
    # Heavy, and not needed where serving answers.
    from trainers.learners.opening import open_model  # noqa: PLC0415

    folder = open_store(settings.artifacts_dir).fetch(version.artifact_id, version.manifest_sha256)
    return open_model(folder, settings.training)


def in_words(text: str, prediction: Mapping[str, Any]) -> Text:
    """Return one line for a person: what was answered, beside the text or marked in it, and whether a correction did."""
    answer = prediction.get("answer", prediction)
    by = answer.get("answered_by")
    corrected = by == "correction"
    if corrected:
        # The score of a correction is nobody's estimate.
        answer = {name: value for name, value in answer.items() if name != "scores"}
    # One character for each break and for what cannot be printed, so that the offsets of spans stay what they are.
    pieces = kinds.of(answer).pieces(answer, printable(text.replace("\n", " ")))
    whose = [(f"{by}: ", _STYLES["faint"])] if by in _TOLD else []
    return Text.assemble(*whose, *((printable(words), _STYLES[style]) for words, style in pieces))


def _ask_here(settings: Settings, task: str, texts: Sequence[str]) -> dict[str, Any]:
    tasks = load_tasks(settings.tasks_folder)
    if task not in tasks:
        message = f"task {task!r} is not defined in {settings.tasks_folder}; the tasks are {', '.join(sorted(tasks))}"
        raise UserError(message)
    if not settings.data_dir.exists():
        message = f"nothing has run in {settings.data_dir} yet, so there is no model; start with `perennial run`"
        raise UserError(message)
    registry = Registry.open(settings.registry_url, read_only=True)
    try:
        champion = registry.versions.champion(task)
        if champion is None and (keywords := tasks[task].keywords) is not None:
            return _said(tasks[task], version_of(task), keywords.predict(list(texts)), answered_by="keywords")
        if champion is None:
            message = f"task {task} has no champion yet; `perennial status` says what it waits for"
            raise UserError(message)
        version = registry.versions.get(champion.version)
    finally:
        registry.close()
    predictor = load_version(settings, version)
    answers = predictor.predict(list(texts))
    return _said(tasks[task], version.name, answers, answered_by="model")


def _said(spec: TaskSpec, version: str, answers: Sequence[Answer], *, answered_by: str) -> dict[str, Any]:
    beside = {"truncated": False, "answered_by": answered_by, "correction_id": None}
    return {
        "task": spec.name,
        "version": version,
        "by": "this process (serving is not up)",
        "predictions": [{**beside, "abstained": abstains(answer, spec.abstain_below), **answer} for answer in answers],
    }


def _message(body: bytes) -> str:
    try:
        error = json.loads(body)["error"]
        return "; ".join(str(error[key]) for key in ("message", "remedy") if error.get(key))
    except (json.JSONDecodeError, KeyError, TypeError):
        return body.decode("utf-8", "replace")[:500]
