"""Tombstones: they know what was erased, whatever form it comes in, and tell nobody what it was."""

from __future__ import annotations

import json
import stat
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from config.errors import StopError
from consumers.erasure.requests import Derived, Erasures
from consumers.erasure.tombstones import KEY_FILE, Tombstones, is_erase_request, names_in
from consumers.events.schemas import Erase, content_sha256
from tests.support.buffers import NOW, article, feedback, label, prediction, renaming, retrain


def erase(event_id: str = "e-1", **named: str) -> Erase:
    return Erase(event_id=event_id, occurred_at=NOW, **named)


def stones(folder: Path, *, texts: tuple[str, ...] = (), predictions: tuple[str, ...] = (), **named: str) -> Tombstones:
    with closing(Erasures(folder)) as erasures:
        erasures.request(erase(**named))
        found = [Derived("text", content_sha256(text), "cause") for text in texts]
        erasures.derive([*found, *(Derived("prediction", one, "cause") for one in predictions)])
        return erasures.tombstones()


@pytest.mark.parametrize(
    ("event", "covered"),
    [
        (feedback("f", "any", user_id="anna"), True),
        (feedback("f", "any", user_id="Anna"), False),
        (feedback("f", "any", user_id="anna2", article_id="anna"), False),
        (feedback("f", "any", article_id="gone"), True),
        (feedback("f", "any", prediction_id="p-gone"), True),
        (feedback("f", "its text"), True),
        (feedback("f", "its text", article_id="another"), False),
        (label("l", "any", article_id="gone"), True),
        (label("l", "any", document_id="gone"), True),
        (label("l", "any", document_id="another"), False),
        (label("l", "its text"), True),
        (label("l", "its texts"), False),
        (article("a", "gone", "a new revision"), True),
        (article("a", "another", "its text"), False),
        (prediction("p-gone"), True),
        (prediction("p", "any", article_id="gone"), True),
        (prediction("p", "its text"), True),
        (prediction("p", "its text", article_id="another"), False),
        (retrain("anna"), False),
        (renaming("anna", old="new"), False),
        (erase(user_id="anna"), False),
    ],
)
def test_an_event_of_what_was_erased_is_known(tmp_path: Path, event: Any, *, covered: bool) -> None:
    known = stones(tmp_path, texts=("its text",), predictions=("p-gone",), user_id="anna", article_id="gone")
    assert known.covers(event) is covered
    if event.type not in ("retrain", "task_schema", "import_undo", "erase"):
        assert known.covers_bytes(event.model_dump_json().encode()) is covered


@pytest.mark.parametrize(
    "value",
    [
        b'{"user_id": "anna/7"}',
        b'{"user_id":\n\t"anna\\/7", "text": "cut o',
        b'\xff\xfe {"text": "\\"user_id\\": \\"bert\\"", "user_id" : "anna\\u002f7"}',
        b'{"specversion": "1.0", "data": {"nested": {"user_id": "anna/7"}}}',
        b'[{"user_id": "bert"}, {"user_id": "anna/7"}]',
        b'{"user\\u005fid": "anna/7"}',
        b'{"specversion": "1.0", "id": "1", "source": "x", "type": "feedback", "data_base64": "eyJ1c2VyX2lkIjogImFubmEvNyJ9"}',
        b'[{"specversion": "1.0", "id": "1", "source": "x", "type": "feedback", "data_base64": "eyJ1c2VyX2lkIjogImFubmEvNyJ9"}]',
    ],
)
def test_even_what_is_no_event_names_its_user(tmp_path: Path, value: bytes) -> None:
    assert stones(tmp_path, user_id="anna/7").covers_bytes(value)


@pytest.mark.parametrize(
    "value",
    [b"", b"anna", b'{"text": "\\"user_id\\": \\"anna\\""}', b'{"user_id": "anna', b'{"user_id": 7}', b'{"source": "anna"}'],
)
def test_what_only_speaks_of_a_user_is_not_taken_for_theirs(tmp_path: Path, value: bytes) -> None:
    assert not stones(tmp_path, user_id="anna").covers_bytes(value)


def test_ids_are_read_from_bytes_by_field() -> None:
    value = json.dumps({"event_id": "e", "user_id": "u", "data": {"event_id": "inner", "article_id": "a"}}).encode()
    assert names_in(value) == {"event_id": {"e", "inner"}, "user_id": {"u"}, "article_id": {"a"}}
    base64 = b'{"specversion": "1.0", "id": "1", "source": "/x", "type": "feedback", "data_base64": "eyJ1c2VyX2lkIjogInUifQ=="}'
    assert names_in(base64) == {"event_id": {"/x|1"}, "user_id": {"u"}}
    assert is_erase_request(b'{"type": "erase", "user_id": "anna"}')
    assert is_erase_request(b'{"specversion": "1.0", "id": "1", "source": "x", "type": "org.x.erase", "data": {"user_id": "a"}}')
    assert not is_erase_request(b'{"type": "feedback", "user_id": "anna"}')
    assert not is_erase_request(b"not json")


def test_nothing_is_covered_and_no_key_is_drawn_before_the_first_request(tmp_path: Path) -> None:
    with closing(Erasures(tmp_path)) as erasures:
        assert not erasures.tombstones()
        assert not erasures.tombstones().covers(feedback("f", "any"))
    assert not (tmp_path / KEY_FILE).exists()


def test_the_key_is_secret_and_no_id_is_written(tmp_path: Path) -> None:
    stones(tmp_path, user_id="anna-unmistakable", article_id="article-unmistakable")
    key = tmp_path / KEY_FILE
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    assert len(key.read_bytes()) == 32
    for path in tmp_path.rglob("*"):
        assert b"unmistakable" not in path.read_bytes()


def test_two_installations_write_different_hashes_of_the_same_id(tmp_path: Path) -> None:
    digests = []
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        digests.append(stones(tmp_path / name, user_id="anna").digests["user"])
    assert digests[0].isdisjoint(digests[1])


@pytest.mark.parametrize(
    ("content", "what"), [(None, "is missing"), (b"x" * 32, "is not the one"), (b"short", "instead of a key")]
)
def test_without_the_right_key_nothing_goes_on(tmp_path: Path, content: bytes | None, what: str) -> None:
    stones(tmp_path, user_id="anna")
    (tmp_path / KEY_FILE).unlink()
    if content is not None:
        (tmp_path / KEY_FILE).write_bytes(content)
    with pytest.raises(StopError, match=what):
        Erasures(tmp_path)
