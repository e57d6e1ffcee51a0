"""What the registry promises of API keys, on SQLite and on Postgres."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa
from alembic import command

import registry.database.migrations
from config.errors import RetryError, UserError
from registry.database import schema
from registry.database.engine import Database
from registry.people import api_keys
from registry.store import Registry
from tests.support.registries import TASK, Clock

FORM = re.compile(r"prn_[0-9a-f]{12}_[0-9a-f]{64}")


def test_a_key_is_told_once_and_only_its_hash_is_kept(registry: Registry, clock: Clock) -> None:
    key, secret = registry.api_keys.create("desk-7", ["feedback", "predict"], expires_in=timedelta(days=30))
    assert FORM.fullmatch(secret)
    assert (key.key_id, key.sha256) == (api_keys.id_of(secret), api_keys.hash_of(secret))
    assert (key.scopes, key.created_at, key.expires_at) == (("predict", "feedback"), clock.now, clock.now + timedelta(days=30))
    assert registry.api_keys.list() == [key]
    with registry.database.read() as connection:
        kept = " ".join(map(str, connection.execute(sa.select(schema.api_keys)).one()))
    assert key.sha256 in kept
    assert secret.rpartition("_")[2] not in kept + repr(key)
    assert key.sha256 not in repr(key)


def test_no_two_keys_are_alike(registry: Registry) -> None:
    made = [registry.api_keys.create(f"desk-{number}", ["predict"]) for number in range(20)]
    assert len({secret for _key, secret in made}) == len({key.key_id for key, _secret in made}) == 20
    assert [key.name for key in registry.api_keys.list()] == [f"desk-{number}" for number in range(20)]


def test_a_name_stays_its_keys_own_for_ever(registry: Registry) -> None:
    registry.api_keys.create("desk", ["predict"])
    registry.api_keys.revoke("desk")
    with pytest.raises(UserError, match=r"'desk' is taken by the key of 2026-01-01T12:00:00\+00:00 \(revoked\).*desk-2"):
        registry.api_keys.create("desk", ["predict"])
    assert len(registry.api_keys.list()) == 1


def test_of_many_that_want_a_name_at_once_one_gets_it(registry: Registry, url: str) -> None:
    def make(_number: int) -> bool:
        with Registry.open(url) as own:
            try:
                own.api_keys.create("desk", ["predict"])
            except UserError:
                return False
            return True

    with ThreadPoolExecutor(4) as pool:
        assert sorted(pool.map(make, range(4))) == [False, False, False, True]
    assert len(registry.api_keys.list()) == 1


@pytest.mark.parametrize("name", ["", "Desk", "-desk", "desk seven", "desk/7", "d" * 64, "déjà", "desk\n"])
def test_what_is_no_name_is_refused(registry: Registry, name: str) -> None:
    with pytest.raises(UserError, match="is not a name for a key; use 1 to 63 of a-z"):
        registry.api_keys.create(name, ["predict"])
    assert registry.api_keys.list() == []


@pytest.mark.parametrize(("scopes", "said"), [([], "at least one scope"), (["predict", "weather"], "no scope weather")])
def test_scopes_that_do_not_exist_are_refused(registry: Registry, scopes: list[str], said: str) -> None:
    with pytest.raises(UserError, match=f"{said}; the scopes are predict, feedback, correct, admin"):
        registry.api_keys.create("desk", scopes)
    assert registry.api_keys.list() == []


def test_a_key_ends_at_its_time_or_when_it_is_revoked(registry: Registry, clock: Clock) -> None:
    key, _secret = registry.api_keys.create("short", ["predict"], expires_in=timedelta(hours=1))
    lasting, _secret = registry.api_keys.create("lasting", ["predict"])
    clock.forward(3599)
    assert key.state(clock.now) == "active"
    clock.forward(1)
    assert (key.state(clock.now), lasting.state(clock.now)) == ("expired", "active")
    revoked = registry.api_keys.revoke("lasting")
    assert (revoked.state(clock.now), revoked.revoked_at) == ("revoked", clock.now)
    clock.forward(60)
    assert registry.api_keys.revoke("lasting") == revoked, "the first time stays"
    with pytest.raises(UserError, match="no API key 'nobody'"):
        registry.api_keys.revoke("nobody")


def test_the_last_use_only_moves_forward(registry: Registry, clock: Clock) -> None:
    keys = [registry.api_keys.create(name, ["predict"])[0] for name in ("a", "b", "c")]
    registry.api_keys.note_used([keys[0].key_id, keys[1].key_id], clock.now)
    registry.api_keys.note_used([keys[1].key_id], clock.now - timedelta(hours=1))
    registry.api_keys.note_used([keys[1].key_id, "unknown"], clock.now)
    assert [key.last_used_at for key in registry.api_keys.list()] == [clock.now, clock.now, None]


def upgrade_to(database: Database, revision: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Build the schema of an earlier program."""
    newest: Callable[..., None] = command.upgrade
    with monkeypatch.context() as earlier:
        earlier.setattr(command, "upgrade", lambda config, _head: newest(config, revision))
        with database.write() as connection:
            registry.database.migrations.upgrade(connection)


def test_a_registry_of_the_first_schema_opens_with_all_it_held(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    database = Database(url)
    upgrade_to(database, "0001", monkeypatch)
    with database.read() as connection:
        assert not sa.inspect(connection).has_table("api_keys")
    with database.write() as connection:
        # As that schema knew it: the present program also asks for columns that came later.
        former = sa.Table("versions", sa.MetaData(), autoload_with=connection)
        lineage = {"training_set_sha256": "0" * 64, "seed": 1, "settings": {}, "code": "test"}
        connection.execute(sa.insert(former).values(
            name=f"{TASK}/v1", task=TASK, number=1, run_id="run-1", artifact_id="a-1", manifest_sha256="0" * 64, size_bytes=7,
            lineage=json.dumps(lineage), metrics="{}", created_at=datetime(2026, 5, 1, tzinfo=UTC),
        ))  # fmt: skip
        connection.execute(sa.insert(schema.learnt).values(version_id=1, example_id="a"))
    database.close()
    with pytest.raises(RetryError, match=f"has schema 0001, not {schema.HEAD} yet; start `perennial run` once"):
        Registry.open(url, read_only=True)
    with Registry.open(url) as opened:
        version = opened.versions.get(f"{TASK}/v1")
        assert (version.size_bytes, version.affected_at) == (7, None)
        assert opened.versions.learnt(version.name) == {"a"}
        assert opened.api_keys.list() == []
        opened.api_keys.create("desk", ["predict"])
