"""The tests of a task's pairs of models: each takes its level from the task's allowance of false promotions."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Self

from trainers.compare.sequential.allowance import Allowance
from trainers.compare.sequential.look import Look

_DAY_S = 86_400.0


@dataclass(frozen=True, slots=True)
class BegunTest:
    """The test of one pair, as the registry keeps it from its first look on."""

    level: float
    """What it took of the allowance."""
    left: float
    """What was left of the allowance then."""
    day: float
    """When that was, in days since 1970."""
    planned: float
    """Information at which its plan ends; infinite where labels alone end it."""
    looks: tuple[Look, ...] = ()

    @classmethod
    def begun(cls, last: BegunTest | None, planned: float, now: datetime) -> Self:
        """Return the test of a pair that is looked at for the first time; `last` is the one that took a level before it."""
        day = now.timestamp() / _DAY_S
        before = Allowance(day=day) if last is None else Allowance(last.left, last.day).at(day)
        level, after = before.take()
        return cls(level, after.left, after.day, planned)

    def with_look(self, look: Look | None) -> Self:
        """Return the test after a look; None: rows were too few to look at."""
        return self if look is None else replace(self, looks=(*self.looks, look))

    def as_json(self) -> dict[str, Any]:
        """Return it as the registry stores it."""
        return {
            "level": self.level, "left": self.left, "day": self.day,
            "planned": None if math.isinf(self.planned) else self.planned,
            "looks": [look.model_dump() for look in self.looks],
        }  # fmt: skip

    @classmethod
    def of_json(cls, stored: Any) -> Self | None:  # noqa: ANN401 - what JSON can hold
        """Return what was stored, None where there was nothing."""
        if stored is None:
            return None
        return cls(
            stored["level"], stored["left"], stored["day"], math.inf if stored["planned"] is None else stored["planned"],
            tuple(Look.model_validate(look) for look in stored["looks"]),
        )  # fmt: skip
