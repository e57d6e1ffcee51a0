"""A version's model card: scores, verdict with reasons, and origin, as Markdown with a plot or two."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from config.files.durable import write_atomic
from registry.evidence.in_words import InWords
from registry.lineage import Family
from registry.people.audit import IMPORT_UNDONE
from registry.reports import beside, scores, standing
from registry.reports.cut import texts_cut
from registry.reports.diff import flatten
from registry.reports.section import Section
from registry.runs import Run
from registry.store import Registry
from registry.versions import SANDBOX, Version
from trainers.compare.comparison import Comparison
from trainers.job.spec import Progress

CARD_FILE = "card.md"
PLOT_FILE = "card.png"
LABEL_PLOT_FILE = "card-labels.png"

_PICTURE = "Training loss, gain over the opponent with its interval, and how reliable probabilities or numbers are"
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
        scores.overall(seen, plot),
        *scores.probabilities(seen),
        *scores.dimensions(seen),
        *scores.labels(seen, label_picture),
        *standing.overfitting(version, None if seen is None else seen.scale),
        *scores.teacher(version.metrics.get("teacher"), None if seen is None else seen.scale),
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
