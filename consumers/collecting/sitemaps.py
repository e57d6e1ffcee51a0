"""News sitemaps: the articles that they list, with titles; and indexes of sitemaps."""

from __future__ import annotations

import io
import re
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from xml.etree import ElementTree as ET

from config.foreign.times import read_time
from consumers.collecting import decoding, entities, references
from consumers.collecting.articles import Item
from consumers.collecting.fetching import Fetched

MOST_MAPS = 20
"""Sitemaps of an index that are read, the newest: older ones hold no news."""
_LONGEST_ADDRESS = 2_048
"""As sitemaps.org has it."""
_ROOT = re.compile(r"<(?:[\w.-]{1,40}:)?(?:urlset|sitemapindex)(?=[\s>])")
_USED = re.compile(r"(?:</?|\s(?=[\w.:-]{1,90}\s{0,5}=\s{0,5}[\"']))([A-Za-z_][\w.-]{0,40}):[A-Za-z_]")
_DECLARED = re.compile(r"\sxmlns:([A-Za-z_][\w.-]{0,40})\s*=")
_MOST_PREFIXES = 100
_GZIP = b"\x1f\x8b"
_AUTOMATIC = 32 + zlib.MAX_WBITS


@dataclass(frozen=True, slots=True)
class Map:
    """A sitemap that an index names."""

    url: str
    changed: datetime | None


@dataclass(frozen=True, slots=True)
class Damage:
    """What ends a sitemap before its end."""

    reason: str


def read(found: Fetched, most_bytes: int) -> Iterator[Item | Map | Damage]:
    """Yield the articles of a sitemap, or the sitemaps of an index. Of one that was cut the entries that came whole.

    Of one that is damaged likewise, and last where. Raises `ValueError`, in words, for what is none.
    """
    body, cut = _unpacked(found.body, most_bytes)
    cut = cut or found.cut
    text = _bound(references.of_xml(entities.without(decoding.text_of(found, body), found.url)))
    root: str | None = None
    depth = given = 0
    try:
        for event, element in ET.iterparse(io.StringIO(text), events=("start", "end")):  # noqa: S314 - without a DTD
            if root is None:
                root = _name(element)
                if root not in ("urlset", "sitemapindex"):
                    message = f"{found.url} is no sitemap, but <{root[:50]}>"
                    raise ValueError(message)
            depth += 1 if event == "start" else -1
            if event == "end" and depth == 1:
                if _name(element) in ("url", "sitemap") and (entry := _entry(element, index=root == "sitemapindex")):
                    given += 1
                    yield entry
                element.clear()
    except ET.ParseError as error:
        if cut and root is not None:
            return
        if given == 0:
            message = f"{found.url} is no XML that can be read ({error})"
            raise ValueError(message) from None
        yield Damage(f"{found.url} is read up to its entry {given} ({error})")


def _bound(text: str) -> str:
    """Return a text whose first element declares the prefixes that nothing in it does, as many sitemaps forget to."""
    missed = sorted({*_USED.findall(text)} - {*_DECLARED.findall(text), "xml", "xmlns"})[:_MOST_PREFIXES]
    return _ROOT.sub(lambda root: root[0] + "".join(f' xmlns:{one}="{one}"' for one in missed), text, count=1)


def _entry(element: Any, *, index: bool) -> Item | Map | None:  # noqa: ANN401 - ElementTree's types tell nothing of it
    """Return what an entry lists, not the images and films in it; None where it has no address."""
    own = _texts(element, element)
    address, changed = own.get("loc", ""), _time(own.get("lastmod"))
    if not 0 < len(address) <= _LONGEST_ADDRESS:
        return None
    if index:
        return Map(address, changed)
    news = next((one for one in element if _name(one) == "news"), None)
    told = {} if news is None else _texts(news, news.iter())
    published = _time(told.get("publication_date")) or changed
    return Item(title=told.get("title", ""), url=address, published=published, publisher=told.get("name"))


def _texts(owner: Any, elements: Iterable[Any]) -> dict[str, str]:  # noqa: ANN401 - ElementTree's types tell nothing of it
    """Return what elements say, the first of each name; those of another namespace than their owner's say something else."""
    found: dict[str, str] = {}
    for one in elements:
        if _namespace(one) in ("", _namespace(owner)) and (text := "".join(one.itertext()).strip()):
            found.setdefault(_name(one), text)
    return found


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


def _namespace(element: Any) -> str:  # noqa: ANN401 - ElementTree's types tell nothing of it
    return str(element.tag).rpartition("}")[0].removeprefix("{")


def _time(said: str | None) -> datetime | None:
    try:
        return read_time(said) if said else None
    except ValueError:
        return None
