"""A folder of data files that are one set of rows, as the Hugging Face Hub keeps data sets: which files, and of which part."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import yaml

from config.errors import UserError
from consumers.formats.files.open import uncompressed_name

SUFFIXES = (".parquet", ".jsonl", ".ndjson", ".csv", ".tsv", ".spacy", ".json")
"""Of files that hold rows, those that are taken first where a folder has several kinds."""
_KINDS: Mapping[str, str] = {".ndjson": ".jsonl", ".json": ".jsonl", ".tsv": ".csv"}
"""Suffixes whose files are read as those of another."""
CARD = "README.md"
_NOT_ROWS = frozenset({"dataset_infos.json", "dataset_info.json", "dataset_dict.json", "state.json", "config.json"})
_PARTS: Mapping[str, tuple[str, ...]] = {
    "train": ("train", "training"), "test": ("test", "testing", "eval", "evaluation"),
    "validation": ("validation", "valid", "val", "dev"),
    "anchor": ("anchor",), "unsupervised": ("unsupervised",),
}  # fmt: skip
_WORD = re.compile(r"[a-z]+")
_MOST_CARD_BYTES = 1_000_000
_MOST_FILES = 100_000


@dataclass(frozen=True, slots=True)
class Part:
    """One file of a folder."""

    path: Path
    name: str
    """Relative to the folder."""
    split: str
    """The part that it belongs to, such as `train`."""


def parts(folder: Path, wanted: Collection[str] | None = None) -> tuple[list[Part], list[str]]:
    """Return the files of a folder that hold its rows, by name: as its card says, else all of the commonest kind.

    Also the names of other files that may hold rows, and are not read. `wanted`: only these parts. Raises `UserError` where there
    is none, and where the card knows several sets of rows.
    """
    there = _files(folder)
    found = _of_card(folder, there)
    alike = {} if found else _alike(there)
    # What a card leaves out is left out on purpose.
    unread = [name for name in there if name not in alike] if alike else []
    found = found or [Part(path, name, _split(name)) for name, path in alike.items()]
    if not found:
        message = (
            f"the folder {folder} holds no rows: neither .ann files of brat nor files of data ({', '.join(SUFFIXES)}); name "
            "a file, or another folder"
        )
        raise UserError(message)
    if wanted is None:
        return found, unread
    if unknown := sorted(set(wanted).difference(part.split for part in found)):
        known = ", ".join(sorted({part.split for part in found}))
        message = f"there is no part {unknown[0]!r} in {folder}; its parts are {known}"
        raise UserError(message)
    return [part for part in found if part.split in wanted], unread


def _files(folder: Path) -> dict[str, Path]:
    """Return the files that may hold rows, by their names in the folder."""
    found: dict[str, Path] = {}
    for path in folder.rglob("*"):
        name = path.relative_to(folder).as_posix()
        hidden = any(piece.startswith(".") for piece in PurePosixPath(name).parts)
        if not hidden and path.name not in _NOT_ROWS and _suffix(path) in SUFFIXES and path.is_file():
            found[name] = path
            if len(found) > _MOST_FILES:
                message = f"the folder {folder} holds more than {_MOST_FILES} files; name a folder of one data set"
                raise UserError(message)
    return dict(sorted(found.items()))


def _suffix(path: Path) -> str:
    return uncompressed_name(path).suffix.lower()


def _alike(there: Mapping[str, Path]) -> dict[str, Path]:
    """Return the files of one kind: the one that most are of, of several the first of `SUFFIXES`."""
    kinds = Counter(map(_kind, there.values()))
    if not kinds:
        return {}
    most = max(kinds, key=lambda suffix: (kinds[suffix], -SUFFIXES.index(suffix)))
    return {name: path for name, path in there.items() if _kind(path) == most}


def _kind(path: Path) -> str:
    return _KINDS.get(_suffix(path), _suffix(path))


def _split(name: str) -> str:
    """Return the part that a file's name, or the folder that it stands in, tells; `train` where nothing does."""
    for piece in reversed(PurePosixPath(name).parts):
        words = set(_WORD.findall(piece.lower()))
        for split, called in _PARTS.items():
            if not words.isdisjoint(called):
                return split
    return "train"


def _of_card(folder: Path, there: Mapping[str, Path]) -> list[Part]:
    """Return the files that the card names; nothing where it names none."""
    told = _front_matter(folder / CARD).get("configs")
    configs = [one for one in told if isinstance(one, Mapping) and "data_files" in one] if isinstance(told, list) else []
    if not configs:
        return []
    chosen = next((one for one in configs if one.get("default") or one.get("config_name") == "default"), None)
    if chosen is None and len(configs) > 1:
        names = ", ".join(str(one.get("config_name")) for one in configs)
        message = f"{folder / CARD} tells of several sets of rows ({names}); name the folder, or the file, of one"
        raise UserError(message)
    found: dict[str, Part] = {}
    for split, pattern in _patterns((chosen or configs[0])["data_files"]):
        for name, path in there.items():
            if _matches(name, pattern):
                found.setdefault(name, Part(path, name, split))
    return list(found.values())


def _patterns(files: Any) -> list[tuple[str, str]]:  # noqa: ANN401 - whatever the card holds
    if isinstance(files, str):
        return [("train", files)]
    found: list[tuple[str, str]] = []
    for one in files if isinstance(files, list) else []:
        if isinstance(one, str):
            found.append(("train", one))
        elif isinstance(one, Mapping):
            paths = one.get("path")
            split = said if isinstance(said := one.get("split", "train"), str) else "train"
            found += [(split, path) for path in (paths if isinstance(paths, list) else [paths]) if isinstance(path, str)]
    return found


def _matches(name: str, pattern: str) -> bool:
    """Return whether a file's name fits a pattern: `*` within a folder, `**` through any number of them.

    By the places of the name that each piece of the pattern can reach: the time is that of both lengths, whatever the pattern.
    """
    reached = {0}
    for piece in re.split(r"(\*\*/|\*\*|\*|\?)", pattern):
        match piece:
            case "**":
                reached = set(range(min(reached), len(name) + 1))
            case "**/":
                reached |= {at + 1 for at in range(min(reached), len(name)) if name[at] == "/"}
            case "*":
                reached = {end for at in reached for end in range(at, _folder_end(name, at) + 1)}
            case "?":
                reached = {at + 1 for at in reached if at < len(name) and name[at] != "/"}
            case _:
                reached = {at + len(piece) for at in reached if name.startswith(piece, at)}
        if not reached:
            return False
    return len(name) in reached


def _folder_end(name: str, start: int) -> int:
    end = name.find("/", start)
    return len(name) if end < 0 else end


def _front_matter(card: Path) -> Mapping[str, Any]:
    """Return what a card says to machines; nothing where it cannot be read."""
    try:
        with card.open("rb") as file:
            begins = file.read(_MOST_CARD_BYTES).decode("utf-8", "replace")
        found = yaml.safe_load(begins.split("---\n", 2)[1]) if begins.startswith("---\n") else None
    except (OSError, IndexError, ValueError, RecursionError, yaml.YAMLError):
        return {}
    return found if isinstance(found, Mapping) else {}
