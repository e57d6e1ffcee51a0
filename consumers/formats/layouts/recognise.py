"""Recognises the tool that wrote a file by its rows: the fields of text, answer and document, and how to convert each row."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from config.errors import UserError
from consumers.formats.layouts import label_studio
from consumers.formats.layouts.survey import Survey
from consumers.formats.layouts.token_rows import Table, Tags, from_lists, from_table
from consumers.formats.rows import AnyRow, BadRow, LeftOut, Row
from consumers.formats.tags import holds_entities, named
from consumers.formats.values import missing, shown

Transform = Callable[[Iterator[AnyRow]], Iterator[AnyRow]]

_ANSWERS = frozenset({"accept", "reject", "ignore"})
_HASHES = ("_input_hash", "_task_hash", "_view_id")
_PRODIGY = (*_HASHES, "spans", "tokens", "options", "label")
_TOKENS = ("tokens", "words", "token", "word", "form")
_LISTS_OF_TOKENS = (*_TOKENS, "text", "sentence")
_TAGS = ("ner_tags", "ner", "tags", "tag", "ner_tag", "labels", "label", "entities")
_SENTENCE = re.compile(r"sent(?:ence)?s?[\s_.:#-]*(?:id|idx|ids|index|no|nr|num|number|counter|count)?[\s_.:#]*")
"""The whole name of a column of sentences, such as `Sentence #`: `sentiment` is none."""
_DOCCANO_LABELS = ("label", "labels", "entities", "annotations")
_JOINED = ("label", "labels")
PARTIAL = "partial"
"""Column that says that a text may have other entities than those given."""


def _filled(rows: Iterator[AnyRow]) -> Iterator[AnyRow]:
    return (row for row in rows if not isinstance(row, Row) or row.values)


@dataclass(frozen=True, slots=True)
class Layout:
    """How the rows of a file are laid out."""

    name: str | None = None
    """None: columns that stand for themselves."""
    columns: Mapping[str, str] = field(default_factory=dict)
    """What holds which field, where the field's own name does not."""
    rows: Transform = _filled
    tags: Tags | None = None
    """Knows the scheme of tags once all rows were read."""


def flat(rows: Iterator[AnyRow]) -> Iterator[AnyRow]:
    """Yield rows without the nesting that some tools give each of them, so that all have named columns."""
    for row in rows:
        yield label_studio.flat(row) if isinstance(row, Row) and label_studio.is_task(row.values) else row


def recognise(
    seen: Survey,
    fields: Collection[str],
    *,
    chosen: tuple[str, ...] | None,
    names: Mapping[str, str],
    given: Mapping[str, str],
    tasks: bool,
) -> Layout:
    """Return the layout of a file from what all its rows look like.

    `fields`: what a target is made of (`Kind.columns`), none for articles; `chosen`: columns of tokens, tags and sentences by
    name; `names`: what tags are called; `given`: field -> column as the user names them; `tasks`: whether rows were tasks of
    Label Studio. Raises `UserError` where tags stand in rows and it is not clear in which.
    """
    if "spans" in fields and (tokens := _token_layout(seen, chosen, names)) is not None:
        return tokens
    label = _label_field(fields)
    if "answer" not in given.values() and _is_prodigy(seen):
        choice = {label or "label": "accept"} if seen.has("accept", "texts", "wholes", "empty list") else {}
        return Layout("Prodigy", choice, _prodigy)
    if (studio := _label_studio(seen, fields, given, tasks=tasks)) is not None:
        return studio
    if seen.has("cats", "object") and label:
        return Layout("spaCy", {label: "cats"}, _categories)
    if seen.has("entities", "offsets"):
        return Layout("spaCy", {"spans": "entities"})
    return _doccano(seen, fields) or Layout()


def _label_field(fields: Collection[str]) -> str | None:
    """Return what a kind calls the label, or labels, of a whole text; None where it has none."""
    return next((name for name in ("label", "labels") if name in fields), None)


def _is_prodigy(seen: Survey) -> bool:
    """Return whether most rows have an answer as Prodigy's have; a few others do not make the rejected ones gold."""
    if not seen.has("answer", "text") or not any(seen.has(name) for name in _PRODIGY):
        return False
    counts = seen.fields["answer"].values
    known = sum(count for answer, count in counts.items() if answer.strip().lower() in _ANSWERS)
    return known > 0 and (any(seen.has(name) for name in _HASHES) or 2 * known >= sum(counts.values()))


def _label_studio(seen: Survey, fields: Collection[str], given: Mapping[str, str], *, tasks: bool) -> Layout | None:
    regions = [name for name, one in seen.fields.items() if one.some("regions")]
    choices = [name for name, one in seen.fields.items() if one.some("choices")]
    meta = sum(seen.has(name) for name in ("annotator", "annotation_id", "lead_time"))
    if not (tasks or meta > 1 or regions or choices):
        return None
    # A single choice is exported as plain text, so that any text field beside the task's own may be the answer.
    others = [
        name for name, one in seen.fields.items()
        if name not in label_studio.META | {"text", "title", "body"} and one.only("text", "choices")
    ]  # fmt: skip
    if "spans" in fields:
        if "spans" not in given and not regions and (choices or (others and not tasks)):
            # People chose something of each text, but nobody was asked for entities.
            return Layout("Label Studio")
        # Where nobody marked anything, no control is named.
        spans = given.get("spans") or (regions[0] if len(regions) == 1 else None if regions else "spans")
        if spans is None:
            return Layout("Label Studio")
        return Layout("Label Studio", {"spans": spans}, lambda rows: label_studio.without_regions(_filled(rows), spans))
    labels = choices or others
    return Layout("Label Studio", {_label_field(fields) or "label": labels[0]} if len(labels) == 1 else {})


def _doccano(seen: Survey, fields: Collection[str]) -> Layout | None:
    spans = [name for name in _DOCCANO_LABELS if seen.has(name, "offsets", "offset spans")]
    labels = [name for name in ("label", "labels", "annotations") if seen.has(name, "texts", "labels")]
    entities = seen.has("entities", "empty list") and seen.has("relations")
    # Some versions call the text `data`, in JSON and in CSV.
    text = {"text": "data"} if seen.has("data", "text") and not seen.has("text") else {}
    if "spans" in fields and (spans or entities):
        return Layout("doccano", {**text, "spans": spans[0] if spans else "entities"}, _text_of_data)
    # A column of label lists is doccano's; one without a label here and there is too.
    label = _label_field(fields)
    if label and labels and seen.fields[labels[0]].lists:
        return Layout("doccano", {**text, label: labels[0]}, _text_of_data)
    column = next((name for name in _JOINED if seen.has(name, "text")), None)
    if label and text and seen.has("id") and column:
        return Layout("doccano", {**text, label: column}, lambda rows: _apart(_filled(rows), column))
    return None


def _token_layout(seen: Survey, chosen: tuple[str, ...] | None, names: Mapping[str, str]) -> Layout | None:
    if chosen is not None:
        unknown = [name for name in chosen if name not in seen.fields]
        if unknown or len(chosen) not in {2, 3}:
            message = (
                "--columns names the columns of token and tag (and of the sentence, in a table with a token a row), e.g. "
                f"--columns Word,Tag,Sentence; the file's columns are {', '.join(map(repr, seen.fields))}"
            )
            raise UserError(message)
        if seen.fields[chosen[0]].lists:
            return _lists(chosen[0], chosen[1], names)
        return _table(seen, chosen[0], chosen[1], chosen[2] if len(chosen) > 2 else None, names)  # noqa: PLR2004 - the third one
    lower = {name.strip().lower(): name for name in seen.fields}
    tokens = next((lower[name] for name in _LISTS_OF_TOKENS if name in lower and seen.fields[lower[name]].some("texts")), None)
    if tokens is not None:
        tags = [lower[name] for name in _TAGS if name in lower and seen.fields[lower[name]].some("texts", "wholes")]
        return _lists(tokens, tags[0], names) if tags else None
    words = next((lower[name] for name in _TOKENS if name in lower and seen.fields[lower[name]].only("text")), None)
    marked = [
        name for name, one in seen.fields.items() if one.few and one.only("text", "number") and _are_tags(one.values, names)
    ]
    if words is None or not marked:
        return None
    by_name = [lower[name] for name in _TAGS if lower.get(name) in marked]
    sentence = next((name for name in seen.fields if _SENTENCE.fullmatch(name.strip().lower())), None)
    return _table(seen, words, (by_name or marked)[0], sentence, names)


def _are_tags(values: Collection[str], names: Mapping[str, str]) -> bool:
    called = [named(value.strip(), names) for value in values]
    return holds_entities([tag for tag in called if tag is not None]) and None not in called


def _lists(tokens: str, tags: str, names: Mapping[str, str]) -> Layout:
    reader = Tags(names)
    name = f"tokens in {tokens!r}, tags in {tags!r}"
    return Layout(name, {"text": "text", "spans": "spans"}, lambda rows: from_lists(_filled(rows), tokens, tags, reader), reader)


def _table(seen: Survey, token: str, tag: str, sentence: str | None, names: Mapping[str, str]) -> Layout:
    if sentence is None and not seen.blank:
        message = (
            f"each row is a token ({token!r}, tag in {tag!r}), and no column marks where a sentence begins; name it, e.g. "
            f"--columns {token},{tag},SENTENCE"
        )
        raise UserError(message)
    reader = Tags(names)
    table = Table(token, tag, sentence)
    name = f"a token a row ({token!r}, tag in {tag!r}, sentences by {'blank lines' if sentence is None else repr(sentence)})"
    return Layout(name, {"text": "text", "spans": "spans"}, lambda rows: from_table(rows, table, reader), reader)


def _prodigy(rows: Iterator[AnyRow]) -> Iterator[AnyRow]:
    for row in _filled(rows):
        if not isinstance(row, Row):
            yield row
            continue
        value = row.values.get("answer")
        answer = value.strip().lower() if isinstance(value, str) else value
        if missing(answer):
            yield LeftOut(row.line, "rows without an answer in Prodigy")
        elif answer not in tuple(_ANSWERS):
            yield BadRow(row.line, f"column 'answer': it is {shown(value)}; Prodigy's answers are accept, reject and ignore")
        elif answer != "accept":
            yield LeftOut(row.line, f"rows answered `{answer}` in Prodigy")
        elif row.values.get("_view_id") == "ner":
            # Only the one entity that was asked for is known.
            yield Row(row.line, {**row.values, PARTIAL: True})
        else:
            yield row


def _text_of_data(rows: Iterator[AnyRow]) -> Iterator[AnyRow]:
    """Yield rows whose text may stand in `data`, as some exports have it."""
    for row in _filled(rows):
        text = row.values.get("data") if isinstance(row, Row) and row.values.get("text") is None else None
        yield Row(row.line, {**row.values, "text": text}) if isinstance(row, Row) and isinstance(text, str) else row


def _apart(rows: Iterator[AnyRow], column: str) -> Iterator[AnyRow]:
    """Yield rows whose labels, joined by # as doccano's CSV has them, became a list. A # that ends or begins one stays."""
    for row in rows:
        value = row.values.get(column) if isinstance(row, Row) else None
        labels = [one.strip() for one in value.split("#")] if isinstance(value, str) else []
        yield Row(row.line, {**row.values, column: labels}) if isinstance(row, Row) and len(labels) > 1 and all(labels) else row


def _categories(rows: Iterator[AnyRow]) -> Iterator[AnyRow]:
    """Yield rows whose categories with their scores became the list of those that hold."""
    for row in _filled(rows):
        cats = row.values.get("cats") if isinstance(row, Row) else None
        if isinstance(row, Row) and isinstance(cats, dict):
            holding = [name for name, score in cats.items() if isinstance(score, int | float) and score >= 0.5]  # noqa: PLR2004
            yield Row(row.line, {**row.values, "cats": holding})
        else:
            yield row
