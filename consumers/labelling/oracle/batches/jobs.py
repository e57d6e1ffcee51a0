"""Batches of questions in the ledger: noted before they are sent, under a name by which they can be found again.

A job is `noted` with all its questions and the most that they can cost; `sent` once the endpoint has told its number; then it is
`over` or `given up`. A question of it is a call like any other.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from consumers.labelling.oracle.ledger import Ledger

_OPEN = "state IN ('noted', 'sent')"


@dataclass(frozen=True, slots=True)
class Job:
    """A batch that is not over."""

    number: int
    task: str
    prompt: str
    name: str
    """By which it is found at the endpoint, where nobody noted its number there."""
    file_id: str | None = None
    """Its file of questions at the endpoint, where that has arrived."""
    batch_id: str | None = None
    """Its number at the endpoint; None: it may not have been sent."""


@dataclass(frozen=True, slots=True)
class Question:
    """One question of a batch."""

    call: int
    text_sha256: str
    """Empty: the text was erased."""
    tries: int
    """Which request about its text it is: 1, or 2 to repair."""


def note(
    ledger: Ledger, task: str, prompt: str, asked: Sequence[tuple[str, int, int]], tokens_out: int
) -> tuple[Job, list[Question]] | None:  # fmt: skip
    """Note a batch, in order as far as the cap allows; None where that is no question at all.

    `asked`: of each question the SHA-256 of its text, its try, and the most tokens that it can have.
    """
    name = secrets.token_hex(12)
    with ledger.writing() as connection:
        calls = list(ledger.reserve(task, prompt, [(sha, tokens) for sha, _tries, tokens in asked], tokens_out))
        if not calls:
            return None
        sql = "INSERT INTO jobs (task, prompt_sha256, name, at, state) VALUES (?, ?, ?, ?, 'noted')"
        number = connection.execute(sql, (task, prompt, name, ledger.now())).lastrowid or 0
        found = [Question(call, sha, tries) for call, (sha, tries, _tokens) in zip(calls, asked, strict=False)]
        connection.executemany("INSERT INTO job_calls VALUES (?, ?, ?)", [(one.call, number, one.tries) for one in found])
    return Job(number, task, prompt, name), found


def open_jobs(ledger: Ledger, task: str) -> list[Job]:
    """Return the batches of a task that are not over, the oldest first."""
    sql = f"SELECT id, task, prompt_sha256, name, file_id, batch_id FROM jobs WHERE task = ? AND {_OPEN} ORDER BY id"  # noqa: S608 - a constant
    return [Job(*row) for row in ledger.rows(sql, task)]


def waiting(ledger: Ledger, job: Job) -> dict[int, Question]:
    """Return the questions of a batch without an answer, by their numbers."""
    sql = (
        "SELECT id, text_sha256, tries FROM job_calls JOIN calls ON calls.id = job_calls.call "
        "WHERE job = ? AND state = 'sent' ORDER BY id"
    )
    return {row[0]: Question(*row) for row in ledger.rows(sql, job.number)}


def calls(ledger: Ledger, job: Job) -> set[int]:
    """Return the numbers of all questions of a batch."""
    return {row[0] for row in ledger.rows("SELECT call FROM job_calls WHERE job = ?", job.number)}


def unanswered(ledger: Ledger, job: Job) -> tuple[int, int]:
    """Return how many questions of a batch have no answer, and how many it has."""
    sql = "SELECT state FROM job_calls JOIN calls ON calls.id = job_calls.call WHERE job = ?"
    states = [row[0] for row in ledger.rows(sql, job.number)]
    return sum(state != "answered" for state in states), len(states)


def uploaded(ledger: Ledger, job: Job, file_id: str) -> Job:
    """Note the file of a batch at the endpoint."""
    with ledger.writing() as connection:
        connection.execute("UPDATE jobs SET file_id = ? WHERE id = ?", (file_id, job.number))
    return replace(job, file_id=file_id)


def sent(ledger: Ledger, job: Job, batch_id: str) -> Job:
    """Note the number of a batch at the endpoint."""
    with ledger.writing() as connection:
        connection.execute("UPDATE jobs SET state = 'sent', batch_id = ? WHERE id = ?", (batch_id, job.number))
    return replace(job, batch_id=batch_id)


def over(ledger: Ledger, job: Job, *, may_cost: bool, given_up: bool = False) -> None:
    """Note that a batch is over; questions without an answer failed. `may_cost`: they count at their most."""
    nothing = "" if may_cost else ", tokens_in = 0, tokens_out = 0, cost = 0"
    mine = "state = 'sent' AND id IN (SELECT call FROM job_calls WHERE job = ?)"
    with ledger.writing() as connection:
        sql = f"UPDATE calls SET state = 'failed'{nothing} WHERE {mine}"  # noqa: S608 - constants
        connection.execute(sql, (job.number,))
        connection.execute("UPDATE jobs SET state = ? WHERE id = ?", ("given up" if given_up else "over", job.number))


def give_up(ledger: Ledger, jobs: Iterable[Job]) -> None:
    """Give batches up: nobody fetches their answers any more, and their questions count at their most."""
    for job in jobs:
        over(ledger, job, may_cost=True, given_up=True)
