"""No row ends the daemon: what enrichment, joining or judging fails on is set aside, its neighbours go on, on the real buffer."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from structlog.testing import capture_logs

from config.settings import load_settings
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.defence import conflicts
from consumers.enrichment.enrich import Enricher
from consumers.events.schemas import AnyEvent
from consumers.rows import ledger, set_aside
from daemon.cli.data import dead_letters
from tests.support.buffers import (
    ENTITIES,
    FEEDBACK,
    TASKS,
    TOPICS,
    article,
    feedback,
    label,
    opened,
    prediction,
    spans,
    stored,
)
from tests.support.encoders import WordEncoder
from tests.support.tables import rows_of

TOPIC = "news-topics"
A_BUG = "a bug"
TEXTS = [f"number{n} of the many different stories told today" for n in range(9)]


class PoisonedEncoder(WordEncoder):
    """Fails on every batch that holds one of some texts."""

    def __init__(
        self, *poison: str, error: Callable[[], BaseException] = lambda: ValueError("what a bug says\nin two lines")
    ) -> None:
        super().__init__()
        self.poison = set(poison)
        self.error = error

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        if self.poison.intersection(texts):
            raise self.error()
        return super().encode(texts)


def enricher(buffer: BufferWriter, encoder: WordEncoder | None = None) -> Enricher:
    return Enricher(buffer, load_settings().enrich, FEEDBACK, encoder=encoder or WordEncoder())


def store(buffer: BufferWriter, *events: AnyEvent, offset: int = 0) -> None:
    assert buffer.insert(stored(*events, offset=offset)).inserted == len(events)


def standings(buffer: BufferWriter) -> dict[str, str]:
    rows = rows_of(buffer.folder, "feedback_judgements", ["row_id", "standing"]).to_pylist()
    return {row["row_id"]: row["standing"] for row in rows}


def steps(one: Enricher) -> None:
    for _ in range(4):
        one.step()


@pytest.mark.parametrize(
    ("answer", "target"),
    [
        ({}, {"label": "economy"}),
        ({"label": 7}, {"label": "economy"}),
        ({"label": "sport", "scores": {"sport": "high"}}, {"label": "economy"}),
        ({"label": "sport", "scores": [0.5]}, {"label": "economy"}),
        ({"spans": None, "label": ["x"]}, {"label": "economy"}),
        ({"spans": [{"start": 0}]}, {"label": "economy"}),
    ],
)
def test_feedback_that_cites_an_answer_of_no_shape_is_judged_and_so_are_its_neighbours(
    tmp_path: Path, answer: dict[str, Any], target: dict[str, Any]
) -> None:
    with opened(tmp_path) as buffer:
        store(buffer, prediction("p-1", TEXTS[0], answer=answer), prediction("p-2", TEXTS[1]))
        store(
            buffer,
            feedback("f-1", prediction_id="p-1", target=target),
            feedback("f-2", prediction_id="p-2", user_id="u-2"),
            offset=9,
        )
        steps(enricher(buffer))
        assert standings(buffer) == {"f-1": "effective", "f-2": "effective"}
        assert buffer.counts(TOPIC).unenriched == 0


@pytest.mark.parametrize("bad", [[4], [0, 8], list(range(9))])
def test_a_text_that_enrichment_fails_on_is_set_aside_and_the_others_are_enriched(tmp_path: Path, bad: list[int]) -> None:
    with opened(tmp_path) as buffer:
        store(buffer, *(label(f"l-{n}", text) for n, text in enumerate(TEXTS)), article("e-1", body=TEXTS[bad[0]]))
        with capture_logs() as lines:
            steps(enricher(buffer, PoisonedEncoder(*(TEXTS[n] for n in bad))))
        counts = buffer.counts(TOPIC)
        assert (counts.unenriched, counts.train + counts.test) == (0, 9 - len(bad))
        found = buffer.put_aside()
        assert sorted((one.table, one.row_id) for one in found if one.table == "examples") == [
            ("examples", f"l-{n}") for n in bad
        ]
        assert [one.table for one in found if one.table != "examples"] == ["articles"]
        assert buffer.count_put_aside() == len(bad) + 1
        assert all("ValueError: what a bug says in two lines" in one.reason for one in found)
        assert sum(line["event"] == "enrich.set_aside" for line in lines) == len(bad) + 1
        fate = buffer.feedback_fate(f"l-{bad[0]}")
        assert fate is not None
        assert (fate.status, fate.reason) == ("set_aside", found[0].reason)
    # Neither a start nor a step tries it again: it may take long, or end the process.
    with opened(tmp_path) as buffer:
        assert buffer.try_again(of_this_version=False) == 0
        again = WordEncoder()
        steps(enricher(buffer, again))
        assert again.encoded == []


def test_what_is_set_aside_is_tried_again_when_asked_and_by_another_version(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(tmp_path) as buffer:
        store(buffer, label("l-0", TEXTS[0]), feedback("f-1", TEXTS[1]))
        poisoned = enricher(buffer, PoisonedEncoder(*TEXTS))
        steps(poisoned)
        assert {one.row_id for one in buffer.put_aside()} == {"l-0", "f-1"}
        assert buffer.try_again(of_this_version=True) == 2
        steps(poisoned)
        assert buffer.count_put_aside() == 2
    monkeypatch.setattr(set_aside, "_VERSION", "99.0.0")
    with opened(tmp_path) as buffer:
        assert buffer.try_again(of_this_version=False) == 2
        steps(enricher(buffer))
        assert buffer.put_aside() == []
        assert standings(buffer) == {"f-1": "effective"}
        counts = buffer.counts(TOPIC)
        assert (counts.train + counts.test + counts.corrections, counts.unenriched) == (2, 0)


@pytest.mark.parametrize(
    "error", [OSError(5, "Input/output error"), MemoryError(), RuntimeError("lance error: LanceError(IO): gone")]
)
def test_what_is_the_machines_fault_is_no_rows_fault(tmp_path: Path, error: Exception) -> None:
    with opened(tmp_path) as buffer:
        store(buffer, label("l-0", TEXTS[0]), label("l-1", TEXTS[1]))
        with pytest.raises(type(error)):
            enricher(buffer, PoisonedEncoder(TEXTS[0], error=lambda: error)).step()
        assert (buffer.count_put_aside(), buffer.counts(TOPIC).unenriched) == (0, 2)
        steps(enricher(buffer))
        assert buffer.counts(TOPIC).unenriched == 0


def test_the_command_lists_what_is_set_aside(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    with opened(tmp_path / "buffer") as buffer:
        store(buffer, label("l-0", TEXTS[0]), label("l-1", TEXTS[1]))
        steps(enricher(buffer, PoisonedEncoder(TEXTS[1])))
    monkeypatch.setenv("PERENNIAL_DATA_DIR", str(tmp_path))
    capsys.readouterr()  # the log
    dead_letters.set_aside(limit=50, as_json=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert (found["table"], found["row_id"], found["task"]) == ("examples", "l-1", TOPIC)
    assert "enrichment failed on it (ValueError" in found["reason"]


def test_a_mark_that_cannot_be_stored_holds_up_nothing_either(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path) as buffer:
        store(buffer, *(label(f"l-{n}", text) for n, text in enumerate(TEXTS[:3])))
        monkeypatch.setattr(set_aside, "finding", lambda *_: (_ for _ in ()).throw(KeyError("a bug")))
        steps(enricher(buffer, PoisonedEncoder(TEXTS[1])))
        assert (buffer.counts(TOPIC).unenriched, buffer.counts(TOPIC).train + buffer.counts(TOPIC).test) == (1, 2)


def test_an_answer_that_joining_fails_on_is_refused_and_the_others_join(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    make = ledger.example_row

    def failing(row: dict[str, Any], *args: Any, **more: Any) -> Any:
        if row["event_id"] == "f-2":
            raise KeyError(A_BUG)
        return make(row, *args, **more)

    monkeypatch.setattr(ledger, "example_row", failing)
    with opened(tmp_path) as buffer:
        store(buffer, *(feedback(f"f-{n}", article_id="a-1", user_id=f"u-{n}") for n in range(4)), offset=9)
        store(buffer, article("e-1"))
        steps(enricher(buffer))
        assert sorted(standings(buffer)) == ["f-0", "f-1", "f-3"]
        fate = buffer.feedback_fate("f-2")
        assert fate is not None
        assert (fate.status, "KeyError: 'a bug'" in fate.reason) == ("refused", True)


def test_an_answer_that_judging_fails_on_is_set_aside_and_the_others_are_judged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    judge = conflicts.judge

    def failing(opinions: Sequence[conflicts.Opinion], *more: Any) -> Any:
        if any(one.row_id == "f-4" for one in opinions):
            raise ZeroDivisionError
        return judge(opinions, *more)

    with opened(tmp_path) as buffer:
        store(buffer, *(feedback(f"f-{n}", text, user_id=f"u-{n}") for n, text in enumerate(TEXTS)))
        with monkeypatch.context() as patch, capture_logs() as lines:
            patch.setattr(conflicts, "judge", failing)
            steps(enricher(buffer))
        assert standings(buffer) == {f"f-{n}": "unusable" if n == 4 else "effective" for n in range(9)}
        assert [line["event_ids"] for line in lines if line["event"] == "feedback.not_judged"] == [["f-4"]]
        assert [(one.table, one.row_id) for one in buffer.put_aside()] == [("feedback", "f-4")]
        assert buffer.counts(TOPIC).unenriched == 0
        fate = buffer.feedback_fate("f-4")
        assert fate is not None
        assert buffer.explain(fate).status == "set_aside"
        assert buffer.try_again(of_this_version=True) == 1
        steps(enricher(buffer))
        assert set(standings(buffer).values()) == {"effective"}


@pytest.mark.parametrize(("was", "now"), [(TOPICS, ENTITIES), (ENTITIES, TOPICS)])
def test_a_task_that_changes_its_kind_leaves_its_old_rows_out_by_name(tmp_path: Path, was: TaskSpec, now: TaskSpec) -> None:
    def answers(task: TaskSpec, first: int, kind: TaskSpec) -> list[AnyEvent]:
        more: dict[str, Any] = {"task": task.name}
        if kind.kind == "ner":
            more["target"] = {"spans": [{"start": 0, "end": 3, "label": kind.label_names[0]}], "partial": False}
        texts = TEXTS[first : first + 3]
        return [
            label(f"l-{first}", texts[0], **more), label(f"l-{first + 1}", texts[1], **more),
            feedback(f"f-{first}", texts[2], **more), feedback(f"g-{first}", TEXTS[8], user_id=f"u-{first}", **more),
        ]  # fmt: skip

    changed = now.model_copy(update={"name": was.name, "labels": "open", "new_label_min_examples": 1})
    with opened(tmp_path / "buffer") as buffer:
        store(buffer, *answers(was, 0, was))
        steps(enricher(buffer))
        buffer.use_tasks({**TASKS, was.name: changed})
        store(buffer, *answers(was, 3, changed), offset=9)
        steps(enricher(buffer))
        frozen = buffer.freeze(changed, run_id="r-1", folder=tmp_path / "set", learnt=frozenset())
        assert buffer.counts(was.name).unenriched == 0
    kept = {one for role in ("train", "test", "corrections") for one in frozen.rows(role)["example_id"].to_pylist()}
    assert kept >= {"l-3", "l-4"}
    assert not kept & {"l-0", "l-1", "f-0", "g-0"}
    assert any(reason.startswith(f"its target does not fit kind {changed.kind}: ") for reason in frozen.manifest.left_out)


def test_spans_beyond_every_bound_are_no_ones_fault(tmp_path: Path) -> None:
    text = "x" * 5_000
    many = tuple((n, n + 1, "ORG") for n in range(5_000))
    with opened(tmp_path) as buffer:
        store(buffer, spans("s-1", text, *many), feedback("f-1", text, task="news-entities", target={"spans": []}))
        steps(enricher(buffer))
        assert buffer.count_put_aside() == 0


def test_a_text_that_kills_the_process_is_found_and_set_aside_at_a_later_start(tmp_path: Path) -> None:
    texts = [*TEXTS[:4], "poison that no process survives", *TEXTS[4:]]
    with opened(tmp_path) as buffer:
        store(buffer, *(label(f"l-{n}", text) for n, text in enumerate(texts)))
    ends = []
    while not ends or ends[-1]:
        ends.append(subprocess.run([sys.executable, "-m", "tests.support.enrich_victim", str(tmp_path)], check=False).returncode)
        assert len(ends) < 6
    # Once among its neighbours, then alone as often as it takes not to blame a text for what somebody else did.
    assert ends == [-signal.SIGKILL] * 3 + [0]
    with opened(tmp_path) as buffer:
        assert [one.row_id for one in buffer.put_aside()] == ["l-4"]
        counts = buffer.counts(TOPIC)
        assert (counts.unenriched, counts.train + counts.test) == (0, 9)
    assert not (tmp_path / "in_hand.json").exists()
