"""The page of faults cannot lie: every fault of the list has a row, and every row names tests that exist."""

from __future__ import annotations

import ast
import re
from pathlib import Path

REPOSITORY = Path(__file__).parents[2]
PAGE = REPOSITORY / "docs" / "fault-matrix.md"
FAULTS = (
    "broker absent at start", "broker killed", "broker frozen", "crash after store before commit", "crash before store",
    "kill -9 at random x100", "rebalance mid-batch", "processing slower than the poll interval", "invalid JSON or UTF-8",
    "bad CRC", "unknown codec", "tombstone, oversized, missing fields", "offset out of range",
    "dead-letter topic unavailable", "second writer", "disk full", "torn newest fragment or manifest",
    "optimise during upserts", "trainer out of memory", "trainer hung",
    "one of several training processes killed",
    "a run fails temporarily", "daemon killed while training",
    "kill at each publish step", "corrupt model file", "a candidate that serving could not use",
    "swap under load (1,000 requests, 0 failures)",
    "200 equal or worse candidates (false promotions within alpha)", "label-flip flood",
    "late scheduler and daylight saving", "erase a user (no bytes left on disk)",
    "everything works on the tables at once", "backup during erasure", "evidence torn, changed, or half erased",
    "the registry locked for longer than its lease",
    "everything grows old", "secrets in the daemon's environment",
    "an event that the program fails on", "a text that ends the process", "hostile events that follow their schema",
    "every version of a table unreadable", "serving hangs or is frozen", "a step hangs, or its batch takes too long",
    "the database refuses", "memory or descriptors run out", "the clock is set", "stopped while the training child is frozen",
    "files open to other users, a read-only data folder",
    "a variant of a model that cannot be built", "a variant that does not fit where it is opened",
    "hostile server", "pipeline of unknown parts",
    "a text made to stop the tokenizer", "a request that two parsers read differently", "another site's page asks an open port",
    "requests that never arrive whole", "descriptors run out", "questions about unknown feedback without end",
    "texts of every shape that a request may have",
    "data folder of an earlier release", "texts of one document on both sides of the split",
    "sybils bring a label of their own", "very many labels in an open task",
    "a correction outlives its reason",
    "whoever asks a language model is killed", "a language model's batch expires, is cut off, or is lost",
)  # fmt: skip


def rows() -> dict[str, list[str]]:
    """Return each row's cells by its first one."""
    lines = [line for line in PAGE.read_text(encoding="utf-8").splitlines() if line.startswith("| ")]
    cells = [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines]
    return {row[0]: row for row in cells if row[0] != "fault"}


def names_of(path: Path) -> set[str]:
    found = ast.parse(path.read_text(encoding="utf-8"))
    return {node.name for node in ast.walk(found) if isinstance(node, ast.FunctionDef) and node.name.startswith("test_")}


def test_every_fault_has_one_row_with_its_way_its_invariants_and_its_tests() -> None:
    assert list(rows()) == list(FAULTS)
    for fault, cells in rows().items():
        assert len(cells) == 4, fault
        assert all(cells), fault


def test_every_test_that_is_named_exists() -> None:
    for fault, cells in rows().items():
        named = re.findall(r"`([^`]+)::([^`]+)`", cells[3])
        assert named, fault
        for path, name in named:
            assert path.startswith("tests/"), fault
            assert name in names_of(REPOSITORY / path), f"{fault}: {path} has no {name}"


def test_every_file_that_the_page_names_exists() -> None:
    for path in re.findall(r"`(tests/[\w/]+\.py)`", PAGE.read_text(encoding="utf-8")):
        assert (REPOSITORY / path).is_file(), path
    for module in re.findall(r"-m (benchmarks\.\w+)", PAGE.read_text(encoding="utf-8")):
        assert (REPOSITORY / module.replace(".", "/")).with_suffix(".py").is_file(), module
