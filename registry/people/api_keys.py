"""API keys: `prn_<id>_<secret>`, of which only a hash is kept. ADR 0010 says why a plain hash is right here."""

from __future__ import annotations

import hashlib
import re
import secrets
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Literal, get_args

import sqlalchemy as sa
from sqlalchemy.engine import Connection, Row

from config.clock import Clock
from config.errors import UserError
from registry.database import schema
from registry.database.engine import Database
from registry.people.audit import Audit, By

Scope = Literal["predict", "feedback", "correct", "admin"]
SCOPES: tuple[Scope, ...] = get_args(Scope)
PREFIX = "prn_"
_ID_BYTES, _SECRET_BYTES = 6, 32
_FORM = re.compile(r"prn_([0-9a-f]{12})_[0-9a-f]{64}")
_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,62}")
_BY_HAND = By("operator", "by hand")


@dataclass(frozen=True, slots=True)
class ApiKey:
    """One key as the registry knows it; the secret itself is nowhere."""

    key_id: str
    name: str
    scopes: tuple[Scope, ...]
    sha256: str = field(repr=False)
    created_at: datetime
    expires_at: datetime | None
    revoked_at: datetime | None
    last_used_at: datetime | None
    """Coarse: serving notes a use some seconds late, and at most once in a while."""

    def state(self, now: datetime) -> Literal["active", "expired", "revoked"]:
        """Return whether the key counts at `now`."""
        if self.revoked_at is not None:
            return "revoked"
        return "expired" if self.expires_at is not None and self.expires_at <= now else "active"


class ApiKeys:
    """Makes, lists and revokes keys; each change is one transaction with its audit entry, which names the key and nothing of it.

    Nothing is ever deleted, so a name means one key for ever.
    """

    def __init__(self, database: Database, clock: Clock, audit: Audit) -> None:
        self._database = database
        self._clock = clock
        self._audit = audit

    def create(
        self, name: str, scopes: Collection[str], *, expires_in: timedelta | None = None, by: By = _BY_HAND
    ) -> tuple[ApiKey, str]:
        """Record a new key and return it with the key itself, which cannot be shown again.

        Raises `UserError` for a name that is taken or invalid, an unknown scope, or no scope at all.
        """
        check(name, scopes)
        now = self._clock()
        secret = f"{PREFIX}{secrets.token_hex(_ID_BYTES)}_{secrets.token_hex(_SECRET_BYTES)}"
        key = ApiKey(
            key_id=id_of(secret),
            name=name,
            scopes=tuple(scope for scope in SCOPES if scope in scopes),
            sha256=hash_of(secret),
            created_at=now,
            expires_at=None if expires_in is None else now + expires_in,
            revoked_at=None,
            last_used_at=None,
        )
        with self._database.write() as connection:
            if (former := _find(connection, name)) is not None:
                message = (
                    f"the name {name!r} is taken by the key of {former.created_at.isoformat(timespec='seconds')} "
                    f"({former.state(now)}) and is not reused, because feedback is recorded under it; nothing was created. "
                    f"Choose another name, for example {name}-2"
                )
                raise UserError(message)
            columns = [column.name for column in schema.api_keys.c if column.name != "id"]
            connection.execute(sa.insert(schema.api_keys).values({column: getattr(key, column) for column in columns}))
            ends = {"expires_at": key.expires_at.isoformat()} if key.expires_at is not None else {}
            self._note("key.create", key, by, connection, **ends)
        return key, secret

    def list(self) -> list[ApiKey]:
        """Return every key, oldest first, revoked and expired ones too."""
        with self._database.read() as connection:
            return [_key(row) for row in connection.execute(sa.select(schema.api_keys).order_by(schema.api_keys.c.id))]

    def revoke(self, name: str, *, by: By = _BY_HAND) -> ApiKey:
        """Revoke a key from now on and return it; one that was revoked before is unchanged.

        Raises `UserError` for a name that no key has.
        """
        with self._database.write() as connection:
            key = _find(connection, name)
            if key is None:
                message = f"there is no API key {name!r}; `perennial keys list` names them"
                raise UserError(message)
            if key.revoked_at is None:
                table = schema.api_keys
                connection.execute(sa.update(table).where(table.c.name == name).values(revoked_at=self._clock()))
                key = _find(connection, name)
                assert key is not None  # noqa: S101 - found above, in the same transaction
                self._note("key.revoke", key, by, connection)
        return key

    def note_used(self, key_ids: Sequence[str], at: datetime) -> None:
        """Record that these keys were used; an earlier time than the recorded one changes nothing."""
        table = schema.api_keys
        older = table.c.last_used_at.is_(None) | (table.c.last_used_at < at)
        with self._database.write() as connection:
            connection.execute(sa.update(table).where(table.c.key_id.in_(key_ids) & older).values(last_used_at=at))

    def _note(self, action: str, key: ApiKey, by: By, connection: Connection, **more: str) -> None:
        self._audit.add(
            action, actor=by.actor, reason=by.reason, subject=f"API key {key.name}",
            details={"scopes": list(key.scopes), **more}, connection=connection,
        )  # fmt: skip


def id_of(presented: str) -> str:
    """Return the public id inside a key; empty when it has not a key's form."""
    found = _FORM.fullmatch(presented)
    return found[1] if found else ""


def hash_of(presented: str) -> str:
    """Return the SHA-256 of a key, in lower-case hex."""
    return hashlib.sha256(presented.encode("utf-8", "surrogateescape")).hexdigest()


def check(name: str, scopes: Collection[str]) -> None:
    """Raise `UserError` for an invalid name of a key, an unknown scope, or no scope at all."""
    if not _NAME.fullmatch(name):
        message = f"{name[:80]!r} is not a name for a key; use 1 to 63 of a-z, 0-9, dot, hyphen and underscore, such as desk-7"
        raise UserError(message)
    unknown = sorted(set(scopes) - set(SCOPES))
    if unknown or not scopes:
        what = f"there is no scope {', '.join(unknown)}" if unknown else "a key needs at least one scope"
        message = f"{what}; the scopes are {', '.join(SCOPES)}, for example --scope predict"
        raise UserError(message)


def _find(connection: Connection, name: str) -> ApiKey | None:
    row = connection.execute(sa.select(schema.api_keys).where(schema.api_keys.c.name == name)).one_or_none()
    return None if row is None else _key(row)


def _key(row: Row[tuple[object, ...]]) -> ApiKey:
    values = {name: value for name, value in row._mapping.items() if name != "id"}  # noqa: SLF001 - SQLAlchemy's documented way
    return ApiKey(**{**values, "scopes": tuple(values["scopes"])})
