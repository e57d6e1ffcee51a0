"""CoNLL and its relatives: a token and its tags per line, sentences apart by blank lines, comments and documents between them."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import replace

from config.errors import UserError
from consumers.formats.files.conll_columns import (
    A_TOKEN_AND_A_TAG,
    DOCUMENT_START,
    NEW_DOCUMENT,
    Columns,
    Line,
    lines_of,
    numbered,
    restarts,
)
from consumers.formats.files.open import ImportFile, is_decoded
from consumers.formats.rows import NOT_DECODED, AnyRow, BadRow, Row
from consumers.formats.tags import (
    MISSING,
    begins,
    decode_tags,
    holds_entities,
    is_marked,
    is_outside,
    is_unclear,
    scheme_of,
    sentence,
)

_TEXT = re.compile(r"#\s*text\s*=\s?(.*)")
_INDEX = re.compile(r"\d+", re.ASCII)
_RANGE = re.compile(r"(\d+)-(\d+)", re.ASCII)
_PART = re.compile(r"(\d+(?:-\d+)?)\.\d+", re.ASCII)


def read(file: ImportFile, columns: Columns, outside: Mapping[str, str] | None = None) -> Iterator[AnyRow]:
    """Yield one row per sentence: `text`, `spans` (code-point offsets into it), and `document` where the file marks documents.

    The text is that of a comment `# text =` where its tokens make it up. A sentence with a line that has no tag, or with a tag
    that stands for a missing value, is a bad row.
    """
    dropped = frozenset(name for name, here in (outside or {}).items() if here == "")
    document: str | None = None
    documents = 0
    lines: list[Line] = []
    written: str | None = None
    for line in lines_of(file):
        fresh = NEW_DOCUMENT.fullmatch(line.text) if line.remark and not lines else None
        starts = line.text.startswith(DOCUMENT_START) or (fresh is not None and _is_comment(line, columns))
        if line.blank or starts:
            if lines:
                yield _sentence(lines, columns, dropped, document, written)
                lines, written = [], None
            if starts and columns.documents:
                documents += 1
                document = (fresh and (fresh[1] or fresh[2])) or f"document-{documents}"
            continue
        if columns.restarts and lines and restarts(lines[-1], line):
            yield _sentence(lines, columns, dropped, document, written)
            lines, written = [], None
        if lines or not line.remark or not _is_comment(line, columns):
            lines.append(line)
        elif said := _TEXT.fullmatch(line.text):
            written = said[1]
    if lines:
        yield _sentence(lines, columns, dropped, document, written)


def described(file: ImportFile, columns: Columns) -> Columns:
    """Return the columns with the scheme of the tags, from a second reading. Raises `UserError` where layers are no layers."""
    counts: dict[str, int] = {}
    inside_begins = begins_apart = False
    nested = same = 0
    for lines in _sentences(file, columns):
        layers = [[_tag(line, index, columns) or "O" for line in lines] for index in columns.tags]
        for tag in layers[0]:
            counts[tag] = counts.get(tag, 0) + 1
        inside, apart = begins(layers[0])
        inside_begins |= inside
        begins_apart |= apart
        inner = [set(decode_tags(layer)) for layer in layers[1:]]
        nested += any(inner)
        same += any(one and one == set(decode_tags(layers[0])) for one in inner)
    if same > nested / 2:
        message = (
            f"{file.path}: columns {numbered(columns.tags)} have the same tags in most sentences, like gold and predictions; "
            f"choose one, e.g. --columns {columns.token + 1},{columns.tags[0] + 1}"
        )
        raise UserError(message)
    said = [*columns.said, f"tags: {scheme_of(counts, inside_begins=inside_begins, begins_apart=begins_apart)}"]
    said += ["nested entities in several columns"] if nested else []
    return replace(columns, said=tuple(said))


def _sentences(file: ImportFile, columns: Columns) -> Iterator[list[Line]]:
    lines: list[Line] = []
    for line in lines_of(file):
        if line.blank or line.text.startswith(DOCUMENT_START):
            if lines:
                yield _with_words(lines, columns)
            lines = []
            continue
        if columns.restarts and lines and restarts(lines[-1], line):
            yield _with_words(lines, columns)
            lines = []
        if (lines or not line.remark or not _is_comment(line, columns)) and len(line.columns) > columns.tags[0]:
            lines.append(line)
    if lines:
        yield _with_words(lines, columns)


def _with_words(lines: list[Line], columns: Columns) -> list[Line]:
    """Return the lines of a sentence that hold a word: not the ranges and parts of indexes that stand in it by themselves.

    `1-2` beside 1 and 2 is a word in several parts, 1.1 is an empty node or a part. Without 1 and 2, `1-2` is a word: the second
    of the first sentence, as WebAnno counts.
    """
    if not columns.indexed:
        return lines
    indexes = {line.columns[0] for line in lines}
    plain = any(map(_INDEX.fullmatch, indexes))
    return [line for line in lines if not _is_no_word(line.columns[0], indexes, plain=plain)]


def _is_no_word(index: str, indexes: Collection[str], *, plain: bool) -> bool:
    if (part := _PART.fullmatch(index)) is not None:
        return plain or part[1] in indexes
    span = _RANGE.fullmatch(index)
    return plain and span is not None and int(span[1]) < int(span[2])


def looks_tagged(file: ImportFile) -> bool:
    """Return whether a file that may hold anything holds sentences of tagged tokens: blank lines, and a column of tags."""
    lines = [line for line, _ in zip(lines_of(file), range(200), strict=False)]
    filled = [line for line in lines if not line.blank and not line.remark]
    if len(filled) < A_TOKEN_AND_A_TAG or not any(line.blank for line in lines):
        return False
    tags = {line.columns[-1] for line in filled if not line.text.startswith(DOCUMENT_START)}
    return holds_entities(tags) and all(len(line.columns) > 1 for line in filled)


def _is_comment(line: Line, columns: Columns) -> bool:
    """Return whether a line that begins with a hash, before a sentence's first token, is not a token.

    A token has the file's columns, and a tag that other lines have too.
    """
    if columns.even and len(line.columns) != columns.width:
        return True
    if len(line.columns) <= max(columns.token, columns.tags[0]):
        return True
    tag = line.columns[columns.tags[0]]
    return tag not in columns.known and not is_outside(tag) and not is_marked(tag)


def _sentence(
    lines: Sequence[Line], columns: Columns, dropped: frozenset[str], document: str | None, written: str | None
) -> AnyRow:
    start = lines[0].number
    left_out = f"its sentence (line {start} on) is left out"
    lines = _with_words(list(lines), columns)
    layers: list[list[str]] = [[] for _ in columns.tags]
    tokens: list[str] = []
    for line in lines:
        if not is_decoded(line.text):
            return BadRow(line.number, f"{NOT_DECODED}; {left_out}")
        if len(line.columns) < columns.width or not line.columns[columns.token]:
            return BadRow(line.number, f"no tag behind {line.text[:60]!r}; {left_out}")
        if columns.even and len(line.columns) != columns.width:
            return BadRow(line.number, f"{len(line.columns)} columns where {columns.width} are expected; {left_out}")
        tokens.append(line.columns[columns.token])
        for layer, index in zip(layers, columns.tags, strict=True):
            tag = _tag(line, index, columns)
            if not tag or (tag in MISSING and tag not in dropped) or is_unclear(tag):
                return BadRow(line.number, _no_tag(tokens[-1], tag, line.columns[index], left_out))
            layer.append("O" if tag in dropped else tag)
    values = sentence(tokens, layers, written)
    return Row(start, values if document is None else values | {"document": document})


def _no_tag(token: str, tag: str | None, written: str, left_out: str) -> str:
    """Return why a line has no tag, in words."""
    if tag is None:
        number = f"token {token[:40]!r} has the tag {written}, a number without a name"
        return f"{number}; {left_out}. Give --label-map 0=O,1=B-PER,2=I-PER,... or --label-map @FILE"
    if is_unclear(tag):
        unclear = f"token {token[:40]!r} has the tag {tag!r}, which has no type or joins several"
        return f"{unclear}; {left_out}. Write one, such as B-ORG, or name another column with --columns"
    if tag:
        missing = f"token {token[:40]!r} has the tag {tag!r}, which stands for a missing value"
        return f"{missing}; {left_out}. Write O outside entities, or give --label-map {tag}="
    return f"no tag behind {token[:60]!r}; {left_out}"


def _tag(line: Line, index: int, columns: Columns) -> str | None:
    return columns.tag(line.columns[index]) if index < len(line.columns) else "O"
