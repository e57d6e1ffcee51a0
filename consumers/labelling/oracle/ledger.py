"""What a language model was asked, what it answered and what that cost: one durable SQLite file, `oracle.db`.

A question is noted before it is sent, with the most that it can cost; its answer, before anybody uses it. So no answer is paid
twice, also after `kill -9`: only a question that was under way then may be asked again, and counts at its most until somebody
knows better. The file holds hashes, targets and numbers, and no text of an article.
"""

from __future__ import annotations

import fcntl
import json
import os
import sqlite3
import threading
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, Literal, cast

from config.clock import utc_now
from config.errors import UserError
from config.files.sqlite_file import open_file, transaction, translated_errors
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.problems import Problem, What

FILE_NAME = "oracle.db"
_LOCK_NAME = "oracle.lock"
FORMAT = 1
SCHEMA = """
CREATE TABLE answers (
    prompt_sha256 TEXT NOT NULL, text_sha256 TEXT NOT NULL, tries INTEGER NOT NULL, target TEXT, confidence REAL,
    what TEXT, message TEXT, at TEXT NOT NULL, PRIMARY KEY (prompt_sha256, text_sha256)
);
CREATE TABLE calls (
    id INTEGER PRIMARY KEY, task TEXT NOT NULL, prompt_sha256 TEXT NOT NULL, text_sha256 TEXT NOT NULL, at TEXT NOT NULL,
    state TEXT NOT NULL, tokens_in INTEGER NOT NULL, tokens_out INTEGER NOT NULL, cost REAL NOT NULL
);
CREATE TABLE samples (
    id INTEGER PRIMARY KEY, task TEXT NOT NULL, prompt_sha256 TEXT NOT NULL, name TEXT NOT NULL, seed INTEGER NOT NULL,
    verdict TEXT NOT NULL, report TEXT NOT NULL, at TEXT NOT NULL
);
CREATE TABLE sampled (sample INTEGER NOT NULL, task TEXT NOT NULL, text_sha256 TEXT NOT NULL);
CREATE TABLE batches (
    id INTEGER PRIMARY KEY, task TEXT NOT NULL, prompt_sha256 TEXT NOT NULL, at TEXT NOT NULL, most INTEGER NOT NULL,
    forced INTEGER NOT NULL, why TEXT NOT NULL
);
"""
ADDED = (
    """CREATE TABLE IF NOT EXISTS jobs (
        id INTEGER PRIMARY KEY, task TEXT NOT NULL, prompt_sha256 TEXT NOT NULL, name TEXT NOT NULL UNIQUE, at TEXT NOT NULL,
        state TEXT NOT NULL, file_id TEXT, batch_id TEXT
    )""",
    "CREATE TABLE IF NOT EXISTS job_calls (call INTEGER PRIMARY KEY, job INTEGER NOT NULL, tries INTEGER NOT NULL)",
)
"""Tables of later versions: earlier ones leave them alone."""

SampleName = Literal["first", "fresh"]
_LAST_TRY = 2
"""A question, and one request to repair its answer."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What came of a text so far."""

    said: Said | None
    problem: Problem | None
    tries: int

    @property
    def is_final(self) -> bool:
        """Whether nothing more is asked about it."""
        return self.said is not None or self.tries >= _LAST_TRY


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens, in the currency of the installation."""

    per_million_in: float
    per_million_out: float

    def of(self, tokens_in: int, tokens_out: int) -> float:
        """Return what so many tokens cost."""
        return (tokens_in * self.per_million_in + tokens_out * self.per_million_out) / 1e6


@dataclass(frozen=True, slots=True)
class Cap:
    """What may be spent; 0: no such limit."""

    cost: float
    tokens: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What was spent."""

    requests: int
    tokens: int
    cost: float


@dataclass(frozen=True, slots=True)
class Sample:
    """A judged sample."""

    name: SampleName
    seed: int
    verdict: str
    report: Mapping[str, Any]


class Ledger:
    """The file, for any number of threads of one process."""

    def __init__(self, data_dir: Path, price: Price, cap: Cap, clock: Callable[[], datetime] = utc_now) -> None:
        """Raises `RetryError`, `StopError` where the file cannot be used, `UserError` where another process asks now."""
        self._path = data_dir / FILE_NAME
        self._price, self._cap, self._clock = price, cap, clock
        self._lock = threading.Lock()
        self._held = _alone(data_dir / _LOCK_NAME)
        try:
            self._connection = open_file(self._path, schema=SCHEMA, format_version=FORMAT)
            with self.writing() as connection:
                for statement in ADDED:
                    connection.execute(statement)
        except BaseException:
            os.close(self._held)
            raise

    def close(self) -> None:
        """Close the file, and let others ask."""
        self._connection.close()
        os.close(self._held)

    def answer(self, prompt: str, text_sha256: str) -> Answer | None:
        """Return what is known of a text under a prompt."""
        sql = "SELECT target, confidence, what, message, tries FROM answers WHERE prompt_sha256 = ? AND text_sha256 = ?"
        found = self.rows(sql, prompt, text_sha256)
        if not found:
            return None
        target, confidence, what, message, tries = found[0]
        said = None if target is None else Said(json.loads(target), confidence)
        return Answer(said, None if what is None else Problem(cast("What", what), message), tries)

    def begin(self, task: str, prompt: str, text_sha256: str, tokens_in: int, tokens_out: int) -> int | None:
        """Note a question with the most that it can cost, durably, and return its number; None where that passes the cap."""
        with self.writing():
            return next(self.reserve(task, prompt, [(text_sha256, tokens_in)], tokens_out), None)

    def reserve(self, task: str, prompt: str, texts: Iterable[tuple[str, int]], tokens_out: int) -> Iterator[int]:
        """Yield the numbers of questions that are noted within `writing`, in order, as far as the cap allows.

        `texts`: of each its SHA-256 and the most tokens that its question can have.
        """
        spent = self._spent()
        cost, tokens = spent.cost, spent.tokens
        for text_sha256, tokens_in in texts:
            most = self._price.of(tokens_in, tokens_out)
            cost, tokens = cost + most, tokens + tokens_in + tokens_out
            if (self._cap.cost and cost > self._cap.cost) or (self._cap.tokens and tokens > self._cap.tokens):
                return
            columns = "task, prompt_sha256, text_sha256, at, state, tokens_in, tokens_out, cost"
            sql = f"INSERT INTO calls ({columns}) VALUES (?,?,?,?,?,?,?,?)"  # noqa: S608 - a constant
            values = (task, prompt, text_sha256, self.now(), "sent", tokens_in, tokens_out, most)
            yield cast("int", self._connection.execute(sql, values).lastrowid)

    def failed(self, call: int, *, may_cost: bool) -> None:
        """Note that no answer came; `may_cost`: the endpoint may have worked all the same, so it counts at its most."""
        with self.writing():
            nothing = "" if may_cost else ", tokens_in = 0, tokens_out = 0, cost = 0"
            sql = f"UPDATE calls SET state = 'failed'{nothing} WHERE id = ?"  # noqa: S608 - two constants
            self._connection.execute(sql, (call,))

    def answered(self, call: int, answer: Said | Problem, tries: int, used: tuple[int, int] | None) -> None:
        """Note an answer and what it cost, in one transaction; `used`: its tokens, None where the endpoint did not tell."""
        with self.writing():
            if used is not None:
                sql = "UPDATE calls SET state = 'answered', tokens_in = ?, tokens_out = ?, cost = ? WHERE id = ?"
                self._connection.execute(sql, (*used, self._price.of(*used), call))
            else:
                self._connection.execute("UPDATE calls SET state = 'answered' WHERE id = ?", (call,))
            target = json.dumps(answer.target, ensure_ascii=False) if isinstance(answer, Said) else None
            problem = (None, None) if isinstance(answer, Said) else (answer.what, answer.message)
            confidence = answer.confidence if isinstance(answer, Said) else None
            sql = (
                "INSERT OR REPLACE INTO answers SELECT prompt_sha256, text_sha256, ?, ?, ?, ?, ?, ? FROM calls "
                "WHERE id = ? AND text_sha256 != ''"  # its text may have been erased meanwhile
            )
            self._connection.execute(sql, (tries, target, confidence, *problem, self.now(), call))

    def paid(self, call: int, used: tuple[int, int] | None) -> None:
        """Note what a question cost whose answer can be of no use any more."""
        with self.writing() as connection:
            tokens = (*used, self._price.of(*used)) if used is not None else None
            counted = ", tokens_in = ?, tokens_out = ?, cost = ?" if tokens else ""
            sql = f"UPDATE calls SET state = 'answered'{counted} WHERE id = ?"  # noqa: S608 - two constants
            connection.execute(sql, (*(tokens or ()), call))

    def spent(self, task: str | None = None) -> Spent:
        """Return what was spent, for one task or all; questions without an answer at their most."""
        with self._lock, translated_errors(self._path):
            return self._spent(task)

    def note_sample(self, task: str, prompt: str, sample: Sample, texts: Sequence[str]) -> None:
        """Note a judged sample and the SHA-256 of its texts: no later fresh sample has one of them."""
        with self.writing():
            sql = "INSERT INTO samples (task, prompt_sha256, name, seed, verdict, report, at) VALUES (?,?,?,?,?,?,?)"
            report = json.dumps(sample.report, ensure_ascii=False)
            values = (task, prompt, sample.name, sample.seed, sample.verdict, report, self.now())
            number = self._connection.execute(sql, values).lastrowid
            self._connection.executemany("INSERT INTO sampled VALUES (?, ?, ?)", [(number, task, text) for text in texts])

    def sample(self, task: str, prompt: str, name: SampleName) -> Sample | None:
        """Return the newest sample of a name that was judged with this very prompt."""
        where = "task = ? AND prompt_sha256 = ? AND name = ?"
        sql = f"SELECT name, seed, verdict, report FROM samples WHERE {where} ORDER BY id DESC LIMIT 1"  # noqa: S608 - a constant
        found = self.rows(sql, task, prompt, name)
        return Sample(found[0][0], found[0][1], found[0][2], json.loads(found[0][3])) if found else None

    def sampled(self, task: str) -> Collection[str]:
        """Return the texts of all samples of a task, by SHA-256: whoever wrote its prompts may have seen them."""
        return {row[0] for row in self.rows("SELECT DISTINCT text_sha256 FROM sampled WHERE task = ?", task)}

    def note_batch(self, task: str, prompt: str, most: int, *, forced: bool, why: str) -> None:
        """Note that labels are about to be made, and whether nobody vouched for the prompt."""
        with self.writing():
            sql = "INSERT INTO batches (task, prompt_sha256, at, most, forced, why) VALUES (?,?,?,?,?,?)"
            self._connection.execute(sql, (task, prompt, self.now(), most, int(forced), why))

    def batches(self, task: str) -> list[dict[str, Any]]:
        """Return the batches of a task, the oldest first."""
        found = self.rows("SELECT at, most, forced, why, prompt_sha256 FROM batches WHERE task = ? ORDER BY id", task)
        return [
            {"at": at, "most": most, "forced": bool(forced), "why": why, "prompt": prompt}
            for at, most, forced, why, prompt in found
        ]

    def _spent(self, task: str | None = None) -> Spent:
        where = "" if task is None else " WHERE task = ?"
        values: tuple[str, ...] = () if task is None else (task,)
        sums = "COUNT(*), COALESCE(SUM(tokens_in + tokens_out), 0), COALESCE(SUM(cost), 0)"
        sql = f"SELECT {sums} FROM calls{where}"  # noqa: S608 - constants
        return Spent(*self._connection.execute(sql, values).fetchone())

    def rows(self, sql: str, *values: object) -> list[Any]:
        """Return what a question to the file gives."""
        with self._lock, translated_errors(self._path):
            return self._connection.execute(sql, values).fetchall()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Change the file in one durable transaction."""
        with self._lock, transaction(self._connection, self._path):
            yield self._connection

    def now(self) -> str:
        """Return the time as the file notes it."""
        return self._clock().isoformat()


def _alone(path: Path) -> int:
    """Return a descriptor that holds a lock until it is closed: two processes would ask about one text, and pay twice."""
    path.parent.mkdir(parents=True, exist_ok=True)
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(descriptor)
        message = (
            "another `perennial oracle` asks the language model now, and two would pay twice; wait for it, then run this again"
        )
        raise UserError(message) from None
    return descriptor
