"""News sitemaps: the articles that they list, with titles; and indexes of sitemaps."""

from __future__ import annotations

import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from config.foreign.times import read_time
from consumers.collecting import entities
from consumers.collecting.articles import Item
from consumers.collecting.fetching import Fetched

MOST_MAPS = 20
"""Sitemaps of an index that are read, the newest: older ones hold no news."""
_LONGEST_ADDRESS = 2_048
"""As sitemaps.org has it."""
_GZIP = b"\x1f\x8b"
_AUTOMATIC = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Map:
    """A sitemap that an index names."""

    url: str
    changed: datetime | None


def read(found: Fetched, most_bytes: int) -> Iterator[Item | Map]:
    """Yield the articles of a sitemap, or the sitemaps of an index. Of one that was cut the entries that came whole.

    Raises `ValueError`, in words, for what is none.
    """
    body, cut = _unpacked(found.body, most_bytes)
    cut = cut or found.cut
    entities.refuse(body, found.url)
    root: str | None = None
    try:
        for event, element in ET.iterparse(io.BytesIO(body), events=("start", "end")):  # noqa: S314 - without a DTD
            if root is None:
                root = _name(element)
                if root not in ("urlset", "sitemapindex"):
                    message = f"{found.url} is no sitemap, but <{root[:50]}>"
                    raise ValueError(message)
            if event == "end" and _name(element) in ("url", "sitemap"):
                said = {_name(one): (one.text or "").strip() for one in element.iter()}
                if 0 < len(said.get("loc", "")) <= _LONGEST_ADDRESS:
                    yield _entry(said, index=root == "sitemapindex")
                element.clear()
    except ET.ParseError as error:
        if not cut or root is None:
            message = f"{found.url} is no XML that can be read ({error})"
            raise ValueError(message) from None


def _entry(said: dict[str, str], *, index: bool) -> Item | Map:
    published = _time(said.get("publication_date") or said.get("lastmod"))
    if index:
        return Map(said["loc"], published)
    return Item(title=said.get("title", ""), url=said["loc"], published=published, publisher=said.get("name"))


def _unpacked(body: bytes, most_bytes: int) -> tuple[bytes, bool]:
    """Return the XML, and whether it was cut at so many bytes. Raises `ValueError` where it is packed and damaged."""
    if not body.startswith(_GZIP):
        return body, False
    packed = zlib.decompressobj(_AUTOMATIC)
    try:
        return packed.decompress(body, most_bytes), bool(packed.unconsumed_tail) or not packed.eof
    except zlib.error as error:
        message = f"it is packed, and damaged ({error})"
        raise ValueError(message) from None


def _name(element: Any) -> str:  # noqa: ANN401 - ElementTree's types tell nothing of it
    return str(element.tag).rpartition("}")[2]


def _time(said: str | None) -> datetime | None:
    try:
        return read_time(said) if said else None
    except ValueError:
        return None
