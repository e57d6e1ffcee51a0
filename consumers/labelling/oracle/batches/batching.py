"""Asking about many texts by the batch API: what comes back is noted as other answers are, so that nothing is asked twice.

Stopped at any point, the next call finds the batch again: by its number, or, where the process ended before that was noted, by
the name that it was given. A batch is sent only where the endpoint says that it has none of that name.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import structlog

from config.errors import UserError
from config.sections import OracleSettings
from config.tasks import TaskSpec
from config.words import counted
from consumers.labelling.oracle import answers, prompts
from consumers.labelling.oracle.asking import OVERHEAD_TOKENS, Text, backoff_s
from consumers.labelling.oracle.batches import jobs
from consumers.labelling.oracle.batches.endpoint import Batch, BatchEndpoint, MissingError
from consumers.labelling.oracle.batches.jobs import Job, Question
from consumers.labelling.oracle.endpoint import Endpoint, RejectedError, UnavailableError, read
from consumers.labelling.oracle.ledger import Ledger
from consumers.labelling.oracle.problems import Problem

MOST_QUESTIONS = 50_000
MOST_BYTES = 100 * 2**20
"""Of one batch, within what endpoints take."""

FEW_FAILED = 20
"""Questions that a completed batch leaves are asked one by one, where they are so few or not most of it: that costs more."""
_SPENT = "what oracle.max_cost or oracle.max_tokens allows is spent"
_SUCCESS = 200
_LOOKS = 60
"""An endpoint that is away is waited for so often, about an hour: whoever waits for a day does not give up after a minute."""

T = TypeVar("T")
log = structlog.get_logger(__name__)


@dataclass(slots=True)
class Told:
    """What came of batches."""

    asked: int = 0
    """Questions that were sent, now or by a command before."""
    answered: int = 0
    failed: int = 0
    """Questions that the endpoint has no answer to."""
    unknown: int = 0
    """Lines that answer no question that was asked."""
    stopped: str = ""
    """Why not all was asked, or not all has come; empty: all has."""


@dataclass(frozen=True, slots=True)
class _Noted:
    """A batch that can be sent."""

    job: Job
    lines: bytes
    texts: set[str]
    is_cut: bool
    """Whether the budget has no room for all."""


class _StoppedError(Exception):
    """Nothing more can be done now, and the reason."""


class Batching:
    """Asks about the texts of one task by batches, one after the other."""

    def __init__(
        self, task: TaskSpec, settings: OracleSettings, ledger: Ledger, endpoint: Endpoint, *,
        prompt: str, texts: Mapping[str, Text], sleep: Callable[[float], object],
    ) -> None:  # fmt: skip
        """`texts`: all of the task at hand, by SHA-256: a batch may bring answers about texts of an earlier command."""
        self.told = Told()
        self._task, self._settings, self._ledger, self._prompt = task, settings, ledger, prompt
        self._endpoint, self._batches = endpoint, BatchEndpoint(endpoint)
        self._texts, self._sleep = texts, sleep

    def fill(self, chosen: Sequence[Text], progress: Callable[[int, int], None] = lambda _done, _of: None) -> Told:
        """See to it that answers about these texts are in the ledger, as far as batches bring them.

        Raises `UserError` where the endpoint takes no batches, or where nobody can say whether one was sent.
        """
        try:
            for job in jobs.open_jobs(self._ledger, self._task.name):
                self._finish(job)
            asked: set[str] = set()
            while rest := [one for one in chosen if one.text_sha256 not in asked and not self._is_known(one)]:
                found = self._noted(rest)
                if found is None:
                    self.told.stopped = _SPENT
                    return self.told
                asked |= found.texts
                progress(len(chosen) - len(rest), len(chosen))
                self._finish(self._sent(found.job, found.lines))
                if found.is_cut:
                    # Ever smaller batches would use up the rest of the budget, each of them hours.
                    self.told.stopped = _SPENT
                    return self.told
        except _StoppedError as error:
            self.told.stopped = str(error)
        return self.told

    def _is_known(self, text: Text) -> bool:
        known = self._ledger.answer(self._prompt, text.text_sha256)
        return known is not None and known.is_final

    def _noted(self, rest: Sequence[Text]) -> _Noted | None:
        """Note a batch about as many texts as may go into one; None where the budget allows no question."""
        bodies: list[bytes] = []
        asked: list[tuple[str, int, int]] = []
        size = 0
        for one in rest[:MOST_QUESTIONS]:
            known = self._ledger.answer(self._prompt, one.text_sha256)
            messages = prompts.messages(self._task, one.text, one.text_sha256, known.problem if known else None)
            body = json.dumps(self._endpoint.question(messages)).encode()
            size += len(body)
            if bodies and size > MOST_BYTES:
                break
            bodies.append(body)
            tokens = sum(len(message["content"].encode()) for message in messages) + OVERHEAD_TOKENS
            asked.append((one.text_sha256, (known.tries if known else 0) + 1, tokens))
        found = jobs.note(self._ledger, self._task.name, self._prompt, asked, self._settings.max_answer_tokens)
        if found is None:
            return None
        job, questions = found
        lines = [
            b'{"custom_id": "%s", "method": "POST", "url": "/v1/chat/completions", "body": %s}\n'
            % (_custom_id(job, one.call).encode(), body)
            for one, body in zip(questions, bodies, strict=False)
        ]
        return _Noted(job, b"".join(lines), {one.text_sha256 for one in questions}, len(questions) < len(asked))

    def _sent(self, job: Job, lines: bytes) -> Job:
        """Send a batch that was noted just now, and return it with its number."""
        try:
            file_id = self._tried(lambda: self._batches.upload(job.name, lines))
        except (MissingError, RejectedError) as error:
            jobs.over(self._ledger, job, may_cost=False)
            raise UserError(self._refused(error, unsure=False)) from error
        except _StoppedError:
            # A file costs nothing: only a batch of it does.
            jobs.over(self._ledger, job, may_cost=False)
            raise
        job, unsure = jobs.uploaded(self._ledger, job, file_id), False
        for attempt in range(self._settings.retries + 1):
            try:
                # After an answer that was lost it may be there.
                batch = (self._named(job) if unsure else None) or self._batches.create(job.name, file_id)
            except UnavailableError as error:
                unsure = unsure or error.may_cost
                if attempt == self._settings.retries:
                    if not unsure:
                        self._never_sent(job)
                    raise _StoppedError(str(error)) from error
                self._wait(error, attempt)
            except (MissingError, RejectedError) as error:
                if not unsure:
                    self._never_sent(job)
                raise UserError(self._refused(error, unsure=unsure)) from error
            else:
                return jobs.sent(self._ledger, job, batch.batch_id)
        raise AssertionError

    def _finish(self, job: Job) -> None:
        """Wait until a batch is over, and note what it brought."""
        waiting = jobs.waiting(self._ledger, job)
        self.told.asked += len(waiting)
        number = job.batch_id or self._found(job)
        if number is None:
            # Its texts go into the next one.
            self._never_sent(job)
            self.told.asked -= len(waiting)
            return
        batch = self._followed(number)
        for file_id in filter(None, (batch.output_file, batch.error_file)):
            try:
                self._tried(lambda name=file_id: self._take(job, name))  # type: ignore[misc]  # called within the loop
            except _StoppedError as error:
                message = f"{error}. Batch {number} is done there; where its answers are gone for good, {_GIVE_UP_LATER}"
                raise _StoppedError(message) from error
        # What is missing in a batch that ended early was not worked on; in one that was completed it may have been, and is lost.
        self.told.failed += len(jobs.waiting(self._ledger, job))
        jobs.over(self._ledger, job, may_cost=batch.status == "completed")
        told = self.told
        log.info("oracle.batch_over", batch=batch.batch_id, status=batch.status, answered=told.answered, failed=told.failed)
        for file_id in filter(None, (batch.input_file, batch.output_file, batch.error_file)):
            self._batches.remove(file_id)
        left, of = jobs.unanswered(self._ledger, job)
        if batch.status == "completed" and left > max(FEW_FAILED, of / 2):
            message = (
                f"batch {batch.batch_id} has no answer to {left} of {counted(of, 'question')}; what it answered is kept. The "
                "same command asks the others in another batch; without --batch it asks one by one, which may cost more"
            )
            raise _StoppedError(message)
        if batch.status != "completed":
            codes = f" ({', '.join(batch.problems)})" if batch.problems else ""
            message = f"batch {batch.batch_id} {_IN_WORDS[batch.status]}{codes}; what it answered is kept"
            raise _StoppedError(message)

    def _never_sent(self, job: Job) -> None:
        """Note that a batch was not sent, which costs nothing, and leave no articles there."""
        jobs.over(self._ledger, job, may_cost=False)
        if job.file_id is not None:
            self._batches.remove(job.file_id)

    def _found(self, job: Job) -> str | None:
        """Return the number of a batch that an earlier command may have sent; None where it did not."""
        found = self._tried(lambda: self._named(job))
        return jobs.sent(self._ledger, job, found.batch_id).batch_id if found is not None else None

    def _followed(self, number: str) -> Batch:
        """Return a batch once it is over."""
        while True:
            try:
                batch = self._tried(lambda: self._batches.get(number), at_least=_LOOKS)
            except (MissingError, RejectedError) as error:
                message = f"the endpoint does not tell of batch {number}, which was sent before; look for it there. {_GIVE_UP}"
                raise UserError(message) from error
            if batch.is_over:
                return batch
            self._sleep(self._settings.batch_poll_s)

    def _named(self, job: Job) -> Batch | None:
        try:
            return self._batches.named(job.name)
        except (MissingError, RejectedError) as error:
            message = (
                "a batch may have been sent before, and the endpoint does not list all of its batches. Look there "
                f"for metadata perennial={job.name}. {_GIVE_UP}"
            )
            raise UserError(message) from error

    def _take(self, job: Job, file_id: str) -> None:
        """Note the answers in a file. Read again after it was cut off, it changes nothing twice."""
        waiting, known, unknown = jobs.waiting(self._ledger, job), jobs.calls(self._ledger, job), 0
        for line in self._batches.lines(file_id):
            call = _call_of(job, line)
            if call is None or call not in known:
                unknown += 1
            elif (question := waiting.pop(call, None)) is not None:
                self._note(job, question, line)
        self.told.unknown += unknown

    def _note(self, job: Job, question: Question, line: Mapping[str, Any]) -> None:
        answer = line.get("response")
        body = answer.get("body") if isinstance(answer, dict) and answer.get("status_code") == _SUCCESS else None
        reply = read(body)
        if reply is None:
            self._ledger.failed(question.call, may_cost=body is not None)
            self.told.failed += 1
            return
        self.told.answered += 1
        text = self._texts.get(question.text_sha256)
        if isinstance(reply.content, Problem):
            self._ledger.answered(question.call, reply.content, question.tries, reply.used)
        elif text is None or job.prompt != self._prompt:
            # It was paid; what it says can be read beside its text and its prompt alone.
            self._ledger.paid(question.call, reply.used)
        else:
            shown = prompts.sendable(text.text)[: self._task.oracle.max_chars]
            said = answers.read(self._task, reply.content, shown)
            self._ledger.answered(question.call, said, question.tries, reply.used)

    def _tried(self, act: Callable[[], T], *, at_least: int = 0) -> T:
        """Do what can be done again, a few times. Raises `_StoppedError` where the endpoint is not there."""
        retries = max(at_least, self._settings.retries)
        for attempt in range(retries + 1):
            try:
                return act()
            except UnavailableError as error:
                if attempt == retries:
                    message = f"{error}, {attempt + 1} times"
                    raise _StoppedError(message) from error
                self._wait(error, attempt)
        raise AssertionError

    def _wait(self, error: UnavailableError, attempt: int) -> None:
        self._sleep(error.wait_s if error.wait_s is not None else backoff_s(attempt))

    def _refused(self, error: Exception, *, unsure: bool) -> str:
        asked = "A batch may have been sent before that; the same command looks for it first" if unsure else "Nothing was asked"
        if isinstance(error, MissingError):
            return f"{self._endpoint.where} takes no batches; leave --batch out. {asked}"
        return f"{error}. {asked}"


def give_up(ledger: Ledger, endpoint: Endpoint, task: str) -> None:
    """Give up the batches of a task that are under way, noted before the endpoint is told."""
    given_up = jobs.open_jobs(ledger, task)
    jobs.give_up(ledger, given_up)
    for job in given_up:
        BatchEndpoint(endpoint).abandon(job.batch_id, job.file_id)


_IN_WORDS: Mapping[str, str] = {
    "failed": "was refused by the endpoint as a whole", "expired": "was not done in time", "cancelled": "was cancelled",
}  # fmt: skip

_GIVE_UP_LATER = "add --give-up-batch: its questions are asked again, and then count at their most"
_GIVE_UP = f"To give it up, {_GIVE_UP_LATER}"


def _custom_id(job: Job, call: int) -> str:
    return f"{job.name}-{call}"


def _call_of(job: Job, line: object) -> int | None:
    """Return the number of the question that a line answers; None for one that is not of this batch."""
    said = line.get("custom_id") if isinstance(line, dict) else None
    name, _, call = said.rpartition("-") if isinstance(said, str) else ("", "", "")
    return int(call) if name == job.name and call.isascii() and call.isdecimal() and len(call) < 18 else None  # noqa: PLR2004
