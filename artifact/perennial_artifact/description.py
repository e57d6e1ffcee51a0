"""What a published model says of itself, in `model.json`: whoever opens its folder goes by that and by nothing else."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from perennial_artifact.durable import write_atomic
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import WRONG, decode, inert

MODEL_FILE = "model.json"
_FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Input:
    """How a text becomes the model's input; what is not here is in the files of its tokenizer."""

    max_tokens: int | None = None
    """A longer text is cut at its end to this many tokens, special ones included; None: texts are read whole."""
    piece_chars: int | None = None
    """A longer text is read in pieces of at most this many characters; None: in one."""


@dataclass(frozen=True, slots=True)
class Description:
    """What a model is, whatever its task has become since."""

    kind: str
    """What it answers, such as `ner`."""
    backend: str
    """What runs it, such as `spacy`."""
    format: str
    """How its folder is laid out: which `perennial_artifact.formats` opens it."""
    base: str
    """What it was first trained from, as the task file named it; empty where that is not known."""
    labels: tuple[str, ...]
    """What it may answer with."""
    input: Input = Input()
    libraries: Mapping[str, str] = field(default_factory=dict)
    """The versions of the libraries that wrote it."""

    def write(self, folder: Path) -> None:
        """Write `model.json` into a model folder."""
        content = {"format_version": _FORMAT_VERSION} | asdict(self)
        write_atomic(folder / MODEL_FILE, (json.dumps(content, ensure_ascii=False, indent=2) + "\n").encode())


def versions_of(*distributions: str) -> dict[str, str]:
    """Return the installed version of each distribution."""
    return {name: metadata.version(name) for name in distributions}


def describe(folder: Path) -> Description:
    """Return what the model in `folder` says of itself; one of the first release, without `model.json`, is known by its files.

    Raises `UnusableError` when that cannot be read, or is of a newer format.
    """
    try:
        return _parsed((folder / MODEL_FILE).read_bytes())
    except FileNotFoundError:
        pass
    except (OSError, *WRONG) as error:
        raise _unreadable(folder, MODEL_FILE, error) from error
    if (folder / "config.cfg").is_file():
        return _first_spacy(folder)
    if (folder / "labels.json").is_file():
        return _first_transformer(folder)
    message = f"{folder} has no {MODEL_FILE}, and is not a model of the first release"
    raise UnusableError(message)


def _parsed(content: bytes) -> Description:
    body = decode(content)
    if body["format_version"] != _FORMAT_VERSION:
        other = inert(body["format_version"])[:80]
        message = f"{MODEL_FILE} has format {other}, and this program reads {_FORMAT_VERSION}; upgrade it"
        raise UnusableError(message)
    texts = {name: _string(body[name]) for name in ("kind", "backend", "format", "base")}
    read = body["input"]
    return Description(
        **texts,
        labels=tuple(_string(label) for label in body["labels"]),
        input=Input(_positive(read.get("max_tokens")), _positive(read.get("piece_chars"))),
        libraries={name: _string(version) for name, version in body["libraries"].items()},
    )


def _first_spacy(folder: Path) -> Description:
    try:
        meta = decode((folder / "meta.json").read_bytes())
        types = meta.get("perennial", {}).get("types", meta.get("labels", {}).get("ner", ()))
        return Description("ner", "spacy", "spacy-ner", "", tuple(_string(label) for label in types))
    except (OSError, *WRONG) as error:
        raise _unreadable(folder, "meta.json", error) from error


def _first_transformer(folder: Path) -> Description:
    try:
        config = decode((folder / "config.json").read_bytes())
        labels = decode((folder / "labels.json").read_bytes())["seen"]
        base = _string(config.get("perennial_base_model", ""))
        return Description(
            "classification", "transformer", "transformers-classification", base, tuple(_string(label) for label in labels)
        )
    except (OSError, *WRONG) as error:
        raise _unreadable(folder, "config.json or labels.json", error) from error


def _string(value: object) -> str:
    if not isinstance(value, str):
        message = f"{inert(value)[:80]!r} is not a string"
        raise TypeError(message)
    return value


def _positive(value: Any) -> int | None:  # noqa: ANN401 - whatever the file holds
    if value is not None and (type(value) is not int or value < 1):
        message = f"{inert(value)[:80]!r} is not a whole number above 0"
        raise TypeError(message)
    return value


def _unreadable(folder: Path, name: str, error: Exception) -> UnusableError:
    return UnusableError(f"{name} in {folder} cannot be read ({type(error).__name__}: {inert(error)[:200]})")
