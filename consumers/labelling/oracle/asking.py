"""Asking a language model about many texts: cached, a few at once, at a pace, again where it does not answer, within a budget."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from typing import Literal, Protocol

from config.errors import UserError
from config.sections import OracleSettings
from config.tasks import TaskSpec
from consumers.labelling.oracle import answers, prompts
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.endpoint import RejectedError, Reply, UnavailableError
from consumers.labelling.oracle.ledger import Ledger
from consumers.labelling.oracle.problems import Problem
from consumers.labelling.oracle.prompts import Message

_FIRST_WAIT_S, _LONGEST_WAIT_S = 1.0, 60.0
OVERHEAD_TOKENS = 50
"""Of a question beside the words of its messages."""

_MOST_REJECTED = 5
"""Questions in a row that the endpoint does not take, after which the reason is not the texts."""

Stopped = Literal["budget", "endpoint"]
_Outcome = Literal["noted", "rejected", "stopped"]


class Asked(Protocol):
    """What answers questions."""

    def ask(self, messages: list[Message]) -> Reply:
        """Answer once. Raises `UnavailableError`, `RejectedError`, and `UserError` where asking anything cannot help."""
        ...


@dataclass(frozen=True, slots=True)
class Text:
    """What is asked about."""

    text_sha256: str
    text: str


@dataclass(frozen=True, slots=True)
class Result:
    """What came of a text."""

    text: Text
    answer: Said | Problem | None
    """None where nothing came: the budget ended, or the endpoint gave no answer."""
    cached: bool = False
    why: str = ""


class Pace:
    """When the next request may begin, for all threads together."""

    def __init__(self, per_minute: float, sleep: Callable[[float], object], now: Callable[[], float] = time.monotonic) -> None:
        self._gap = 60.0 / per_minute if per_minute else 0.0
        self._sleep, self._now = sleep, now
        self._next = 0.0
        self._lock = threading.Lock()

    def turn(self) -> None:
        """Wait for one's turn."""
        with self._lock:
            begin = max(self._next, self._now())
            self._next = begin + self._gap
            delay = begin - self._now()
        if delay > 0:
            self._sleep(delay)

    def hold(self, seconds: float) -> None:
        """Let nobody begin for so long: the endpoint has asked for it."""
        with self._lock:
            self._next = max(self._next, self._now() + seconds)


class Oracle:
    """A language model that labels the texts of one task."""

    def __init__(
        self, task: TaskSpec, settings: OracleSettings, ledger: Ledger, endpoint: Asked, *,
        sleep: Callable[[float], object] | None = None,
    ) -> None:  # fmt: skip
        """`sleep` waits; by default until `stop` is called."""
        self.task, self._settings, self._ledger, self._endpoint = task, settings, ledger, endpoint
        self.prompt = prompt_of(task, settings)
        self.stopped: Stopped | None = None
        """Why nothing more is asked."""
        self.why = ""
        self._ended = threading.Event()
        self._rejected = 0
        self._sleep: Callable[[float], object] = sleep or self._ended.wait
        self._pace = Pace(settings.requests_per_minute, self._sleep)

    def stop(self) -> None:
        """Begin nothing more; what is under way is still noted."""
        self._ended.set()

    def ask_all(self, texts: Iterable[Text]) -> Iterator[Result]:
        """Yield what comes of each text, as it comes. Each answer is durable before it is yielded.

        Raises what the endpoint or the ledger raises where asking on cannot help, after what was under way has been noted.
        """
        waiting, running = iter(texts), set[Future[Result]]()
        with ThreadPoolExecutor(self._settings.concurrency, thread_name_prefix="oracle") as pool:
            try:
                while True:
                    while len(running) < self._settings.concurrency and (text := next(waiting, None)) is not None:
                        running.add(pool.submit(self.ask, text))
                    if not running:
                        return
                    done, running = wait(running, return_when=FIRST_COMPLETED)
                    for one in done:
                        yield one.result()
            except BaseException:
                self.stop()
                raise

    def ask(self, text: Text) -> Result:
        """Return what the model says of a text: from the ledger, else by asking, with one request for repair."""
        known, cached = self._ledger.answer(self.prompt, text.text_sha256), True
        while known is None or not known.is_final:
            cached = False
            tries = known.tries if known else 0
            problem = known.problem if known else None
            outcome = self._ask_once(text, tries + 1, problem)
            if outcome == "stopped":
                return Result(text, None, why=self.why)
            if outcome == "rejected":
                # Not noted: once the endpoint is set up otherwise, it may take the text.
                return Result(text, Problem("refused", "the endpoint does not take the question"))
            known = self._ledger.answer(self.prompt, text.text_sha256)
        return Result(text, known.said or known.problem, cached)

    def _ask_once(self, text: Text, tries: int, problem: Problem | None) -> _Outcome:
        """Ask until an answer is noted, or none can be had."""
        messages = prompts.messages(self.task, text.text, text.text_sha256, problem)
        # A token has at least one byte, so no question has more tokens than bytes.
        most_in = sum(len(message["content"].encode()) for message in messages) + OVERHEAD_TOKENS
        for attempt in range(self._settings.retries + 1):
            if not self._ended.is_set():
                self._pace.turn()
            if self._ended.is_set():
                return "stopped"
            call = self._ledger.begin(self.task.name, self.prompt, text.text_sha256, most_in, self._settings.max_answer_tokens)
            if call is None:
                self._give_up("budget", "what oracle.max_cost or oracle.max_tokens allows is spent")
                return "stopped"
            outcome = self._send(call, text, messages, tries, attempt)
            if outcome is not None:
                return outcome
        return "stopped"

    def _send(self, call: int, text: Text, messages: list[Message], tries: int, attempt: int) -> _Outcome | None:
        """Send a question that is noted, and note what comes of it; None: it is to be sent again."""
        try:
            reply = self._endpoint.ask(messages)
        except UnavailableError as error:
            self._ledger.failed(call, may_cost=error.may_cost)
            if attempt == self._settings.retries:
                self._give_up("endpoint", f"{error}, {attempt + 1} times")
                return "stopped"
            if error.wait_s is not None:
                self._pace.hold(error.wait_s)
            else:
                self._sleep(backoff_s(attempt))
            return None
        except RejectedError as error:
            self._ledger.failed(call, may_cost=False)
            self._rejected += 1
            if self._rejected >= _MOST_REJECTED:
                self._give_up("endpoint", f"{error}; {self._rejected} questions in a row")
            return "rejected"
        except Exception as error:
            # What the endpoint refuses costs nothing; of anything else nobody knows.
            self._ledger.failed(call, may_cost=not isinstance(error, UserError))
            self._ended.set()
            raise
        shown = prompts.sendable(text.text)[: self.task.oracle.max_chars]
        answer = reply.content if isinstance(reply.content, Problem) else answers.read(self.task, reply.content, shown)
        self._ledger.answered(call, answer, tries, reply.used)
        self._rejected = 0
        return "noted"

    def _give_up(self, stopped: Stopped, why: str) -> None:
        if self.stopped is None:
            self.stopped, self.why = stopped, why
        self._ended.set()


def prompt_of(task: TaskSpec, settings: OracleSettings) -> str:
    """Return the SHA-256 of all that an answer depends on beside its text."""
    how = {
        "base_url": settings.base_url, "json_mode": settings.json_mode, "temperature": settings.temperature,
        "max_answer_tokens": settings.max_answer_tokens,
    }  # fmt: skip
    return prompts.prompt_sha256(task, settings.model, how)


def backoff_s(attempt: int) -> float:
    """Return how long to wait after so many failures: twice as long each time, with jitter against waves."""
    return float(min(_LONGEST_WAIT_S, _FIRST_WAIT_S * 2**attempt) * random.uniform(0.5, 1.0))  # noqa: S311 - no secret
