"""An endpoint that speaks the chat completions API: one question, one answer, and what went wrong, without secrets."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import httpx

from config.errors import UserError
from config.sections import OracleSettings
from consumers.labelling.oracle.problems import Problem
from consumers.labelling.oracle.prompts import Message

_MOST_BYTES = 4 * 2**20
_MOST_WAIT_S = 3_600.0
_TRY_AGAIN = (408, 409, 425, 429)
_THIS_ONE = (400, 413, 422)
"""Of a question that is too long or breaks a rule of the endpoint, as well as of one that it does not understand."""
_SERVER_ERROR = 500
_SUCCESS = 200


class UnavailableError(Exception):
    """The endpoint gave no answer now; the same question may be asked again."""

    def __init__(self, message: str, *, may_cost: bool, wait_s: float | None = None) -> None:
        """`may_cost`: it may have worked all the same. `wait_s`: how long it asks to be left alone."""
        super().__init__(message)
        self.may_cost, self.wait_s = may_cost, wait_s


class RejectedError(Exception):
    """The endpoint does not take this question; another one it may take."""


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back."""

    content: str | Problem
    used: tuple[int, int] | None
    """Tokens of question and answer; None where the endpoint does not tell."""


class Endpoint:
    """One endpoint, for any number of threads."""

    def __init__(self, settings: OracleSettings) -> None:
        """Raises `UserError` where it is not set up."""
        if not settings.base_url or not settings.model:
            message = (
                "no language model is set up: set oracle.base_url and oracle.model (and oracle.api_key, where the endpoint asks "
                "for one) in perennial.toml or the environment"
            )
            raise UserError(message)
        self._settings = settings
        self.where = f"the endpoint of oracle.base_url ({urlsplit(settings.base_url).hostname})"
        key = settings.api_key.get_secret_value()
        if not key.isascii() or not key.isprintable():
            message = "oracle.api_key has characters that no header can carry; set it again, without line ends"
            raise UserError(message)
        headers = {"Authorization": f"Bearer {key}"} if key else {}
        # A redirect would carry texts, and maybe the key, to somebody nobody named.
        self._client = httpx.Client(timeout=settings.timeout_s, follow_redirects=False, headers=headers)

    def close(self) -> None:
        """Close its connections."""
        self._client.close()

    def ask(self, messages: Sequence[Message]) -> Reply:
        """Ask once. Raises `UnavailableError`, `RejectedError`, and `UserError` where asking anything cannot help."""
        kind = {"Content-Type": "application/json"}
        status, headers, content = self.send("POST", "/chat/completions", json.dumps(self.question(messages)).encode(), kind)
        if status in _TRY_AGAIN or status >= _SERVER_ERROR:
            message = f"{self.where} answered {status}"
            raise UnavailableError(message, may_cost=False, wait_s=retry_after(headers.get("retry-after"), time.time()))
        if status in _THIS_ONE:
            message = f"{self.where} refused with {status}; check oracle.json_mode, oracle.model and oracle.max_chars of the task"
            raise RejectedError(message)
        if status != _SUCCESS:
            message = (
                f"{self.where} refused with {status}; nothing more is asked. Check oracle.base_url, oracle.model and "
                "oracle.api_key, and your account there"
            )
            raise UserError(message)
        try:
            reply = read(json.loads(content))
        except (ValueError, RecursionError):
            reply = None
        if reply is None:
            message = f"{self.where} answered something else than a chat completion"
            raise UnavailableError(message, may_cost=True)
        return reply

    def question(self, messages: Sequence[Message]) -> dict[str, object]:
        """Return the body of a request for one chat completion."""
        said = self._settings
        body: dict[str, object] = {
            "model": said.model, "messages": list(messages), "temperature": said.temperature,
            "max_tokens": said.max_answer_tokens,
        }  # fmt: skip
        return body | ({"response_format": {"type": "json_object"}} if said.json_mode else {})

    def send(
        self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None
    ) -> tuple[int, httpx.Headers, bytes]:  # fmt: skip
        """Return status, headers and content of one answer, of which no more than some megabytes are read.

        Raises `UnavailableError`, and `UserError` for an address that is none.
        """
        content = b""
        with (
            self._translated(),
            self._client.stream(method, f"{self._settings.base_url}{path}", content=body, headers=dict(headers or {})) as answer,
        ):
            # Begun here: how long a body takes to go out is bound by its size.
            until = time.monotonic() + self._settings.timeout_s
            for part in answer.iter_bytes():
                content += part
                if len(content) > _MOST_BYTES:
                    break
                if time.monotonic() > until:
                    message = f"{self.where} takes longer than oracle.timeout_s"
                    raise UnavailableError(message, may_cost=True)
            return answer.status_code, answer.headers, content

    def lines(self, path: str) -> Iterator[bytes]:
        """Yield the lines of a file there; of one that is far too long for an answer an empty one in its place.

        Raises `UnavailableError` where it cannot be read to its end.
        """
        with self._translated(), self._client.stream("GET", f"{self._settings.base_url}{path}") as answer:
            if answer.status_code != _SUCCESS:
                message = f"{self.where} answered {answer.status_code} when a file of results was asked for"
                raise UnavailableError(message, may_cost=False)
            held, long = b"", False
            for part in answer.iter_bytes():
                *whole, held = (held + part).split(b"\n")
                for number, line in enumerate(whole):
                    yield b"" if long and number == 0 else line
                long = (long and not whole) or len(held) > _MOST_BYTES
                held = b"" if long else held
            if held:
                yield held

    @contextmanager
    def _translated(self) -> Iterator[None]:
        try:
            yield
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            message = f"{self.where} cannot be reached ({type(error).__name__})"
            raise UnavailableError(message, may_cost=False) from error
        except httpx.HTTPError as error:
            message = f"{self.where} does not answer ({type(error).__name__})"
            raise UnavailableError(message, may_cost=True) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            message = f"oracle.base_url is no address that can be used ({type(error).__name__})"
            raise UserError(message) from error


def retry_after(value: str | None, now: float) -> float | None:
    """Return the seconds that a header Retry-After asks for (a number or a date), at most an hour; None where it asks nothing."""
    if not value:
        return None
    try:
        wait = float(value)
    except ValueError:
        try:
            wait = email.utils.parsedate_to_datetime(value).timestamp() - now
        except (ValueError, OverflowError, TypeError):
            return None
    return min(_MOST_WAIT_S, max(0.0, wait)) if math.isfinite(wait) else None


def read(whole: Any) -> Reply | None:  # noqa: ANN401 - whatever came
    """Return what a chat completion says; None where it is none."""
    try:
        choice = whole["choices"][0]
        said, finish, refusal = choice["message"].get("content"), choice.get("finish_reason"), choice["message"].get("refusal")
    except (KeyError, IndexError, TypeError, AttributeError):
        return None
    used = _used(whole.get("usage"))
    if refusal or finish == "content_filter":
        return Reply(Problem("refused", "the model declined to answer"), used)
    if finish == "length":
        return Reply(Problem("cut", "it was cut off at the limit of its length; answer shortly"), used)
    return Reply(said if isinstance(said, str) else Problem("endpoint", "it had no text"), used)


def _used(usage: object) -> tuple[int, int] | None:
    if not isinstance(usage, dict):
        return None
    found = usage.get("prompt_tokens"), usage.get("completion_tokens")
    one, other = found
    if type(one) is not int or type(other) is not int or not (0 <= one < 10**9 and 0 <= other < 10**9):
        return None
    return one, other
