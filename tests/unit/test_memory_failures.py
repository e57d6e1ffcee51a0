"""Which errors say that memory ran out."""

from __future__ import annotations

import pytest

from trainers.job.passing import is_allocation_failure


@pytest.mark.parametrize(
    ("error", "ran_out"),
    [
        (MemoryError(), True),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"), True),
        (RuntimeError("shapes do not fit"), False),
        (ImportError("/x/numpy_ops.so: failed to map segment from shared object"), True),
        (ImportError("/x/lib.so: cannot allocate memory in static TLS block"), True),
        (ImportError("No module named 'x'"), False),
        (ValueError("out of memory"), False),
    ],
)
def test_what_ran_out_of_memory(error: Exception, ran_out: bool) -> None:
    assert is_allocation_failure(error) is ran_out
