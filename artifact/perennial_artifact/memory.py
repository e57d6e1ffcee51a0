"""Gives back to the system what no model holds any more."""

from __future__ import annotations

import ctypes
import gc
import sys


def give_back() -> None:
    """Collect what refers to itself, as a spaCy pipeline does, and give freed pages back to the system, where its C library can.

    glibc keeps what was freed between pieces that are still held. Other threads run on meanwhile.
    """
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
