"""An import is taken back: its rows and all that was found out about them go, versions say so, and it can come again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from config.errors import UserError
from config.settings import Settings, load_settings
from consumers.buffer.writer import BufferWriter
from consumers.events.schemas import ImportUndo
from daemon.operations import imports
from daemon.process.leading import Leading
from daemon.upkeep.asked import Asked
from registry.people.audit import IMPORT_UNDONE
from registry.reports import cards
from registry.store import Registry
from tests.support.buffers import NOW, TASKS, article, label, opened, renaming, stored, take
from tests.support.handed import LINEAGE

ONE, OTHER = "a" * 16, "b" * 16


def of_import(import_id: str, at: int, text: str, **more: Any) -> Any:
    return label(f"import-{import_id}-{at}", text, origin="import", **more)


def undo(event_id: str, import_id: str) -> ImportUndo:
    return ImportUndo(event_id=event_id, occurred_at=NOW, source="anna", import_id=import_id, reason="wrong file")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data")


@pytest.fixture
def buffer(settings: Settings) -> Iterator[BufferWriter]:
    with opened(settings.buffer_dir) as found:
        take(
            found, of_import(ONE, 1, "First text"), of_import(ONE, 2, "Second text", document_id="d-1"),
            of_import(OTHER, 1, "Another text"), label("gold-1", "A gold text"), article(f"import-{ONE}-3"),
            article("a-9", "a-9"),
        )  # fmt: skip
        yield found


@pytest.fixture
def registry(settings: Settings) -> Iterator[Registry]:
    with Registry.open(settings.registry_url) as found:
        yield found


@pytest.fixture
def asked(settings: Settings, buffer: BufferWriter, registry: Registry) -> Asked:
    return asking(settings, buffer, registry)


def asking(settings: Settings, buffer: BufferWriter, registry: Registry) -> Asked:
    """As a process that begins to lead has it."""
    token = registry.lease.acquire("test", 3600)
    assert token is not None
    return Asked(Leading(settings, lambda: TASKS, buffer, registry, token, lambda: NOW))


def test_what_an_import_brought_is_gone_and_nothing_else(buffer: BufferWriter, asked: Asked) -> None:
    buffer.insert(stored(undo("u-1", ONE), offset=90))
    asked.step()
    assert buffer.table_counts()["examples"] == 2
    assert buffer.table_counts()["articles"] == 1
    assert buffer.counts("news-topics").train == 2
    assert [one.import_id for one in buffer.imports()] == [OTHER]


def test_it_can_be_imported_again_and_stays(buffer: BufferWriter, asked: Asked) -> None:
    buffer.insert(stored(undo("u-1", ONE), offset=90))
    asked.step()
    take(buffer, of_import(ONE, 1, "First text"), of_import(ONE, 2, "Second text", document_id="d-1"), offset=100)
    for _time in range(8):
        asked.step()
    assert buffer.counts("news-topics").train == 4
    assert {one.import_id: dict(one.tasks) for one in buffer.imports()}[ONE] == {"news-topics": 2}


def test_rows_that_are_not_enriched_yet_go_too(buffer: BufferWriter, asked: Asked) -> None:
    third = "c" * 16
    waiting = [of_import(third, 1, "Not enriched"), of_import(third, 2, None, article_id="later")]
    buffer.insert(stored(*waiting, undo("u-1", third), offset=90))
    asked.step()
    counts = buffer.counts("news-topics")
    assert (counts.unenriched, counts.waiting) == (0, 0)


def test_versions_that_learnt_it_say_so(buffer: BufferWriter, registry: Registry, asked: Asked) -> None:
    for number, learnt in ((1, [f"import-{ONE}-1"]), (2, ["gold-1"])):
        registry.versions.add(
            "news-topics", number, run_id=f"run-{number}", artifact_id=f"a-{number}", manifest_sha256="0" * 64, size_bytes=1,
            parent=None if number == 1 else "news-topics/v1", lineage=LINEAGE, metrics={}, learnt=learnt,
        )  # fmt: skip
    buffer.insert(stored(undo("u-1", ONE), offset=90))
    asked.step()
    [entry] = registry.audit.of_action(IMPORT_UNDONE)
    assert (entry.actor, entry.reason, entry.details["versions"]) == ("anna", "wrong file", ["news-topics/v1"])
    assert entry.details["rows"] == 3
    for version in ("news-topics/v1", "news-topics/v2"):
        assert ONE in cards.card(registry, version)
    asked.step()
    assert len(registry.audit.of_action(IMPORT_UNDONE)) == 1


def test_a_crash_while_rows_go_leaves_the_entry_and_no_second_one(
    settings: Settings, buffer: BufferWriter, registry: Registry, asked: Asked, monkeypatch: pytest.MonkeyPatch
) -> None:
    buffer.insert(stored(undo("u-1", ONE), offset=90))
    for left in (0, 1):
        with monkeypatch.context() as faults:
            faults.setattr(buffer._upkeep, "delete", deleting(left, buffer._upkeep.delete))
            with pytest.raises(InterruptedError):
                asked.step()
        [entry] = registry.audit.of_action(IMPORT_UNDONE)
        assert (entry.details["event"], entry.details["rows"]) == ("u-1", 3)
        asked = asking(settings, buffer, registry)
    asked.step()
    assert len(registry.audit.of_action(IMPORT_UNDONE)) == 1
    assert [one.import_id for one in buffer.imports()] == [OTHER]


def deleting(times: int, delete: Any) -> Any:
    """Delete so many times, then fail as a process ends."""
    left = iter(range(times))

    def one(name: str, row_ids: Any) -> Any:
        if next(left, None) is None:
            raise InterruptedError
        return delete(name, row_ids)

    return one


def test_a_restart_tells_nothing_twice(settings: Settings, buffer: BufferWriter, registry: Registry, asked: Asked) -> None:
    buffer.insert(stored(undo("u-1", ONE), renaming("s-1", sport="business"), offset=90))
    asked.step()
    again = asking(settings, buffer, registry)
    again.step()
    assert len(registry.audit.of_action(IMPORT_UNDONE)) == 1
    assert [event.event["type"] for event in registry.outbox.pending()] == ["labels.changed"]
    assert registry.outbox.pending()[0].event["renames"] == {"sport": "business"}


def test_what_cannot_be_taken_back_is_said(settings: Settings, buffer: BufferWriter, asked: Asked) -> None:
    for wrong, said in (("nothing", "is no id"), ("c" * 16, "no row of import")):
        with pytest.raises(UserError, match=said):
            imports.undo(settings, wrong, by="test", why="")
    assert imports.undo(settings, f"import-{ONE}-2", by="test", why="").rows == 3
    buffer.insert(stored(undo("u-1", ONE), offset=90))
    asked.step()
    with pytest.raises(UserError, match="taken back already"):
        imports.undo(settings, ONE, by="test", why="")
