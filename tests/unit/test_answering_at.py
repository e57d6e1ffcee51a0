"""Which version answered at a moment: pins change nothing, rollbacks do."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

from daemon.views.models import versions
from registry import promotion
from registry.store import Registry
from tests.support.registries import TASK, Clock, add_version

STEPS = ("promote", "promote", "pin", "unpin", "rollback")


def test_a_moment_belongs_to_the_last_move_before_it(tmp_path: Path) -> None:
    clock = Clock()
    with Registry.open(f"sqlite:///{tmp_path / 'registry.db'}", clock=clock) as registry:
        first, second = add_version(registry).name, add_version(registry).name
        began = clock.now

        def then(hours: float) -> str | None:
            found = versions.answering_at(registry, TASK, hour(hours))
            return found.to_version if found else None

        def hour(hours: float) -> datetime:
            return began + timedelta(hours=hours)

        for step in STEPS:
            clock.forward(3600)
            match step:
                case "promote":
                    name = first if clock.now == hour(1) else second
                    promotion.promote_by_hand(registry, name, actor="t", reason="better")
                case "pin":
                    promotion.pin(registry, TASK, actor="t", reason="hold")
                case "unpin":
                    promotion.unpin(registry, TASK, actor="t", reason="go")
                case _:
                    promotion.rollback(registry, TASK, to=None, actor="t", reason="worse")
        assert [then(at) for at in (0.5, 1, 1.5, 2, 3.5, 4.5, 5, 99)] == [
            None, first, first, second, second, second, first, first,
        ]  # fmt: skip
