"""Who looks at the page, and what it may do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Right = Literal["view", "review", "operate", "admin"]
RIGHTS: tuple[Right, ...] = ("view", "review", "operate", "admin")
"""`view`: figures of tasks, runs and versions. `review`: texts and users too. `operate`: buttons. `admin`: the installation."""


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who asked for a page."""

    name: str
    """As history records it: `key:desk-7`, `token`, or `this machine` where nobody needs a key."""
    rights: frozenset[Right]
    csrf: str
    """What every form of this visitor must carry; empty: it can write nothing."""
    signed_in: bool
    """Whether there is a session to end."""

    def may(self, right: Right) -> bool:
        """Return whether it has the right."""
        return right in self.rights
