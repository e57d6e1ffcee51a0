"""The client imports nothing of the daemon's packages, and a heavy library only in the file that its extra is for."""

from __future__ import annotations

import ast
import importlib
import re
import sys
import tomllib
from pathlib import Path

import pytest

from perennial_client import Client, Model, Prediction
from perennial_client.kafka import KafkaFeedback

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "client" / "perennial_client"
LIGHT = {"httpcore", "httpx", "perennial_client"}
OF_EXTRA = {"kafka": {"kafka"}, "entities": {"spacy"}, "tokens": {"spacy"}, "classifier": {"torch", "transformers"}}

USED = {"client": Client, "model": Model, "prediction": Prediction, "feedback": KafkaFeedback}
"""What the names in the docs' examples are."""


def imported(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "imports are absolute"
            found.add((node.module or "").partition(".")[0])
    return found - sys.stdlib_module_names


@pytest.mark.parametrize("path", sorted(PACKAGE.glob("*.py")), ids=lambda path: path.stem)
def test_a_file_imports_only_what_its_extra_brings(path: Path) -> None:
    assert imported(path) <= LIGHT | OF_EXTRA.get(path.stem, set())


def test_extras_and_the_daemon_need_the_same_libraries() -> None:
    """The client loads what the daemon's libraries wrote: an older one may not read it."""
    client = tomllib.loads((ROOT / "client" / "pyproject.toml").read_text())["project"]
    daemon = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["dependencies"]
    oldest = {name: version for name, _, version in (one.replace("==", ">=").partition(">=") for one in daemon)}
    for extra in client["optional-dependencies"].values():
        for one in extra:
            name, _, version = one.partition(">=")
            assert oldest[name].startswith(version), f"{one} of the client, {oldest[name]} of the daemon"


@pytest.mark.parametrize("page", ["client/README.md", "docs/client.md"])
def test_the_code_in_the_docs_names_what_exists(page: str) -> None:
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / page).read_text(), flags=re.DOTALL)
    assert blocks
    for node in (node for block in blocks for node in ast.walk(ast.parse(block))):
        if isinstance(node, ast.ImportFrom):
            module = importlib.import_module(node.module or "")
            assert all(hasattr(module, alias.name) for alias in node.names)
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in USED:
            assert hasattr(USED[node.value.id], node.attr), f"{page} speaks of {node.value.id}.{node.attr}"
