"""brat: entities of a text in an `.ann` file, the text in a `.txt` file beside it; one file, or a folder of such pairs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

from config.errors import UserError
from consumers.formats.rows import AnyRow, BadRow, Row

_TEXT_BOUND = re.compile(r"(T\d+)\t(\S+) (\d{1,9}) (\d{1,9})\t(.*)")
_IN_PIECES = re.compile(r"(T\d+)\t\S+ \d+ \d+(?:;\d+ \d+)+\t.*")


def files(path: Path) -> list[Path]:
    """Return the `.ann` files that `path` is, or that stand in the folder `path`, by name. Raises `UserError` for none."""
    if not path.is_dir():
        found = [path.with_suffix(".ann")]
    else:
        found = sorted(path.rglob("*.ann"))
        if not found:
            message = f"the folder {path} has no .ann file; name one file to import, or a folder of brat files"
            raise UserError(message)
    for entities in found:
        text = entities.with_suffix(".txt")
        if not entities.is_file() or not text.is_file():
            gone, other = (text, entities) if entities.is_file() else (entities, text)
            message = (
                f"{other.name} has no {gone.name} beside it, and brat keeps text and entities in two files; put {gone} there"
            )
            raise UserError(message)
    return found


def read(path: Path, encoding: str) -> Iterator[AnyRow]:
    """Yield one row per document, numbered from 1: `text`, `spans`, and `document`, its name."""
    folder = path if path.is_dir() else path.parent
    for number, entities in enumerate(files(path), start=1):
        name = entities.relative_to(folder).with_suffix("").as_posix()
        try:
            # Line ends stay as they are: offsets count them.
            with entities.with_suffix(".txt").open(encoding=encoding, newline="") as file:
                text = file.read()
            lines = entities.read_text(encoding=encoding).split("\n")
        except OSError as error:
            message = f"{error.filename} cannot be opened: {error.strerror}; documents before it were read"
            raise UserError(message) from None
        except UnicodeError as error:
            yield BadRow(number, f"{name}: not in {encoding} ({error}); name its encoding with --encoding")
            continue
        yield _document(number, name, text, lines)


def _document(number: int, name: str, text: str, lines: list[str]) -> AnyRow:
    spans = []
    for line in lines:
        if not line.startswith("T"):
            # Relations, events, attributes and notes say nothing of where entities lie.
            continue
        if pieces := _IN_PIECES.fullmatch(line.rstrip("\r")):
            return BadRow(
                number, f"{name}.ann: {pieces[1]} consists of several pieces; a span must be one piece. Correct or remove it"
            )
        found = _TEXT_BOUND.fullmatch(line.rstrip("\r"))
        if found is None:
            return BadRow(number, f"{name}.ann: {line[:60]!r} is not brat's `T1<tab>TYPE START END<tab>TEXT`")
        spans.append({"start": int(found[3]), "end": int(found[4]), "label": found[2], "text": found[5]})
    return Row(number, {"text": text, "spans": spans, "document": name})
