from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import pytest

from config.errors import RetryError, UserError
from consumers.dead_letters import store
from consumers.dead_letters.store import PREFIX_BYTES, REPLAY_HEADER, DeadLetters, Rejected
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import Position, RawEvent

NOW = datetime(2024, 5, 1, 12, tzinfo=UTC)


def raw(offset: int, value: bytes | None = b"{", *, topic: str = "news") -> RawEvent:
    return RawEvent(Position(topic, 0, offset), value, b"key", (("trace", b"\xff\x00"),), NOW)


@pytest.fixture
def letters(tmp_path: Path) -> Iterator[DeadLetters]:
    with closing(DeadLetters(tmp_path / "dead.db", clock=lambda: NOW)) as opened:
        yield opened


@pytest.fixture
def log(tmp_path: Path) -> Iterator[EmbeddedLog]:
    with closing(EmbeddedLog(tmp_path / "events.db", retention=timedelta(days=1))) as opened:
        yield opened


def test_a_letter_keeps_bytes_position_and_reason(letters: DeadLetters, tmp_path: Path) -> None:
    letters.add(raw(7, b"\x00\xff"), "text: it is empty; fill it", "text")
    with closing(DeadLetters(tmp_path / "dead.db")) as reopened:
        (letter,) = reopened.list()
    assert (letter.topic, letter.partition, letter.offset) == letter.position == ("news", 0, 7)
    assert (letter.reason, letter.field, letter.value, letter.value_bytes) == (
        "text: it is empty; fill it",
        "text",
        b"\x00\xff",
        2,
    )
    assert letter.value_sha256 == hashlib.sha256(b"\x00\xff").hexdigest()
    assert (letter.key, letter.headers) == (b"key", (("trace", b"\xff\x00"),))
    assert (letter.replayable, letter.dead_at, letter.replayed_at) == (True, NOW, None)
    assert letters.get(letter.id) == letter


def test_the_same_event_at_the_same_position_is_kept_once(letters: DeadLetters) -> None:
    letters.add(raw(1), "first reason")
    letters.add(raw(1), "said again after a redelivery")
    letters.add(raw(2), "another")
    assert [(letter.offset, letter.reason) for letter in letters.list()] == [(2, "another"), (1, "first reason")]
    assert letters.count() == 2


def test_another_event_at_an_old_position_is_kept_too(letters: DeadLetters) -> None:
    # The log was recreated: offsets began again.
    letters.add(raw(1, b"old"), "r")
    letters.add(raw(1, b"new"), "r")
    assert {letter.value for letter in letters.list()} == {b"old", b"new"}


def test_an_oversized_event_is_kept_as_hash_and_prefix(letters: DeadLetters) -> None:
    value = b"x" * 1_000_000
    letters.add_all([Rejected(raw(1, value), "too large", keep_bytes=False)])
    (letter,) = letters.list()
    assert (letter.value, letter.value_bytes, letter.replayable) == (value[:PREFIX_BYTES], 1_000_000, False)
    assert letter.value_sha256 == hashlib.sha256(value).hexdigest()


def test_only_what_can_be_replayed_and_was_not_is_offered(letters: DeadLetters, log: EmbeddedLog) -> None:
    letters.add_all([Rejected(raw(0), "r"), Rejected(raw(1, b"x" * 9000), "too large", keep_bytes=False), Rejected(raw(2), "r")])
    first, _large, last = sorted(letter.id for letter in letters.list())
    assert letters.replayable() == [first, last]
    with closing(log.sink()) as sink:
        letters.replay([first], sink)
    assert letters.replayable() == [last]


def test_replaying_publishes_the_same_bytes_to_the_same_topic_once_more(letters: DeadLetters, log: EmbeddedLog) -> None:
    letters.add_all([Rejected(raw(1, b"a", topic="news"), "r"), Rejected(raw(2, b"b", topic="sport"), "r")])
    with closing(log.sink()) as sink:
        assert letters.replay([1, 2, 1], sink) == 2
    with closing(log.source("g", ["news", "sport"])) as source:
        events = sorted(source.poll(timeout_s=0, max_events=10), key=lambda event: event.position)
    assert [(event.position.topic, event.value, event.key) for event in events] == [
        ("news", b"a", b"key"),
        ("sport", b"b", b"key"),
    ]
    assert events[0].headers == (("trace", b"\xff\x00"), (REPLAY_HEADER, b"1"))
    assert letters.list() == []
    assert letters.count() == 0
    assert [letter.replayed_at for letter in letters.list(include_settled=True)] == [NOW, NOW]


def test_nothing_is_replayed_when_one_cannot_be(letters: DeadLetters, log: EmbeddedLog) -> None:
    letters.add(raw(1, b"fine"), "r")
    letters.add(raw(2, None), "tombstone")
    with closing(log.sink()) as sink:
        with pytest.raises(UserError, match=r"dead letter 2 cannot be replayed.*Nothing was replayed.*send it again"):
            letters.replay([1, 2], sink)
        with pytest.raises(UserError, match=r"no dead letter 99.*perennial dlq list"):
            letters.replay([1, 99], sink)
    assert log.positions("news") == (0, 0)
    assert letters.count() == 2


def test_a_letter_is_not_marked_when_publishing_failed(letters: DeadLetters) -> None:
    class FullSink:
        def publish(self, *args: object, **kwargs: object) -> None:
            pass

        def flush(self) -> None:
            raise RetryError

        def close(self) -> None:
            pass

    letters.add(raw(1), "r")
    with pytest.raises(RetryError):
        letters.replay([1], FullSink())
    assert letters.count() == 1


def test_the_newest_letters_are_listed_first_up_to_a_limit(letters: DeadLetters) -> None:
    letters.add_all(Rejected(raw(offset), "r") for offset in range(20))
    assert [letter.offset for letter in letters.list(limit=3)] == [19, 18, 17]


def test_letters_are_listed_page_by_page_and_the_nth_newest_has_a_time(letters: DeadLetters) -> None:
    for offset in range(5):
        letters.add(raw(offset), "no JSON")
    newest = [letter.id for letter in letters.list(limit=2)]
    older = [letter.id for letter in letters.list(limit=2, before=newest[-1])]
    assert [*newest, *older] == [5, 4, 3, 2]
    assert (letters.nth_newest_at(1), letters.nth_newest_at(5), letters.nth_newest_at(6)) == (NOW, NOW, None)


def test_removed_letters_are_gone_and_an_unknown_one_removes_nothing(letters: DeadLetters) -> None:
    letters.add_all(Rejected(raw(offset), "r") for offset in range(3))
    with pytest.raises(UserError, match="no dead letter 99"):
        letters.remove([1, 99])
    assert letters.count() == 3
    assert letters.remove([1, 3, 3]) == 2
    assert [letter.id for letter in letters.list(include_settled=True)] == [2]


def test_dropped_letters_wait_for_nobody_and_are_kept_as_they_came(letters: DeadLetters, log: EmbeddedLog) -> None:
    letters.add_all(Rejected(raw(offset), "r") for offset in range(3))
    with pytest.raises(UserError, match="no dead letter 99"):
        letters.drop([1, 99])
    assert letters.count() == 3
    assert letters.drop([1, 3, 3]) == 2
    assert ([letter.id for letter in letters.list()], letters.count(), letters.replayable()) == ([2], 1, [2])
    assert letters.count(include_settled=True) == 3
    assert (letters.get(1).dropped_at, letters.get(1).value) == (NOW, b"{")
    assert letters.died_before(NOW + timedelta(seconds=1)) == [1, 2, 3], "they go when their time is over, as all do"
    with closing(log.sink()) as sink:
        letters.replay([1], sink)
    assert (letters.get(1).dropped_at, letters.get(1).replayed_at) == (None, NOW)


def test_a_mended_letter_keeps_its_own_bytes_and_says_what_was_sent(letters: DeadLetters, log: EmbeddedLog) -> None:
    letters.add_all([Rejected(raw(1), "r"), Rejected(raw(2, b"x" * 9000), "too large", keep_bytes=False)])
    with closing(log.sink()) as sink:
        letters.mend(1, b"{}", sink)
        with pytest.raises(UserError, match="cannot be replayed"):
            letters.mend(2, b"{}", sink)
    (event,) = log.source("g", ["news"]).poll(timeout_s=1.0, max_events=5)
    assert (event.value, event.key, dict(event.headers)[REPLAY_HEADER]) == (b"{}", b"key", b"1")
    letter = letters.get(1)
    assert (letter.value, letter.replayed_at, letter.mended_sha256) == (b"{", NOW, hashlib.sha256(b"{}").hexdigest())
    assert [one.id for one in letters.list()] == [2]


def test_a_file_of_an_earlier_version_is_taken_over_and_that_version_writes_on(tmp_path: Path) -> None:
    path = tmp_path / "dead.db"
    with closing(sqlite3.connect(path)) as former:
        former.executescript(f"{store._SCHEMA}; PRAGMA user_version = 1;")
        former.execute("CREATE INDEX not_replayed ON dead_letters (replayed_at) WHERE replayed_at IS NULL")
        insert = (
            f"INSERT INTO dead_letters ({store._COLUMNS}) VALUES "  # noqa: S608 - as that version does
            "(NULL, 'news', 0, ?, 'r', NULL, X'7b', 'h', 1, 1, NULL, '[]', '2024-05-01T12:00:00+00:00', NULL)"
        )
        former.execute(insert, (1,))
        former.commit()
        with closing(DeadLetters(path)) as letters:
            assert letters.drop([1]) == 1
            former.execute(insert, (2,))
            former.commit()
            assert (letters.count(), letters.get(2).dropped_at) == (1, None)


def test_letters_of_before_a_time_are_found_replayed_ones_too(tmp_path: Path, log: EmbeddedLog) -> None:
    now = [NOW]
    with closing(DeadLetters(tmp_path / "dead.db", clock=lambda: now[0])) as letters:
        letters.add(raw(1), "r")
        letters.add(raw(2), "r")
        letters.replay([1], log.sink())
        now[0] += timedelta(milliseconds=1)
        letters.add(raw(3), "r")
        assert letters.died_before(NOW) == []
        assert letters.died_before(NOW + timedelta(milliseconds=1)) == [1, 2]
        assert letters.died_before(NOW.astimezone(timezone(timedelta(hours=5))) + timedelta(hours=1)) == [1, 2, 3]


def test_erasing_takes_what_matches_whole_or_in_the_log(letters: DeadLetters, tmp_path: Path) -> None:
    large = b"first of a secret " * PREFIX_BYTES
    letters.add_all([
        Rejected(raw(1, b"a secret"), "r"), Rejected(raw(2, b"of another"), "r"), Rejected(raw(3, large), "r", keep_bytes=False),
        Rejected(raw(4, b"the same place in an older log"), "r"), Rejected(raw(5, None), "r"),
    ])  # fmt: skip
    (replayed,) = [letter.id for letter in letters.list() if letter.offset == 1]
    with closing(EmbeddedLog(tmp_path / "events.db", retention=timedelta(days=1))) as log, closing(log.sink()) as sink:
        letters.replay([replayed], sink)
    gone = letters.erase(lambda value: value == b"a secret", {Position("news", 0, 3), Position("news", 0, 4)})
    assert gone == [("news", 0, 1), ("news", 0, 3)]
    assert [letter.offset for letter in letters.list(include_settled=True)] == [5, 4, 2]
    letters.compact()
    content = (tmp_path / "dead.db").read_bytes()
    assert b"secret" not in content
    assert b"of another" in content
