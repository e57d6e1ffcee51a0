"""What a variant says of itself, in `export/variant.json`: by what it was made, from which weights, and where it fits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from hashlib import sha256
from pathlib import Path, PurePosixPath
from typing import Any

from perennial_artifact import manifest
from perennial_artifact.durable import sha256_of_file, write_atomic
from perennial_artifact.errors import UnusableError
from perennial_artifact.foreign import WRONG, decode, inert

EXPORT_FOLDER = "export"
VARIANT_FILE = "variant.json"
_FORMAT_VERSION = 1
_LONGEST_PROBE = 4_096
_TOKENIZERS = ("added_tokens", "merges", "sentencepiece", "special_tokens", "spiece", "tokenizer", "vocab")


@dataclass(frozen=True, slots=True)
class Probe:
    """Tokens, and what the variant made of them where it was built."""

    input_ids: tuple[int, ...]
    numbers: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Variant:
    """One variant of an encoder."""

    name: str
    """Such as `openvino-int8`."""
    runtime: str
    """What opens it (`variants.runtimes`)."""
    precision: str
    """What it computes in: `bf16`, `fp32`, `int8`, `fp16`."""
    parent: str
    """SHA-256 of the files that it was made from (`hash_of`)."""
    libraries: Mapping[str, str] = field(default_factory=dict)
    """Distributions that open it, and their versions where it was made."""
    machine: str = ""
    features: tuple[str, ...] = ()
    """Of the processor that it was made on."""
    device: str = "cpu"
    calibration_rows: int = 0
    """Training rows that ranges of INT8 were measured on."""
    left_out: int = 0
    """Layers that stay in 16 or 32 bits, because INT8 lost too much there."""
    probes: tuple[Probe, ...] = ()

    def write(self, folder: Path) -> None:
        """Write it into the model folder whose `export/` holds the variant's files."""
        content = {"format_version": _FORMAT_VERSION} | asdict(self)
        write_atomic(folder / EXPORT_FOLDER / VARIANT_FILE, (json.dumps(content, indent=1) + "\n").encode())

    def files(self, folder: Path) -> Path:
        """Return where in a model folder the variant's own files lie."""
        return folder / EXPORT_FOLDER / self.name


def read(folder: Path) -> Variant | None:
    """Return the variant beside the weights in a model folder; None where there is none. Raises `UnusableError`."""
    path = folder / EXPORT_FOLDER / VARIANT_FILE
    try:
        return _parsed(decode(path.read_bytes()))
    except FileNotFoundError:
        return None
    except (OSError, *WRONG) as error:
        message = f"{EXPORT_FOLDER}/{VARIANT_FILE} cannot be read ({type(error).__name__}: {inert(error)[:200]})"
        raise UnusableError(message) from error


def hash_of(folder: Path, names: Iterable[str]) -> str:
    """Return one SHA-256 of files in a model folder, by name and content; a manifest's word is taken where there is one."""
    published = {name: file.sha256 for name, file in manifest.unchecked(folder).items()}
    digest = sha256()
    for name in sorted(names):
        digest.update(f"{name}\0{published.get(name) or sha256_of_file(folder / name)}\n".encode())
    return digest.hexdigest()


def of_the_tokenizer(name: str) -> bool:
    """Return whether a file of a model folder (POSIX, relative) is a tokenizer's: no variant depends on it."""
    return PurePosixPath(name).name.startswith(_TOKENIZERS)


def of_the_export(name: str) -> bool:
    """Return whether a file of a model folder (POSIX, relative) belongs to a variant."""
    return name.startswith(f"{EXPORT_FOLDER}/")


def _parsed(body: Mapping[str, Any]) -> Variant:
    if body["format_version"] != _FORMAT_VERSION:
        message = f"it has format {inert(body['format_version'])[:80]}, and this program reads {_FORMAT_VERSION}"
        raise ValueError(message)
    name = _plain(body["name"])
    probes = tuple(
        Probe(tuple(int(one) for one in probe["input_ids"][:_LONGEST_PROBE]), tuple(float(one) for one in probe["numbers"]))
        for probe in body["probes"]
    )
    return Variant(
        name=name, runtime=_plain(body["runtime"]), precision=_plain(body["precision"]), parent=str(body["parent"]),
        libraries={str(key): str(version) for key, version in body["libraries"].items()}, machine=str(body["machine"]),
        features=tuple(map(str, body["features"])), device=str(body["device"]), calibration_rows=int(body["calibration_rows"]),
        left_out=int(body["left_out"]), probes=probes,
    )  # fmt: skip


def _plain(name: object) -> str:
    """Return a name that is also a folder's. Raises `ValueError` for one that leads elsewhere."""
    if not isinstance(name, str) or "/" in name or not manifest.is_plain(name):
        message = f"{inert(name)[:80]!r} is not a plain name"
        raise ValueError(message)
    return name
