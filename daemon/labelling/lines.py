"""An answer as JSON: a line of `perennial review` without a terminal, and the body of `POST /v1/review`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from config.errors import UserError
from daemon.labelling.answering import Desk, Told

ACTS = ("target", "accept", "reject", "skip", "cannot_tell")


def answer(desk: Desk, said: Mapping[str, Any]) -> Told:
    """Take in an answer: `item`, `lane`, one of `ACTS`, and `note` if need be. Raises `UserError` for one that is not right."""
    unknown = sorted(said.keys() - {"item", "lane", "note", *ACTS})
    acts = [name for name in ACTS if name in said]
    item, lane, note = (said.get(name, "") for name in ("item", "lane", "note"))
    if unknown or len(acts) != 1 or not all(isinstance(one, str) for one in (item, lane, note)):
        message = f"{unknown[0]!r} is not known" if unknown else f"give item, lane and exactly one of {', '.join(ACTS)}"
        raise UserError(message)
    if acts == ["skip"]:
        return desk.skip(lane, item, note)
    if acts == ["cannot_tell"]:
        return desk.cannot_tell(lane, item, note)
    if acts == ["target"]:
        if not isinstance(said["target"], dict):
            message = "target is no JSON object"
            raise UserError(message)
        return desk.say(lane, item, said["target"], note)
    return desk.decide(item, str(said["accept"]) if acts == ["accept"] else None, note)
