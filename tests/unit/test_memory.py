"""What was freed goes back to the system, where its C library can give it back."""

from __future__ import annotations

import ctypes
import sys
import weakref

import psutil
import pytest

from perennial_artifact.memory import give_back

BLOCKS, BYTES = 4_000, 64 * 1024
"""Smaller than what the C library takes from the system by the piece."""


class Circle:
    def __init__(self) -> None:
        self.itself = self


def test_what_refers_to_itself_is_gone() -> None:
    watched = weakref.ref(Circle())
    give_back()
    assert watched() is None


def test_pages_between_pieces_that_are_held_go_back_to_the_system() -> None:
    library = ctypes.CDLL(None)
    if sys.platform != "linux" or not hasattr(library, "malloc_trim"):
        pytest.skip("this C library has no malloc_trim: nothing is given back by hand")
    library.malloc.restype, library.malloc.argtypes = ctypes.c_void_p, (ctypes.c_size_t,)
    library.free.restype, library.free.argtypes = None, (ctypes.c_void_p,)
    blocks = [library.malloc(BYTES) for _ in range(BLOCKS)]
    for block in blocks:
        ctypes.memset(block, 1, BYTES)
    for block in blocks[:-1]:
        library.free(block)
    held = psutil.Process().memory_info().rss
    give_back()
    given_back = held - psutil.Process().memory_info().rss
    library.free(blocks[-1])
    assert given_back > BLOCKS * BYTES / 2, "the last piece holds the heap open, and what lies before it went back"
