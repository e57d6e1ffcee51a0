"""Power loss: torn fragments and manifests are taken back, and the log is read again from the right place."""

from __future__ import annotations

import math
import shutil
from collections.abc import Callable, Collection
from pathlib import Path

import pytest

from config.errors import StopError
from consumers.buffer.writer import BufferWriter
from consumers.log.protocols import TopicPartition
from consumers.rows.arriving.event_rows import Stored
from tests.support.buffers import article, enrich, feedback, label, opened, prediction, retrain, stored

ARTICLES, FEEDBACK = TopicPartition("perennial.articles", 0), TopicPartition("perennial.feedback", 0)


def newest(folder: Path, table: str, pattern: str) -> Path:
    return max((folder / f"{table}.lance").glob(pattern), key=lambda path: path.stat().st_mtime_ns)


def truncate(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])


def empty(path: Path) -> None:
    path.write_bytes(b"")


def zero_start(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(bytes(len(content) // 3) + content[len(content) // 3 :])


def zero_all(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A buffer that was written in three batches of labels, at offsets 0-9, 10-19 and 20-29."""
    with opened(tmp_path / "b") as buffer:
        for start in (0, 10, 20):
            buffer.insert(labels(start))
            buffer.sync()
    return tmp_path / "b"


def labels(start: int) -> list[Stored]:
    return stored(*(label(f"l-{number}", f"text {number}") for number in range(start, start + 10)), offset=start)


def read_again(buffer: BufferWriter, log: list[Stored]) -> int:
    """What a consumer does after a repair: go back, and take everything from there."""
    lost = [one for one in log if one.position.offset >= buffer.rewind.get(TopicPartition(*one.position[:2]), math.inf)]
    return buffer.insert(lost).inserted


@pytest.mark.parametrize("tear", [truncate, empty, zero_start, zero_all, Path.unlink])
def test_a_torn_newest_fragment_is_taken_back_and_read_again(folder: Path, tear: Callable[[Path], None]) -> None:
    tear(newest(folder, "examples", "data/*.lance"))
    with opened(folder) as buffer:
        (repair,) = buffer.repairs
        assert repair.startswith("examples: version 4 could not be read")
        assert repair.endswith("version 3 was restored")
        assert buffer.rewind == {FEEDBACK: 20}
        assert buffer.table_counts()["examples"] == 20
        assert read_again(buffer, [*labels(0), *labels(10), *labels(20)]) == 10
        assert buffer.table_counts()["examples"] == 30
        assert len(enrich(buffer)) == 30
    with opened(folder) as buffer:
        assert buffer.repairs == ()
        assert buffer.counts("news-topics").train == 30


@pytest.mark.parametrize("tear", [truncate, empty, zero_all])
def test_a_torn_newest_manifest_is_set_aside(folder: Path, tear: Callable[[Path], None]) -> None:
    tear(newest(folder, "examples", "_versions/*.manifest"))
    with opened(folder) as buffer:
        assert buffer.repairs == ("examples: 1 torn manifest moved aside; the table is as it was before",)
        assert buffer.rewind == {FEEDBACK: 20}
        assert read_again(buffer, labels(20)) == 10
        assert buffer.table_counts()["examples"] == 30
    assert len(list((folder / "torn").iterdir())) == 1, "kept for whoever wants to look"


def test_manifest_and_fragment_before_it_may_both_be_torn(folder: Path) -> None:
    fragments = sorted((folder / "examples.lance" / "data").glob("*.lance"), key=lambda path: path.stat().st_mtime_ns)
    truncate(newest(folder, "examples", "_versions/*.manifest"))
    truncate(fragments[-2])
    with opened(folder) as buffer:
        assert len(buffer.repairs) == 2
        assert buffer.rewind == {FEEDBACK: 10}
        assert buffer.table_counts()["examples"] == 10


def test_a_changed_text_is_noticed_though_it_can_be_read(folder: Path) -> None:
    fragment = newest(folder, "examples", "data/*.lance")
    content = fragment.read_bytes()
    assert content.count(b"text 2") > 0, "the texts are stored as they are"
    fragment.write_bytes(content.replace(b"text 2", b"text 7"))
    with opened(folder) as buffer:
        assert "a text differs from what was stored" in buffer.repairs[0]
        assert buffer.rewind == {FEEDBACK: 20}


def test_the_first_batch_ever_may_be_torn(tmp_path: Path) -> None:
    with opened(tmp_path / "b") as buffer:
        buffer.insert(stored(article("e-1"), label("l-1")))
    empty(newest(tmp_path / "b", "articles", "data/*.lance"))
    with opened(tmp_path / "b") as buffer:
        assert buffer.rewind == {ARTICLES: 0}
        assert buffer.table_counts() == {"articles": 0, "examples": 1, "feedback": 0, "predictions": 0, "requests": 0}


def test_a_table_that_never_became_durable_is_made_anew(tmp_path: Path) -> None:
    with opened(tmp_path / "b"):
        pass
    empty(newest(tmp_path / "b", "predictions", "_versions/*.manifest"))
    with opened(tmp_path / "b") as buffer:
        assert buffer.repairs == ("predictions: the table was never completely written and was rebuilt",)
        assert buffer.insert(stored(prediction("p-1"))).inserted == 1


def test_joined_feedback_whose_example_was_torn_joins_again(tmp_path: Path) -> None:
    log = stored(article("e-1"), feedback("f-1", article_id="a-1"), retrain("r-1"), feedback("f-2", "Own text"))
    with opened(tmp_path / "b") as buffer:
        buffer.insert(log)
        buffer.resolve_waiting()
        buffer.sync()
    truncate(newest(tmp_path / "b", "examples", "data/*.lance"))
    with opened(tmp_path / "b") as buffer:
        fate = buffer.feedback_fate("f-1")
        assert fate is not None
        assert fate.status == "waiting"
        assert buffer.rewind == {FEEDBACK: 4}, "nothing came in with the example: it was joined later"
        read_again(buffer, log)
        assert buffer.resolve_waiting() == 1
        assert buffer.table_counts() == {"articles": 1, "examples": 2, "feedback": 2, "predictions": 0, "requests": 1}


def test_rows_that_come_again_are_enriched_again(folder: Path) -> None:
    with opened(folder) as buffer:
        enrich(buffer, portion=7)
        buffer.optimize_if_due()
    truncate(newest(folder, "examples", "data/*.lance"))
    with opened(folder) as buffer:
        assert buffer.counts("news-topics").train == 20, "what was found out about lost rows is forgotten"
        read_again(buffer, labels(20))
        assert len(enrich(buffer)) == 10
        assert buffer.counts("news-topics").train == 30


def test_torn_enrichment_is_found_out_again(folder: Path) -> None:
    with opened(folder) as buffer:
        enrich(buffer, portion=20)
    truncate(newest(folder, "example_enrichment", "data/*.lance"))
    with opened(folder) as buffer:
        assert buffer.rewind == {}, "nothing that came from the log is missing"
        assert len(enrich(buffer)) == 10


def test_doubled_rows_are_removed(folder: Path) -> None:
    with opened(folder) as buffer:
        doubled = buffer._tables.scan("examples", buffer._tables._handles["examples"].schema.names, "row_id IN ('l-3', 'l-7')")
        buffer._tables.append("examples", doubled.to_pylist())
        assert buffer.table_counts()["examples"] == 32
    with opened(folder) as buffer:
        assert buffer.repairs == ("examples: 2 duplicate rows removed",)
        assert buffer.table_counts()["examples"] == 30
        assert len({row.row_id for row in buffer.unenriched("examples", 99)}) == 30


@pytest.fixture
def hopeless(folder: Path) -> Path:
    """Every fragment is gone, as when the disk fails."""
    for fragment in (folder / "examples.lance" / "data").iterdir():
        empty(fragment)
    for manifest in list((folder / "examples.lance" / "_versions").glob("*.manifest")):
        # The version before the first row reads well; without it nothing does.
        if manifest.name == "18446744073709551614.manifest":
            manifest.unlink()
    return folder


def test_a_table_that_cannot_be_read_at_all_stops_the_start_and_stays(hopeless: Path) -> None:
    before = sorted(path.name for path in (hopeless / "examples.lance").rglob("*"))
    told = r"table examples .* cannot be read in any version .*restore the folder from a backup"
    with pytest.raises(StopError, match=told), opened(hopeless):
        pass
    assert sorted(path.name for path in (hopeless / "examples.lance").rglob("*")) == before


def test_what_the_log_holds_no_more_stops_the_start_with_the_remedy(hopeless: Path) -> None:
    def removed(topics: Collection[str]) -> str:
        assert set(topics) == {FEEDBACK.topic}
        return "those before offset 7"

    told = r"no longer holds those before offset 7\. Nothing was changed.*To give up .* move the folder examples\.lance"
    with pytest.raises(StopError, match=told), opened(hopeless, removed_events=removed):
        pass
    # The remedy: what the log still holds is read again.
    (hopeless / "examples.lance").rename(hopeless.parent / "away")
    with opened(hopeless, removed_events=removed) as buffer:
        assert buffer.rewind == {FEEDBACK: 0}
        assert read_again(buffer, labels(20)) == 10


def test_a_table_that_cannot_be_read_at_all_is_made_anew_where_the_log_holds_everything(hopeless: Path) -> None:
    with opened(hopeless, removed_events=lambda _topics: None) as buffer:
        (repair,) = buffer.repairs
        assert "examples: it could not be read in any version" in repair
        assert "rebuilt from the event log" in repair
        assert buffer.rewind == {FEEDBACK: 0}
        assert read_again(buffer, [*labels(0), *labels(10), *labels(20)]) == 30
        assert len(enrich(buffer)) == 30
    assert len(list((hopeless / "torn").glob("examples.lance-*"))) == 1


@pytest.mark.parametrize("table", ["example_enrichment", "feedback_judgements", "article_enrichment"])
def test_lost_findings_are_found_out_again_without_the_log_and_numbered_above_what_runs_have_seen(
    tmp_path: Path, table: str
) -> None:
    folder = tmp_path / "b"
    with opened(folder) as buffer:
        buffer.insert(stored(article("a-1"), label("l-1"), feedback("f-1", "another text"), offset=0))
        enrich(buffer)
        enrich(buffer, "articles")
        seen = buffer.counts("news-topics").max_seq
        before = buffer.table_counts(), buffer.defence("news-topics").standings
    for file in (folder / f"{table}.lance" / "_versions").iterdir():
        zero_start(file)
    with opened(folder, numbered_up_to=seen) as buffer:
        assert len(buffer.repairs) == 1
        assert buffer.rewind == {}
        enrich(buffer)
        enrich(buffer, "articles")
        assert (buffer.table_counts(), buffer.defence("news-topics").standings) == before
        if table == "example_enrichment":
            assert buffer.counts("news-topics", after_seq=seen).new == buffer.counts("news-topics").train == 2


def test_a_first_start_that_was_killed_among_the_tables_is_no_loss(tmp_path: Path) -> None:
    with opened(tmp_path / "b"):
        pass
    shutil.rmtree(tmp_path / "b" / "requests.lance")
    with opened(tmp_path / "b") as buffer:
        assert (buffer.repairs, set(buffer.rewind.values())) == ((), {0})


def test_a_table_that_is_gone_beside_others_is_told_of(folder: Path) -> None:
    shutil.rmtree(folder / "requests.lance")
    with opened(folder) as buffer:
        assert buffer.repairs == ("requests: the table is gone; it is rebuilt from what the event log still holds",)


def test_a_start_says_from_where_to_read_until_the_log_was_rewound(folder: Path) -> None:
    truncate(newest(folder, "examples", "data/*.lance"))
    with opened(folder) as buffer:
        assert buffer.rewind == {FEEDBACK: 20}
    # Killed before the log was rewound: nothing is torn any more, and yet ten rows are missing.
    with opened(folder) as buffer:
        assert (buffer.repairs, buffer.rewind) == ((), {FEEDBACK: 20})
        buffer.rewound(FEEDBACK.topic)
        assert buffer.rewind == {}
    with opened(folder) as buffer:
        assert buffer.rewind == {}


@pytest.mark.parametrize("table", ["feedback_judgements", "example_enrichment", "examples"])
def test_what_was_judged_of_feedback_is_judged_again_and_of_no_other_row(tmp_path: Path, table: str) -> None:
    said = [
        stored(*(feedback(f"f-{n}", f"text {n}", user_id="u-1") for n in range(start, start + 5)), offset=start)
        for start in (0, 10)
    ]
    disputed = stored(*(feedback(f"d-{n}", f"text {n}", "sport", user_id="u-2") for n in range(10, 15)), offset=20)
    with opened(tmp_path / "b") as buffer:
        for batch in (*said, disputed):
            buffer.insert(batch)
            enrich(buffer)
        before = buffer.counts("news-topics").train, buffer.defence("news-topics").standings
        assert before == (5, {"conflict": 10, "effective": 5})
    truncate(newest(tmp_path / "b", table, "data/*.lance"))
    with opened(tmp_path / "b") as buffer:
        assert len(buffer.repairs) == 1
        assert buffer.counts("news-topics").train <= 10, "nothing in dispute counts, whatever number it gets now"
        read_again(buffer, [*said[0], *said[1], *disputed])
        enrich(buffer)
        assert (buffer.counts("news-topics").train, buffer.defence("news-topics").standings) == before
        assert buffer.counts("news-topics").unenriched == 0
