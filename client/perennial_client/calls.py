"""The calls of serving's HTTP interface, each written once for the sync and the async client."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx

from perennial_artifact.foreign import WRONG, decode, inert
from perennial_artifact.keywords import Keywords
from perennial_client.answers import KEYWORDS_BYTES, MANIFEST_BYTES, PREDICTIONS_BYTES, SMALL_BYTES, string
from perennial_client.errors import RefusedError
from perennial_client.feedback import Feedback, event, to_bytes
from perennial_client.results import Champion, Classified, FeedbackFate, FeedbackReceipt, Prediction
from perennial_client.retries import Retries, Steps, exchange


class Calls:
    """The calls to one serving address. `deadline_s` replaces that of the retries for one call."""

    def __init__(self, url: str, retries: Retries) -> None:
        self._url = url
        self._retries = retries

    def predict(
        self, task: str, texts: Sequence[str], article_id: str | None, deadline_s: float | None
    ) -> Steps[list[Prediction]]:
        """Ask the champion; one prediction per text, in order."""
        check_texts(texts)
        if not texts:
            return []
        if article_id is not None and len(texts) != 1:
            message = f"article_id names one article and {len(texts)} texts are given; send them one by one"
            raise ValueError(message)
        body: Mapping[str, Any] = {"texts": list(texts)} if article_id is None else {"text": texts[0], "article_id": article_id}
        response = yield from self._exchange(
            "POST", f"/v1/tasks/{_part(task)}/predict", deadline_s, content=_content(body), largest_bytes=PREDICTIONS_BYTES
        )
        with _understood(response):
            said = decode(response.content)
            named = string(said, "task"), string(said, "version")
            return [_prediction(*named, one) for one in _exactly(len(texts), said["predictions"])]

    def classify(
        self, task: str, title: str, description: str, article_id: str | None, deadline_s: float | None
    ) -> Steps[Classified]:
        """Ask for the signals of one text."""
        check_texts([article_of(title, description)])
        parts = {"title": title, "description": description, "article_id": article_id}
        body = {name: part for name, part in parts.items() if part is not None and part.strip()}
        response = yield from self._exchange("POST", f"/v1/tasks/{_part(task)}/classify", deadline_s, content=_content(body))
        with _understood(response):
            said = decode(response.content)
            return Classified(_prediction(string(said, "task"), string(said, "version"), _only_the_answer(said)))

    def keywords(self, task: str, deadline_s: float | None) -> Steps[Keywords]:
        """Ask for the keywords of a task."""
        path = f"/v1/tasks/{_part(task)}/keywords"
        response = yield from self._exchange("GET", path, deadline_s, largest_bytes=KEYWORDS_BYTES)
        with _understood(response):
            return Keywords.of(decode(response.content)["keywords"])

    def feedback(self, task: str, fields: Feedback, deadline_s: float | None) -> Steps[FeedbackReceipt]:
        """Post feedback; every attempt carries the same event id, so it is one event however often it arrives."""
        sent = event(task, fields)
        later = f"send it again with event_id={sent['event_id']!r}: it is stored only once"
        response = yield from self._exchange("POST", "/v1/feedback", deadline_s, content=_content(sent), later=later)
        with _understood(response):
            return FeedbackReceipt.of(decode(response.content))

    def fate(self, event_id: str, deadline_s: float | None) -> Steps[FeedbackFate]:
        """Ask what became of feedback."""
        response = yield from self._exchange("GET", f"/v1/feedback/{_part(event_id)}", deadline_s)
        with _understood(response):
            return FeedbackFate.of(decode(response.content))

    def champion(self, task: str, deadline_s: float | None) -> Steps[Champion]:
        """Ask which version a task's champion is."""
        response = yield from self._exchange("GET", f"/v1/tasks/{_part(task)}/champion", deadline_s)
        with _understood(response):
            champion = Champion.of(decode(response.content))
            if champion.task != task:
                message = f"the champion of task {champion.task!r}"
                raise ValueError(message)
            return champion

    def manifest(self, version: str) -> Steps[bytes]:
        """Fetch the manifest of a version."""
        response = yield from self._exchange("GET", f"/v1/models/{quote(version)}/manifest", None, largest_bytes=MANIFEST_BYTES)
        return response.content

    def _exchange(
        self, method: str, path: str, deadline_s: float | None, *, content: bytes | None = None, later: str = "try again later",
        largest_bytes: int = SMALL_BYTES,
    ) -> Steps[httpx.Response]:  # fmt: skip
        retries = self._retries if deadline_s is None else replace(self._retries, deadline_s=deadline_s)
        return exchange(method, self._url, path, retries, content=content, later=later, largest_bytes=largest_bytes)


def check_texts(texts: Sequence[str]) -> None:
    """Refuse (`RefusedError`) what serving would refuse too: blank texts, and those that are no Unicode text."""
    if isinstance(texts, str):
        message = "texts is one string; give a list of texts"
        raise TypeError(message)
    for number, text in enumerate(texts):
        if not text.strip():
            what = "the text holds only white space"
            raise RefusedError(what, f"texts, number {number}", "send text, or leave it out")
        if not text.isascii():
            try:
                text.encode()
            except UnicodeEncodeError as error:
                what = f"character {error.start} is half of a surrogate pair, which is not Unicode text"
                raise RefusedError(what, f"texts, number {number}", "send the whole pair, or U+FFFD in its place") from None


def article_of(title: str, description: str) -> str:
    """Return the text that serving makes of both: title, blank line, description; either may be empty."""
    return "\n\n".join(part for part in (title, description) if part.strip())


def _only_the_answer(said: Mapping[str, Any]) -> Mapping[str, Any]:
    return {name: value for name, value in said.items() if name not in ("task", "version")}


@contextmanager
def _understood(response: httpx.Response) -> Iterator[None]:
    try:
        yield
    except WRONG as error:
        what = f"the answer is not that of Perennial's serving ({type(error).__name__}: {inert(error)[:200]})"
        remedy = "check url; if it is right, the server is newer than this client, so upgrade perennial-client"
        raise RefusedError(what, f"{response.request.method} {response.url}", remedy, response.status_code) from None


def _prediction(task: str, version: str, one: Mapping[str, Any]) -> Prediction:
    """Read one answer. Raises one of `WRONG` when it is not valid; what the app reads of it later raises nothing."""
    prediction = Prediction.of(task, version, one, string(one, "prediction_id"))
    answer = prediction.answer
    if "label" in answer:
        string(answer, "label")
    if "labels" in answer and not isinstance(answer["labels"], list):
        message = "labels is not a list"
        raise TypeError(message)
    if "scores" in answer:
        for score in prediction.scores.values():
            float(score)
    if "signals" in answer:
        prediction.signals  # noqa: B018 - each is read once here
    if "spans" in answer:
        prediction.spans  # noqa: B018 - each is read once here
    return prediction


def _exactly(count: int, answers: Sequence[Any]) -> Sequence[Any]:
    if not isinstance(answers, list):
        message = "predictions is not a list"
        raise TypeError(message)
    if len(answers) != count:
        message = f"{len(answers)} answers to {count} texts"
        raise ValueError(message)
    return answers


def _content(body: Mapping[str, Any]) -> bytes:
    try:
        return to_bytes(body)
    except UnicodeEncodeError:
        # Written so that serving can say in which field half of a surrogate pair stands.
        return json.dumps(body, allow_nan=False).encode()


def _part(name: str) -> str:
    return quote(name, safe="")
