"""Power loss in the middle of ingest: the newest fragment or manifest is torn, and the log brings again what it held."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from tests.support.ingest_bench import drain, lag, open_buffer, open_log, publish, rows
from tests.support.sample_events import ARTICLE, LABEL

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
    with closing(open_buffer(tmp_path / "buffer", writer=False)) as buffer:
        stored = rows(buffer)
    assert [row_id for row_id, _text in stored["examples"]] == sorted(f"l-{number}" for number in range(4 * PORTION))
    assert [article_id for article_id, _text in stored["articles"]] == sorted(
        f"article-{number}" for number in range(4 * PORTION)
    )
