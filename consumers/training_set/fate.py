"""Why an answer is (not) learnt from yet, in words for the person who gave it; from the rows of its text."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Literal

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from consumers.defence import standings
from consumers.defence.records import FACTS, NOT_JUDGED, Judged
from consumers.rows.arriving.event_rows import AS_CITED
from consumers.rows.eligibility import CHOSEN, OF_PEOPLE, WITHHELD, eligibility
from consumers.rows.labels.renames import in_force
from consumers.rows.ledger import Fate
from consumers.tables.columns import quoted
from consumers.tables.lance import Tables
from consumers.training_set.freezing import with_broken_rules
from consumers.training_set.scopes import labels_of
from consumers.training_set.selection import HOW_A_LABEL_JOINS, Candidate, Chosen, select
from consumers.training_set.targets import usable_target

# Serving logs an answer within a second; after this time it was lost, or ingest is far behind.
_LATE = timedelta(hours=1)
# Each is looked up in the registry. More people than that do not give the same answer to one text.
_MAX_SAME_ANSWER = 100
_NEXT_RUN = "the next training run uses it"
_HELD_OUT = "the same text is reserved for testing"
_CHOSEN_NEVER_TESTS = f"{_HELD_OUT}, and a label whose text a model chose never tests"
_STORED_ONLY = "it is stored but not used for training: "


@dataclass(frozen=True, slots=True)
class Explanation:
    """The explanation of a fate."""

    reason: str
    same_answer: tuple[str, ...] = ()
    """Examples with the same target for the same text, this one first. Once one is learnt, all count as learnt."""
    status: Literal["joined", "quarantined", "set_aside"] = "joined"
    """`quarantined`: a person must decide about it. `set_aside`: it is kept but not learnt from."""


def explain(tables: Tables, fate: Fate, *, tasks: Mapping[str, TaskSpec], min_quality: float, now: datetime) -> Explanation:
    """Return why a waiting answer waits, or what happens to a joined one; any other fate keeps its own reason."""
    if fate.status == "waiting":
        return Explanation(_why_it_waits(tables, fate, now))
    if fate.status != "joined" or fate.example_id is None:
        return Explanation(fate.reason)
    columns = ["text_sha256", "answer_sha256", "target"]
    found = tables.scan("examples", columns, f"row_id = {quoted(fate.example_id)}").to_pylist()
    if not found:
        return Explanation("its example is older than buffer.retention_days and was removed", (fate.example_id,))
    own = found[0]
    same_text = f"task = {quoted(fate.task)} AND text_sha256 = {quoted(own['text_sha256'])}"
    answers = tables.scan("examples", ["row_id", "answer_sha256", "target", "settles"], same_text).to_pylist()
    same = [row["row_id"] for row in answers if row["answer_sha256"] == own["answer_sha256"] and row["row_id"] != fate.example_id]
    same_answer = (fate.example_id, *sorted(same)[: _MAX_SAME_ANSWER - 1])
    judgement = tables.scan("feedback_judgements", ["standing", "over_cap"], f"row_id = {quoted(fate.example_id)}").to_pylist()
    if judgement and judgement[0]["standing"] != "effective":
        if judgement[0]["standing"] in standings.QUARANTINED and fate.task in tasks:
            fault = _never_trains(tables, fate.example_id, tasks[fate.task], min_quality)
            if fault is not None:
                return Explanation(_STORED_ONLY + fault, same_answer, "set_aside")
        return _not_effective(judgement[0], same_answer)
    if fate.task not in tasks:
        reason = f"it is stored as an example, but task {fate.task!r} is no longer defined here"
    else:
        targets = {row["row_id"]: (row["target"], row["settles"]) for row in answers}
        reason = _what_becomes_of_it(
            tables, fate.example_id, tasks[fate.task], min_quality=min_quality, same_text=same_text, targets=targets
        )
    return Explanation(reason, same_answer)


def _not_effective(judgement: Mapping[str, Any], same_answer: tuple[str, ...]) -> Explanation:
    why = judgement["over_cap"] if judgement["standing"] == "over_cap" else standings.IN_WORDS[judgement["standing"]]
    if judgement["standing"] in standings.QUARANTINED:
        return Explanation(f"it is quarantined until a person decides: {why}", same_answer, "quarantined")
    return Explanation(_STORED_ONLY + why, same_answer, "set_aside")


def _why_it_waits(tables: Tables, fate: Fate, now: datetime) -> str:
    columns = ["prediction_id", "article_id", "target", "stored_at"]
    for row in tables.scan("feedback", columns, f"event_id = {quoted(fate.event_id)}").to_pylist():
        needs_it = not row["article_id"] or row["target"] == AS_CITED
        if row["prediction_id"] and needs_it and now - row["stored_at"] > _LATE:
            since = row["stored_at"].isoformat(timespec="minutes")
            return (
                f"prediction {row['prediction_id']!r} has been missing since {since}; probably the serving process crashed "
                "before logging it. The answer keeps waiting. To have it used now, send it again under a new key, with its text "
                "and target"
            )
    return fate.reason


def _what_becomes_of_it(
    tables: Tables,
    example_id: str,
    task: TaskSpec,
    *,
    min_quality: float,
    same_text: str,
    targets: Mapping[str, tuple[str, bool | None]],
) -> str:
    facts = ("row_id", "event_time", "text_sha256", "origin", "selected_by", "verdict", "split", "quality", "quality_reasons")
    enriched = {row["row_id"]: row for row in with_broken_rules(tables, task, same_text, more=facts).to_pylist()}
    if example_id not in enriched:
        return f"it is stored as an example and is being prepared; then {_NEXT_RUN}"
    task = in_force(tables, task)
    judged = _judged(tables, same_text)
    rows = [_candidate(row, *targets[row_id], judged) for row_id, row in enriched.items() if row_id in targets]
    if enriched[example_id]["verdict"] and judged.of(example_id)["standing"] == NOT_JUDGED:
        return f"it is stored as an example and is being judged; then {_NEXT_RUN}, or this answer says why not"
    alone = _trained([row for row in rows if row.example_id == example_id], task, min_quality)
    if not alone:
        chosen_by_a_model = (enriched[example_id]["split"], enriched[example_id]["selected_by"]) == ("test", CHOSEN)
        fault = _CHOSEN_NEVER_TESTS if chosen_by_a_model else _own_fault(enriched[example_id], task, min_quality)
        return _STORED_ONLY + fault
    chosen = _trained(rows, task, min_quality)
    if not chosen:
        return _STORED_ONLY + _HELD_OUT
    [(chosen_id, best)] = chosen.items()
    if best.target != alone[example_id].target:
        return _STORED_ONLY + _overruled_by(enriched[chosen_id])
    return _label_that_waits(tables, task, best.target) or f"it is stored as an example; {_NEXT_RUN}"


def _never_trains(tables: Tables, example_id: str, task: TaskSpec, min_quality: float) -> str | None:
    """Return why an example cannot be trained on, whatever a person decides; None where it can."""
    columns = ("verdict", "split", "selected_by", "quality", "quality_reasons")
    for row in with_broken_rules(tables, task, f"row_id = {quoted(example_id)}", more=columns).to_pylist():
        facts, good = (row["split"], row["selected_by"], row["verdict"]), row["quality"] >= min_quality and not row["unfit"]
        if eligibility(*facts, good=good, feedback=task.feedback) == "train":
            return None
        return _HELD_OUT if row["split"] == "test" else _own_fault(row, task, min_quality)
    return None


def _own_fault(row: Mapping[str, Any], task: TaskSpec, min_quality: float) -> str:
    """Return why a row is not trained on although no other row disagrees with it."""
    if row["selected_by"] == WITHHELD:
        return "it was asked for to judge a pair of models, and trains once that pair is decided"
    if row["split"] == "anchor":
        return "it belongs to the anchor set, which measures forgetting"
    if row["quality"] < min_quality:
        why = ", ".join(json.loads(row["quality_reasons"] or "[]")) or "no reason given"
        return f"the quality of its text is {row['quality']:.2f} ({why}); needed is {min_quality:g} (enrich.min_quality)"
    if row["unfit"]:
        why = ", ".join(json.loads(row["quality_reasons"] or "[]"))
        return f"task {task.name} does not learn from such texts: {task.quality.told(row['unfit'])}" + (
            f" ({why})" if why else ""
        )
    if row["verdict"] == "confirmation" and task.feedback.confirmation_weight == 0:
        return f"task {task.name} does not train on confirmations (feedback.confirmation_weight is 0)"
    return f"task {task.name} no longer accepts its label"


def _overruled_by(row: Mapping[str, Any]) -> str:
    if row["selected_by"] in OF_PEOPLE:
        return f"label {row['row_id']} ({row['origin']}) disagrees about the same text, and a label wins over feedback"
    return f"feedback {row['row_id']} differs slightly about the same text and wins: its user is trusted more, or it is newer"


def _trained(candidates: Sequence[Candidate], task: TaskSpec, min_quality: float) -> dict[str, Chosen]:
    """Return the row that a training set would take from the rows of one text, by the rules of freezing."""
    # Whether a label is rare, or given by users only, depends on all other rows of the task.
    lenient = task.model_copy(update={"new_label_min_examples": 1})
    if task.labels == "open":
        targets = (usable_target(row.target, task, (task.renames,)) for row in candidates)
        labels = {label for target in targets if target is not None for label in labels_of(target)}
        lenient = lenient.model_copy(update={"label_names": tuple(labels)})
    selection = select(candidates, lenient, renames=(), learnt=frozenset(), min_quality=min_quality, max_rows=1)
    return {example_id: row for example_id, row in selection.rows.items() if row.role == "train"}


def _judged(tables: Tables, same_text: str) -> Judged:
    rows = tables.scan("feedback_judgements", FACTS, same_text)
    users = sorted(set(rows["contributor"].to_pylist()))
    return Judged(rows, tables.lookup("feedback_judgements", "contributor", users, ["task", "contributor", "evidence"]))


def _candidate(row: Mapping[str, Any], target: str, settles: bool | None, judged: Judged) -> Candidate:
    facts = {name: value for name, value in row.items() if name not in ("row_id", "quality_reasons")}
    standing = judged.of(row["row_id"]) if row["verdict"] else {}
    return Candidate(example_id=row["row_id"], target=target, settles=settles, **facts, **standing)


def _label_that_waits(tables: Tables, task: TaskSpec, target: str) -> str | None:
    """Return why a new label of an open task waits: too few rows carry it, or only users have given it.

    Never returns a count that may be too high.
    """
    renamed_to = set(task.renames.values())
    for label in sorted(labels_of(target) - set(task.label_names) - renamed_to if task.labels == "open" else ()):
        spelt = kinds.get(task.kind).spelt(label)
        carry = f"task = {quoted(task.name)} AND contains(target, {quoted(spelt)})"
        count = tables.count("examples", carry)
        if count < task.new_label_min_examples:
            return (
                f"it is stored as an example; label {label!r} is new and is learnt once {task.new_label_min_examples} rows carry "
                f"it ({count} now)"
            )
        accepted = f"{carry} AND decision = 'accept' AND standing = 'effective'"
        if not tables.count("examples", f"{carry} AND verdict IS NULL") and not tables.count("feedback_judgements", accepted):
            return f"it is stored as an example; label {label!r} is new and only users have given it; {HOW_A_LABEL_JOINS}"
    return None
