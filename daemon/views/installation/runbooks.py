"""The runbooks, as pages show them: what an alert means and what to do."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Literal

from config.errors import UserError
from daemon.views.view import View

PLACES = (Path(__file__).parents[3] / "docs" / "runbooks", Path(sys.prefix) / "share" / "perennial" / "runbooks")
"""In a checkout, and where an installed package keeps them."""
_NAME = re.compile(r"[A-Za-z]{1,80}")
_LINK = re.compile(r"\[([^\]]*)\]\([^)]*\)")


class Piece(View):
    """A few words of a line."""

    text: str
    code: bool
    """Whether it is to be typed, or stands in the log, as it is."""


class Block(View):
    """A paragraph or an item of a list."""

    kind: Literal["text", "item"]
    pieces: tuple[Piece, ...]


class Section(View):
    """What stands under one heading."""

    title: str
    blocks: tuple[Block, ...]


class Runbook(View):
    """One page of `docs/runbooks`."""

    name: str
    sections: tuple[Section, ...]


def of_name(name: str) -> Runbook:
    """Return the runbook of an alert. Raises `UserError` where there is none."""
    for folder in PLACES if _NAME.fullmatch(name) else ():
        path = folder / f"{name}.md"
        if path.is_file():
            return Runbook(name=name, sections=tuple(_sections(path.read_text(encoding="utf-8"))))
    message = f"there is no runbook {name[:80]!r} here; they are in docs/runbooks of the source"
    raise UserError(message)


def _sections(markdown: str) -> list[Section]:
    found = []
    for part in re.split(r"^## ", markdown, flags=re.MULTILINE)[1:]:
        title, _, body = part.partition("\n")
        found.append(Section(title=title.strip(), blocks=tuple(_blocks(body))))
    return found


def _blocks(body: str) -> list[Block]:
    """Return the paragraphs and items of a section; a line that begins neither goes on with the one before."""
    lines: list[tuple[Literal["text", "item"], str]] = []
    fresh = True
    for line in body.splitlines():
        stripped = line.strip()
        if not stripped or stripped.startswith("```"):
            fresh = True
        elif stripped.startswith("- "):
            lines.append(("item", stripped[2:]))
            fresh = False
        elif fresh or not lines:
            lines.append(("text", stripped))
            fresh = False
        else:
            kind, before = lines[-1]
            lines[-1] = (kind, f"{before} {stripped}")
    return [Block(kind=kind, pieces=tuple(_pieces(text))) for kind, text in lines]


def _pieces(text: str) -> list[Piece]:
    plain = _LINK.sub(r"\1", text).replace("**", "")
    return [Piece(text=part, code=number % 2 == 1) for number, part in enumerate(plain.split("`")) if part]
