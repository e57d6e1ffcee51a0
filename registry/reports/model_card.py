"""A version's card for those who get the model: front matter as the Hugging Face Hub reads it, data, metrics, limits, lineage.

What stands in it follows from the version alone: written again it has the same bytes, so that nothing is published twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import yaml

from config.words import counted
from perennial_artifact.description import Description
from registry.reports import cards
from registry.reports.cut import texts_cut
from registry.reports.section import Section
from registry.reports.strangers import is_on_a_hub, known_as
from registry.store import Registry
from registry.versions import Version
from trainers.compare.comparison import Comparison

README_FILE = "README.md"
UNKNOWN = "unknown"
"""What the Hub calls a licence that nobody named."""

_PIPELINES = {"classification": "text-classification", "multilabel": "text-classification", "ner": "token-classification",
              "regression": "text-classification", "signals": "text-classification"}  # fmt: skip
_MEASURED = ("Comparison", "Probabilities", "Dimensions", "Labels", "Teacher")
_LANGUAGE = "language:"
_SHOWN = 50
"""Labels and ancestors that are named."""


@dataclass(frozen=True, slots=True)
class Handed:
    """What is said of a model as it is handed on."""

    description: Description
    format: str
    library: str
    """What opens it, as the Hub names libraries."""
    licence: str
    """Of the base model, as the Hub writes licences; `UNKNOWN` where nobody names it."""
    base_id: str
    """The base model; empty where it is not known."""
    usage: str
    """Python that opens it and asks it."""


def readme(registry: Registry, name: str, handed: Handed) -> str:
    """Return the card of a version as Markdown. Raises `UserError` when there is no such version."""
    version = registry.versions.get(name)
    seen = cards.comparison_of(version)
    matter = yaml.safe_dump(_front_matter(version, seen, handed), sort_keys=False, allow_unicode=True)
    title, measured = f"# {name}", [one for one in cards.sections(registry, name) if one.title in _MEASURED]
    sections = [
        Section("Use", (f"```python\n{handed.usage.strip()}\n```", *_use(handed))),
        Section("Data", tuple(_data(version, seen))),
        *measured,
        Section("Limits", (), tuple(_limits(version, seen, handed))),
        Section("Lineage", (), (), ("", ""), tuple(_lineage(registry, version, handed))),
    ]
    parts = [f"---\n{matter}---", title, _opening(version, handed)]
    for section in sections:
        parts += [f"## {section.title}", *cards.markdown(section)]
    return "\n\n".join(parts) + "\n"


def _front_matter(version: Version, seen: Comparison | None, handed: Handed) -> Mapping[str, Any]:
    kind = handed.description.kind
    found: dict[str, Any] = {
        "license": handed.licence,
        "library_name": handed.library,
        "tags": ["perennial", "news", kind],
    }
    if languages := _languages(seen):
        found = {"language": languages} | found
    if is_on_a_hub(handed.base_id):
        found["base_model"] = handed.base_id
    if pipeline := _PIPELINES.get(kind):
        found["pipeline_tag"] = pipeline
    if seen is not None and seen.rows:
        found["metrics"] = [seen.metric]
        found["model-index"] = [
            {
                "name": version.name,
                "results": [
                    {
                        "task": {"type": pipeline or kind},
                        "dataset": {"name": f"held-out rows of {version.task}", "type": version.task},
                        "metrics": [
                            {"type": name, "name": name, "value": value} for name, value in _scores(seen) if value is not None
                        ],
                    }
                ],
            }
        ]
    return found


def _scores(seen: Comparison) -> Iterator[tuple[str, float | None]]:
    yield seen.metric, float(f"{seen.candidate_score:.6g}")
    if seen.candidate_probabilities is not None:
        error = seen.candidate_probabilities.calibration_error
        yield "calibration_error", None if error is None else float(f"{error:.6g}")


def _languages(seen: Comparison | None) -> list[str]:
    """Return the languages that enough test rows are in."""
    parts = () if seen is None else seen.slices
    return sorted(part.name.removeprefix(_LANGUAGE) for part in parts if part.name.startswith(_LANGUAGE))


def _opening(version: Version, handed: Handed) -> str:
    labels = handed.description.labels
    shown = ", ".join(f"`{label}`" for label in labels[:_SHOWN]) + (" and others" if len(labels) > _SHOWN else "")
    what = f"It answers with {counted(len(labels), 'label')}: {shown}." if labels else ""
    return f"A model of kind `{handed.description.kind}` for the task `{version.task}`, trained by Perennial. {what}".strip()


def _use(handed: Handed) -> Iterable[str]:
    versions = ", ".join(f"{name} {number}" for name, number in sorted(handed.description.libraries.items()))
    return (f"It was made with {versions}.",) if versions else ()


def _data(version: Version, seen: Comparison | None) -> Iterator[str]:
    counts = ", ".join(f"{count} {role}" for role, count in version.lineage.counts.items() if count)
    yield (
        f"The rows of its training set: {counts or 'not recorded'}. Their labels were imported, asked for, or are corrections of "
        "earlier answers by readers and editors. The texts are not part of this model."
    )
    languages = _languages(seen)
    yield (
        f"Languages of the test rows: {', '.join(f'`{name}`' for name in languages)}."
        if languages
        else "Which languages the texts are in was not measured."
    )


def _limits(version: Version, seen: Comparison | None, handed: Handed) -> Iterator[str]:
    read = handed.description.input
    if read.max_tokens is not None:
        cut = texts_cut(version.metrics)
        yield f"It reads {read.max_tokens} tokens at a time" + (f"; texts that were longer in its run: {cut}." if cut else ".")
    if seen is None or not seen.rows:
        yield "It was not measured on held-out rows."
    else:
        yield f"It was measured on {counted(seen.rows, 'row')} of the same sources as its training rows. Other texts may differ."
        weak = sorted((part for part in seen.slices), key=lambda one: one.candidate_score, reverse=seen.scale.lower_is_better)
        if weak:
            worst = weak[0]
            yield f"Its weakest part of the test rows is `{worst.name}`: {seen.metric} {worst.candidate_score:.4g}."
    if version.affected_at is not None:
        yield "It learnt from texts that have been erased since. Do not hand it on; a successor without them replaces it."
    if handed.licence == UNKNOWN:
        yield "The licence of its base model is unknown here. Find it out before you use the model."
    else:
        base = known_as(handed.base_id) or "not named"
        yield f"The licence above is that of the base model ({base}). Find out what the training texts allow."


def _lineage(registry: Registry, version: Version, handed: Handed) -> Iterator[tuple[object, ...]]:
    yield "Version", f"`{version.name}`"
    yield "Made at", f"{version.created_at:%Y-%m-%d %H:%M} UTC"
    yield "Base model", known_as(handed.base_id) or "not known"
    yield "Went on from", " <- ".join(f"`{name}`" for name in _ancestors(registry, version)) or "the base model"
    yield "Examples learnt, parents included", len(registry.versions.learnt(version.name))
    yield "Training set", f"`{version.lineage.training_set_sha256}`"
    yield "Seed", version.lineage.seed
    yield "Code", version.lineage.code
    yield "Published files", f"`{version.manifest_sha256}`"


def _ancestors(registry: Registry, version: Version) -> Sequence[str]:
    found: list[str] = []
    while version.parent is not None and len(found) < _SHOWN:
        found.append(version.parent)
        version = registry.versions.get(version.parent)
    return found
