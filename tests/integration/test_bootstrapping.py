"""`perennial bootstrap`: what it makes champion, and that a second run does nothing twice; the run itself is made up."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from config.clock import utc_now
from config.errors import UserError
from consumers.collecting import gdelt as gdelts
from consumers.labelling.weak.figures import figures
from consumers.labelling.weak.labelling import find, label
from consumers.labelling.weak.stored import Changes, changes
from consumers.log.open import open_event_log
from daemon.cli.main import app
from daemon.cli.starting import bootstrap as bootstrap_command
from daemon.flow import collecting
from daemon.flow.collecting import Collected, Means
from daemon.operations import bootstrapping, training_now
from daemon.operations.bootstrapping import Outcome, bootstrap
from daemon.operations.weak_labels import Applied, Look
from daemon.process.leader import Leader
from tests.integration.test_collecting import SITEMAP, rss, serving
from tests.support import weak
from tests.support.cycles import NAME, World, better, task
from trainers.job.spec import JobResult, JobSpec

RULES = {"rules": [weak.SPORT, weak.MONEY]}


class Silent:
    """Watches, and keeps what it was told."""

    def __init__(self) -> None:
        self.looks: list[Look] = []

    def does(self, step: str, share: float | None, left: int = 0) -> None: ...

    def collected(self, found: Any) -> None: ...

    def labelled(self, seen: Look, applied: Applied) -> None:
        self.looks.append(seen)

    def waits(self, ahead: Any) -> None: ...

    def goes_on(self, run: Any, progress: Any) -> None: ...


def unjudged(spec: JobSpec, *, rows: int = 0, gain: float = 0.0) -> JobResult:
    found = better(spec, gain=gain)
    assert found.comparison is not None
    return found.model_copy(update={"comparison": found.comparison.model_copy(update={"rows": rows, "stories": rows})})


@pytest.fixture
def world(tmp_path: Path) -> Iterator[World]:
    with World(tmp_path, task(weak_labels=RULES, new_label_min_examples=1), train=unjudged, keep_runs=3) as made:
        yield made


@pytest.fixture
def asked(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Outcome]:
    """Bootstrap the world: its articles are there, a daemon leads, and runs are made up."""
    spec = world.tasks[NAME]
    stands: list[str] = []

    def look(_settings: Any, _name: str, _progress: Any) -> Look:
        found = find(spec, weak.texts("A match", "Rates rise"))
        labelled = label(found)
        new = changes(spec, labelled.labels, [])
        return Look(spec, figures(found, labelled), Changes([], (), 2) if stands else new)

    def apply(_settings: Any, seen: Look) -> Applied:
        stands.extend(one.event_id for one in seen.changes.new)
        return Applied(len(seen.changes.new), len(seen.changes.withdrawn), seen.changes.unchanged)

    def follow(_settings: Any, _registry: Any, _task: str, key: str, **_more: Any) -> Any:
        begun = world.registry.runs.unfinished()
        return world.cycle.advance(begun[0]) if begun else world.ask(key)

    monkeypatch.setattr(bootstrapping.weak_labels, "task_with_rules", lambda _settings, _name: spec)
    monkeypatch.setattr(bootstrapping.weak_labels, "look", look)
    monkeypatch.setattr(bootstrapping.weak_labels, "apply", apply)
    monkeypatch.setattr(bootstrapping.leader, "of", lambda _registry: Leader("another process", None))
    monkeypatch.setattr(bootstrapping, "_until_enriched", lambda *_all: None)
    monkeypatch.setattr(bootstrapping.asking, "ask_for_run", lambda *_all, **_more: f"e-{len(world.registry.runs.list())}")
    monkeypatch.setattr(training_now, "follow", follow)
    monkeypatch.setattr(training_now, "quiet_log", lambda _settings: None)
    world.learn((f"train-{number}", f"text {number}", "AB"[number % 2]) for number in range(20))
    return lambda **more: bootstrap(world.settings, NAME, [], **{"promote": True, "watch": Silent(), **more})


def test_a_first_version_that_no_label_can_judge_is_promoted_and_the_history_says_so(
    world: World, asked: Callable[..., Outcome]
) -> None:
    outcome = asked()
    assert outcome.run is not None
    assert (outcome.promoted, outcome.champion, outcome.test_rows) == ("bootstrap", world.champion(), 0)
    assert outcome.run.verdict == "insufficient_evidence", "no verdict is made up"
    [move] = world.registry.versions.history(NAME)
    assert (move.actor, "not decided by the gate: 0 of the 5" in move.reason) == ("perennial bootstrap", True)

    again = asked()
    assert (again.promoted, again.champion, again.labels.new) == ("bootstrap", outcome.champion, 0)
    assert len(world.registry.runs.list()) == 1, "nothing has changed, so nothing is trained again"


def test_no_promote_leaves_a_candidate_that_a_second_run_promotes_without_training(
    world: World, asked: Callable[..., Outcome]
) -> None:
    first = asked(promote=False)
    assert (first.promoted, first.champion) == (None, None)
    second = asked()
    assert (second.promoted, second.champion) == ("bootstrap", first.run and first.run.version)
    assert len(world.registry.runs.list()) == 1


def test_where_labels_of_people_decide_the_gate_does(world: World, asked: Callable[..., Outcome]) -> None:
    world.train_with(better)
    outcome = asked()
    assert (outcome.promoted, outcome.champion) == ("gate", world.champion())
    [move] = world.registry.versions.history(NAME)
    assert move.actor == "daemon"


@pytest.mark.parametrize("rows", [3, 600])
def test_what_labels_of_people_speak_against_is_not_promoted(rows: int, world: World, asked: Callable[..., Outcome]) -> None:
    world.train_with(lambda spec: unjudged(spec, rows=rows, gain=-0.1))
    outcome = asked()
    assert (outcome.promoted, outcome.champion) == (None, None)


def test_a_run_that_was_interrupted_is_followed_to_its_end(world: World, asked: Callable[..., Outcome]) -> None:
    world.stop.set()
    cut_off = asked()
    assert (cut_off.run and cut_off.run.state, cut_off.champion) == ("queued", None)
    world.stop.clear()
    outcome = asked()
    assert outcome.promoted == "bootstrap"
    assert len(world.registry.runs.list()) == 1


def test_rules_that_label_nothing_train_nothing(world: World, asked: Callable[..., Outcome], monkeypatch: Any) -> None:
    spec = world.tasks[NAME]
    found = find(spec, weak.texts("Weather"))
    empty = Look(spec, figures(found, label(found)), Changes([], (), 0))
    monkeypatch.setattr(bootstrapping.weak_labels, "look", lambda *_all: empty)
    with pytest.raises(UserError, match="label none of 1 text"):
        asked()
    assert world.registry.runs.list() == []


def test_a_task_without_rules_is_refused_before_anything_is_imported(world: World) -> None:
    with pytest.raises(UserError, match="has no rules"):
        bootstrap(world.settings, "news-topics", [], promote=True, watch=Silent())


def failed(source: str, *, sent: int = 0) -> Collected:
    return Collected(source, read=sent, sent=sent, error="it does not answer")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ([], "no file that ends in"),
        ([failed("a"), failed("b")], "no source could be read"),
        ([Collected("a")], "there is no article now in a"),
        ([Collected("a", read=2, unusable=2, examples=["x: it has no title"])], "no item that can be used"),
    ],
)
def test_sources_that_bring_nothing_train_nothing(
    world: World, asked: Callable[..., Outcome], given: list[Collected], told: str
) -> None:
    with pytest.raises(UserError, match=told):
        asked(collect=lambda _means: given)
    assert world.registry.runs.list() == []


def test_a_source_that_fails_midway_holds_up_nothing_and_is_told(asked: Callable[..., Outcome]) -> None:
    found = [failed("a", sent=3), Collected("b", read=2, sent=1, known=1)]
    outcome = asked(collect=lambda _means: found)
    assert (outcome.promoted, outcome.sources) == ("bootstrap", found)
    assert (outcome.imported, outcome.known) == (4, 1)


def test_too_few_articles_are_said_with_what_is_missing(
    world: World, asked: Callable[..., Outcome], monkeypatch: pytest.MonkeyPatch
) -> None:
    spec = world.tasks[NAME].model_copy(update={"new_label_min_examples": 3})
    found = find(spec, weak.texts("A match", "Another match", "Third match", "Rates rise"))
    labelled = label(found)
    few = Look(spec, figures(found, labelled), changes(spec, labelled.labels, []))
    monkeypatch.setattr(bootstrapping.weak_labels, "look", lambda *_all: few)
    with pytest.raises(UserError, match=r"too few articles: .*\(sport 3, economy 1\).*run this command again once the sources"):
        asked(collect=lambda _means: [Collected("a", sent=4)])
    with pytest.raises(UserError, match="too few articles"):
        asked()
    assert world.registry.runs.list() == []
    with_people = find(spec, weak.texts("A match", "Rates rise", gold={"A goal": {"label": "sport"}}))
    seen = label(with_people)
    enough = Look(spec, figures(with_people, seen), changes(spec, seen.labels, []))
    monkeypatch.setattr(bootstrapping.weak_labels, "look", lambda *_all: enough)
    assert asked().run is not None, "labels of people may be enough"


class _ReachedError(Exception):
    """The command has come to the operation."""


@pytest.fixture
def command(world: World, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Run the command up to its operation, and return what its source gives there; None: it reads none."""

    def operation(_settings: Any, _name: str, files: Any, *, collect: Any = None, **_more: Any) -> Outcome:
        kept.append(collect(Means(sleep=lambda _s: None)) if collect else None)
        raise _ReachedError

    def run(*words: str) -> Any:
        result = CliRunner().invoke(app, ["bootstrap", NAME, *words])
        if isinstance(result.exception, _ReachedError):
            return kept[-1]
        assert isinstance(result.exception, UserError), result.output
        return str(result.exception)

    kept: list[Any] = []
    monkeypatch.setattr(bootstrap_command, "load_settings", lambda: world.settings)
    monkeypatch.setattr(bootstrapping, "bootstrap", operation)
    monkeypatch.setattr(bootstrapping.weak_labels, "task_with_rules", lambda _settings, _name: world.tasks[NAME])
    return run


def test_the_command_reads_feeds_sitemaps_and_folders(command: Callable[..., Any], tmp_path: Path) -> None:
    folder = tmp_path / "crawl"
    folder.mkdir()
    (folder / "a.jsonl").write_text('{"title": "One"}\n{"title": "Two"}\n')
    with serving() as site:
        feed, broken = site.put("/rss", rss(1, 2, 3)), site.put("/gone", b"", status=410)
        found = command("--source", "rss", "--pause", "0", "--articles", "2", feed, broken)
        assert [(one.source, one.sent, bool(one.error)) for one in found] == [(feed, 2, False), (broken, 0, True)]
        [found] = command("--source", "sitemap", "--pause", "0", site.put("/map.xml", SITEMAP.encode()))
        assert found.sent == 1
    [found] = command("--source", "jsonl", str(folder))
    assert found.sent == 2
    [again] = command("--source", "jsonl", str(folder))
    assert (again.sent, again.unchanged) == (0, True), "a second run finds nothing new, and goes on with what is stored"
    assert command() is None


def test_gdelt_that_fails_midway_keeps_what_it_gave(
    command: Callable[..., Any], world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gdelts, "MOST_RECORDS", 2)
    seen = [f"{utc_now() - timedelta(hours=hours):%Y%m%dT%H%M%SZ}" for hours in (1, 2)]
    stories = [{"url": f"https://g.example/{at}", "title": f"Story {at}", "seendate": at, "domain": "g.example"} for at in seen]
    answers = iter([json.dumps({"articles": stories}).encode(), b"Please limit requests to one every 5 seconds"])

    class Pages(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            return (lambda _handler: (200, {}, next(answers))) if path.startswith("/doc") else default

    with serving() as site:
        site.pages = Pages()
        monkeypatch.setitem(collecting.gdelt.__kwdefaults__, "endpoint", f"{site.url}/doc")
        [found] = command("--source", "gdelt", "--country", "sweden", "--hours", "72", "storm")
        asked = [path for path, _headers in site.asked if path.startswith("/doc")]
    assert (found.sent, "Please limit" in found.error) == (2, True)
    assert "storm+sourcecountry%3Asweden" in asked[0]
    with closing(open_event_log(world.settings)) as log:
        assert log.kept("perennial.articles") == 2


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--source", "ftp", "x"], "choose one of rss, sitemap, gdelt, jsonl"),
        (["--source", "rss"], "wants addresses"),
        (["--source", "jsonl", "a", "b"], "one folder at a time"),
        (["--source", "rss", "https://x.example/", "--country", "sweden"], "--country is an option of `--source gdelt`"),
        (["--articles", "5"], "--articles is an option of"),
        (["--source", "rss", "https://x.example/", "--title", "headline"], "--title says how files are read"),
        (["--source", "rss", "https://x.example/", "--time", "day"], "--time says how files are read"),
        (["--source", "rss", "https://x.example/", "--no-header"], "--no-header says how files are read"),
        (["https://x.example/rss"], "add --source rss"),
        (["--source", "gdelt"], "ask for something"),
    ],
)
def test_what_does_not_go_together_is_named(command: Callable[..., Any], words: list[str], told: str) -> None:
    assert told in command(*words)
