"""How a registry comes to its schema, and what is refused; that creating and migrating give the same is in `tests/contract`."""

from __future__ import annotations

from pathlib import Path

import alembic.command
import pytest
import sqlalchemy as sa
from alembic.script import ScriptDirectory

import registry.database.migrations
from config.errors import RetryError, StopError, UserError
from registry.database import schema
from registry.database.engine import Database
from registry.store import Registry
from tests.support import postgres


def made_by_release(url: str, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make a registry as a release left it whose newest revision was `revision`."""
    upgrade = alembic.command.upgrade
    with monkeypatch.context() as earlier, Database(url).write() as connection:
        earlier.setattr(alembic.command, "upgrade", lambda config, _head: upgrade(config, revision))
        registry.database.migrations.upgrade(connection)


def test_the_newest_revision_is_the_one_the_program_names() -> None:
    script = ScriptDirectory(str(Path(registry.database.migrations.__file__).parent))
    assert script.get_heads() == [schema.HEAD]
    assert {revision.revision for revision in script.walk_revisions()} == registry.database.migrations.known_revisions()


def test_a_run_that_an_older_release_recorded_is_read_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    made_by_release(url, "0003", monkeypatch)
    with Database(url).write() as connection:
        values = {"run_id": "r-1", "task": "topics", "trigger_key": "weekly:2026-W46", "reason": "", "state": "training"}
        flags = {"full": True, "promote": True, "attempt": 1, "created_at": "2026-11-20 12:00:00", "reasons": "[]", "max_seq": 7}
        names = ", ".join(f'"{name}"' for name in values | flags)
        marks = ", ".join(f":{name}" for name in values | flags)
        connection.execute(sa.text(f"INSERT INTO runs ({names}) VALUES ({marks})"), values | flags)  # noqa: S608 - our own names
    with Registry.open(url) as opened:
        (run,) = opened.runs.unfinished()
        assert (run.failures, run.retry_at, run.max_seq) == (0, None, 7)
        assert opened.runs.update("r-1", failures=1, retry_at=opened.clock()).retry_at is not None
        past = opened.runs.past("topics")
        assert past.waiting is not None
        assert past.waiting.run_id == "r-1"


def test_a_newer_registry_is_refused_and_left_as_it_was(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with Registry.open(url) as opened, opened.database.write() as connection:
        connection.execute(sa.text("UPDATE alembic_version SET version_num = '0999'"))
    before = (tmp_path / "registry.db").read_bytes()
    for read_only in (False, True):
        with pytest.raises(StopError, match="schema 0999, which is newer than this program's"):
            Registry.open(url, read_only=read_only)
    assert (tmp_path / "registry.db").read_bytes() == before


@pytest.mark.parametrize("way", ["create", "upgrade"])
def test_a_schema_that_was_half_made_leaves_nothing_behind(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    if way == "upgrade":
        made_by_release(url, "0001", monkeypatch)
    with Database(url).read() as connection:
        before = sa.inspect(connection).get_table_names()
    whole = getattr(registry.database.migrations, way)

    def half(connection: sa.Connection) -> None:
        whole(connection)
        message = "power"
        raise KeyboardInterrupt(message)

    monkeypatch.setattr(registry.database.migrations, way, half)
    with pytest.raises(KeyboardInterrupt):
        Registry.open(url)
    with Database(url).read() as connection:
        assert sa.inspect(connection).get_table_names() == before
    monkeypatch.undo()
    with Registry.open(url) as opened:
        assert opened.versions.list() == []


def test_what_is_no_registry_is_refused_in_words(tmp_path: Path) -> None:
    for url, what in (
        ("nonsense", "not a database URL"),
        ("mysql://host/name", "runs on sqlite and postgresql"),
        ("sqlite://", "names no file"),
        ("sqlite:///:memory:", "names no file"),
    ):
        with pytest.raises(UserError, match=what):
            Registry.open(url)
    with pytest.raises(RetryError, match=r"no registry at .* yet; `perennial run` creates it"):
        Registry.open(f"sqlite:///{tmp_path / 'nothing.db'}", read_only=True)
    assert not (tmp_path / "nothing.db").exists()
    (tmp_path / "text.db").write_text("this is not a database, however one looks at it" * 100)
    with pytest.raises(StopError, match="file is not a database"):
        Registry.open(f"sqlite:///{tmp_path / 'text.db'}")


def test_a_password_is_never_shown() -> None:
    postgres.need_driver()
    with pytest.raises(RetryError, match=r"postgresql\+psycopg://anna:\*\*\*@") as caught:
        Registry.open("postgresql://anna:hunter2@127.0.0.1:1/registry?connect_timeout=2")
    assert "hunter2" not in str(caught.value)


def test_sqlite_commits_survive_a_power_cut_and_writers_wait(tmp_path: Path) -> None:
    database = Registry.open(f"sqlite:///{tmp_path / 'registry.db'}").database
    with database.read() as connection:
        settings = {name: connection.exec_driver_sql(f"PRAGMA {name}").scalar_one() for name in
                    ("journal_mode", "synchronous", "foreign_keys", "busy_timeout")}  # fmt: skip
    assert settings == {"journal_mode": "truncate", "synchronous": 2, "foreign_keys": 1, "busy_timeout": 30_000}


def test_a_writer_that_waits_too_long_is_told_to_try_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("registry.database.engine.BUSY_TIMEOUT_S", 0.05)
    url = f"sqlite:///{tmp_path / 'registry.db'}"
    with Registry.open(url) as first, Registry.open(url) as second, first.database.write():
        with pytest.raises(RetryError, match=r"did not answer .*locked"):
            second.lease.acquire("b", ttl_s=1)
        assert second.versions.list() == []
