"""The ways in which a text to label is chosen. Without numpy: whoever shows the texts reads them too."""

from __future__ import annotations

from typing import Literal, get_args

Way = Literal["uncertain", "diverse", "short", "random"]
WAYS: tuple[Way, ...] = get_args(Way)
