"""Unpacks an answer as it comes, never beyond what is asked for."""

from __future__ import annotations

import zlib
from collections.abc import Callable

_GZIP = 16 + zlib.MAX_WBITS


def of(encoding: str) -> Callable[[bytes, int], bytes]:
    """Return what gives the content of the next bytes, at most so many of it, for the `Content-Encoding` of an answer.

    Raises `ValueError`, in words, for another encoding than gzip; so does what is returned for bytes that are damaged.
    """
    said = encoding.strip().lower()
    if said in ("", "identity"):
        return lambda part, most: part[:most]
    if said not in ("gzip", "x-gzip"):
        message = f"it is packed as {said[:50]!r}, which was not asked for"
        raise ValueError(message)
    packed = zlib.decompressobj(_GZIP)

    def unpacked(part: bytes, most: int) -> bytes:
        try:
            return packed.decompress(part, most)
        except zlib.error as error:
            message = f"it is packed, and damaged ({error})"
            raise ValueError(message) from None

    return unpacked
