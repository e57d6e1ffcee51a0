"""The leader lease: one process leads; a token that only grows keeps a former leader's late writes out."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from config.clock import Clock
from config.errors import StopError
from registry.database.engine import Database
from registry.database.schema import lease

_LEADER = "leader"
_LAPSES = 2
"""A lease has expired after this many times its length without renewal, whatever the clocks say; a leader renews more often."""
_NEVER = datetime.min.replace(tzinfo=UTC)


class Lease:
    """Who leads, until when, under which token. Time is the wall clock's."""

    def __init__(self, database: Database, clock: Clock, steady: Callable[[], float] = time.monotonic) -> None:
        """`steady` never jumps: by it a lease is seen to lapse whose end a clock that was set back has put far ahead."""
        self._database = database
        self._clock = clock
        self._steady = steady
        self._unchanged: tuple[object, float] | None = None
        """The lease as of the last check, and since when it is unchanged."""
        # While this process locks the database itself, nobody can renew: see `held`.
        self._held_until: datetime | None = None

    def acquire(self, holder: str, ttl_s: float, *, above: int = 0) -> int | None:
        """Return a new token, higher than any before, or None while another holder leads.

        `above` is the highest token that was used elsewhere: beside an older buffer a new registry counts on from there.
        """
        now, asked_at = self._clock(), self._steady()
        # While the database was locked the leader could not renew either: such a while, or one that failed, says nothing of it.
        before, self._unchanged = self._unchanged, None
        with self._database.write() as connection:
            if self._steady() - asked_at <= ttl_s:
                self._unchanged = before
            row = connection.execute(sa.select(lease).where(lease.c.name == _LEADER)).one_or_none()
            values = {"holder": holder, "expires_at": now + timedelta(seconds=ttl_s)}
            if row is None:
                connection.execute(sa.insert(lease).values(name=_LEADER, token=above + 1, **values))
                return above + 1
            if row.holder not in (None, holder) and row.expires_at > now and not self._lapsed(row, ttl_s):
                return None
            # A holder that asks again gets a new token too: it may be a restart whose former self still writes.
            token = max(int(row.token), above) + 1
            connection.execute(sa.update(lease).where(lease.c.name == _LEADER).values(token=token, **values))
            return token

    def _lapsed(self, row: object, ttl_s: float) -> bool:
        """Return whether nobody has renewed the lease for twice as long as it lasts, while this process looked on."""
        now = self._steady()
        if self._unchanged is None or self._unchanged[0] != row:
            self._unchanged = (row, now)
        return now - self._unchanged[1] > _LAPSES * ttl_s

    def renew(self, holder: str, token: int, ttl_s: float) -> bool:
        """Prolong the lease; False when somebody else leads by now.

        An expired lease that nobody took is renewed: no write of anybody else can have come between.
        """
        expires_at = max(self._clock() + timedelta(seconds=ttl_s), self._held_until or _NEVER)
        with self._database.write() as connection:
            held = (lease.c.name == _LEADER) & (lease.c.holder == holder) & (lease.c.token == token)
            return connection.execute(sa.update(lease).where(held).values(expires_at=expires_at)).rowcount == 1

    @contextmanager
    def held(self, token: int | None, for_s: float) -> Iterator[None]:
        """Keep the lease for at most `for_s` while the block locks the database, so that no renewal comes through.

        A standby that asks as soon as the lock is free finds it held; the next renewal makes it as short as ever. Should the
        process die in the block, others wait that long. Raises `StopError` when `token` leads no longer.
        """
        self._held_until = until = self._clock() + timedelta(seconds=for_s)
        try:
            with self._database.write() as connection:
                check_token(connection, token)
                if token is not None:
                    connection.execute(sa.update(lease).where(lease.c.name == _LEADER).values(expires_at=until))
            yield
        finally:
            self._held_until = None

    def release(self, holder: str, token: int) -> None:
        """Give the lease up so that a standby need not wait; nothing happens when it is no longer held."""
        with self._database.write() as connection:
            held = (lease.c.name == _LEADER) & (lease.c.holder == holder) & (lease.c.token == token)
            connection.execute(sa.update(lease).where(held).values(holder=None, expires_at=self._clock()))

    def last(self) -> tuple[str | None, datetime] | None:
        """Return who held the lease last (None: it was given up) and until when; None before the first."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(lease).where(lease.c.name == _LEADER)).one_or_none()
        return None if row is None else (row.holder, row.expires_at)

    def holder(self) -> str | None:
        """Return who leads now, None when nobody does."""
        with self._database.read() as connection:
            row = connection.execute(sa.select(lease).where(lease.c.name == _LEADER)).one_or_none()
        return None if row is None or row.expires_at <= self._clock() else row.holder


def check_token(connection: Connection, token: int | None) -> None:
    """Refuse (`StopError`) the write of a former leader; a write without a token is a person's and passes."""
    if token is None:
        return
    row = connection.execute(sa.select(lease.c.holder, lease.c.token).where(lease.c.name == _LEADER)).one_or_none()
    if row is None or row.token != token or row.holder is None:
        current = "nobody" if row is None or row.holder is None else f"{row.holder!r} under token {row.token}"
        message = (
            f"this process is no longer the leader: its token is {token}, and {current} leads now. Nothing was written, and this "
            "process stops. Start it again as a standby"
        )
        raise StopError(message)
