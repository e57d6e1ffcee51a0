"""Asking a language model by its batch API: slow, expired, partly failed, cut and foreign output, and that none is sent twice."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest

from config.errors import UserError
from consumers.labelling.oracle import forgetting
from consumers.labelling.oracle.answers import Said
from consumers.labelling.oracle.asking import Oracle, Text
from consumers.labelling.oracle.batches import batching, jobs
from consumers.labelling.oracle.batches.batching import Batching, Told
from consumers.labelling.oracle.batches.endpoint import BatchEndpoint
from consumers.labelling.oracle.endpoint import Endpoint, RejectedError, UnavailableError
from consumers.labelling.oracle.ledger import Cap, Ledger, Price
from tests.support import oracles
from tests.support.oracles import KEY, Model, model, task

NO_CAP = Cap(0, 0)
TEXTS = [Text(f"{number:064x}", f"Article {number}") for number in range(10)]


@pytest.fixture
def served() -> Iterator[Model]:
    with model() as opened:
        yield opened


class Asking:
    """Asks a served model by batches, and then one by one about what is left, as the command does."""

    def __init__(self, served: Model, folder: Path) -> None:
        self.served, self.folder = served, folder
        self.waits: list[float] = []

    def __call__(self, *texts: Text, cap: Cap = NO_CAP, spec: Any = None, give_up: bool = False, **settings: Any) -> Told:
        said, spec = oracles.settings(base_url=self.served.url, **{"concurrency": 1} | settings), spec or task()
        with closing(Ledger(self.folder, Price(1, 1), cap)) as ledger, closing(Endpoint(said)) as endpoint:
            oracle = Oracle(spec, said, ledger, endpoint, sleep=self.waits.append)
            every = {one.text_sha256: one for one in TEXTS}
            made = Batching(spec, said, ledger, endpoint, prompt=oracle.prompt, texts=every, sleep=self.waits.append)
            try:
                if give_up:
                    batching.give_up(ledger, endpoint, "mine")
                told = made.fill(texts or TEXTS)
                self.by_batch = [one for one in TEXTS if ledger.answer(oracle.prompt, one.text_sha256)]
                self.answers = [] if told.stopped else [one.answer for one in oracle.ask_all(texts or TEXTS)]
                return told
            finally:
                self.spent, self.open = ledger.spent(), jobs.open_jobs(ledger, "mine")

    @property
    def paid(self) -> Counter[str]:
        return Counter(self.served.asked)


@pytest.fixture
def asking(served: Model, tmp_path: Path) -> Asking:
    return Asking(served, tmp_path)


def test_a_batch_brings_all_answers_and_leaves_nothing_there(asking: Asking) -> None:
    asking.served.batches.polls = 3
    told = asking(batch_poll_s=7)
    assert told == Told(asked=10, answered=10)
    assert asking.answers == [Said({"label": "sport"}, 0.9)] * 10
    assert asking.waits == [7.0] * 3
    assert asking.paid == Counter(one.text for one in TEXTS)
    assert asking.spent.tokens == 1_100
    [made] = asking.served.batches.made.values()
    assert (made["endpoint"], list(made["metadata"])) == ("/v1/chat/completions", ["perennial"])
    assert asking.served.batches.files == {}, "articles and answers stay with nobody"
    assert set(asking.served.keys) == {f"Bearer {KEY}"}
    assert asking().asked == 0
    assert len(asking.served.batches.made) == 1


def test_lines_that_failed_are_asked_again_by_the_rules_of_single_ones(asking: Asking) -> None:
    first: set[str] = set()

    def answer(text: str) -> oracles.Said:
        again = text in first
        first.add(text)
        bad = {"Article 1": oracles.Said(status=500), "Article 2": oracles.Said("prose"), "Article 3": oracles.Said(status=400)}
        return oracles.Said() if again and text != "Article 3" else bad.get(text, oracles.Said())

    asking.served.answer = answer
    told = asking()
    assert (told.answered, told.failed, told.stopped) == (8, 2, "")
    assert [isinstance(one, Said) for one in asking.answers].count(False) == 1, "what the endpoint does not take is left out"
    assert {text for text, times in asking.paid.items() if times > 1} == {"Article 1", "Article 2", "Article 3"}
    repair = next(body for body in reversed(asking.served.bodies) if "Article 2" in body["messages"][1]["content"])
    assert len(repair["messages"]) == 3, "a refused answer is repaired"


def test_a_batch_of_which_most_failed_is_not_asked_one_by_one_unless_somebody_wants_it(asking: Asking) -> None:
    asking.served.answer = lambda text: oracles.Said() if text in ("Article 1", "Article 2") else oracles.Said(status=500)
    with patch.object(batching, "FEW_FAILED", 7):
        told = asking()
    assert (told.answered, told.failed, "8 of 10" in told.stopped, asking.open) == (2, 8, True, [])
    assert set(asking.paid.values()) == {1}
    with patch.object(batching, "FEW_FAILED", 8):
        assert not asking(*TEXTS[:2], temperature=1.0).stopped


@pytest.mark.parametrize("status", ["expired", "cancelled"])
def test_a_batch_that_ends_early_keeps_what_it_did_and_the_rest_goes_into_the_next(asking: Asking, status: str) -> None:
    asking.served.batches.status, asking.served.batches.worked_on = status, 4
    told = asking()
    assert (told.answered, told.failed, status[:6] in told.stopped or "in time" in told.stopped) == (4, 6, True)
    assert asking.spent.tokens == 440, "what was not worked on costs nothing"
    asking.served.batches.status, asking.served.batches.worked_on = "completed", None
    assert asking().answered == 6
    assert asking.paid == Counter(one.text for one in TEXTS)


def test_an_endpoint_that_is_away_for_an_hour_is_waited_for_and_then_found_again(asking: Asking) -> None:
    asking.served.batches.away = 40
    assert asking(retries=1).answered == 10
    assert len(asking.waits) == 40
    asking.served.batches.away = 1_000
    assert "503" in asking(temperature=1.0, retries=1).stopped
    asking.served.batches.away = 0
    assert asking(temperature=1.0).answered == 10
    assert len(asking.served.batches.made) == 2


def test_a_batch_that_is_refused_as_a_whole_costs_nothing(asking: Asking) -> None:
    asking.served.batches.status, asking.served.batches.worked_on = "failed", 0
    told = asking()
    assert "refused" in told.stopped
    assert (asking.spent.tokens, asking.open) == (0, [])


def test_output_that_is_cut_off_is_read_again_and_noted_once(asking: Asking) -> None:
    asking.served.batches.cut = 2
    assert asking().answered == 10
    assert (asking.spent.tokens, len(asking.waits)) == (1_100, 2)


def test_output_that_stays_cut_stops_and_goes_on_later(asking: Asking) -> None:
    asking.served.batches.cut = 99
    told = asking()
    assert "does not answer" in told.stopped
    asking.served.batches.cut = 0
    assert not asking().stopped
    assert asking.paid == Counter(one.text for one in TEXTS)


@pytest.mark.parametrize(
    "line",
    [
        lambda _row: None,
        lambda _row: b"{half of a li\n",
        lambda row: row | {"custom_id": "another-1"},
        lambda row: row | {"custom_id": f"{row['custom_id']}0000"},
        lambda row: row | {"custom_id": 7},
        lambda row: {"custom_id": row["custom_id"], "response": {"status_code": 200, "body": ["?"]}},
    ],
)
def test_answers_that_nobody_can_read_count_at_their_most_and_are_asked_again(asking: Asking, line: Any) -> None:
    asking.served.batches.line = lambda row: line(row) if "-3" in row["custom_id"][-2:] else row
    told = asking()
    assert (told.answered, told.failed, len(asking.by_batch)) == (9, 1, 9)
    assert all(isinstance(one, Said) for one in asking.answers)
    assert [text for text, times in asking.paid.items() if times > 1] == ["Article 2"]
    assert asking.spent.tokens > 11 * 110


def test_lines_of_no_question_and_lines_twice_change_nothing(asking: Asking) -> None:
    asking.served.batches.more = (
        b'{"custom_id": "x-1", "response": null}\n[]\nnot json\n\n' + b'{"custom_id": "' + b"9" * 500 + b'"}'
    )
    asking.served.batches.line = lambda row: json.dumps(row).encode() + b"\n" + json.dumps(row).encode() + b"\n"
    told = asking()
    assert (told.answered, told.failed, told.unknown) == (10, 0, 4)
    assert asking.spent.tokens == 1_100


class _KilledError(BaseException):
    """The process ends here."""


@pytest.mark.parametrize(
    ("owner", "name", "made"),
    [
        (BatchEndpoint, "upload", 0), (jobs, "uploaded", 0), (BatchEndpoint, "create", 0), (jobs, "sent", 1),
        (BatchEndpoint, "get", 1), (BatchEndpoint, "lines", 1), (jobs, "over", 1), (BatchEndpoint, "remove", 1),
    ],
)  # fmt: skip
def test_whoever_stops_anywhere_finds_the_batch_again_and_sends_none_twice(
    asking: Asking, owner: Any, name: str, made: int
) -> None:
    with patch.object(owner, name, side_effect=_KilledError), pytest.raises(_KilledError):
        asking()
    assert len(asking.served.batches.made) == made
    told = asking()
    assert not told.stopped
    assert len(asking.served.batches.made) == 1
    assert asking.paid == Counter(one.text for one in TEXTS)
    assert all(isinstance(one, Said) for one in asking.answers)
    assert asking.spent.tokens == 1_100


def test_an_answer_to_the_making_of_a_batch_that_is_lost_makes_no_second_one(asking: Asking) -> None:
    asking.served.batches.lost = 1
    assert asking().answered == 10
    assert len(asking.served.batches.made) == 1


def test_where_nobody_can_say_whether_a_batch_was_sent_nothing_is_sent_until_it_is_given_up(asking: Asking) -> None:
    with patch.object(jobs, "sent", side_effect=_KilledError), pytest.raises(_KilledError):
        asking()
    asking.served.batches.lists = False
    with pytest.raises(UserError, match="give-up-batch"):
        asking()
    assert len(asking.served.batches.made) == 1
    reserved = asking.spent.tokens
    assert asking(give_up=True).answered == 10
    assert len(asking.served.batches.made) == 2
    assert asking.spent.tokens == reserved + 1_100, "what was given up counts at its most"


def test_a_batch_that_the_endpoint_has_forgotten_is_said(asking: Asking) -> None:
    with patch.object(BatchEndpoint, "get", side_effect=_KilledError), pytest.raises(_KilledError):
        asking()
    asking.served.batches.made.clear()
    with pytest.raises(UserError, match="give-up-batch"):
        asking()


@pytest.mark.parametrize(("status", "told"), [(404, "takes no batches"), (401, "refused with 401"), (413, "refused with 413")])
def test_an_endpoint_without_batches_says_so_and_costs_nothing(asking: Asking, status: int, told: str) -> None:
    asking.served.batches.refuse = status
    with pytest.raises(UserError, match=told):
        asking()
    assert (asking.spent.tokens, asking.open) == (0, [])


def test_an_endpoint_that_is_away_stops_the_command_and_costs_nothing(asking: Asking) -> None:
    asking.served.batches.refuse = 503
    assert "503" in asking().stopped
    assert (asking.spent.tokens, asking.open) == (0, [])


def test_the_cap_counts_a_batch_before_it_is_sent(asking: Asking) -> None:
    asking(TEXTS[0])
    most = reserved(asking, TEXTS[1])
    before = asking.spent.tokens
    told = asking(*TEXTS, cap=Cap(0, before + 3 * most))
    assert (told.asked, told.answered, "spent" in told.stopped) == (3, 3, True)
    assert asking.spent.tokens == before + 330
    made = len(asking.served.batches.made)
    told = asking(*TEXTS, cap=Cap(0, before))
    assert (told.asked, len(asking.served.batches.made)) == (0, made), "nothing is sent"


def reserved(asking: Asking, text: Text) -> int:
    """The most that a question about a text can cost."""
    before = asking.spent.tokens
    with patch.object(jobs, "sent", side_effect=_KilledError), pytest.raises(_KilledError):
        asking(text)
    most = asking.spent.tokens - before
    asking(text)
    return most


@pytest.mark.parametrize(
    "page", [{}, {"data": None}, {"data": ["?"]}, {"data": [], "has_more": True}, {"data": [{"id": "batch-9"}], "has_more": True}]
)
def test_where_not_all_batches_are_listed_none_is_sent_again(asking: Asking, page: dict[str, Any]) -> None:
    with patch.object(jobs, "sent", side_effect=_KilledError), pytest.raises(_KilledError):
        asking(TEXTS[0])
    asking.served.batches.page = page
    with pytest.raises(UserError, match="give-up-batch"):
        asking(TEXTS[0])
    asking.served.batches.page = None
    assert asking(TEXTS[0]).answered == 1
    assert asking.paid["Article 0"] == len(asking.served.batches.made) == 1


def test_a_batch_that_is_given_up_is_cancelled_and_leaves_no_article_there(asking: Asking) -> None:
    with patch.object(BatchEndpoint, "get", side_effect=_KilledError), pytest.raises(_KilledError):
        asking(TEXTS[0])
    [(name, made)] = asking.served.batches.made.items()
    assert asking(TEXTS[0], give_up=True).answered == 1
    assert asking.served.batches.cancelled == [name]
    assert made["input_file_id"] not in asking.served.batches.files


def test_answers_that_are_gone_there_say_how_to_go_on(asking: Asking) -> None:
    with patch.object(BatchEndpoint, "get", side_effect=_KilledError), pytest.raises(_KilledError):
        asking(TEXTS[0])
    asking.served.batches.files.clear()
    told = asking(TEXTS[0])
    assert ("404" in told.stopped, "give-up-batch" in told.stopped, len(asking.open)) == (True, True, 1)
    assert asking(TEXTS[0], give_up=True).answered == 1


@pytest.mark.parametrize("lost", [0, 1])
def test_a_batch_that_is_refused_says_whether_it_may_have_been_sent(asking: Asking, lost: int) -> None:
    asked = list[str]()

    def create(_batches: BatchEndpoint, name: str, _file: str) -> None:
        asked.append(name)
        raise UnavailableError("no answer", may_cost=True) if len(asked) <= lost else RejectedError("no")

    with patch.object(BatchEndpoint, "create", create), pytest.raises(UserError, match="may have" if lost else "Nothing"):
        asking(TEXTS[0])
    assert len(asking.open) == lost
    assert bool(asking.served.batches.files) == bool(lost), "what was surely not sent leaves no article there"


def test_many_texts_go_into_several_batches(asking: Asking) -> None:
    with patch.object(batching, "MOST_QUESTIONS", 4):
        assert asking().answered == 10
    assert len(asking.served.batches.made) == 3
    with patch.object(batching, "MOST_BYTES", 1):
        asking(TEXTS[0], TEXTS[1], temperature=1.0)
    assert len(asking.served.batches.made) == 5, "a text is sent however long it is"


def test_answers_to_an_earlier_prompt_are_paid_and_of_no_use(asking: Asking) -> None:
    with patch.object(BatchEndpoint, "get", side_effect=_KilledError), pytest.raises(_KilledError):
        asking(TEXTS[0])
    told = asking(TEXTS[0], spec=task(oracle={"rubric": "Something else"}))
    assert (told.asked, told.answered, asking.spent.tokens) == (2, 2, 220)
    assert asking.paid["Article 0"] == 2


def test_a_text_that_is_erased_while_a_batch_is_under_way_leaves_nothing(asking: Asking, tmp_path: Path) -> None:
    erased = TEXTS[2]  # whose hash is no part of another row, whatever the hash of the prompt ends with
    with patch.object(BatchEndpoint, "get", side_effect=_KilledError), pytest.raises(_KilledError):
        asking(erased, TEXTS[1])
    forgetting.keep_texts(tmp_path, {TEXTS[1].text_sha256})
    told = asking(TEXTS[1])
    assert (told.answered, asking.spent.tokens) == (2, 220)
    assert erased.text_sha256.encode() not in (tmp_path / "oracle.db").read_bytes()


def test_a_file_of_before_batches_takes_them(tmp_path: Path) -> None:
    with closing(Ledger(tmp_path, Price(1, 1), NO_CAP)) as ledger, ledger.writing() as connection:
        connection.execute("DROP TABLE jobs")
        connection.execute("DROP TABLE job_calls")
    with closing(Ledger(tmp_path, Price(1, 1), NO_CAP)) as ledger:
        assert jobs.note(ledger, "mine", "p", [("a" * 64, 1, 10)], 10) is not None
        assert [job.prompt for job in jobs.open_jobs(ledger, "mine")] == ["p"]
