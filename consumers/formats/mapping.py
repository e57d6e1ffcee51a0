"""Which column of a file holds what, and what its labels are called here."""

from __future__ import annotations

import csv
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import yaml

from config.errors import UserError
from config.foreign.labels import label
from consumers.formats.fields import unnamed

_OWN_NAMES = {"group": "document_id"}
"""Columns that are found by another name than their field's."""
SIDE, TYPES = "side", "types"
"""Which side a row stood on where it was exported, and the types that whoever marked its entities knew."""
_NAMED_ONLY = frozenset({"id", SIDE})
_TEXT_FIELDS = ("text", "title", "body")
_FROM_FILE = "@"
_OLD_AND_NEW = 2
_YAML_NOTHING = frozenset({"null", "~"})
"""What YAML means by these words without quotes. A name with nothing behind it drops its label."""


@dataclass(frozen=True, slots=True)
class ColumnMapping:
    """Names of columns. One that is None stands for the column of the field's own name, where the file has it.

    `id` (the article's) is read only when it is named: ids like 1, 2, 3 found by accident would join rows of different files.
    `group` says which document a row belongs to; rows of one document are never on both sides of a comparison.
    """

    text: str | None = None
    title: str | None = None
    body: str | None = None
    label: str | None = None
    time: str | None = None
    id: str | None = None
    spans: str | None = None
    group: str | None = None
    others: tuple[tuple[str, str], ...] = ()
    """Field and column of kinds of task that need other fields."""

    @property
    def given(self) -> Mapping[str, str]:
        """Return field -> column as the user names them."""
        named = {field: column for field, column in asdict(self).items() if field != "others" and column is not None}
        return named | dict(self.others)

    @property
    def meaning(self) -> Mapping[str, str | None]:
        """Return what of it decides which event a row becomes."""
        return {field: column for field, column in asdict(self).items() if field != "others"} | dict(self.others)

    def for_answer(self, fields: Sequence[str]) -> ColumnMapping:
        """Return the mapping for targets made of `fields`: where these are `labels`, the column of `label` holds them.

        Raises `UserError` when both were named.
        """
        if self.label is None or "labels" not in fields or "label" in fields:
            return self
        if "labels" in dict(self.others):
            message = f"--label {self.label} and --column labels={dict(self.others)['labels']} name the same field; keep one"
            raise UserError(message)
        return replace(self, label=None, others=(*self.others, ("labels", self.label)))

    def for_articles(self, columns: Sequence[str], layout: Mapping[str, str]) -> ColumnMapping:
        """Return the mapping for articles: fields that neither a `layout` nor their own name finds are found by other names."""
        own = {field: field for field in (*_TEXT_FIELDS, "time") if field in columns}
        others = unnamed(columns, {**own, **layout, **self.given})
        title, body, time = (others.get(field, getattr(self, field)) for field in ("title", "body", "time"))
        return replace(self, title=title, body=body, time=time)

    def resolve(self, columns: Sequence[str], layout: Mapping[str, str], answer: Sequence[str] | None) -> Mapping[str, str]:
        """Return field -> column for a file with `columns`: as the user says, else as its `layout` has it, else by name.

        `answer`: the fields that a target is made of; None for articles, which have none. Raises `UserError` naming the columns
        that exist.
        """
        unknown = sorted(set(self.given.values()) - set(columns))
        if unknown:
            message = (
                f"there is no column {', '.join(map(repr, unknown))} in the file; its columns are {', '.join(map(repr, columns))}"
            )
            raise UserError(message)
        fields = [*_TEXT_FIELDS, *(answer or ()), "time", "id", *(["group", SIDE] if answer is not None else [])]
        own = {field: _OWN_NAMES.get(field, field) for field in fields if field not in _NAMED_ONLY}
        found = {field: column for field, column in own.items() if column in columns}
        return {field: column for field, column in {**found, **layout, **self.given}.items() if field in fields}


def read_columns(given: Sequence[str]) -> tuple[tuple[str, str], ...]:
    """Return what several `--column FIELD=COLUMN` mean. Raises `UserError`."""
    pairs = []
    for one in given:
        field, equals, column = one.partition("=")
        if not equals or not field.strip() or not column:
            message = f"--column {one!r} is not FIELD=COLUMN; write e.g. --column label=Topic"
            raise UserError(message)
        pairs.append((field.strip(), column))
    return tuple(pairs)


def read_label_map(text: str) -> dict[str, str]:
    """Return what `--label-map` means: pairs such as `PER=PERSON,MISC=`, or `@FILE`. Raises `UserError`."""
    return _from_file(Path(text[1:])) if text.startswith(_FROM_FILE) else parse_pairs(text)


def parse_pairs(text: str) -> dict[str, str]:
    """Return `{"PER": "PERSON", "MISC": ""}` for `PER=PERSON,MISC=`. Raises `UserError` when a part has no `=`."""
    pairs: dict[str, str] = {}
    for part in filter(None, (part.strip() for part in text.split(","))):
        old, equals, new = part.partition("=")
        if not equals or not old.strip() or "=" in new:
            message = (
                f"{part!r} is not OLD=NEW; write e.g. PER=PERSON,MISC= (nothing behind = leaves the label out). "
                "For labels with a comma or = use a file: --label-map @FILE"
            )
            raise UserError(message)
        _add(pairs, old.strip(), new.strip())
    return pairs


def _from_file(path: Path) -> dict[str, str]:
    """Return the pairs of a YAML or JSON mapping, or of a CSV file with two columns and no header."""
    try:
        content = path.read_text(encoding="utf-8-sig")
        match path.suffix.lower():
            case ".json":
                # Pairs, not a dictionary: of a doubled name the last would win.
                found = json.loads(content, object_pairs_hook=tuple)
                rows: list[tuple[object, ...]] = list(found) if isinstance(found, tuple) else [()]
            case ".yaml" | ".yml":
                rows = _yaml_pairs(yaml.compose(content, Loader=yaml.BaseLoader))
            case _:
                rows = [tuple(row) for row in csv.reader(content.splitlines(), strict=True) if row]
    except (OSError, ValueError, RecursionError, yaml.YAMLError, csv.Error) as error:
        message = f"--label-map: {path} cannot be read ({error}); nothing was imported"
        raise UserError(message) from None
    pairs: dict[str, str] = {}
    for row in rows:
        old, new = map(_digits, row) if len(row) == _OLD_AND_NEW else (None, None)
        if not isinstance(old, str) or not isinstance(new, str) or not old.strip():
            message = (
                f'--label-map: {path} must contain pairs of an old and a new label only; write lines such as "Arts, culture",arts'
            )
            raise UserError(message)
        _add(pairs, old.strip(), new.strip())
    return pairs


def _yaml_pairs(node: yaml.Node | None) -> list[tuple[object, ...]]:
    """Return the pairs of a YAML mapping, doubled names too; None stands for what is no text."""
    pairs = node.value if isinstance(node, yaml.MappingNode) else [()]
    return [tuple(_yaml_text(one) for one in pair) for pair in pairs]


def _yaml_text(node: yaml.Node) -> str | None:
    if not isinstance(node, yaml.ScalarNode) or (node.style is None and node.value.lower() in _YAML_NOTHING):
        return None
    return str(node.value)


def _digits(value: object) -> object:
    """Return a whole number as a text of its digits, any other value as it is."""
    return f"{value:d}" if isinstance(value, int) and not isinstance(value, bool) else value


def _add(pairs: dict[str, str], old: str, new: str) -> None:
    try:
        old, new = label(old), label(new) if new else ""
    except ValueError as error:
        message = f"--label-map: {old!r} to {new!r}: {error}"
        raise UserError(message) from None
    if pairs.setdefault(old, new) != new:
        message = f"--label-map has two names for {old!r}, {pairs[old]!r} and {new!r}; keep one"
        raise UserError(message)
