"""The card of a data set: front matter as the Hugging Face Hub reads it, and what whoever uses the rows must know.

What stands in it follows from the rows alone: written again it has the same bytes, so that nothing is published twice.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

import yaml

from config.kinds import catalog as kinds
from config.tasks import TaskSpec
from config.words import counted
from consumers.formats.written.columns import schema_of
from consumers.training_set.labelled import SIDES, Counts

_TASKS: Mapping[str, str] = {
    "classification": "text-classification", "multilabel": "text-classification", "ner": "token-classification",
    "regression": "text-classification", "signals": "text-classification",
}  # fmt: skip
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"), (10_000_000, "1M<n<10M"))
_SHOWN = 100
_KNOWN_LANGUAGE = 2
"""Letters of a code that names a language."""
_COLUMNS: Mapping[str, str] = {
    "text": "Title, blank line, body.",
    "label": "The label, as a number with its name.",
    "labels": "The labels; an empty list: none of them.",
    "spans": "Entities: code points from `start` to `end` (exclusive), and `label`.",
    "partial": "True: the text may have other entities than these.",
    "types": "The types that whoever marked the text knew; of others it says nothing.",
    "values": "The number of each dimension; none where it is not known.",
    "signals": "Of each category its `score` from -1 to 1 and its `tag`; none where nothing is said.",
    "side": "Where the row stands: `train`, `test` (held out, decides comparisons), `anchor` (never trained on).",
    "origin": "`gold`, `import`, `audit`: a person's label, one of a file, one of a random sample; `feedback` of users.",
    "time": "When it happened.",
    "document_id": "What the text is a part of: rows of one document are on one side.",
    "article_id": "The article.",
    "example_id": "The row.",
    "language": "As it was recognised.",
}


def readme(task: TaskSpec, counts: Counts, as_format: str, *, called: str) -> str:
    """Return the card as Markdown."""
    sides = [side for side in SIDES if counts.sides[side]]
    matter = yaml.safe_dump(_front_matter(task, counts, sides, as_format), sort_keys=False, allow_unicode=True)
    open_with = (
        f'```python\nfrom datasets import load_dataset\n\nrows = load_dataset("{called}", split="{sides[0]}")\n```'
        if as_format == "hf"
        else f"```sh\nspacy train config.cfg --paths.train {called}/{sides[0]} --paths.dev {called}/{sides[-1]}\n```"
    )
    span = f" From {counts.first:%Y-%m-%d} to {counts.last:%Y-%m-%d}." if counts.first and counts.last else ""
    kind = kinds.get(task.kind)
    parts = [
        f"---\n{matter}---", f"# {called}", *([task.description] if task.description else []),
        f"{counted(counts.rows, 'labelled text')} of the task `{task.name}`: {kind.words.about}.{span}",
        "## Use", open_with, "## Columns", "\n".join(_columns(task)),
        "## Rows", *_table("side", ((side, counts.sides[side]) for side in sides)),
        *_table("origin", counts.origins.most_common()),
        *_table("label", counts.labels.most_common(_SHOWN), more=len(counts.labels) - _SHOWN),
        "## Limits", "\n".join(_limits(counts)),
    ]  # fmt: skip
    return "\n\n".join(parts) + "\n"


def _front_matter(task: TaskSpec, counts: Counts, sides: list[str], as_format: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    if languages := sorted(name for name in counts.languages if len(name) == _KNOWN_LANGUAGE):
        found["language"] = languages
    found |= {"license": "unknown", "pretty_name": task.name, "tags": ["perennial", "news", task.kind]}
    if category := _TASKS.get(task.kind):
        found["task_categories"] = [category]
    found["size_categories"] = [next((name for most, name in _SIZES if counts.rows < most), "n>10M")]
    if as_format == "hf":
        files = [{"split": side, "path": f"data/{side}-*"} for side in sides]
        found["configs"] = [{"config_name": "default", "data_files": files}]
    return found


def _columns(task: TaskSpec) -> Iterator[str]:
    for name in schema_of(task).names:
        yield f"- `{name}`: {_COLUMNS.get(name, 'What is right of the text, as JSON.')}"


def _table(title: str, rows: Iterable[tuple[str, int]], more: int = 0) -> Iterator[str]:
    lines = [f"| {name.replace('|', '/')} | {number} |" for name, number in rows]
    if lines:
        rest = [f"| {more} more | |"] if more > 0 else []
        yield "\n".join((f"| {title} | rows |", "|---|---|", *lines, *rest))


def _limits(counts: Counts) -> Iterator[str]:
    yield "- The licence of the texts is not known here; whoever publishes them answers for it."
    yield "- A text may have several rows: each says what one label said. Of those the newest counts in training."
    yield "- Texts that were erased are in none of the rows. Whoever took a copy before has them still."
    for reason, number in sorted(counts.left_out.items()):
        yield f"- Left out: {number} {reason}."
