"""Which rows of a task enter a training set, in which role: pure, and the same whatever order the rows come in."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from config.kinds import catalog as kinds
from config.kinds.kind import KnowsScope
from config.task_files.labels.label_changes import composed
from config.tasks import TaskSpec
from config.words import named
from consumers.rows.eligibility import MADE, OF_PEOPLE, Role, eligibility
from consumers.training_set import scopes
from consumers.training_set.scopes import labels_of
from consumers.training_set.targets import accepted, usable_target

_NAMED = 20
"""Labels that get a line of their own in the reasons; the others are counted together."""

_LABEL = 2
"""The rank of a label that was chosen without looking at a model, or let go."""

HOW_A_LABEL_JOINS = (
    "it joins once a label event carries it (`perennial import`), a person accepts such feedback (`perennial feedback accept`), "
    "or the task file names it in label_names"
)
"""What a label waits for that only users have given, in words."""


@dataclass(frozen=True, slots=True)
class Candidate:
    """One enriched row of the task."""

    example_id: str
    event_time: datetime
    text_sha256: str
    target: str
    """JSON."""
    origin: str
    selected_by: str
    verdict: str | None
    split: str
    quality: float
    contributor: str | None = None
    """The user who gave it."""
    standing: str = "effective"
    """Of feedback: whether it may train (see `consumers/defence`)."""
    trust: float = 1.0
    """Of the user who gave it, 0..1."""
    accepted: bool = False
    """Of feedback: whether a person has accepted it."""
    cites_a_correction: bool = False
    """Of feedback: whether what it corrects or confirms was the answer of a correction, not of a model."""
    document: str | None = None
    """The document that its text belongs to; None for a separate text."""
    story_id: str | None = None
    accepted_labels: str | None = None
    """The labels that its closed task accepted when it came, as JSON; None: not known."""
    weight: float | None = None
    """Of a weak label: what it weighs beside a person's 1."""
    settles: bool | None = None
    """Whether it settles what labels of its text differ about."""
    unfit: str | None = None
    """The rule of the task's `quality` that its text breaks; None: none."""

    @property
    def vouches(self) -> bool:
        """Whether its labels stand for more than what users say: a label event gave it, or a person let it in."""
        return self.verdict is None or (self.accepted and self.standing == "effective")


@dataclass(frozen=True, slots=True)
class Chosen:
    """A row of the training set, without its text."""

    role: str
    weight: float
    is_new: bool
    target: str
    """JSON, renames applied."""
    contributor: str | None = None
    document: str | None = None
    scope: tuple[str, ...] | None = None
    """The labels that whoever gave the target knew; None: not known, or nothing that such a target leaves out."""


@dataclass(frozen=True, slots=True)
class Selection:
    """The chosen rows by example id, and why others were left out."""

    rows: Mapping[str, Chosen]
    labels: Mapping[str, int]
    """Training rows that carry each label."""
    left_out: Mapping[str, int]
    waiting: Mapping[str, int]
    """Rows of each label that enough rows carry and that joins no model yet, because users alone carry it."""


def select(
    candidates: Iterable[Candidate],
    task: TaskSpec,
    *,
    renames: Sequence[Mapping[str, str]],
    learnt: frozenset[str],
    min_quality: float,
    max_rows: int,
) -> Selection:
    """Choose the rows of one training set for a task with its labels in force. `renames` are applied in order, before its own."""
    # Once, not for each row.
    in_force = composed((*renames, task.renames))
    all_renames = (in_force,) if in_force else ()
    left_out: Counter[str] = Counter()
    by_role: dict[Role, list[Candidate]] = defaultdict(list)
    unusable: list[str] = []
    known = _Known(learnt)
    vouching: list[str] = []
    for candidate in candidates:
        known.note(candidate)
        if candidate.vouches and task.labels == "open":
            vouching.append(candidate.target)
        role = _role(candidate, task, min_quality, left_out)
        if role is None or (role == "corrections" and candidate.cites_a_correction):
            # The slice tells what the champion was told it got wrong.
            continue
        if candidate.standing != "effective":
            left_out[f"feedback: {candidate.standing}"] += 1
            continue
        target = usable_target(candidate.target, task, all_renames)
        if target is None:
            unusable.append(candidate.example_id)
            continue
        target = accepted(target, task, left_out)
        if target is not None:
            by_role[role].append(candidate if target == candidate.target else replace(candidate, target=target))
    if unusable:
        left_out[_not_of_the_kind(task, unusable)] = len(unusable)

    measured = {row.text_sha256 for role in ("test", "anchor") for row in by_role[role]}
    documents = {row.document for role in ("test", "anchor") for row in by_role[role]} - {None}
    trainable = [row for row in by_role["train"] if row.text_sha256 not in measured and row.document not in documents]
    texts = _by_text(trainable)
    _count_overruled(texts, task, left_out)
    train = {
        best.example_id: Chosen("train", _weight(best, task), is_new, best.target, best.contributor, best.document)
        for best, is_new in _best(texts, task, learnt)
    }
    times = {row.example_id: row.event_time for row in by_role["train"]}
    weak = frozenset(row.example_id for row in by_role["train"] if row.origin in MADE)
    waiting: Mapping[str, int] = {}
    if task.labels == "open":
        counts = Counter(label for row in train.values() for label in labels_of(row.target))
        of_users = _of_users_alone(train, vouching, task, all_renames)
        waiting = {name: counts[name] for name in sorted(of_users) if counts[name] >= task.new_label_min_examples}
        # A text with one such label still teaches its others: the learner leaves the one unknown by itself.
        if not kinds.get(task.kind).several:
            train = _without_labels_that_wait(train, counts, waiting, task, left_out)
    train = _within_budget(train, times, max_rows, left_out, weak)

    rows = dict(train)
    rows |= _held_out("test", _recent(by_role["test"], task.promotion.window_days), task, known)
    rows |= _held_out("anchor", by_role["anchor"], task, known)
    rows |= _held_out("corrections", by_role["corrections"], task, known)
    rows = _with_scopes(rows, by_role, task, in_force)
    counts = Counter(label for row in train.values() for label in labels_of(row.target))
    return Selection(rows, dict(sorted(counts.items())), dict(sorted(left_out.items())), waiting)


def _role(row: Candidate, task: TaskSpec, min_quality: float, left_out: Counter[str]) -> Role | None:
    """Return what a row is for; one that would train and breaks a rule of the task is for nothing, and counted."""
    good = row.quality >= min_quality
    role = eligibility(row.split, row.selected_by, row.verdict, good=good, feedback=task.feedback)
    if role == "train" and row.unfit is not None:
        left_out[task.quality.told(row.unfit)] += 1
        return None
    return role


def _not_of_the_kind(task: TaskSpec, example_ids: Sequence[str]) -> str:
    return f"its target does not fit kind {task.kind}: {named(sorted(example_ids))}"


def _by_text(rows: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    texts: dict[str, list[Candidate]] = defaultdict(list)
    for row in rows:
        texts[row.text_sha256].append(row)
    return texts


def _best(texts: Mapping[str, Sequence[Candidate]], task: TaskSpec, learnt: frozenset[str]) -> Iterable[tuple[Candidate, bool]]:
    """Yield one row per text and whether its answer is new.

    What settles a difference first, labels, weak ones last, then what weighs most, then the newest.
    """
    for rows in texts.values():
        best = max(rows, key=_in_force(task))
        # Another row may have taught the same answer for the same text.
        yield best, learnt.isdisjoint(row.example_id for row in rows if row.target == best.target)


def _rank(row: Candidate) -> int:
    """Return how far a row goes before others of its text: a label before users' answers, and these before what rules say."""
    return _LABEL if row.selected_by in OF_PEOPLE else 0 if row.origin in MADE else 1


def _in_force(task: TaskSpec) -> Callable[[Candidate], tuple[bool, int, float, datetime, str]]:
    """Return what puts the rows of one text in order, the one that counts last."""
    return lambda row: (bool(row.settles), _rank(row), _weight(row, task), row.event_time, row.example_id)


def _count_overruled(texts: Mapping[str, Sequence[Candidate]], task: TaskSpec, left_out: Counter[str]) -> None:
    """Count the labels that another label of the same text overrules: no row may be passed over in silence."""
    overruled = 0
    for rows in texts.values():
        labels = [row for row in rows if _rank(row) == _LABEL] if len(rows) > 1 else []
        if len({row.target for row in labels}) > 1:
            best = max(labels, key=_in_force(task))
            overruled += sum(row.target != best.target for row in labels)
    if overruled:
        left_out[f"another label of the same text counts (`perennial data suspicious {task.name}`)"] = overruled


def _weight(row: Candidate, task: TaskSpec) -> float:
    return task.feedback.weight(row.verdict) * row.trust * (1.0 if row.weight is None else row.weight)


class _Known:
    """What the champion has learnt from: examples, their documents and their stories. None of it may judge."""

    def __init__(self, learnt: frozenset[str]) -> None:
        self._examples = learnt
        self._documents: set[str] = set()
        self._stories: set[str] = set()

    def note(self, row: Candidate) -> None:
        """Look at one more row. Of what users wrote only the row itself is known: they could name any document."""
        if row.verdict is None and row.example_id in self._examples:
            self._documents.update([row.document] if row.document is not None else [])
            self._stories.update([row.story_id] if row.story_id is not None else [])

    def has(self, row: Candidate) -> bool:
        """Return whether a row, another text of its document, or a near copy of it was learnt from."""
        return row.example_id in self._examples or row.document in self._documents or row.story_id in self._stories


def _held_out(role: str, rows: Iterable[Candidate], task: TaskSpec, known: _Known) -> dict[str, Chosen]:
    best = _best(_by_text(row for row in rows if not known.has(row)), task, frozenset())
    return {row.example_id: Chosen(role, 1.0, is_new=False, target=row.target, document=row.document) for row, _ in best}


def _recent(rows: Sequence[Candidate], window_days: float) -> list[Candidate]:
    newest = max((row.event_time for row in rows), default=None)
    return [row for row in rows if newest is not None and row.event_time >= newest - timedelta(days=window_days)]


def _with_scopes(
    rows: Mapping[str, Chosen], by_role: Mapping[Role, Sequence[Candidate]], task: TaskSpec, renames: Mapping[str, str]
) -> dict[str, Chosen]:
    if not isinstance(kinds.get(task.kind), KnowsScope):
        return dict(rows)
    found = scopes.of((row for members in by_role.values() for row in members), renames)
    return {example_id: replace(row, scope=found[example_id]) for example_id, row in rows.items()}


def _of_users_alone(
    train: Mapping[str, Chosen], vouching: Sequence[str], task: TaskSpec, renames: Sequence[Mapping[str, str]]
) -> frozenset[str]:
    """Return the labels of training rows that nothing carries but feedback which no person has accepted.

    `vouching` are the targets (JSON) of all rows that vouch for their labels, held-out ones too. What the task file declares, or
    renames another label to, needs no row.
    """
    by_users = {label for row in train.values() if row.contributor is not None for label in labels_of(row.target)}
    by_users -= {label for row in train.values() if row.contributor is None for label in labels_of(row.target)}
    by_users -= {*task.label_names, *(new for mapping in renames for new in mapping.values())}
    if by_users:
        targets = (usable_target(target, task, renames) for target in set(vouching))
        by_users -= {label for target in targets if target is not None for label in labels_of(target)}
    return frozenset(by_users)


def _without_labels_that_wait(
    train: Mapping[str, Chosen], counts: Mapping[str, int], waiting: Mapping[str, int], task: TaskSpec, left_out: Counter[str]
) -> dict[str, Chosen]:
    """Leave out the rows of labels that too few rows carry (`counts`), or users alone (`waiting`)."""
    few = {name: rows for name, rows in counts.items() if rows < task.new_label_min_examples and name not in task.label_names}
    for reason, of in ((f"fewer than {task.new_label_min_examples} rows carry", few), ("users alone carry", waiting)):
        most_first = sorted(of, key=lambda name: (-of[name], name))
        left_out.update({f"{reason} label {name}": of[name] for name in most_first[:_NAMED]})
        if more := most_first[_NAMED:]:
            left_out[f"{reason} each of {len(more)} more labels"] += sum(of[name] for name in more)
    return {
        key: row
        for key, row in train.items()
        if few.keys().isdisjoint(labels_of(row.target)) and waiting.keys().isdisjoint(labels_of(row.target))
    }


def _within_budget(
    train: Mapping[str, Chosen], times: Mapping[str, datetime], max_rows: int, left_out: Counter[str], weak: frozenset[str]
) -> dict[str, Chosen]:
    """Keep `max_rows`: the new rows, newest first, then as many of the others as there is room for, from all ages alike.

    Feedback comes after all labels, and `weak` ones last: neither what users send nor what rules say must crowd out the others.
    """

    def rank(each: str) -> tuple[bool, bool, datetime, str]:
        return each not in weak, train[each].contributor is None, times[each], each

    newest_first = sorted(train, key=rank, reverse=True)
    new = [example_id for example_id in newest_first if train[example_id].is_new][:max_rows]
    old = [example_id for example_id in newest_first if not train[example_id].is_new]
    # Not the newest of them: replay samples from what stays here, and what it never sees is forgotten.
    room = min(max_rows - len(new), len(old))
    kept = [*new, *(old[at * len(old) // room] for at in range(room))]
    if len(train) > len(kept):
        left_out[f"more than {max_rows} rows (training.max_rows)"] += len(train) - len(kept)
    return {example_id: train[example_id] for example_id in kept}
