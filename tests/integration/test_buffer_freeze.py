"""Freezing: which rows a training set holds, in which role, and that the same content gives the same hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from config.errors import RunFailedError
from config.tasks import TaskSpec
from consumers.buffer.writer import BufferWriter
from consumers.rows.backlog import TextRow
from consumers.training_set.snapshot import (
    MANIFEST_FILE,
    ROWS_FILE,
    UNLABELLED,
    TrainingSet,
    load_training_set,
)
from tests.support.buffers import (
    ENTITIES,
    NOW,
    SETTINGS,
    TASKS,
    TOPICS,
    Moving,
    article,
    enrich,
    feedback,
    finding,
    judge,
    label,
    opened,
    renaming,
    spans,
    stored,
)

# Few rows suffice for a label here; how many are needed is tested on its own.
TASK = TOPICS.model_copy(update={"new_label_min_examples": 1})


def freeze(
    buffer: BufferWriter, folder: Path, task: TaskSpec = TASK, learnt: frozenset[str] = frozenset(), **more: Any
) -> TrainingSet:
    return buffer.freeze(task, run_id="run-1", folder=folder, learnt=learnt, **more)


def ids(frozen: TrainingSet, role: str = "train") -> list[str]:
    return list(frozen.rows(role)["example_id"].to_pylist())


def by_prefix(row: TextRow) -> str:
    """A text that starts with the name of a split is in it."""
    first = row.text.partition(" ")[0]
    return "anchor" if row.anchor else first if first in ("test", "dropped") else "train"


def test_each_row_stands_in_its_role(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(
                label("train-1", "one", hours=5), label("train-2", "two", hours=6),
                label("test-1", "test one", origin="audit", hours=3),
                label("test-old", "test long ago", hours=24 * 91), label("test-learnt", "test that was trained on"),
                label("anchor-1", "an anchor", anchor=True), label("dropped-1", "dropped one"), label("poor-1", "poor"),
                feedback("f-train", "said by a user"), feedback("f-held", "test said by a user"),
                feedback("f-held-2", "test confirmed by a user", verdict="confirmation"),
                spans("other-task", "one"),
            )
        )  # fmt: skip
        rows = buffer.unenriched("examples", 99)
        buffer.apply_enrichment(
            "examples", [finding(row, by_prefix(row), quality=0.1 if row.text == "poor" else 0.3, language="de") for row in rows]
        )
        judge(buffer)
        buffer.insert(stored(label("late", "not enriched yet"), offset=99))
        frozen = freeze(buffer, tmp_path / "set", learnt=frozenset({"train-1", "test-learnt"}))
        assert ids(frozen) == ["train-2", "train-1", "f-train"], "in order of event time"
        assert ids(frozen, "test") == ["test-1"], "only independent rows of the window that were not learnt decide"
        assert ids(frozen, "anchor") == ["anchor-1"]
        assert ids(frozen, "corrections") == ["f-held"], "a confirmation never tests"
        manifest = frozen.manifest
        assert manifest.counts == {"train": 3, "test": 1, "anchor": 1, "corrections": 1}
        assert (manifest.run_id, manifest.task, manifest.new_rows, manifest.created_at) == ("run-1", "news-topics", 2, NOW)
        assert manifest.max_seq == buffer.counts("news-topics").max_seq
        assert manifest.table_versions == {
            name: version for name, version in buffer.versions().items()
            if name in ("examples", "example_enrichment", "feedback_judgements", "requests")
        }  # fmt: skip
        (row, *_) = frozen.rows("train").to_pylist()
        assert row["language"] == "de"
        assert row["story_id"].startswith("story-")
        assert len(row["embedding"]) == 4
        assert frozen.rows("train")["is_new"].to_pylist() == [True, False, True]
        counts = buffer.counts("news-topics")
        assert (counts.train, counts.anchor, counts.corrections, counts.unenriched) == (3, 1, 1, 1)
        assert counts.test == 3, "the window and what was learnt are the freeze's business"


def test_weights_follow_the_task_and_the_trust_in_the_user(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("gold", "a"), feedback("corr", "b"), feedback("conf", "c", verdict="confirmation")))
        enrich(buffer)
        policy = TASK.feedback.model_copy(update={"correction_weight": 0.5})
        frozen = freeze(buffer, tmp_path / "set", TASK.model_copy(update={"feedback": policy}))
        assert {row["example_id"]: round(row["weight"], 3) for row in frozen.rows("train").to_pylist()} == {
            "gold": 1.0, "corr": 0.25, "conf": 0.15,
        }, "a new user is trusted half"  # fmt: skip
        silent = TASK.model_copy(update={"feedback": policy.model_copy(update={"confirmation_weight": 0.0})})
        assert ids(freeze(buffer, tmp_path / "silent", silent)) == ["corr", "gold"], "weight 0 is not a row"


def test_one_target_per_text(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(
                feedback("user-new", "one", "sport", hours=1), label("gold-old", "one", "economy", hours=9),
                label("old", "two", "economy", hours=9), label("new", "two", "politics", hours=1),
                label("first", "three", "economy", hours=9), label("again", "three", "economy", hours=1),
            )
        )  # fmt: skip
        enrich(buffer)
        frozen = freeze(buffer, tmp_path / "set")
        assert sorted(ids(frozen)) == ["again", "gold-old", "new"], "independent over feedback, then the newest"
        assert buffer.counts("news-topics").train == 3, "one row per text trains"
        relearnt = freeze(buffer, tmp_path / "relearnt", learnt=frozenset({"first"}))
        new = {row["example_id"]: row["is_new"] for row in relearnt.rows("train").to_pylist()}
        assert new == {"again": False, "gold-old": True, "new": True}, "the same answer to the same text was learnt before"


def test_a_row_counts_in_its_role_whatever_the_first_of_its_kind_became(tmp_path: Path) -> None:
    """A confirmation that weighs nothing, a poor row, one not chosen independently or one deleted takes nobody's place."""
    policy = TASK.feedback.model_copy(update={"confirmation_weight": 0.0})
    task = TASK.model_copy(update={"feedback": policy})
    settings, clock = SETTINGS.model_copy(update={"retention_days": 1.0}), Moving().forward(days=-2)
    with opened(tmp_path / "b", settings, tasks=TASKS | {task.name: task}, clock=clock) as buffer:
        buffer.insert(stored(label("too-old", "test four", hours=9), offset=30))
        clock.forward(days=2)
        buffer.insert(
            stored(
                feedback("conf", "one", verdict="confirmation", hours=9), label("gold-1", "one", hours=8),
                label("poor", "two", hours=9), label("gold-2", "two", hours=8),
                feedback("told", "test three", hours=9), label("gold-3", "test three", hours=8),
                label("gold-4", "test four", hours=8),
                label("anchor-1", "anchor five", hours=9, anchor=True), label("anchor-2", "anchor five", hours=8, anchor=True),
            )
        )  # fmt: skip
        for row in buffer.unenriched("examples", 99):
            poor = row.row_id == "poor"
            buffer.apply_enrichment("examples", [finding(row, by_prefix(row), quality=0.1 if poor else 0.9)])
        judge(buffer)
        assert sum(buffer.enforce_retention().values()) == 2, "the oldest of the held-out rows and what was found out about it"
        frozen = freeze(buffer, tmp_path / "set", task)
        assert (ids(frozen), ids(frozen, "test"), ids(frozen, "anchor"), ids(frozen, "corrections")) == (
            ["gold-1", "gold-2"], ["gold-3", "gold-4"], ["anchor-2"], ["told"],
        )  # fmt: skip
        counts = buffer.counts(task.name)
        assert (counts.train, counts.new, counts.test, counts.anchor, counts.corrections) == (2, 2, 2, 1, 1)
        buffer.insert(stored(label("again", "one"), label("other", "one", "sport"), offset=50))
        enrich(buffer)
        later = buffer.counts(task.name, after_seq=counts.max_seq)
        assert (later.train, later.new) == (2, 1), "the same answer again is not new, another answer to a known text is"


def test_a_text_is_never_on_both_sides(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(label("l-1", "one"), label("l-2", "one", "sport"), label("a", "two", anchor=True), label("l-3", "two"))
        )
        enrich(buffer, split=lambda row: "anchor" if row.anchor else "test" if row.row_id == "l-1" else "train")
        assert ids(freeze(buffer, tmp_path / "set")) == []


def test_renames_of_events_and_of_the_task_file_apply_in_turn(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("l-1", "one", "money"), label("l-2", "two", "sport"), label("l-3", "test one", "cash")))
        buffer.insert(stored(renaming("s-2", hours=1, economy="business"), renaming("s-1", hours=2, money="economy"), offset=9))
        enrich(buffer, split=by_prefix)
        task = TASK.model_copy(update={"renames": {"business": "finance", "cash": "finance"}})
        frozen = freeze(buffer, tmp_path / "set", task)
        assert {row["example_id"]: json.loads(row["target"]) for row in frozen.rows("train").to_pylist()} == {
            "l-1": {"label": "finance"}, "l-2": {"label": "sport"},
        }  # fmt: skip
        assert [json.loads(target) for target in frozen.rows("test")["target"].to_pylist()] == [{"label": "finance"}]
        assert frozen.manifest.labels == {"finance": 1, "sport": 1}
        in_force = dict.fromkeys(("money", "economy", "business", "cash"), "finance")
        assert frozen.manifest.renames == in_force, "the trainer gives its head the names that the targets carry"


def test_a_new_label_joins_once_enough_rows_carry_it(tmp_path: Path) -> None:
    task = TOPICS.model_copy(update={"new_label_min_examples": 3, "label_names": ("declared",)})
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(*(label(f"l-{n}", f"text {n}") for n in range(3)), label("rare", "rare"), label("d", "d", "declared"))
        )
        buffer.insert(stored(*(label(f"c-{n}", f"crypto {n}", "crypto") for n in range(2)), offset=9))
        enrich(buffer)
        frozen = freeze(buffer, tmp_path / "set", task)
        assert frozen.manifest.labels == {"declared": 1, "economy": 4}
        assert frozen.manifest.left_out == {"fewer than 3 rows carry label crypto": 2}
        buffer.insert(stored(label("c-2", "crypto 2", "crypto"), offset=20))
        enrich(buffer)
        assert freeze(buffer, tmp_path / "later", task).manifest.labels == {"crypto": 3, "declared": 1, "economy": 4}


def test_labels_that_a_closed_task_no_longer_accepts_are_left_out_and_counted(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(label("l-1", "one"), label("l-2", "two", "gone"), label("l-3", "test three", "gone"), label("l-4", "four"))
        )
        enrich(buffer, split=by_prefix)
        closed = TASK.model_copy(update={"labels": "closed", "label_names": ("economy",)})
        frozen = freeze(buffer, tmp_path / "set", closed)
        assert (ids(frozen), ids(frozen, "test")) == (["l-1", "l-4"], [])
        assert frozen.manifest.left_out == {"label is no longer accepted": 2}


def test_spans_keep_their_offsets_and_say_when_they_are_partial(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(
            stored(
                spans("l-1", "The ECB acted.", (4, 7, "ORG")), spans("l-2", "In Bonn, Kohl", (9, 13, "PERSON"), partial=True),
                spans("l-3", None, (4, 7, "ORG"), article_id="a-1"), article("e-1", body="The Fed waited."),
            )
        )  # fmt: skip
        buffer.resolve_waiting()
        enrich(buffer)
        frozen = freeze(buffer, tmp_path / "set", ENTITIES)
        targets = {row["example_id"]: json.loads(row["target"]) for row in frozen.rows("train").to_pylist()}
        assert targets["l-1"] == {"partial": False, "spans": [{"start": 4, "end": 7, "label": "ORG"}]}
        assert targets["l-2"]["partial"] is True
        assert {row["example_id"]: row["text"] for row in frozen.rows("train").to_pylist()}["l-3"] == "The Fed waited."
        assert frozen.manifest.labels == {"ORG": 2, "PERSON": 1}


def test_entity_rows_know_which_types_their_annotators_knew(tmp_path: Path) -> None:
    then = ENTITIES.model_copy(update={"label_names": ("PERSON", "ORG")})
    told = {"spans": [{"start": 0, "end": 3, "label": "ORG"}], "types": ["ORG", "GPE"]}
    with opened(tmp_path / "b", tasks={"news-entities": then}) as buffer:
        buffer.insert(
            stored(spans("train-then", "Ada left Oslo"), label("train-told", "ABC left Oslo", task="news-entities", target=told))
        )
        buffer.use_tasks(TASKS)
        buffer.insert(stored(spans("train-now", "Eve left Oslo"), offset=10))
        enrich(buffer)
        table = freeze(buffer, tmp_path / "set", ENTITIES).rows("train")
        scopes = dict(zip(table["example_id"].to_pylist(), table["scope"].to_pylist(), strict=True))
    assert scopes["train-told"] == ["GPE", "ORG"]
    assert set(scopes["train-now"]) == set(ENTITIES.label_names)
    assert set(scopes["train-then"]) == {"ORG", "PERSON"}


def test_a_text_with_one_label_has_no_scope(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("train-1")))
        enrich(buffer)
        assert freeze(buffer, tmp_path / "set").rows("train")["scope"].to_pylist() == [None]


def test_a_rare_type_does_not_cost_an_entity_task_the_whole_row(tmp_path: Path) -> None:
    task = ENTITIES.model_copy(update={"labels": "open", "label_names": ("ORG",), "new_label_min_examples": 3})
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(spans("l-1", "The ECB cut the repo rate.", (4, 7, "ORG"), (16, 25, "RATE"))))
        enrich(buffer)
        frozen = freeze(buffer, tmp_path / "set", task)
        assert (ids(frozen), frozen.manifest.left_out) == (["l-1"], {})


def test_at_most_max_rows_new_ones_first_then_older_ones_of_all_ages(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(*(label(f"l-{n}", f"text {n}", hours=n) for n in range(6))))
        enrich(buffer)
        frozen = freeze(buffer, tmp_path / "set", learnt=frozenset({"l-0", "l-1", "l-2", "l-3"}), max_rows=4)
        assert ids(frozen) == ["l-5", "l-4", "l-2", "l-0"]
        assert frozen.manifest.left_out == {"more than 4 rows (training.max_rows)": 2}
        new_only = freeze(buffer, tmp_path / "new", learnt=frozenset({"l-0"}), max_rows=4)
        assert ids(new_only) == ["l-4", "l-3", "l-2", "l-1"], "the newest of the new ones; there is no room for older ones"


def test_old_rows_of_every_age_stay_for_replay(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(*(label(f"l-{n:03}", f"text {n}", hours=n) for n in range(100)), label("new", "news")))
        enrich(buffer)
        frozen = freeze(buffer, tmp_path / "set", learnt=frozenset(f"l-{n:03}" for n in range(100)), max_rows=11)
        assert ids(frozen) == [*(f"l-{n:03}" for n in range(90, 0, -10)), "l-000", "new"]


def test_the_same_content_gives_the_same_hash_and_other_content_another(tmp_path: Path) -> None:
    hashes = []
    for name in "one", "two":
        with opened(tmp_path / name) as buffer:
            buffer.insert(stored(*(label(f"l-{n}", f"text {n}", hours=n) for n in range(9))))
            enrich(buffer)
            hashes += [freeze(buffer, tmp_path / f"set-{name}-{n}").manifest.rows_sha256 for n in range(2)]
            learnt = freeze(buffer, tmp_path / f"learnt-{name}", learnt=frozenset({"l-1"})).manifest.rows_sha256
            assert learnt not in hashes
    assert len(set(hashes)) == 1


def test_what_comes_after_the_freeze_does_not_change_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("l-1", "one")))
        enrich(buffer)
        pin = buffer._tables.pin

        def pin_then_write(names: Any) -> Any:
            snapshot = pin(names)
            buffer.insert(stored(label("l-2", "two"), offset=5))
            enrich(buffer)
            return snapshot

        monkeypatch.setattr(buffer._tables, "pin", pin_then_write)
        assert ids(freeze(buffer, tmp_path / "set")) == ["l-1"]
        assert buffer.counts("news-topics").train == 2


def test_an_empty_task_gives_an_empty_set(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        frozen = freeze(buffer, tmp_path / "set")
        assert frozen.manifest.counts == {"train": 0, "test": 0, "anchor": 0, "corrections": 0}
        assert load_training_set(tmp_path / "set").manifest == frozen.manifest
        counts = buffer.counts("news-topics")
        assert (counts.train, counts.max_seq, counts.oldest_new_at) == (0, 0, None)


def test_new_since_the_last_run_is_counted_by_enrichment_number(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("l-1", "one"), label("l-2", "two")))
        enrich(buffer)
        first = buffer.counts("news-topics")
        assert (first.new, first.oldest_new_at) == (2, NOW)
        buffer.insert(stored(label("l-3", "three"), label("l-4", "three"), offset=5))
        enrich(buffer)
        later = buffer.counts("news-topics", after_seq=first.max_seq)
        assert (later.train, later.new) == (3, 1), "one of the two says nothing new"
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("l-5", "five"), offset=9))
        enrich(buffer)
        assert buffer.counts("news-topics", after_seq=later.max_seq).new == 1, "numbers go on after a restart"


@pytest.mark.parametrize("harm", ["rows", "no rows", "manifest", "no folder"])
def test_a_training_set_that_was_changed_is_refused(tmp_path: Path, harm: str) -> None:
    folder = tmp_path / "set"
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(label("l-1", "one")))
        enrich(buffer)
        assert load_training_set(freeze(buffer, folder).folder).rows("train").num_rows == 1
    if harm == "rows":
        content = bytearray((folder / ROWS_FILE).read_bytes())
        content[len(content) // 2] ^= 1
        (folder / ROWS_FILE).write_bytes(content)
    elif harm == "no rows":
        (folder / ROWS_FILE).unlink()
    elif harm == "manifest":
        (folder / MANIFEST_FILE).write_text((folder / MANIFEST_FILE).read_text()[:-9])
    else:
        folder = tmp_path / "elsewhere"
    with pytest.raises(RunFailedError, match="next one freezes a new set"):
        load_training_set(folder)


def test_a_training_set_of_a_newer_format_is_refused(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        freeze(buffer, tmp_path / "set")
    manifest = json.loads((tmp_path / "set" / MANIFEST_FILE).read_text())
    (tmp_path / "set" / MANIFEST_FILE).write_text(json.dumps(manifest | {"format_version": 2, "unheard_of": True}))
    with pytest.raises(RunFailedError, match="format 2; this version reads up to 1"):
        load_training_set(tmp_path / "set")


def test_a_set_is_frozen_without_embeddings_and_the_buffer_tells_them(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(*(label(f"l-{n}", f"text {n}", hours=n) for n in range(200))))
        enrich(buffer)
        whole, bare, again = (freeze(buffer, tmp_path / name, embeddings=name == "whole") for name in ("whole", "bare", "again"))
        told = buffer.embeddings_of(TASK.name, [*ids(bare), "nobody"]).sort_by("example_id")
    rows, without = whole.rows("train"), bare.rows("train")
    assert without.drop(["embedding"]) == rows.drop(["embedding"])
    assert without["embedding"].null_count == 200
    assert told.equals(rows.select(told.column_names).sort_by("example_id"))
    assert bare.manifest.rows_sha256 == again.manifest.rows_sha256 != whole.manifest.rows_sha256
    assert load_training_set(bare.folder).manifest == bare.manifest
    sizes = [(folder.folder / ROWS_FILE).stat().st_size for folder in (whole, bare)]
    assert sizes[1] < sizes[0]


def test_a_training_set_is_immutable(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        freeze(buffer, tmp_path / "set")
        with pytest.raises(OSError, match="not empty"):
            freeze(buffer, tmp_path / "set")


def test_articles_without_a_label_join_where_a_teacher_labels_them(tmp_path: Path) -> None:
    taught = TASK.model_copy(update={"training": TASK.training.model_copy(update={"teacher": "champion", "teacher_rows": 3})})
    with opened(tmp_path / "b") as buffer:
        events = [
            label("train-1", "one"), label("test-1", "test two", article_id="held-out"),
            article("n-labelled", "a-1", "one"), article("n-held-out", "held-out", "another text of it"),
            article("n-test", "a-2", "test of its own"), article("n-poor", "a-3", "poor"),
            article("n-first", "a-4", "first text", hours=3), article("n-revised", "a-4", "first text, revised", hours=2),
            article("n-twice", "a-5", "first text, revised", hours=1), *(
                article(f"n-{at}", f"b-{at}", f"text {at}", hours=10 + at) for at in range(3)
            ),
        ]  # fmt: skip
        buffer.insert(stored(*events))
        for table in ("examples", "articles"):
            rows = buffer.unenriched(table, 99)  # type: ignore[arg-type]  # both are tables of texts
            found = [finding(row, by_prefix(row), quality=0.1 if row.text == "poor" else 0.9) for row in rows]
            buffer.apply_enrichment(table, found)  # type: ignore[arg-type]  # same
        frozen = freeze(buffer, tmp_path / "set", taught)
        assert ids(frozen, UNLABELLED) == ["article:n-1", "article:n-0", "article:n-twice"], "each text once, the newest"
        table = frozen.rows(UNLABELLED)
        assert (set(table["target"].to_pylist()), set(table["is_new"].to_pylist())) == ({"{}"}, {False})
        assert frozen.manifest.counts == {"train": 1, "test": 1, "anchor": 0, "corrections": 0, UNLABELLED: 3}
        assert frozen.manifest.labels == {"economy": 1}
        assert {f"article:n-{at}" for at in range(3)} <= buffer.article_ids()
        assert UNLABELLED not in freeze(buffer, tmp_path / "plain").manifest.counts
