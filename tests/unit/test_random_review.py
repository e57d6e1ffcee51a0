"""Texts that models answered, drawn at random: which are drawn, what an answer becomes, and what nobody can be asked."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from config.errors import UserError
from config.settings import environment_of
from consumers.events.schemas import content_sha256
from consumers.labelling.lanes import RANDOM
from daemon.cli.main import app
from tests.support import buffers
from tests.support.cycles import task
from tests.support.desks import HELD_OUT, NAME, Newsroom
from tests.support.tables import rows_of


@pytest.fixture
def news(tmp_path: Path) -> Iterator[Newsroom]:
    with Newsroom(tmp_path) as room:
        yield room


def serve(news: Newsroom, *texts: str, article_id: str | None = None, days: float = 0.0) -> None:
    """Have a model answer these texts."""
    at = news.clock.now - buffers.timedelta(days=days)
    made = [
        buffers.prediction(
            f"p-{text}", text, task=NAME, model_version=f"{NAME}/v1", answer={"label": "A"}, occurred_at=at, article_id=article_id
        )
        for text in texts
    ]  # fmt: skip
    buffers.take(news.buffer, *made, offset=len(texts) * 1_000 + int(days))


def drawn(news: Newsroom, annotator: str = "anna", limit: int = 100) -> list[str]:
    return [item.text for item in news.look(annotator, RANDOM, limit=limit).items]


def test_an_answer_is_a_label_that_was_drawn_at_random(news: Newsroom) -> None:
    serve(news, *(f"served {number}" for number in range(8)))
    shown = news.look(lane=RANDOM, limit=3)
    assert (len(shown.items), shown.lane.waiting, shown.lane.blind, shown.lane.on_request) == (3, 8, True, True)
    assert shown.items[0].said == ()
    assert news.desk().label(RANDOM, shown.items[0].item, {"label": ["B"]}).done
    assert shown.items[0].text not in drawn(news), "it is on its way"
    news.take_in()
    (row,) = rows_of(news.settings.buffer_dir, "examples", ["text", "selected_by", "annotator", "article_id"]).to_pylist()
    assert row == {"text": shown.items[0].text, "selected_by": RANDOM, "annotator": "anna", "article_id": None}
    assert len(drawn(news)) == 7
    assert len(drawn(news, "bob")) == 7 + (shown.items[0].text in drawn(news, "bob"))


def test_it_is_not_asked_about_unless_it_is_named(news: Newsroom) -> None:
    serve(news, "served")
    assert news.look().lane.name == "test"
    assert {one.name: one.waiting for one in news.look().lanes}[RANDOM] == 1


def test_the_draw_goes_by_no_answer_and_each_text_comes_once(news: Newsroom) -> None:
    serve(news, *(f"served {number}" for number in range(30)))
    order = drawn(news)
    assert sorted(order) == sorted(f"served {number}" for number in range(30))
    assert order != sorted(order)
    assert order == drawn(news, "bob")
    buffers.take(
        news.buffer,
        buffers.prediction("again", "served 3", task=NAME, answer={"label": "B"}, occurred_at=news.clock.now),
        offset=9,
    )
    assert sorted(drawn(news)) == sorted(order)


def test_what_trains_is_not_drawn_by_text_document_or_story_and_what_is_held_out_is(news: Newsroom) -> None:
    news.learn([("train-1", "a text that trains", "A")])
    news.articles(["one", f"{HELD_OUT} two", "three"])
    buffers.take(news.buffer, buffers.label("l-1", "a part", "A", task=NAME, article_id="a-2"), offset=500)
    serve(news, "a text that trains")
    serve(news, "one as the app sent it", article_id="a-0")
    serve(news, "two as the app sent it", article_id="a-1")
    serve(news, "three as the app sent it", article_id="a-2")
    serve(news, "of no article that is stored", article_id="elsewhere")
    assert sorted(drawn(news)) == ["of no article that is stored", "one as the app sent it", "two as the app sent it"]


def test_with_a_teacher_articles_of_the_train_side_are_not_drawn(tmp_path: Path) -> None:
    spec = task()
    taught = spec.model_copy(update={"training": spec.training.model_copy(update={"teacher": "champion"})})
    with Newsroom(tmp_path, taught) as news:
        news.articles(["one", f"{HELD_OUT} two"])
        serve(news, "one as the app sent it", article_id="a-0")
        serve(news, "two as the app sent it", article_id="a-1")
        assert drawn(news) == ["two as the app sent it"]


def test_what_was_served_long_ago_is_not_drawn(news: Newsroom) -> None:
    serve(news, "today")
    serve(news, "long ago", days=news.task.promotion.window_days + 1)
    assert drawn(news) == ["today"]


@pytest.mark.parametrize("number", ["0", "-1", "501", "1000000000000000000000", "many"])
def test_a_number_that_nobody_can_draw_is_refused(number: str) -> None:
    done = CliRunner().invoke(app, ["review", NAME, "--random", number])
    assert done.exit_code == 2
    assert "--random" in done.output


def test_the_command_draws_and_says_what_it_cannot(news: Newsroom, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in environment_of(news.settings).items():
        monkeypatch.setenv(name, value)
    none = CliRunner().invoke(app, ["review", NAME, "--random", "5", "--json"])
    assert isinstance(none.exception, UserError)
    assert "no prediction is stored" in str(none.exception)
    serve(news, "served", "served too")
    other = CliRunner().invoke(app, ["review", NAME, "--random", "5", "--lane", "test"])
    assert isinstance(other.exception, UserError)
    found = CliRunner().invoke(app, ["review", NAME, "--random", "5", "--json"])
    assert found.exit_code == 0
    assert found.stdout.count(content_sha256("served")) == 1
    assert "only 2 texts of the 5" in found.output
    one = CliRunner().invoke(app, ["review", NAME, "--random", "1", "--json"])
    assert one.stdout.count('"item":') == 1
