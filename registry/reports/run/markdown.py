"""A report as Markdown: the same sections without the charts, in which nothing that strangers wrote is markup."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from registry.reports.answers import Words
from registry.reports.run.blocks import Block, Examples, Items, Picture, Section, Standing, Table, Text
from registry.reports.run.html import inert, title_of
from registry.reports.run.told import Told

_SPECIAL = re.compile(r"([\\`*_\[\]#|~$])")
_SPACE = re.compile(r"\s+")


def markdown(told: Told, sections: Sequence[Section]) -> str:
    """Return the report."""
    run = told.run
    parts = [
        f"# {_escaped(title_of(told))}",
        f"Report of run `{run.run_id}` ({run.kind}) of {_escaped(run.task)}, written {told.made_at:%Y-%m-%d %H:%M} UTC.",
        "The charts are in `report.html`.",
    ]
    for section in sections:
        parts.append(f"## {section.title}")
        for block in section.blocks:
            parts += _block(block)
    return "\n\n".join(parts) + "\n"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Standing):
        yield f"**{block.level}.** {_coded(block.words)}" if block.level else _coded(block.words)
    elif isinstance(block, Text):
        yield _escaped(block.text)
    elif isinstance(block, Items):
        yield "\n".join(f"- {_coded(item)}" for item in block.items)
    elif isinstance(block, Table):
        lines = [block.head, tuple("---:" if at in block.numbers else "---" for at in range(len(block.head))), *block.rows]
        told = [line if at == 1 else tuple(map(_escaped, line)) for at, line in enumerate(lines)]
        yield "\n".join(f"| {' | '.join(line)} |" for line in told)
    elif isinstance(block, Picture):
        return
    else:
        yield from _examples(block)


def _examples(block: Examples) -> Iterator[str]:
    yield f"### {block.title}"
    for row in block.rows:
        lines = [f"- {_escaped(row.role)}, {_escaped(row.example_id)}"]
        if not row.text:
            lines.append("  - the text is gone")
        elif not block.in_text:
            lines.append(f"  - text: {_escaped(row.text)}{' …' if row.cut else ''}")
        for who, pieces in (("right", row.gold), ("this version", row.candidate), ("opponent", row.champion)):
            lines.append(f"  - {who}: {''.join(map(_piece, pieces))}")
        yield "\n".join(lines)


def _piece(piece: Words) -> str:
    text = _escaped(piece.text)
    if piece.style != "strong" or not text.strip():
        return text
    # Markdown knows no emphasis that begins or ends with a space.
    return f"{' ' * text.startswith(' ')}**{text.strip()}**{' ' * text.endswith(' ')}"


def _coded(text: str) -> str:
    """Return a sentence of which what stands between two backticks stays code."""
    parts = text.split("`")
    if len(parts) % 2 == 0:
        return _escaped(text)
    return "".join(f"`{_SPACE.sub(' ', inert(part))}`" if at % 2 else _escaped(part) for at, part in enumerate(parts))


def _escaped(text: str) -> str:
    """Return a text on one line in which nothing is markup, HTML included."""
    plain = _SPACE.sub(" ", inert(text)).replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
    return _SPECIAL.sub(r"\\\1", plain)
