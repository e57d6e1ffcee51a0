"""A data folder with something of everything that commands and HTTP show, much of it written by strangers."""

from __future__ import annotations

from contextlib import closing
from datetime import timedelta
from pathlib import Path

import yaml

from config.settings import Settings
from consumers.dead_letters.store import DeadLetters
from consumers.events import schemas as events
from consumers.log.embedded.log import EmbeddedLog
from consumers.log.protocols import Position, RawEvent
from daemon.training.due.triggers import Trigger
from registry import promotion
from registry.people.corrections import Correction
from registry.runs import Run
from tests.support import buffers
from tests.support.cycles import NAME, World, failing, task
from tests.support.proven import scored

STRANGE = "\x1b[2J[/] [bold]x[/red] \x9b31m a\u202eb"
"""What no screen should act on: an escape sequence, markup, another escape, a mark that turns the text around."""
FEEDBACK, LONG_ID = "f-disputed-1", f"f-{'9' * 70}"
IDS = (f"{NAME}/v1", f"{NAME}/v2", FEEDBACK, LONG_ID, "reader[/]1")


def build(folder: Path) -> Settings:
    """Fill `folder` and return the settings that lead there; nothing runs in it."""
    with World(folder, task(description=f"News {STRANGE}"), train=scored) as world:
        tasks = folder / "tasks"
        tasks.mkdir()
        spec = world.tasks[NAME].model_dump(mode="json")
        (tasks / "toy.yaml").write_text(yaml.safe_dump(spec), encoding="utf-8")
        world.settings = world.settings.model_copy(update={"tasks_dir": str(tasks)})
        world.grow(10)
        world.cycle.step()
        world.clock.forward(3600)
        world.grow(12)
        world.cycle.step()
        world.runner.train = lambda spec: failing(spec).model_copy(update={"error": STRANGE})
        world.clock.forward(60)
        world.cycle.advance(_started(world, f"asked for {STRANGE}"))
        promotion.pin(world.registry, NAME, actor="operator", reason=STRANGE)
        _feedback(world)
        world.registry.api_keys.create("desk-7", ["feedback"])
        world.erasures.request(events.Erase(event_id="e-1", occurred_at=buffers.NOW, user_id="gone"))
        _strangers(world.settings)
        return world.settings


def _started(world: World, reason: str) -> Run:
    run = world.cycle.start(NAME, Trigger("request", "request:strange", reason, full=True))
    assert run is not None
    return run


def _feedback(world: World) -> None:
    said = [
        buffers.feedback(FEEDBACK, f"A disputed text {STRANGE}", "A", task=NAME, user_id="reader[/]1"),
        buffers.feedback(LONG_ID, f"A disputed text {STRANGE}", "B", task=NAME, user_id="reader-2", source="app [link=http://x]"),
    ]
    world.buffer.insert(buffers.stored(*said, offset=9_000))
    buffers.enrich(world.buffer)
    answering = Correction("0" * 64, LONG_ID, {"label": "B"}, accepted=True, examples=(LONG_ID,))
    world.registry.corrections.put(NAME, [answering])
    world.buffer.insert(buffers.stored(buffers.label("l-late", "Not enriched", "A", task=NAME), offset=9_100))
    world.buffer.set_aside("examples", "l-late", STRANGE)


def _strangers(settings: Settings) -> None:
    with closing(DeadLetters(settings.dead_letter_file)) as letters:
        for offset in range(2):
            position = Position(events.FEEDBACK_TOPIC, 0, offset)
            raw = RawEvent(position, f"{{{STRANGE}".encode() + b"\xff", b"\x1bkey\xff", ((STRANGE, b"\xfe"),), buffers.NOW)
            letters.add(raw, f"not JSON: {STRANGE}", field=STRANGE)
    with closing(EmbeddedLog(settings.event_log_file, retention=timedelta(days=14))) as log, closing(log.sink()) as sink:
        sink.publish(events.FEEDBACK_TOPIC, events.to_bytes(buffers.label("waits", task=NAME)))
