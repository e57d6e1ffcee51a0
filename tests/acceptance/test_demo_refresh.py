"""The demo's last act on a real daemon over a tiny model: corrections, a reload, a refresh of the head, a verdict."""

from __future__ import annotations

import io
import time
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from config.clock import utc_now
from daemon.demo import acts
from daemon.demo.acts import Stage
from daemon.demo.narrator import Narrator
from daemon.demo.stream import TOPICS_TASK, NewsStream
from perennial_artifact.description import describe
from perennial_artifact.sentence.layout import BLOCKS_FORMAT
from registry.artifacts.local import LocalArtifacts
from registry.store import Registry
from tests.support.daemons import LIMIT_S, ask, installation, wait_for_decision

pytestmark = pytest.mark.slow


def test_a_handful_of_corrections_refreshes_the_head(tmp_path: Path, models: Path) -> None:
    every = timedelta(minutes=20)
    news = NewsStream(seed=3, start=utc_now() - every * 600, every=every)
    told = io.StringIO()
    with installation(tmp_path, models, serve=True) as daemon:
        # The tiny encoder knows no word of the news: the head reads these beside it.
        daemon.change_tasks({TOPICS_TASK: {"training.tuning": "never", "training.feature_blocks": ["ngrams"]}})
        console = Console(file=told, width=200)
        with Narrator(console) as narrator:
            stage = Stage(narrator, daemon, news, deadline=time.monotonic() + 5 * LIMIT_S, tasks=(TOPICS_TASK,))
            stage.publish(news.phase_one(200))
            ask(daemon, TOPICS_TASK)
            wait_for_decision(daemon, TOPICS_TASK)
            acts.until_served(stage)
            first = stage.look()[TOPICS_TASK].champion
            acts.refresh(stage)
            ended = stage.look()[TOPICS_TASK].ended
        assert [run.kind for run in ended] == ["refresh", "full"]
        with Registry.open(daemon.settings.registry_url, read_only=True) as registry:
            newest = registry.runs.list(TOPICS_TASK, limit=1)[0]
            assert (newest.kind, newest.state, newest.parent) == ("refresh", "decided", first)
            assert newest.version is not None
            artifact = registry.versions.get(newest.version).artifact_id
    assert describe(LocalArtifacts(daemon.settings.artifacts_dir).folder(artifact)).format == BLOCKS_FORMAT
    assert newest.version in told.getvalue()
