import itertools
import subprocess
import sys
from collections import Counter
from datetime import UTC, datetime, timedelta

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.sparse.csgraph import connected_components

from config.settings import load_settings
from config.tasks import load_tasks
from consumers.events import parsing
from consumers.events import schemas as events
from daemon.demo import names, stream
from daemon.demo.stream import ENTITIES_TASK, TOPICS_TASK, NewsStream, Story

START = datetime(2026, 3, 1, tzinfo=UTC)


def news(seed: int = 20) -> NewsStream:
    return NewsStream(seed=seed, start=START, every=timedelta(minutes=20))


@pytest.fixture(scope="module")
def before() -> list[Story]:
    return news().phase_one(1_000)


@pytest.fixture(scope="module")
def after() -> list[Story]:
    source = news()
    source.phase_one(10)
    return source.phase_two(600)


def test_the_same_seed_tells_the_same_stories_and_another_seed_others(before: list[Story]) -> None:
    assert news().phase_one(50) == before[:50]
    assert {story.text for story in news(21).phase_one(50)}.isdisjoint(story.text for story in before)


@pytest.mark.process
def test_the_stories_do_not_depend_on_the_hash_seed_of_the_process() -> None:
    told = (
        "from datetime import *; from daemon.demo.stream import *; s = NewsStream(seed=3, start=datetime(2026, 3, 1, tzinfo=UTC))"
    )
    command = [sys.executable, "-c", f"{told}; print([x.text for x in [*s.phase_one(20), *s.phase_two(20)]])"]
    first, second = (
        subprocess.run(command, check=True, capture_output=True, env={"PYTHONHASHSEED": seed}).stdout for seed in "12"
    )
    assert first == second


def test_every_event_is_taken_by_the_parser(before: list[Story], after: list[Story]) -> None:
    tasks = load_tasks(load_settings().tasks_folder)
    source = news()
    for story in [*before[:100], *after[:100]]:
        sent = [source.article(story), *(source.gold(story, task) for task in (TOPICS_TASK, ENTITIES_TASK))]
        for event in sent:
            parsed = parsing.parse(events.to_bytes(event), tasks=tasks, now=story.at)
            assert parsed == event


def test_an_article_and_its_labels_speak_of_the_same_text(before: list[Story]) -> None:
    story = before[0]
    assert news().article(story).text == story.text == news().gold(story, TOPICS_TASK).text


def test_spans_are_the_names_in_order_without_overlap(before: list[Story], after: list[Story]) -> None:
    pools = (names.BEFORE, names.AFTER)
    of_places = {name for pool in pools for name in pool.gpe}
    of_papers = {name for pool in pools for name in pool.news_org}
    for story in [*before, *after]:
        ends = [0, *(span.end for span in story.spans)]
        assert all(span.start >= end for span, end in zip(story.spans, ends, strict=False))
        for span in story.spans:
            name = story.text[span.start : span.end]
            assert name == name.strip()
            assert name
            assert span.label != "GPE" or name in of_places
            assert span.label != "NEWS_ORG" or name in of_papers


def test_no_place_or_paper_goes_unmarked(before: list[Story], after: list[Story]) -> None:
    for story in [*before, *after]:
        marked = {(span.start, span.end) for span in story.spans}
        for place in (*names.BEFORE.gpe, *names.AFTER.gpe):
            at = story.text.find(place)
            assert at < 0 or any(start <= at and at + len(place) <= end for start, end in marked)


def test_all_types_of_the_shipped_task_occur_and_no_others(before: list[Story]) -> None:
    shipped = load_tasks(load_settings().tasks_folder)[ENTITIES_TASK].label_names
    assert {span.label for story in before for span in story.spans} == set(shipped)


def test_offsets_count_code_points(before: list[Story]) -> None:
    assert any(len(story.text[: story.spans[-1].end].encode()) > story.spans[-1].end for story in before), (
        "no story has a letter of several bytes before a name"
    )


def test_stories_are_distinct_and_25_to_60_words_long(before: list[Story], after: list[Story]) -> None:
    told = [*before, *after]
    assert len({story.text for story in told}) == len(told)
    assert all(stream.MIN_WORDS <= len(story.text.split()) <= stream.MAX_WORDS for story in told)


def test_topics_before_the_drift_are_even(before: list[Story]) -> None:
    shares = Counter(story.topic for story in before)
    assert len(shares) == 8
    assert min(shares.values()) > 80


def test_the_drift_brings_a_topic_that_was_not_there(before: list[Story], after: list[Story]) -> None:
    assert all(story.topic != "spaceflight" for story in before)
    assert 0.2 < sum(story.topic == "spaceflight" for story in after) / len(after) < 0.4


def test_new_names_are_absent_before_the_drift_and_common_after_it(before: list[Story], after: list[Story]) -> None:
    new = {
        *names.AFTER.first, *names.AFTER.last, *names.AFTER.org, *names.AFTER.org_kind, *names.AFTER.gpe, *names.AFTER.news_org,
        *names.AFTER.product, *names.AFTER.event, *names.AFTER.policy, *names.AFTER.metric,
    }  # fmt: skip
    text = "\n".join(story.text for story in before).lower()
    assert [name for name in new if name.lower() in text] == []
    named = [story for story in after if any(name.lower() in story.text.lower() for name in new)]
    assert len(named) > 0.8 * len(after)


def test_time_goes_on_from_the_start(before: list[Story]) -> None:
    assert before[0].at == START
    assert {later.at - earlier.at for earlier, later in itertools.pairwise(before)} == {timedelta(minutes=20)}


def test_readers_confirm_right_answers_correct_wrong_ones_and_sometimes_err(before: list[Story]) -> None:
    source = news()
    verdicts: Counter[tuple[bool, str]] = Counter()
    for number, story in enumerate(before[:400]):
        for task in (TOPICS_TASK, ENTITIES_TASK):
            answer = story.target(task) if number % 2 else {"label": "astrology", "spans": []}
            said = source.feedback(
                story, task, answer, prediction_id=f"p-{number}-{task}", model_version=f"{task}/v1", at=START
            )  # fmt: skip
            assert said.verdict == ("confirmation" if stream.same_answer(task, answer, said.target) else "correction")
            verdicts[said.target == story.target(task), said.verdict] += 1
    wrong = sum(count for (right, _), count in verdicts.items() if not right)
    assert 0.02 < wrong / 800 < 0.09
    assert verdicts[True, "confirmation"] > 350
    assert verdicts[True, "correction"] > 350


def test_a_reader_says_the_same_whenever_asked(before: list[Story]) -> None:
    ask = {"prediction_id": "p-1", "model_version": "news-topics/v1", "at": START}
    told = [source.feedback(before[3], TOPICS_TASK, {"label": "sport"}, **ask) for source in (news(), news())]
    assert told[0] == told[1]


@pytest.mark.slow
def test_no_story_holds_more_than_2_percent_of_the_rows(before: list[Story], after: list[Story]) -> None:
    from consumers.enrichment.embedding import Encoder  # noqa: PLC0415 - loads torch

    settings = load_settings().enrich
    texts = [story.text for story in [*before[:300], *after[:150]]]
    vectors = np.asarray(Encoder(settings.encoder).encode(texts))
    # Chains of similar texts are one story here, which is the worst that any clustering by this threshold can do.
    _, cluster = connected_components(csr_matrix(vectors @ vectors.T >= settings.story_similarity))
    assert np.bincount(cluster).max() <= 0.02 * len(texts)
