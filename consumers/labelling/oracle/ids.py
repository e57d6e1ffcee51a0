"""Event ids of labels by a language model: they tell the prompt, so that labels of one can be found and taken back. Pure."""

from __future__ import annotations

import hashlib
import json
import re

UNKNOWN = "unknown"
"""The prompt of labels whose ids do not tell it."""
_PROMPT_DIGITS = 16
_ID = re.compile(r"oracle-([0-9a-f]{16})-[0-9a-f]{24}")


def short(prompt_sha256: str) -> str:
    """Return a prompt as ids tell it."""
    return prompt_sha256[:_PROMPT_DIGITS]


def event_id(task: str, prompt_sha256: str, says: tuple[str, str, float], times: int) -> str:
    """Return the id of a label; `says`: SHA-256 of its text, target, weight.

    `times`: how often just this label was withdrawn before, so that it can come again.
    """
    said = [task, prompt_sha256, *says, times]
    return f"oracle-{short(prompt_sha256)}-{hashlib.sha256(json.dumps(said).encode()).hexdigest()[:24]}"


def prompt_of(event_id: str) -> str:
    """Return the prompt of a label, as `short` tells it; `UNKNOWN` where the id does not tell."""
    found = _ID.fullmatch(event_id)
    return found[1] if found else UNKNOWN
