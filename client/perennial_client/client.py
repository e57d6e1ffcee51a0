"""The HTTP clients. Thread-safe (`AsyncClient`: within one event loop), with a pool of connections; use as context managers."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import aclosing, closing, contextmanager
from typing import Any, Self, TypeVar, Unpack
from urllib.parse import quote

import httpx

from perennial_artifact.keywords import Keywords
from perennial_client.answers import Body, here
from perennial_client.calls import Calls
from perennial_client.deadlines import hold, within
from perennial_client.feedback import Feedback
from perennial_client.results import Champion, Classified, FeedbackFate, FeedbackReceipt, Prediction
from perennial_client.retries import Outcome, Retries, Send, Steps
from perennial_client.version import __version__

T = TypeVar("T")

_POOL = httpx.Limits(max_connections=100, max_keepalive_connections=20, keepalive_expiry=60)
"""Serving keeps an idle connection for 75 s: the pool lets go of it first."""


class Client:
    """Asks serving and waits for the answer.

    Every call raises `RefusedError` when the request is wrong and `UnavailableError` when no answer came within the deadline.
    """

    def __init__(self, url: str, *, api_key: str | None = None, retries: Retries | None = None, **options: Any) -> None:  # noqa: ANN401 - handed on
        """`url` is serving's address; `options` are httpx's own: verify, cert, proxy, limits, transport, ..."""
        self._http = httpx.Client(**_settings(url, api_key, options))
        hold(self._http)
        self.retries = retries or Retries()
        self._calls = Calls(url.rstrip("/"), self.retries)

    def predict(
        self, task: str, texts: Sequence[str], *, article_id: str | None = None, deadline_s: float | None = None
    ) -> list[Prediction]:
        """Return the champion's answer to each text, in order; `article_id` names the article that one text belongs to."""
        return self._run(self._calls.predict(task, texts, article_id, deadline_s))

    def classify(
        self, task: str, title: str, description: str = "", *, article_id: str | None = None, deadline_s: float | None = None
    ) -> Classified:
        """Return score and tag of each category of a task of signals, for one text; `answered_by` tells who spoke."""
        return self._run(self._calls.classify(task, title, description, article_id, deadline_s))

    def keywords(self, task: str, *, deadline_s: float | None = None) -> Keywords:
        """Return the keywords that answer for a task while it has no champion. Raises `RefusedError` (404) where it has none."""
        return self._run(self._calls.keywords(task, deadline_s))

    def feedback(self, task: str, *, deadline_s: float | None = None, **fields: Unpack[Feedback]) -> FeedbackReceipt:
        """Post what a person said of an answer; when this returns, it is durable. Tried again, it is still one event."""
        return self._run(self._calls.feedback(task, fields, deadline_s))

    def fate(self, event_id: str, *, deadline_s: float | None = None) -> FeedbackFate:
        """Return what became of feedback, up to the version that learnt from it."""
        return self._run(self._calls.fate(event_id, deadline_s))

    def champion(self, task: str, *, deadline_s: float | None = None) -> Champion:
        """Return which version is the task's champion."""
        return self._run(self._calls.champion(task, deadline_s))

    def manifest(self, version: str) -> bytes:
        """Return the manifest of a version, as it was published."""
        return self._run(self._calls.manifest(version))

    @contextmanager
    def file(self, version: str, path: str, headers: Mapping[str, str]) -> Iterator[httpx.Response]:
        """Open one file of a version for reading, whatever the status; httpx's errors pass through, nothing is tried again."""
        timeout = httpx.Timeout(self.retries.timeout_s, connect=self.retries.connect_timeout_s)
        address = f"/v1/models/{quote(version)}/files/{quote(path)}"
        request = self._http.build_request("GET", address, headers=headers, timeout=timeout)
        with within(self.retries.deadline_s), _as_httpx_says(request):
            response = self._http.send(request, stream=True)
        with closing(response):
            yield response

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def _run(self, steps: Steps[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            outcome = None
            if isinstance(step, Send):
                try:
                    outcome = self._sent(step)
                except httpx.RequestError as error:
                    outcome = error
            else:
                time.sleep(step.seconds)

    def _sent(self, step: Send) -> httpx.Response:
        request = _request(self._http, step)
        with within(step.left_s) as ends, _as_httpx_says(request):
            with closing(self._http.send(request, stream=True)) as response:
                body = Body(response, where=step.where, largest_bytes=step.largest_bytes, ends=ends)
                for piece in [response.content] if here(response) else response.iter_raw():
                    body.add(piece)
            return body.whole()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


class AsyncClient:
    """As `Client`, for apps with an event loop."""

    def __init__(self, url: str, *, api_key: str | None = None, retries: Retries | None = None, **options: Any) -> None:  # noqa: ANN401 - handed on
        """`url` is serving's address; `options` are httpx's own: verify, cert, proxy, limits, transport, ..."""
        self._http = httpx.AsyncClient(**_settings(url, api_key, options))
        self.retries = retries or Retries()
        self._calls = Calls(url.rstrip("/"), self.retries)

    async def predict(
        self, task: str, texts: Sequence[str], *, article_id: str | None = None, deadline_s: float | None = None
    ) -> list[Prediction]:
        """Return the champion's answer to each text, in order; `article_id` names the article that one text belongs to."""
        return await self._run(self._calls.predict(task, texts, article_id, deadline_s))

    async def classify(
        self, task: str, title: str, description: str = "", *, article_id: str | None = None, deadline_s: float | None = None
    ) -> Classified:
        """Return score and tag of each category of a task of signals, for one text; `answered_by` tells who spoke."""
        return await self._run(self._calls.classify(task, title, description, article_id, deadline_s))

    async def keywords(self, task: str, *, deadline_s: float | None = None) -> Keywords:
        """Return the keywords that answer for a task while it has no champion. Raises `RefusedError` (404) where it has none."""
        return await self._run(self._calls.keywords(task, deadline_s))

    async def feedback(self, task: str, *, deadline_s: float | None = None, **fields: Unpack[Feedback]) -> FeedbackReceipt:
        """Post what a person said of an answer; when this returns, it is durable. Tried again, it is still one event."""
        return await self._run(self._calls.feedback(task, fields, deadline_s))

    async def fate(self, event_id: str, *, deadline_s: float | None = None) -> FeedbackFate:
        """Return what became of feedback, up to the version that learnt from it."""
        return await self._run(self._calls.fate(event_id, deadline_s))

    async def champion(self, task: str, *, deadline_s: float | None = None) -> Champion:
        """Return which version is the task's champion."""
        return await self._run(self._calls.champion(task, deadline_s))

    async def aclose(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def _run(self, steps: Steps[T]) -> T:
        outcome: Outcome = None
        while True:
            try:
                step = steps.send(outcome)
            except StopIteration as done:
                result: T = done.value
                return result
            outcome = None
            if isinstance(step, Send):
                try:
                    outcome = await self._sent(step)
                except httpx.RequestError as error:
                    outcome = error
            else:
                await asyncio.sleep(step.seconds)

    async def _sent(self, step: Send) -> httpx.Response:
        request = _request(self._http, step)
        ends = time.monotonic() + step.left_s
        with _as_httpx_says(request):
            async with asyncio.timeout(step.left_s), aclosing(await self._http.send(request, stream=True)) as response:
                body = Body(response, where=step.where, largest_bytes=step.largest_bytes, ends=ends)
                if here(response):
                    body.add(response.content)
                else:
                    async for piece in response.aiter_raw():
                        body.add(piece)
            return body.whole()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_error: object) -> None:
        await self.aclose()


def _request(http: httpx.Client | httpx.AsyncClient, step: Send) -> httpx.Request:
    return http.build_request(step.method, step.path, content=step.content, headers=step.headers, timeout=step.timeout)


@contextmanager
def _as_httpx_says(request: httpx.Request) -> Iterator[None]:
    """Make httpx's errors of whatever a strange answer, or the end of the time, raises below httpx."""
    try:
        yield
    except httpx.RequestError:
        raise
    except TimeoutError as error:
        message = "the answer was incomplete at the time limit"
        raise httpx.ReadTimeout(message, request=request) from error
    except (httpx.HTTPError, httpx.InvalidURL, ValueError, LookupError, ArithmeticError, RecursionError) as error:
        message = f"{type(error).__name__}: {error}"
        raise httpx.RemoteProtocolError(message, request=request) from error


def _settings(url: str, api_key: str | None, options: Mapping[str, Any]) -> dict[str, Any]:
    """Return httpx's settings. Raises `ValueError` for an address or a key that cannot be sent."""
    if httpx.URL(url).scheme not in ("http", "https") or not httpx.URL(url).host:
        message = f"url is {url!r}; give serving's address, such as http://127.0.0.1:8310"
        raise ValueError(message)
    headers = {
        "User-Agent": f"perennial-client/{__version__}",
        # As they are on the server's disk: a download that continues after a break counts these bytes.
        "Accept-Encoding": "identity",
    }
    if api_key is not None:
        if not (api_key.isascii() and api_key.isprintable() and api_key.strip() == api_key and api_key):
            message = "api_key is empty, or contains a space or a character that a header cannot carry; copy it again"
            raise ValueError(message)
        headers["Authorization"] = f"Bearer {api_key}"
    return {"base_url": url, "limits": _POOL, **options, "headers": {**headers, **options.get("headers", {})}}
