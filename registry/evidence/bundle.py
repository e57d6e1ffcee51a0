"""The evidence of one verdict in one file: every row that was scored with both answers, and all that the gate was told.

A Parquet file (zstd). Its rows are those of the run's scores, with the SHA-256 of each text instead of the text; what is about
all rows stands as JSON in its metadata. It holds no text.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from datetime import datetime
from io import BytesIO
from pathlib import Path
from typing import Any, Self

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from pydantic import BaseModel, ConfigDict, ValidationError

from config.errors import UserError
from registry.judging.gate import Decision
from trainers.compare.guarding.guard import Guard

SUFFIX = ".evidence.parquet"
FORMAT_VERSION = 1
TEXT_HASH = "text_sha256"
COLUMNS = ("example_id", TEXT_HASH, "role", "story_id", "document_id", "event_time", "language", "gold", "candidate", "opponent")
"""What every bundle has; what a later release scores with stands beside."""
_ABOUT = "perennial.evidence"


class Words(BaseModel):
    """A verdict and its reasons."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    verdict: str
    reasons: tuple[str, ...]
    guards: tuple[Guard, ...] = ()
    """As the gate judged them; of what was recorded of its words, and of releases without them, none."""

    @classmethod
    def of(cls, decision: Decision) -> Self:
        """Return what the gate made of a comparison."""
        return cls(verdict=decision.verdict, reasons=decision.reasons, guards=decision.guards)


class Again(BaseModel):
    """What a later look at the same pair went by, beside rows that people were asked about."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    look: int
    """1 for the first."""
    before: dict[str, Any]
    """The comparison of the run, whose guards and measurements stand."""
    sizes: tuple[int, ...]
    """Rows of the pool in each stratum."""
    random: int
    """Test rows, the first ones of the bundle."""


class About(BaseModel):
    """What is about all rows of a bundle. Orders and figures stay as they were written, so that any release can read them."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    format_version: int = FORMAT_VERSION
    program: str
    """Versions of program and libraries that reached the verdict."""
    run_id: str
    version: str
    decided_at: datetime
    rows: int
    """When it was written."""
    erased: int = 0
    """Rows that were taken out since, because they were erased."""
    training_set_sha256: str
    seed: int
    task: dict[str, Any]
    """The task file that both models were compared by."""
    comparison: dict[str, Any]
    circumstances: dict[str, Any]
    """What the gate knew beside it."""
    gate: Words
    """What the gate made of both."""
    again: Again | None = None
    """Of a later look; None: the verdict of the run itself."""
    told: Words
    """What was recorded: beside the gate's reasons it may tell what held a promotion up."""

    @classmethod
    def of(cls, path: Path) -> Self:
        """Read it from a bundle. Raises `UserError` where the file is none, or of a newer format."""
        try:
            metadata = pq.read_metadata(path).metadata or {}
            content = json.loads(metadata[_ABOUT.encode()])
        except (OSError, pa.ArrowException, KeyError, ValueError) as error:
            message = f"{path} is no evidence bundle that can be read ({type(error).__name__}: {error})"
            raise UserError(message) from None
        if content.get("format_version", 0) > FORMAT_VERSION:
            message = (
                f"{path} has format {content['format_version']}; this version reads up to {FORMAT_VERSION}. Install a newer one"
            )
            raise UserError(message)
        try:
            return cls.model_validate(content)
        except ValidationError as error:
            message = f"{path} is no evidence bundle that can be read ({error.errors()[0]['msg']})"
            raise UserError(message) from None


def path_of(folder: Path, name: str) -> Path:
    """Return where a bundle lies."""
    return folder / f"{name}{SUFFIX}"


def name_in(path: Path) -> str:
    """Return the name of the bundle in a file."""
    return path.name.removesuffix(SUFFIX)


def asked_in(path: Path) -> set[str]:
    """Return the articles in a bundle that people were asked about. Raises `UserError` as `rows_of` does."""
    rows = rows_of(path)
    return set(rows.filter(pc.equal(rows["role"], "asked"))["example_id"].to_pylist())


def with_hashes(scores: pa.Table, hashes: Mapping[str, str]) -> pa.Table:
    """Return the scores of a run with the SHA-256 of each row's text, by example id; null where a text is not known."""
    column = pa.array([hashes.get(example_id) for example_id in scores["example_id"].to_pylist()], pa.string())
    return scores.add_column(1, TEXT_HASH, column)


def to_bytes(about: About, rows: pa.Table) -> bytes:
    """Return a bundle as its file holds it."""
    written = BytesIO()
    # Without Arrow's own copy of the schema, which would hold what is about all rows a second time.
    options = {"compression": "zstd", "compression_level": 9, "store_schema": False}
    with pq.ParquetWriter(written, rows.schema.remove_metadata(), **options) as writer:
        writer.write_table(rows.replace_schema_metadata(None))
        writer.add_key_value_metadata({_ABOUT: about.model_dump_json()})
    return written.getvalue()


def rows_of(path: Path) -> pa.Table:
    """Return the rows of a bundle. Raises `UserError` where they cannot be read."""
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        message = f"the rows of {path} cannot be read ({error})"
        raise UserError(message) from None


def ids_in(path: Path) -> pa.ChunkedArray:
    """Return the example ids of a bundle. Raises `UserError` where they cannot be read."""
    try:
        # By one thread, without what looks for whole folders of files: of many small bundles that takes most of the time.
        with pq.ParquetFile(path) as file:
            return file.read(columns=["example_id"], use_threads=False)["example_id"]
    except (OSError, pa.ArrowException, KeyError) as error:
        message = f"the rows of {path} cannot be read ({error})"
        raise UserError(message) from None


def without(rows: pa.Table, example_ids: Collection[str]) -> pa.Table:
    """Return the rows that are none of these examples."""
    gone = pc.is_in(rows["example_id"], value_set=pa.array(sorted(example_ids), pa.string()))
    return rows.filter(pc.invert(gone))


def parts_in(path: Path, example_ids: Collection[str], texts: Collection[str]) -> dict[str, str]:
    """Return the roles of some examples in a bundle, by id, and of texts that people were asked about, by SHA-256.

    Raises `UserError` where the bundle cannot be read.
    """
    ids, asked = ids_in(path), {}
    here = set(pc.unique(ids.filter(pc.is_in(ids, value_set=pa.array(sorted(example_ids), pa.string())))).to_pylist())
    # Most bundles know none of them, and the ids alone tell.
    if not here and not texts:
        return {}
    rows = rows_of(path).select(["example_id", "role", TEXT_HASH])
    for row in rows.filter(pc.is_in(rows[TEXT_HASH], value_set=pa.array(sorted(texts), pa.string()))).to_pylist():
        if row["role"] == "asked":
            asked[row[TEXT_HASH]] = row["role"]
    known = rows.filter(pc.is_in(rows["example_id"], value_set=pa.array(sorted(here), pa.string())))
    return {row["example_id"]: row["role"] for row in known.to_pylist()} | asked


def row_of(path: Path, example_id: str) -> dict[str, Any] | None:
    """Return one row of a bundle, None where it is not in it; reads the ids first. Raises `UserError` as `rows_of` does."""
    found = pc.index(ids_in(path), example_id).as_py()
    if found < 0:
        return None
    rows: list[dict[str, Any]] = rows_of(path).slice(found, 1).to_pylist()
    return rows[0]
