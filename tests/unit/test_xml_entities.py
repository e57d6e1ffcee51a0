"""XML that defines entities is refused, however it is written; what only speaks of them is read."""

from __future__ import annotations

import codecs
from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.collecting import entities, feeds, sitemaps
from consumers.collecting.articles import Item
from consumers.collecting.fetching import Fetched, Validators

URL = "https://a.example/x"
RSS = "<rss version='2.0'><channel><title>Desk</title><item><title>{text}</title></item></channel></rss>"
MAP = "<urlset><url><loc>https://a.example/1</loc><news><title>{text}</title></news></url></urlset>"
DEFINED = '<!DOCTYPE x [\n<!ENTITY a "b">\n]>'
ABOUT = '<![CDATA[Use <!ENTITY x "y"> here]]>'
BEFORE = [
    DEFINED, f"<!-- -->{DEFINED}", f"<?x <rss> ?>{DEFINED}", f"<?x <!-- ?>{DEFINED}<!-- -->", f"<!-- <rss> -->{DEFINED}",
    DEFINED.replace("x [", 'x SYSTEM "<!--" ['), DEFINED.replace("x [", "x SYSTEM '<rss' ["), f"<:x {DEFINED}",
    DEFINED.replace("x [", "x [<!-- -->"), DEFINED.replace("x [", "x [<!-- <rss> -->"), '<!entity a "b">',
    '<:x>\n<!ENTITY a "b">', f"<!-- ---{DEFINED}", f"<?x {DEFINED}",
]  # fmt: skip


def fetched(body: bytes, charset: str | None = None) -> Fetched:
    headers = {"content-type": f"application/xml; charset={charset}"} if charset else {}
    return Fetched(URL, body, cut=False, validators=Validators(), headers=headers)


def in_feed(body: bytes, charset: str | None = None) -> list[str]:
    return [item.title for item in feeds.items(fetched(body, charset))]


def in_map(body: bytes, charset: str | None = None) -> list[str]:
    return [item.title for item in sitemaps.read(fetched(body, charset), 1_000_000) if isinstance(item, Item)]


both = pytest.mark.parametrize(("read", "form"), [(in_feed, RSS), (in_map, MAP)])
Read = Callable[[bytes], list[str]]


@both
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
@pytest.mark.parametrize("before", BEFORE)
def test_what_defines_entities_is_refused(read: Read, form: str, before: str, encoding: str) -> None:
    with pytest.raises(ValueError, match="XML of its own"):
        read((before + form.format(text="A")).encode(encoding))


@pytest.mark.parametrize(
    "body",
    [
        codecs.BOM_UTF32_LE + (DEFINED + RSS).encode("utf-32-le"), (DEFINED + RSS).encode("utf-32-be"),
        f'<?xml version="1.0" encoding="cp037"?>{DEFINED}{RSS}'.encode("cp037"),
        b'<?xml version="1.0" encoding="utf-7"?>' + DEFINED.replace("<!E", "+ADw-!E").encode() + RSS.encode(),
        b'<?xml version="1.0" encoding="unicode_escape"?>' + DEFINED.replace("<!E", "\\x3c!E").encode() + RSS.encode(),
        b"<!-- \x1b$B-->\x1b(B <rss> -->" + (DEFINED + RSS).encode(),
    ],
)  # fmt: skip
def test_markup_that_is_hidden_in_an_encoding_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError, match=r"XML of its own|is in the encoding"):
        in_feed(body)


@pytest.mark.parametrize("charset", ["cp037", "utf-7", "unicode_escape"])
def test_markup_that_a_header_hides_is_refused(charset: str) -> None:
    with pytest.raises(ValueError, match="is in the encoding"):
        in_feed(RSS.encode(), charset)


@both
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_what_speaks_of_entities_is_read(read: Read, form: str, encoding: str) -> None:
    for body in (
        form.format(text=ABOUT), f"<!-- {DEFINED} -->" + form.format(text=ABOUT), "<!DOCTYPE rss>" + form.format(text=ABOUT),
        f'<!DOCTYPE rss PUBLIC "-//N//DTD RSS 0.91//EN" "https://n.example/rss.dtd">{form.format(text=ABOUT)}<!-- {DEFINED} -->',
    ):  # fmt: skip
        assert len(read(body.encode(encoding))) == 1


@given(st.text(alphabet="<!-?>x[\"' ", max_size=30))
def test_nothing_in_front_hides_a_definition(before: str) -> None:
    # An element, or what a comment holds, ends the search: they are no way to hide it from what reads the text afterwards.
    try:
        left = entities.without(f"{before}{DEFINED}<rss/>", URL)
    except ValueError:
        return
    assert "<!ENTITY" not in left or "<x" in before


def test_many_comments_take_no_time() -> None:
    assert entities.without("<!-- -->\n" * 300_000 + "<rss/>", URL).endswith("\n<rss/>")
    assert len(entities.without("<!-- " * 300_000, URL)) == 5 * 300_000
