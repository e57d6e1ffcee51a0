"""How far each channel of notifications has come, and what it was sent lately."""

from __future__ import annotations

import hashlib
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.engine import Connection

from config.clock import Clock
from registry.database.engine import Database
from registry.database.schema import notice_channels, notices_sent, outbox
from registry.leases import check_token


class Notices:
    """The place of each channel in the outgoing events."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def begin(self, channel: str, *, fencing_token: int | None = None) -> int:
        """Return the number of the last outgoing event that a channel has done with; a new one begins behind the newest.

        A place ahead of all events is of a release that numbered anew once the old events had gone: none of those there are was
        sent, and the channel begins before them. Raises `StopError` when `fencing_token` leads no longer.
        """
        with self._database.read() as connection:
            at, newest = _place(connection, channel), _newest(connection)
            if at is not None and at <= newest:
                return at
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            at, newest = _place(connection, channel), _newest(connection)
            if at is None:
                connection.execute(sa.insert(notice_channels).values(channel=channel, outbox_id=newest))
                return newest
            if at > newest:
                at = 0
                connection.execute(sa.update(notice_channels).where(notice_channels.c.channel == channel).values(outbox_id=at))
            return at

    def settle(self, channel: str, outbox_id: int, *, repeats: str | None = None, fencing_token: int | None = None) -> None:
        """Record that a channel has done with all events up to one; `repeats` is what another like the sent one would share.

        Raises `StopError` when `fencing_token` leads no longer.
        """
        with self._database.write() as connection:
            check_token(connection, fencing_token)
            here = (notice_channels.c.channel == channel) & (notice_channels.c.outbox_id < outbox_id)
            connection.execute(sa.update(notice_channels).where(here).values(outbox_id=outbox_id))
            if repeats is not None:
                key = {"channel": channel, "repeats": _hashed(repeats)}
                same = sa.and_(*(notices_sent.c[name] == value for name, value in key.items()))
                now = {"sent_at": self._clock()}
                if connection.execute(sa.update(notices_sent).where(same).values(**now)).rowcount == 0:
                    connection.execute(sa.insert(notices_sent).values(**key, **now))

    def sent_since(self, channel: str, repeats: str, moment: datetime) -> bool:
        """Return whether a channel was sent the same after a moment."""
        same = (notices_sent.c.channel == channel) & (notices_sent.c.repeats == _hashed(repeats))
        query = sa.select(notices_sent.c.sent_at).where(same, notices_sent.c.sent_at > moment)
        with self._database.read() as connection:
            return connection.execute(query).first() is not None


def _place(connection: Connection, channel: str) -> int | None:
    query = sa.select(notice_channels.c.outbox_id).where(notice_channels.c.channel == channel)
    found = connection.execute(query).scalar_one_or_none()
    return None if found is None else int(found)


def _newest(connection: Connection) -> int:
    return int(connection.execute(sa.select(sa.func.coalesce(sa.func.max(outbox.c.id), 0))).scalar_one())


def _hashed(repeats: str) -> str:
    """Return a hash: an error's text may name what must be erasable."""
    return hashlib.sha256(repeats.encode()).hexdigest()
