"""Reviews and erasures are told by the history: who and why, and never an id that may be erased."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from config.errors import UserError
from config.settings import Settings, load_settings
from consumers.buffer.open import open_reader
from consumers.erasure.requests import Erasures
from consumers.log.open import open_event_log
from daemon.operations import erasing, reviews
from daemon.views import history
from daemon.views.history import Entry
from registry.people.audit import By
from registry.store import Registry
from tests.support.buffers import TASKS, feedback, opened, stored

USER, ARTICLE, EVENT = "anna-5", "a-1", "f-of-anna-5"
Tell = Callable[[], list[Entry]]
MARIA = By("operator", "ticket 7")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    made = load_settings(data_dir=tmp_path / "data")
    with opened(made.buffer_dir) as buffer:
        buffer.insert(stored(feedback(EVENT, "Rates rise", user_id=USER)))
    return made


@pytest.fixture
def tell(settings: Settings) -> Tell:
    def entries() -> list[Entry]:
        with Registry.open(settings.registry_url) as registry:
            assert not any(name in repr(registry.audit.newest(None, 50)) for name in (USER, ARTICLE, EVENT))
            reader = open_reader(settings.buffer_dir, tasks=TASKS, min_quality=0.5)
            try:
                return history.entries(registry, reader, None, 50)
            finally:
                reader.close()

    return entries


def sent(settings: Settings) -> int:
    log = open_event_log(settings)
    try:
        return sum(1 for _ in log.source("test", ["perennial.feedback"]).poll(timeout_s=0.1, max_events=10))
    finally:
        log.close()


def test_a_review_is_told_without_whose_answer_it_is_about(settings: Settings, tell: Tell) -> None:
    reviews.decide(settings, "accept", reviews.About([EVENT]), MARIA)
    (one,) = tell()
    assert (one.what, one.by, one.why, one.subject) == ("feedback.accept", "operator", "ticket 7", "1 feedback event")
    assert sent(settings) == 1


def test_a_review_that_is_refused_is_not_told(settings: Settings, tell: Tell) -> None:
    for about, by in ((reviews.About(["f-unknown"]), MARIA), (reviews.About(user=USER), By("operator", f"{USER} lies"))):
        with pytest.raises(UserError):
            reviews.decide(settings, "reject", about, by)
    assert (tell(), sent(settings)) == ([], 0)


def test_an_erasure_and_its_end_are_told_without_whose_they_are(settings: Settings, tell: Tell) -> None:
    event = erasing.request(USER, ARTICLE)
    with pytest.raises(UserError, match="names the article"):
        erasing.ask(settings, event, By("operator", f"the family of {ARTICLE}"))
    with pytest.raises(UserError, match="nothing was ever erased"):
        erasing.let_in_again(settings, USER, None, MARIA)
    assert (tell(), sent(settings)) == ([], 0)
    erasing.ask(settings, event, MARIA)
    listed = Erasures(settings.data_dir)
    listed.request(event)
    with pytest.raises(UserError, match="never erased here"):
        erasing.let_in_again(settings, "somebody-else", None, MARIA)
    assert erasing.let_in_again(settings, USER, None, By("operator", "they came back")) == ["user"]
    assert not listed.tombstones().has("user", USER)
    listed.close()
    assert [(one.what, one.subject, one.by, one.why) for one in tell()] == [
        ("erasure.let_in", "user", "operator", "they came back"), ("erasure.request", "user and article", "operator", "ticket 7"),
    ]  # fmt: skip
    assert sent(settings) == 1
