"""Which failures pass by themselves: the same run, tried again later, may succeed."""

from __future__ import annotations

import errno
import os
from collections.abc import Iterator

from config.errors import RetryError

_PASSING_ERRNOS = frozenset(
    {errno.ENOSPC, errno.EDQUOT, errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM, errno.EIO, errno.EBUSY, errno.ESTALE}
)
# A library may report a full disk only in its message: safetensors and LanceDB do.
_FULL_DISK = (os.strerror(errno.ENOSPC).lower(), os.strerror(errno.EDQUOT).lower())
_HTTP_LIBRARIES = ("httpx", "httpcore", "requests", "urllib3", "aiohttp")
_HTTP_TROUBLE = ("Connect", "Timeout", "Network", "Protocol", "ReadError", "WriteError", "Proxy", "SSLError")
_BUSY_STATUS = frozenset({408, 425, 429})
_SERVER_ERROR = 500
OTHERS_LOST = "another process of this run has ended, so this one could not go on"
_LOST_PROCESS = ("Connection closed by peer", "Connection reset by peer", "gloo/transport")
_DISTRIBUTED_ERRORS = frozenset({"DistBackendError", "DistNetworkError", "DistStoreError"})
_UNMAPPED = ("failed to map segment", "cannot allocate memory")
"""What the loader says of a library that it finds no room for."""
_ALLOCATION_FAILURES = ("can't allocate memory", "not enough memory", "bad_alloc", "out of memory", "unable to allocate")


def cause_that_passes(error: BaseException) -> str | None:
    """Return the temporary failure behind `error`, in words; None where trying again would change nothing."""
    for each in causes(error):
        if isinstance(each, RetryError):
            return str(each)
        if _is_lost_process(each):
            return OTHERS_LOST
        if isinstance(each, OSError) and each.errno in _PASSING_ERRNOS:
            return each.strerror or str(each)
        if any(mark in str(each).lower() for mark in _FULL_DISK):
            return os.strerror(errno.ENOSPC)
        if _is_network_trouble(each):
            return f"the network or a server did not answer ({type(each).__name__})"
    return None


def causes(error: BaseException) -> Iterator[BaseException]:
    """Yield the error and what led to it: a library may have wrapped the one that counts."""
    current: BaseException | None = error
    while current is not None:
        yield current
        current = current.__cause__ or current.__context__


def is_allocation_failure(error: BaseException) -> bool:
    """Return whether memory ran out, not looking at what led to the error."""
    # torch raises its own type on a GPU and a bare RuntimeError on the CPU; it need not be imported to be recognised.
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    marks = _UNMAPPED if isinstance(error, ImportError) else _ALLOCATION_FAILURES if isinstance(error, RuntimeError) else ()
    return any(mark in str(error).lower() for mark in marks)


def _is_lost_process(error: BaseException) -> bool:
    """Return whether another process of a run that several tune has ended."""
    # gloo raises a bare RuntimeError, nccl a type of its own.
    return type(error).__name__ in _DISTRIBUTED_ERRORS or (
        isinstance(error, RuntimeError) and any(mark in str(error) for mark in _LOST_PROCESS)
    )


def _is_network_trouble(error: BaseException) -> bool:
    kind = type(error)
    if kind.__name__ == "OfflineModeIsEnabled":  # a setting of the hub's library, which derives it from ConnectionError
        return False
    # `socket.gaierror` is a name that could not be looked up.
    if isinstance(error, (ConnectionError, TimeoutError)) or kind.__name__ == "gaierror":
        return True
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(status, int):
        return status >= _SERVER_ERROR or status in _BUSY_STATUS
    return kind.__module__.startswith(_HTTP_LIBRARIES) and any(mark in kind.__name__ for mark in _HTTP_TROUBLE)
