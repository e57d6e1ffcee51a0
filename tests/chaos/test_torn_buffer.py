"""Power loss in the middle of ingest: the newest fragment or manifest is torn, and the log brings again what it held."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from config.clock import utc_now
from config.errors import StopError
from consumers.log.embedded.log import EmbeddedLog
from tests.support.ingest_bench import drain, lag, look_into, open_log, publish, rows
from tests.support.sample_events import ARTICLE, FEEDBACK, LABEL, RETRAIN

PORTION = 10
TORN = {"fragment": ("data/*.lance", "could not be read"), "manifest": ("_versions/*.manifest", "torn manifest")}


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def zero(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def send(data_dir: Path, first: int) -> None:
    """Publish articles and labels; from here on they are acknowledged."""
    numbers = range(first, first + PORTION)
    articles = (ARTICLE | {"event_id": f"a-{number}", "article_id": f"article-{number}"} for number in numbers)
    labels = (LABEL | {"event_id": f"l-{number}", "text": f"text {number}"} for number in numbers)
    with closing(open_log(data_dir)) as log:
        publish(log, [("perennial.articles", event) for event in articles])
        publish(log, [("perennial.feedback", event) for event in labels])


@pytest.mark.parametrize("tear", [truncate, zero])
@pytest.mark.parametrize("part", TORN)
def test_ingest_goes_on_through_torn_tables_and_loses_nothing(tmp_path: Path, part: str, tear: Callable[[Path], None]) -> None:
    pattern, told = TORN[part]
    send(tmp_path, 0)
    assert drain(tmp_path, batch=PORTION) == ()
    for number, table in enumerate(("examples", "articles"), start=1):
        send(tmp_path, number * PORTION)
        drain(tmp_path, batch=PORTION)
        newest = max((tmp_path / "buffer" / f"{table}.lance").glob(pattern), key=lambda path: path.stat().st_mtime_ns)
        tear(newest)
    # More is waiting when it starts again.
    send(tmp_path, 3 * PORTION)
    repairs = drain(tmp_path, batch=PORTION)
    assert [repair.partition(":")[0] for repair in repairs] == ["articles"], "the other was repaired by the start before"
    assert told in repairs[0]
    with closing(open_log(tmp_path)) as log:
        assert lag(log) == 0
    with closing(look_into(tmp_path / "buffer")) as buffer:
        stored = rows(buffer)
    assert [row_id for row_id, _text in stored["examples"]] == sorted(f"l-{number}" for number in range(4 * PORTION))
    assert [article_id for article_id, _text in stored["articles"]] == sorted(
        f"article-{number}" for number in range(4 * PORTION)
    )


@pytest.mark.parametrize("table", ["articles", "examples", "requests", "feedback"])
def test_a_table_whose_every_version_is_unreadable_is_made_anew_from_the_log(tmp_path: Path, table: str) -> None:
    send(tmp_path, 0)
    with closing(open_log(tmp_path)) as log:
        publish(log, [("perennial.feedback", RETRAIN), ("perennial.feedback", FEEDBACK | {"event_id": "f-1"})])
    drain(tmp_path, batch=PORTION)
    with closing(look_into(tmp_path / "buffer")) as buffer:
        before = rows(buffer)
    for file in (tmp_path / "buffer" / f"{table}.lance").rglob("*"):
        if file.is_file() and file.suffix != ".manifest":
            zero(file)
    for manifest in sorted((tmp_path / "buffer" / f"{table}.lance" / "_versions").glob("*.manifest"))[1:]:
        manifest.unlink()
    send(tmp_path, PORTION)
    (repair,) = drain(tmp_path, batch=PORTION)
    assert repair.startswith(f"{table}: it could not be read in any version")
    assert repair.endswith("it is rebuilt from the event log")
    with closing(look_into(tmp_path / "buffer")) as buffer:
        after = rows(buffer)
    for name in ("examples", "articles", "retrains"):
        assert set(before[name]) < set(after[name]) or (name == "retrains" and before[name] == after[name])
        assert len(set(after[name])) == len(after[name])
    assert dict(after["counts"])["feedback"] == dict(before["counts"])["feedback"] == 1


def test_what_the_log_has_forgotten_is_not_made_anew_but_said(tmp_path: Path) -> None:
    send(tmp_path, 0)
    drain(tmp_path, batch=PORTION)
    later = utc_now() + timedelta(days=400)
    with closing(EmbeddedLog(tmp_path / "events.db", retention=timedelta(days=1), clock=lambda: later)) as log:
        assert log.enforce_retention() == 2 * PORTION
    for file in (tmp_path / "buffer" / "articles.lance").rglob("*"):
        if file.suffix == ".lance" and file.is_file():
            zero(file)
    for manifest in sorted((tmp_path / "buffer" / "articles.lance" / "_versions").glob("*.manifest"))[1:]:
        manifest.unlink()
    with pytest.raises(StopError, match=f"no longer holds those before offset {PORTION} of perennial.articles"):
        drain(tmp_path, batch=PORTION)
    # The operator gives up what is gone, as the message says.
    (tmp_path / "buffer" / "articles.lance").rename(tmp_path / "articles-away")
    send(tmp_path, PORTION)
    drain(tmp_path, batch=PORTION)
    with closing(look_into(tmp_path / "buffer")) as buffer:
        assert len(rows(buffer)["articles"]) == PORTION
