"""A version's model card: scores, verdict with reasons, and origin, as Markdown with a plot or two."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.files.durable import write_atomic
from config.words import counted
from registry.evidence.in_words import InWords
from registry.lineage import Family
from registry.people.audit import IMPORT_UNDONE
from registry.reports import beside, standing
from registry.reports.cut import texts_cut
from registry.reports.diff import flatten
from registry.reports.section import Section
from registry.runs import Run
from registry.store import Registry
from registry.versions import SANDBOX, Version
from trainers.compare.comparison import Comparison
from trainers.compare.metrics.scale import Scale
from trainers.compare.slices import Slice
from trainers.job.gap import Beside
from trainers.job.spec import Progress

CARD_FILE = "card.md"
PLOT_FILE = "card.png"
LABEL_PLOT_FILE = "card-labels.png"

_SCORES = ("Rows", "Count", "Opponent", "This version", "Gain")
_PICTURE = "Training loss, gain over the opponent with its interval, and how reliable probabilities or numbers are"
_LABEL_PICTURE = "F1 on each of the most frequent labels, of this version and of the opponent"
_ERRORS = {"MAE": "mae", "RMSE": "rmse", "Spearman": "spearman"}
VERDICTS: Mapping[str | None, str] = {
    "promote": "Promoted.",
    "keep": "Not promoted: the champion was kept.",
    "insufficient_evidence": "Not decided, so not promoted: too few test rows to be sure.",
    None: "Not decided yet.",
}


def write_card(registry: Registry, name: str, folder: Path, *, history: Path | None = None, words: InWords | None = None) -> Path:
    """Write `card.md` and `card.png` of a version into `folder`; return the path of the card.

    Where texts have several labels `card-labels.png` stands beside.
    `history` is the run's `history.jsonl`, where it still exists; `words` are both sentences on its verdict. Raises `UserError`
    when there is no such version.
    """
    text = card(registry, name, picture=PLOT_FILE, label_picture=LABEL_PLOT_FILE, words=words)
    for file, content in _pictures(name, comparison_of(registry.versions.get(name)), history).items():
        write_atomic(folder / file, content)
    write_atomic(folder / CARD_FILE, text.encode())
    return folder / CARD_FILE


def _pictures(name: str, seen: Comparison | None, history: Path | None) -> dict[str, bytes]:
    """Return what a card shows, by the names of the files."""
    # matplotlib takes half a second to import, and a card that is only printed needs none of it.
    from registry.reports.label_plot import plot_labels  # noqa: PLC0415 - see above
    from registry.reports.plots import plot  # noqa: PLC0415 - see above

    figures = {PLOT_FILE: plot(name, seen, read_history(history))}
    if seen is not None and seen.labels:
        figures[LABEL_PLOT_FILE] = plot_labels(name, seen)
    found = {}
    for file, figure in figures.items():
        drawn = io.BytesIO()
        figure.savefig(drawn, format="png", dpi=150)
        found[file] = drawn.getvalue()
    return found


def card(
    registry: Registry, name: str, *, picture: str | None = None, label_picture: str | None = None, words: InWords | None = None
) -> str:
    """Return the card of a version as Markdown, showing the image files when given, that of labels where there are several."""
    first, *others = sections(registry, name, picture=picture, label_picture=label_picture, words=words)
    parts = [f"# {first.title}", *markdown(first)]
    for section in others:
        parts += [f"## {section.title}", *markdown(section)]
    return "\n\n".join(parts) + "\n"


def sections(
    registry: Registry, name: str, *, picture: str | None = None, label_picture: str | None = None, run: Run | None = None,
    words: InWords | None = None,
) -> list[Section]:  # fmt: skip
    """Return the parts of the card of a version; the first bears its name. Raises `UserError` when there is no such version.

    `run` is the version's as it is about to be recorded; None: as it is on record. `words` are both sentences on its verdict.
    """
    version = registry.versions.get(name)
    run = run or registry.runs.find(version.run_id)
    seen = comparison_of(version)
    names = [alias.name for alias in registry.versions.aliases(version.task) if alias.version == name]
    where = " and ".join(names).capitalize() or "Not in production"
    made = f"{where}; made on {version.created_at:%Y-%m-%d %H:%M} UTC by run `{version.run_id}`."
    plot = () if picture is None else (f"![{_PICTURE}]({picture})",)
    settings, corrections = sorted(flatten(version.lineage.settings).items()), standing.corrections(registry, version)
    return [
        Section(version.name, (made, *_erased(version), *_taken_back(registry, version))),
        Section("Verdict", (_verdict(run), *_sentences(words), *corrections), run.reasons if run else ()),
        *standing.limits(run),
        *standing.guards(run),
        Section("Comparison", (*plot, _compared(seen)), (), _SCORES if seen else (), _scored(seen)),
        *_probabilities(seen),
        *_dimensions(seen),
        *_labels(seen, label_picture),
        *standing.overfitting(version, None if seen is None else seen.scale),
        *_teacher(version.metrics.get("teacher"), None if seen is None else seen.scale),
        *beside.sides(version.metrics.get("sides"), version.task, "opponent" if seen is None else seen.opponent_in_words),
        *standing.sandbox(version.metrics.get(SANDBOX)),
        Section("Made from", (), (), ("", ""), tuple(_origin(version, run, len(registry.versions.learnt(name))))),
        Section("Training", (), (), ("", ""), tuple(_effort(version))),
        *_tried(version.metrics.get("tried") or ()),
        Section("Settings", (), (), ("Setting", "Value"), tuple((f"`{key}`", value) for key, value in settings)),
        Section("Files", (), (), ("", ""), tuple(_files(version))),
    ]


def _sentences(words: InWords | None) -> tuple[str, ...]:
    return () if words is None else (f"{words.measured} {words.decides}",)


def comparison_of(version: Version) -> Comparison | None:
    """Return the comparison a version was decided by, None when its run recorded none."""
    recorded = version.metrics.get("comparison")
    return None if recorded is None else Comparison.model_validate(recorded)


def read_history(path: Path | None) -> list[Progress]:
    """Return the lines of a `history.jsonl` that are whole; none when the file is gone."""
    if path is None or not path.exists():
        return []
    history = []
    for line in path.read_bytes().splitlines():
        # A killed child may leave half a line, and the next attempt continues behind it.
        with contextlib.suppress(ValidationError):
            history.append(Progress.model_validate_json(line))
    return history


def _verdict(run: Run | None) -> str:
    if run is None:
        return "The run's record is gone."
    level = "" if run.readiness is None else f"**{run.readiness}.** "
    return f"{level}**{VERDICTS[run.verdict]}** The run was started by: {run.reason}."


def _erased(version: Version) -> list[str]:
    if version.affected_at is None:
        return []
    since = f"{version.affected_at:%Y-%m-%d %H:%M} UTC"
    what = (
        "It is removed once a version that did not learn from them replaces it"
        if version.collected_at is None
        else "Its files are gone"
    )
    return [f"**Learnt from texts that have been erased** (marked {since}, itself or through a parent). {what}."]


def _taken_back(registry: Registry, version: Version) -> list[str]:
    entries = registry.audit.of_action(IMPORT_UNDONE)
    if not entries:
        return []
    line = {version.name, *Family.of(registry, version.task).ancestors(version.name)}
    return [
        f"**Learnt from import `{entry.details['import']}`, which was taken back** on {entry.at:%Y-%m-%d %H:%M} UTC "
        f"({entry.reason}), itself or through a parent."
        for entry in entries
        if not line.isdisjoint(entry.details.get("versions", ()))
    ]


def _scored(seen: Comparison | None) -> tuple[tuple[object, ...], ...]:
    if seen is None:
        return ()
    measured = f"{seen.metric}, lower is better" if seen.scale.lower_is_better else seen.metric
    return (
        _scores(seen.scale, f"test rows ({measured})", seen.rows, seen.champion_score, seen.candidate_score),
        *(_scores(seen.scale, part.name, part.rows, part.champion_score, part.candidate_score) for part in _parts(seen)),
    )


def _probabilities(seen: Comparison | None) -> Iterator[Section]:
    """Yield how good the probabilities of both models are on the test rows, where answers carry any."""
    if seen is None or (seen.candidate_probabilities is None and seen.champion_probabilities is None):
        return
    both = (seen.champion_probabilities, seen.candidate_probabilities)
    each = any(one is not None and one.of_each_label for one in both)
    shown = {"calibration_error": "calibration error, lower is better"}
    if not each:
        shown |= {"top_2": "label among the two most probable", "top_3": "label among the three most probable"}
    if seen.abstain_below > 0.0:
        below = f"below {seen.abstain_below:g}"
        shown |= {"abstained": f"answers that abstain ({below})", "accuracy_of_others": "accuracy of the others"}
    values = [(title, *(None if one is None else getattr(one, name) for one in both)) for name, title in shown.items()]
    rows = tuple((title, *("" if value is None else f"{value:.4f}" for value in sides)) for title, *sides in values)
    what = (
        "how probable each label of each text is said to be and how often it is there"
        if each
        else "how sure answers are and how often they are right"
    )
    text = (
        f"On the test rows. Calibration error: the gap between {what}, over 15 bins of equal width, weighted by "
        f"{'labels of texts' if each else 'rows'} (Guo et al. 2017)."
    )
    yield Section("Probabilities", (text,), (), ("Figure", "Opponent", "This version"), rows)


def _dimensions(seen: Comparison | None) -> Iterator[Section]:
    """Yield how far both models are off in each dimension, where answers are numbers."""
    if seen is None or not seen.dimensions:
        return
    sides = (("opponent", "champion"), ("this version", "candidate"))
    shown = [(title, name, who, side) for title, name in _ERRORS.items() for who, side in sides]
    head = ("Dimension", "Rows", *(f"{title}, {who}" for title, _name, who, _side in shown))
    rows = tuple(
        (found.name, found.rows, *(f"{getattr(getattr(found, side), name):.4g}" for _title, name, _who, side in shown))
        for found in seen.dimensions
    )
    text = "On the test rows. Errors are in the units of each dimension, lower is better; of the rank correlation, higher is."
    yield Section("Dimensions", (text,), (), head, rows)


def _labels(seen: Comparison | None, picture: str | None) -> Iterator[Section]:
    """Yield which labels both models miss and which they give wrongly, where a text may have several."""
    if seen is None or not seen.labels:
        return
    plot = () if picture is None else (f"![{_LABEL_PICTURE}]({picture})",)
    figures = [
        (f"{name.capitalize()}, {who}", name, side)
        for name in ("precision", "recall", "f1")
        for who, side in (("opponent", "champion"), ("this version", "candidate"))
    ]
    rows = tuple(
        (one.name, one.rows, *(f"{getattr(getattr(one, side), name):.4f}" for _title, name, side in figures))
        for one in seen.labels
    )
    text = "On the test rows, the most frequent labels first. Rows: those that have the label."
    yield Section("Labels", (*plot, text), (), ("Label", "Rows", *(title for title, _name, _side in figures)), rows)


def _teacher(recorded: Mapping[str, Any] | None, scale: Scale | None) -> Iterator[Section]:
    """Yield what a student is beside its teacher, where it had one."""
    if recorded is None or scale is None:
        return
    found = Beside.model_validate(recorded)
    sides = (found.of_teacher, found.of_student)
    rows = (
        (f"{found.metric}, {counted(found.rows, 'test row')}", *(_number(scale, side.score) for side in sides)),
        ("texts per second", *(f"{side.texts_per_s:.1f}" for side in sides)),
        ("size, MiB", *(f"{side.size_mib:.1f}" for side in sides)),
    )
    behind = "behind" if found.gap > 0 else "ahead of"
    gap = "level with" if found.gap == 0 else f"{_number(scale, abs(found.gap))} {behind}"
    text = (
        f"It learnt from `{found.teacher}` too and is {gap} it. The teacher's answers counted for {found.answered} training "
        f"rows, and it labelled {counted(found.unlabelled, 'article')} that nobody had. What decided is the comparison above."
    )
    yield Section("Teacher", (text,), (), ("Figure", "Teacher", "This version"), rows)


def _compared(seen: Comparison | None) -> str:
    if seen is None:
        return "The run recorded no comparison."
    if seen.rows == 0:
        return f"Against {seen.opponent_in_words}: there were no test rows to compare on."
    gain, lower, upper = (_number(seen.scale, value, sign=True) for value in (seen.gain, seen.lower_bound, seen.upper_bound))
    direction = " (lower scores are better)" if seen.scale.lower_is_better else ""
    return (
        f"Against {seen.opponent_in_words}, on {counted(seen.rows, 'test row')} of {seen.stories} stories: gain "
        f"{gain}{direction}, between {lower} and {upper} (paired bootstrap by story, each bound one-sided at "
        f"{seen.confidence:.0%}). Required: more than {_number(seen.scale, seen.required_gain)}. These rows have been used in "
        f"{counted(seen.looks, 'comparison')}."
    )


def _parts(seen: Comparison) -> Iterable[Slice]:
    return (*([] if seen.anchor is None else [seen.anchor]), *seen.slices)


def _scores(scale: Scale, name: str, rows: int, opponent: float, candidate: float) -> tuple[object, ...]:
    gain = scale.gain(candidate, opponent)
    return name, rows, _number(scale, opponent), _number(scale, candidate), _number(scale, gain, sign=True)


def _number(scale: Scale, value: float, *, sign: bool = False) -> str:
    """Return a score or a gain: four places, or as many digits where the scores may be of any size."""
    return f"{value:{'+' if sign else ''}{'.4f' if scale.bounded else '.5g'}}"


def _origin(version: Version, run: Run | None, examples: int) -> list[tuple[object, ...]]:
    counts = ", ".join(f"{count} {role}" for role, count in version.lineage.counts.items() if count)
    rows: list[tuple[object, ...]] = [
        ("Based on", version.parent or "the base model"),
        ("Training set", f"`{version.lineage.training_set_sha256}`" + (f" ({counts})" if counts else "")),
        ("Examples learnt, parents included", examples),
        ("Seed", version.lineage.seed),
        ("Code", version.lineage.code),
    ]
    return rows if run is None else [*rows, ("Kind of run", run.kind)]


def _effort(version: Version) -> list[tuple[object, ...]]:
    """Return what the run reported of its work, in the words of `JobResult`."""
    shown = {
        "hardware": "Hardware",
        "variant": "Served as",
        "rows_new": "New rows",
        "rows_replayed": "Replayed rows",
        "rows_feedback": "Rows from users among them",
        "rows_held_back": "Rows from users left for a later run",
        "train_s": "Training, s",
        "score_s": "Scoring, s",
        "examples_per_s": "Examples per second",
        "peak_memory_mib": "Peak memory, MiB",
    }
    known = {key: version.metrics[key] for key in shown if version.metrics.get(key)}
    rows: list[tuple[object, ...]] = [
        (shown[key], f"{value:.1f}" if isinstance(value, float) else value) for key, value in known.items()
    ]
    if found := version.metrics.get("contradicted"):
        strongest = f"; the strongest: {', '.join(f'`{name}`' for name in found['strongest'])}" if found["strongest"] else ""
        rows.append(
            ("Rows that others contradict", f"{found['rows']} of {found['judged']}, weight x {found['weight']:g}{strongest}")
        )
    return rows if (cut := texts_cut(version.metrics)) is None else [*rows, ("Texts longer than the model reads", cut)]


def _tried(tried: Iterable[Mapping[str, Any]]) -> Iterable[Section]:
    """Yield the part that lists what the run tried on training rows before it settled on this version, if anything."""
    rows = tuple(
        (
            f"**{one['name']}**" if one["chosen"] else one["name"],
            ", ".join(f"{metric} {score:.4f}" for metric, score in one["scores"].items()),
            f"{one['cpu_s']:.2f}",
        )
        for one in tried
    )
    if rows:
        text = "Tried on training rows that were held back for it; what was chosen is bold."
        yield Section("Tried", (text,), (), ("Choice", "Scores", "CPU s"), rows)


def _files(version: Version) -> list[tuple[object, ...]]:
    removed = "" if version.collected_at is None else f" (removed on {version.collected_at:%Y-%m-%d})"
    return [
        ("Artifact", f"`{version.artifact_id}`{removed}"),
        ("Manifest SHA-256", f"`{version.manifest_sha256}`"),
        ("Size", f"{version.size_bytes / 2**20:.1f} MiB"),
    ]


def markdown(section: Section) -> list[str]:
    """Return the paragraphs of a section, without its title."""
    items = ["\n".join(f"- {item}" for item in section.items)] if section.items else []
    return [*section.text, *items, *([_table(section.head, section.rows)] if section.head else [])]


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(_cell(value) for value in line) + " |" for line in lines)


def _cell(value: object) -> str:
    # Names are whatever strangers wrote: none of them may become an element or a link.
    told = "" if value is None else str(value).replace("<", "&lt;").replace("[", "\\[")
    return told.replace("|", "\\|").replace("\n", " ")
