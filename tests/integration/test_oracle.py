"""`perennial oracle`: from a rubric to labels in the buffer, through a judged prompt, with a model on this machine."""

from __future__ import annotations

import json
import os
import sqlite3
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import yaml

from config.clock import utc_now
from config.errors import UserError
from config.settings import Settings, environment_of, load_settings
from consumers.events import parsing
from consumers.events import schemas as events
from consumers.events.schemas import content_sha256
from consumers.labelling.oracle.batches.endpoint import BatchEndpoint
from consumers.labelling.oracle.ledger import FILE_NAME, Cap, Ledger, Price
from consumers.log.open import open_event_log
from consumers.training_set.snapshot import load_training_set
from daemon.operations.oracle import checking, handing_over, labelling
from daemon.training.preparing.beside import note_others
from daemon.views import opening
from tests.support import buffers, oracles
from tests.support.oracles import KEY, Model, model, task
from tests.support.weak import MONEY, SPORT
from trainers.job.files import BESIDE_FILE
from trainers.job.spec import JobSpec

SPEC = task(
    weak_labels={"rules": [SPORT, MONEY], "otherwise": "other"},
    oracle={"calibration": {"on_topic": 20, "off_topic": 10, "edge": 0, "gold": 10}}, new_label_min_examples=1,
)  # fmt: skip


FREE = {"price_per_million_in": 0.0, "price_per_million_out": 0.0}


def right(text: str) -> oracles.Said:
    label = "economy" if "rates" in text.lower() else "sport" if "match" in text.lower() or "goal" in text else "other"
    return oracles.Said(f'{{"label": "{label}", "confidence": 0.9}}')


def side(row: Any) -> str:
    return "test" if row.text.startswith("Held out") else "train"


@pytest.fixture
def served() -> Iterator[Model]:
    with model() as opened:
        opened.answer = right
        yield opened


@pytest.fixture
def settings(tmp_path: Path, served: Model) -> Settings:
    """An installation with articles that nobody has labelled, some gold, and a task with a rubric."""
    tasks = tmp_path / "tasks"
    tasks.mkdir()
    (tasks / "mine.yaml").write_text(yaml.safe_dump(SPEC.model_dump(mode="json", exclude_unset=True)))
    made = load_settings(
        data_dir=tmp_path / "data", tasks_dir=str(tasks), oracle=oracles.settings(base_url=served.url).model_dump()
    )
    bodies = [f"{words} {number}" for words in ("A match", "Rates rise", "Weather") for number in range(30)]
    said: list[events.AnyEvent] = [buffers.article(f"e-{body}", f"a-{body}", body) for body in [*bodies, "Held out match"]]
    said += [buffers.label(f"l-{number}", f"A goal {number}", "sport", task="mine") for number in range(30)]
    with buffers.opened(made.buffer_dir, tasks={"mine": SPEC}) as buffer:
        buffer.insert(buffers.stored(*said))
        buffers.enrich(buffer, "articles", split=side)
        buffers.enrich(buffer, split=side)
    return made


def handed(settings: Settings) -> list[events.AnyEvent]:
    """All that was handed over."""
    with closing(open_event_log(settings)) as log, closing(log.source("test", [events.TOPIC_OF_TYPE["label"]])) as source:
        records = source.poll(timeout_s=0.0, max_events=1_000)
    return [parsing.parse(record.value or b"", tasks={"mine": SPEC}, now=utc_now()) for record in records]


def sent(settings: Settings) -> list[events.Label]:
    """The labels among it."""
    return [one for one in handed(settings) if isinstance(one, events.Label)]


def rubric(settings: Settings, words: str) -> None:
    """Ask something else from now on."""
    changed = SPEC.model_copy(update={"oracle": SPEC.oracle.model_copy(update={"rubric": words})})
    (settings.tasks_folder / "mine.yaml").write_text(yaml.safe_dump(changed.model_dump(mode="json", exclude_unset=True)))


def stored(settings: Settings, folder: Path, offset: int) -> dict[str, str]:
    """Let the daemon store what was handed over; return the ids and texts that train."""
    with buffers.opened(settings.buffer_dir, tasks={"mine": SPEC}) as buffer:
        buffer.insert(buffers.stored(*handed(settings), offset=offset))
        buffers.enrich(buffer, split=side)
        buffer.withdraw_weak_labels()
        frozen = buffer.freeze(SPEC, run_id=folder.name, folder=folder, learnt=frozenset())
        return {row["example_id"]: row["text"] for row in frozen.rows("train").to_pylist() if row["origin"] == "oracle"}


def test_nothing_is_labelled_before_both_samples_have_passed(settings: Settings, served: Model) -> None:
    with pytest.raises(UserError):
        labelling.label(settings, "mine", 5)
    assert served.bodies == []
    found = labelling.calibrate(settings, "mine")
    assert [(one.name, one.judgement.verdict, one.judgement.reasons) for one in found.samples] == [
        ("first", "PASS", ()), ("fresh", "PASS", ()),
    ]  # fmt: skip
    assert found.may_label
    assert Counter(one.judgement.accepted.of for one in found.samples) == {40: 2}
    asked = len(served.bodies)
    assert asked == len(set(served.asked)), "the fresh sample has other texts"

    again = labelling.calibrate(settings, "mine")
    assert (again.may_label, len(again.samples), len(served.bodies)) == (True, 1, asked), "known answers are not asked for again"

    made = labelling.label(settings, "mine", 200)
    assert (made.labelled, made.forced, made.stopped) == (90, False, "")
    assert made.cached == 60
    assert len(served.bodies) == len(set(served.asked)), "no text is paid twice"
    assert not any("Held out" in text for text in served.asked)


def test_labels_train_with_their_weight_and_never_test(settings: Settings, tmp_path: Path) -> None:
    labelling.label(settings, "mine", 10, force=True)
    labels = sent(settings)
    assert len(labels) == 10
    assert {(one.origin, one.weight) for one in labels} == {("oracle", 0.63)}
    weak = events.Label(
        event_id="w-1",
        occurred_at=buffers.NOW,
        task="mine",
        text=labels[0].text,
        target={"label": "other"},
        origin="weak",
        weight=0.5,
    )
    person = buffers.label("p-1", labels[1].text, "other", task="mine")
    with buffers.opened(settings.buffer_dir, tasks={"mine": SPEC}) as buffer:
        buffer.insert(buffers.stored(*labels, weak, person, offset=500))
        buffers.enrich(buffer, split=side)
        frozen = buffer.freeze(SPEC, run_id="r", folder=tmp_path / "r", learnt=frozenset())
        rows = {row["text"]: row for row in frozen.rows("train").to_pylist()}
        assert not frozen.rows("test", "anchor", "corrections").num_rows
        assert rows[str(labels[0].text)]["origin"] == "oracle", "what weighs more goes before a rule"
        assert rows[str(labels[1].text)]["origin"] == "gold", "a person's label goes first"
        assert len(buffer.weak_texts(SPEC, 1_000).unlabelled) == 80, "nobody is asked again, and rules leave these texts"
        pool, _labels = buffer.asked_of_people(SPEC, audit_per_week=10)
        assert pool is not None


def test_held_out_texts_are_asked_about_once_the_prompt_passed_and_teach_nothing(
    settings: Settings, tmp_path: Path, served: Model
) -> None:  # fmt: skip
    said = [
        buffers.label(f"h-{number}", f"Held out match {number}", "sport", task="mine", annotator=name, origin="audit")
        for number in range(4)
        for name in (("anna", "bo") if number == 0 else ("anna",))
    ]
    said[1] = buffers.label("h-0b", "Held out match 0", "economy", task="mine", annotator="bo", origin="audit", hours=1)
    with buffers.opened(settings.buffer_dir, tasks={"mine": SPEC}) as buffer:
        buffer.insert(buffers.stored(*said, offset=700))
        buffers.enrich(buffer, split=side)
    with pytest.raises(UserError):
        checking.check(settings, "mine", 10)
    assert not served.bodies
    found = checking.check(settings, "mine", 3, force=True)
    assert (found.rows, found.unasked, found.score, found.forced) == (3, 1, 1.0, True)
    assert not sent(settings)
    asked = len(served.bodies)
    assert checking.check(settings, "mine", 10, force=True).rows == 4
    assert len(served.bodies) == asked + 1, "known answers are not asked for again"

    with buffers.opened(settings.buffer_dir, tasks={"mine": SPEC}) as buffer:
        frozen = buffer.freeze(SPEC, run_id="r", folder=tmp_path / "r", learnt=frozenset())
        order = JobSpec(
            run_id="r", task=SPEC, training=settings.training, full=True, training_set=tmp_path / "r", run_dir=tmp_path,
            champion=None, champion_version=None, batch_size=4,
        )  # fmt: skip
        note_others(order, SPEC, frozen.rows("test", embeddings=False), buffer, settings.data_dir)
    told = json.loads((tmp_path / BESIDE_FILE).read_bytes())
    assert set(told["oracle"]) == set(frozen.rows("test")["example_id"].to_pylist())
    assert all(one == {"label": "sport"} for one in told["oracle"].values())
    assert list(told["people"].values()) == [{"label": "economy"}], "the second person's, not the one that counts"
    assert not any("Held out" in str(one.text) for one in sent(settings))


def test_a_confidence_that_people_do_not_bear_out_weighs_less(settings: Settings, served: Model) -> None:
    served.answer = lambda text: right(text) if "goal" not in text else oracles.Said('{"label": "other", "confidence": 0.9}')
    labelling.calibrate(settings, "mine")
    assert labelling.label(settings, "mine", 5, force=True).belief.factor == 1.0, "10 texts of people say too little"
    more = settings.tasks_folder / "mine.yaml"
    more.write_text(more.read_text().replace("gold: 10", "gold: 25"))
    labelling.calibrate(settings, "mine")
    made = labelling.label(settings, "mine", 5, force=True)
    assert (made.belief.right, made.belief.of) == (0, 25)
    assert {one.weight for one in sent(settings)} == {0.63, 0.03}


def test_force_is_recorded_and_a_changed_rubric_has_to_pass_anew(settings: Settings) -> None:
    assert labelling.label(settings, "mine", 1, force=True).forced
    labelling.calibrate(settings, "mine")
    file = settings.tasks_folder / "mine.yaml"
    file.write_text(file.read_text().replace("What is the article about?", "What is it about?"))
    with pytest.raises(UserError):
        labelling.label(settings, "mine", 1)
    with closing(Ledger(settings.data_dir, Price(0, 0), Cap(0, 0))) as ledger:
        assert [batch["forced"] for batch in ledger.batches("mine")] == [True]


def test_labels_of_an_earlier_prompt_are_replaced_on_request_and_withdrawn_for_good(settings: Settings, tmp_path: Path) -> None:
    labelling.label(settings, "mine", 10, force=True)
    first = stored(settings, tmp_path / "r-1", 1_000)
    assert len(first) == 10
    [before] = handing_over.prompts(settings, "mine")
    assert (before.labels, before.withdrawn, before.in_force) == (10, 0, True)

    rubric(settings, "What is it mainly about?")
    made = labelling.label(settings, "mine", 5, force=True)
    assert (made.labelled, made.withdrawn, made.others) == (5, 0, 10), "what another prompt labelled is left alone"
    made = labelling.label(settings, "mine", 90, force=True, again=True)
    assert (made.labelled, made.cached, made.withdrawn, made.others) == (90, 5, 10, 0)
    second = stored(settings, tmp_path / "r-2", 2_000)
    assert (len(second), set(second) & set(first)) == (90, set())
    assert set(first.values()) <= set(second.values())
    learnt = load_training_set(tmp_path / "r-1").rows("train").to_pylist()
    assert set(first) == {row["example_id"] for row in learnt if row["origin"] == "oracle"}, "what a run learnt stays told"
    with opening.buffer(settings) as buffer:
        fate = buffer.feedback_fate(next(iter(first)))
    assert fate is not None
    assert "label withdrawn: its text was labelled anew by prompt" in fate.reason

    now, then = handing_over.prompts(settings, "mine")
    assert ((now.labels, now.in_force), (then.labels, then.withdrawn, then.in_force)) == ((90, True), (0, 10, False))
    with pytest.raises(UserError, match=now.prompt):
        handing_over.withdraw(settings, "mine", "none")
    waiting = len(handed(settings))
    gone = handing_over.withdraw(settings, "mine", now.prompt[:8])
    assert (gone.labels, gone.unread) == (90, waiting), "what no daemon has read may be such labels"
    assert stored(settings, tmp_path / "r-3", 3_000) == {}
    with opening.buffer(settings) as buffer:
        assert len(buffer.weak_texts(SPEC, 1_000).unlabelled) == 90, "rules speak of these texts again"
    assert handing_over.withdraw(settings, "mine", now.prompt).labels == 0

    again = labelling.label(settings, "mine", 20, force=True)
    assert (again.labelled, again.cached) == (20, 20), "nothing is paid twice"
    back = stored(settings, tmp_path / "r-4", 4_000)
    assert len(back) == 20
    assert not set(back) & {*first, *second}, "what was withdrawn stays withdrawn"


def test_a_command_that_was_cut_off_before_it_withdrew_is_made_good(settings: Settings, tmp_path: Path) -> None:
    labelling.label(settings, "mine", 3, force=True)
    stored(settings, tmp_path / "r-1", 1_000)
    rubric(settings, "What is it mainly about?")
    with patch.object(handing_over, "withdrawals", lambda *_all: []):
        labelling.label(settings, "mine", 90, force=True, again=True)
    assert len(stored(settings, tmp_path / "r-2", 2_000)) == 90, "the newer label of a text trains"
    made = labelling.label(settings, "mine", 1, force=True)
    assert (made.labelled, made.withdrawn) == (0, 3)
    assert handing_over.prompts(settings, "mine")[1].labels == 3, "until the daemon has read it"
    stored(settings, tmp_path / "r-3", 3_000)
    assert [one.labels for one in handing_over.prompts(settings, "mine")] == [90, 0]


def test_answers_of_a_batch_are_kept_whatever_the_command_that_goes_on_asks_for(
    settings: Settings, served: Model, tmp_path: Path
) -> None:
    labelling.label(settings, "mine", 3, force=True)
    stored(settings, tmp_path / "r-1", 1_000)
    rubric(settings, "What is it mainly about?")
    with patch.object(BatchEndpoint, "get", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        labelling.label(settings, "mine", 90, force=True, again=True, batch=True)
    asked = len(served.bodies)
    assert labelling.label(settings, "mine", 1, force=True, batch=True).labelled == 1
    made = labelling.label(settings, "mine", 90, force=True, again=True)
    assert (made.labelled, made.withdrawn, len(served.bodies)) == (90, 3, asked), "what another prompt labelled was paid once"


def test_a_prompt_that_was_fitted_to_the_first_sample_fails_on_the_fresh_one(settings: Settings, served: Model) -> None:
    known: set[str] = set()

    def fitted(text: str) -> oracles.Said:
        known.update([text] if len(known) < 40 else [])
        return right(text) if text in known else oracles.Said('{"label": "other", "confidence": 1}')

    served.answer = fitted
    found = labelling.calibrate(settings, "mine")
    assert [one.judgement.verdict for one in found.samples] == ["PASS", "FAIL"]
    assert not found.may_label
    again = labelling.calibrate(settings, "mine")
    assert (len(again.samples), again.may_label) == (1, False), "this prompt gets no second fresh sample"


def test_a_budget_that_ends_in_the_middle_leaves_what_was_answered(settings: Settings, served: Model) -> None:
    small = settings.model_copy(update={"oracle": settings.oracle.model_copy(update={"max_tokens": 6_000})})
    made = labelling.label(small, "mine", 90, force=True)
    assert 0 < made.labelled < 90
    assert made.stopped
    assert made.spent.tokens <= 6_000
    assert len(sent(settings)) == made.labelled
    assert labelling.label(settings, "mine", 90, force=True).labelled == 90
    assert len(served.bodies) == len(set(served.asked))
    assert len({one.event_id for one in sent(settings)}) == 90


def test_batches_bring_the_labels_and_what_they_leave_is_asked_one_by_one(settings: Settings, served: Model) -> None:
    busy: set[str] = set()

    def answer(text: str) -> oracles.Said:
        if text == "Weather 3" and not busy:
            busy.add(text)
            return oracles.Said(status=500)
        return right(text)

    served.answer = answer
    labelling.label(settings, "mine", 5, force=True)
    made = labelling.label(settings, "mine", 90, force=True, batch=True)
    assert (made.labelled, made.cached, made.stopped) == (90, 5, "")
    assert made.batch is not None
    assert (made.batch.asked, made.batch.answered, made.batch.failed) == (85, 84, 1)
    assert {text for text, times in Counter(served.asked).items() if times > 1} == busy
    rubric(settings, "What is it about now?")
    with patch.object(BatchEndpoint, "get", side_effect=KeyboardInterrupt), pytest.raises(KeyboardInterrupt):
        labelling.label(settings, "mine", 3, force=True, batch=True)
    for asks in (labelling.calibrate, partial(labelling.label, most=3, force=True)):
        with pytest.raises(UserError, match="--batch"):
            asks(settings, "mine")
    assert labelling.label(settings, "mine", 3, force=True, batch=True).cached == 0
    served.batches.status, served.batches.worked_on = "expired", 30
    rubric(settings, "What is it mainly about?")
    early = labelling.label(settings, "mine", 90, force=True, batch=True)
    assert (early.labelled, bool(early.stopped)) == (30, True), "what came is handed over, and the rest waits for the next batch"


@pytest.mark.parametrize("changes", [{"max_cost": 0.0}, FREE, {"base_url": ""}])
def test_without_a_limit_or_an_endpoint_nothing_is_asked(settings: Settings, changes: dict[str, Any]) -> None:
    other = settings.model_copy(update={"oracle": settings.oracle.model_copy(update=changes)})
    with pytest.raises(UserError):
        labelling.label(other, "mine", 5, force=True)


@pytest.mark.process
def test_killed_twenty_times_no_answer_is_paid_twice(settings: Settings, served: Model) -> None:
    environment = {
        **os.environ,
        **environment_of(settings),
        "PERENNIAL_ORACLE__API_KEY": KEY,
        "PERENNIAL_ORACLE__CONCURRENCY": "2",
    }
    victim = Path(__file__).parents[1] / "support" / "oracle_victim.py"
    ran = subprocess.run(
        [sys.executable, victim, "20"], env=environment, capture_output=True, text=True, check=False, timeout=600
    )  # fmt: skip
    assert (ran.returncode, ran.stdout.split()) == (0, ["20"]), ran.stderr[-2_000:]
    with closing(sqlite3.connect(settings.data_dir / FILE_NAME)) as connection:
        calls = connection.execute("SELECT text_sha256, state, tokens_in + tokens_out FROM calls").fetchall()
    answered, lost = (Counter(sha for sha, state, _ in calls if state == name) for name in ("answered", "sent"))
    assert len(answered) == 90
    assert set(answered.values()) == {1}, "a text has one answer that was noted, and no second one was paid"
    for text, times in Counter(served.asked).items():
        assert times <= 1 + lost[content_sha256(text)], "what was under way is all that may be asked again"
    assert lost.total() <= 20 * 2
    assert all(tokens > 110 for _, state, tokens in calls if state == "sent"), "and counts at its most"
    assert len({one.event_id for one in sent(settings)}) == len({one.text for one in sent(settings)}) == 90
