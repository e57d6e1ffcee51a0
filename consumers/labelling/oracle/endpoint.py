"""An endpoint that speaks the chat completions API: one question, one answer, and what went wrong, without secrets."""

from __future__ import annotations

import email.utils
import json
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
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
        self._where = f"the endpoint of oracle.base_url ({urlsplit(settings.base_url).hostname})"
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
        said = self._settings
        body: dict[str, object] = {
            "model": said.model, "messages": list(messages), "temperature": said.temperature,
            "max_tokens": said.max_answer_tokens,
        }  # fmt: skip
        if said.json_mode:
            body["response_format"] = {"type": "json_object"}
        status, headers, content = self._post(json.dumps(body).encode())
        if status in _TRY_AGAIN or status >= _SERVER_ERROR:
            message = f"{self._where} answered {status}"
            raise UnavailableError(message, may_cost=False, wait_s=retry_after(headers.get("retry-after"), time.time()))
        if status in _THIS_ONE:
            message = (
                f"{self._where} refused with {status}; check oracle.json_mode, oracle.model and oracle.max_chars of the task"
            )
            raise RejectedError(message)
        if status != _SUCCESS:
            message = (
                f"{self._where} refused with {status}; nothing more is asked. Check oracle.base_url, oracle.model and "
                "oracle.api_key, and your account there"
            )
            raise UserError(message)
        reply = _read(content)
        if reply is None:
            message = f"{self._where} answered something else than a chat completion"
            raise UnavailableError(message, may_cost=True)
        return reply

    def _post(self, body: bytes) -> tuple[int, httpx.Headers, bytes]:
        url, until, content = f"{self._settings.base_url}/chat/completions", time.monotonic() + self._settings.timeout_s, b""
        try:
            with self._client.stream("POST", url, content=body, headers={"Content-Type": "application/json"}) as answer:
                status, headers = answer.status_code, answer.headers
                for part in answer.iter_bytes():
                    content += part
                    if len(content) > _MOST_BYTES:
                        break
                    if time.monotonic() > until:
                        message = f"{self._where} takes longer than oracle.timeout_s"
                        raise UnavailableError(message, may_cost=True)
        except (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout) as error:
            message = f"{self._where} cannot be reached ({type(error).__name__})"
            raise UnavailableError(message, may_cost=False) from error
        except httpx.HTTPError as error:
            message = f"{self._where} does not answer ({type(error).__name__})"
            raise UnavailableError(message, may_cost=True) from error
        except (httpx.InvalidURL, UnicodeError) as error:
            message = f"oracle.base_url is no address that can be used ({type(error).__name__})"
            raise UserError(message) from error
        return status, headers, content


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


def _read(content: bytes) -> Reply | None:
    try:
        whole = json.loads(content)
        choice = whole["choices"][0]
        said, finish, refusal = choice["message"].get("content"), choice.get("finish_reason"), choice["message"].get("refusal")
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError):
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
