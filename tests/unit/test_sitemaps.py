"""Sitemaps of newspapers as they are: with images and films, in many encodings, and not always well-formed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.collecting import sitemaps
from consumers.collecting.articles import Item
from consumers.collecting.fetching import Fetched, Validators

URL = "https://a.example/map.xml"
SPACES = (
    'xmlns="http://www.sitemaps.org/schemas/sitemap/0.9" xmlns:news="http://www.google.com/schemas/sitemap-news/0.9" '
    'xmlns:image="http://www.google.com/schemas/sitemap-image/1.1" xmlns:video="http://www.google.com/schemas/sitemap-video/1.1"'
)
NEWS = (
    "<news:news><news:publication><news:name>The News</news:name></news:publication>"
    "<news:publication_date>2024-05-01T10:00:00Z</news:publication_date><news:title>Rates rise</news:title></news:news>"
)
IMAGE = "<image:image><image:loc>https://cdn.example/logo.png</image:loc><image:title>A logo</image:title></image:image>"
VIDEO = (
    "<video:video><video:title>A film</video:title><video:publication_date>2019-01-01</video:publication_date>"
    "<video:url>https://cdn.example/film</video:url></video:video>"
)
RATES = Item(
    title="Rates rise", url="https://a.example/1", published=datetime(2024, 5, 1, 10, tzinfo=UTC), publisher="The News"
)  # fmt: skip


def urlset(*entries: str) -> str:
    return f"<urlset {SPACES}>{''.join(f'<url>{one}</url>' for one in entries)}</urlset>"


def found(body: str | bytes) -> list[object]:
    read = Fetched(URL, body if isinstance(body, bytes) else body.encode(), cut=False, validators=Validators())
    return list(sitemaps.read(read, 1_000_000))


@pytest.mark.parametrize(
    "parts",
    [
        ("<loc>https://a.example/1</loc>", NEWS, IMAGE, VIDEO), (IMAGE, VIDEO, "<loc>https://a.example/1</loc>", NEWS),
        ("<loc>https://a.example/1</loc>", NEWS, "<image:loc>https://cdn.example/2</image:loc>"),
        ("<loc>https://a.example/1</loc>", "<lastmod>2024-05-02</lastmod>", NEWS, "<url><loc>https://a.example/2</loc></url>"),
    ],
)  # fmt: skip
def test_images_and_films_are_not_the_article(parts: tuple[str, ...]) -> None:
    assert found(urlset("".join(parts))) == [RATES]


def test_an_article_without_news_has_no_title_of_a_film() -> None:
    assert found(urlset(f"<loc>https://a.example/1</loc>{VIDEO}{IMAGE}")) == [Item(url="https://a.example/1")]


def test_text_within_elements_is_text() -> None:
    entry = "<loc>https://a.example/1</loc><news:news><news:title>Rates <b>rise</b> again</news:title></news:news>"
    assert found(urlset(entry)) == [Item(title="Rates rise again", url="https://a.example/1")]


ENTRY = "<loc>https://a.example/1</loc><news:news><news:title>{title}</news:title></news:news>"


def titles(*written: str, before: str = "", encoding: str = "utf-8") -> list[str]:
    body = before + urlset(*(ENTRY.format(title=one) for one in written))
    return [one.title for one in found(body.encode(encoding)) if isinstance(one, Item)]


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("Rates\x08 rise", "Rates rise"), ("Rates\x00 \ufffe\x0brise", "Rates rise"), ("Cats & dogs", "Cats & dogs"),
        ("AT&T rises&", "AT&T rises&"), ("R&amp;D &lt;b&gt;", "R&D <b>"),
        ("Caf&eacute;&nbsp;&AMP; &unknown; &#38;", "Café\xa0& &unknown; &"),
        ("cut &#xD83D; x", "cut \ufffd x"), ("&#55357;&#56832;", "\U0001f600"), ("a&#8;b &#X41; &#65", "ab &#X41; &#65"),
        ("<![CDATA[Cats & dogs &copy; <b>]]>", "Cats & dogs &copy; <b>"), ("<!-- a & b --> x", "x"),
    ],
)  # fmt: skip
def test_one_character_costs_no_sitemap(written: str, read: str) -> None:
    assert titles("Before", written, "After") == ["Before", read, "After"]


@pytest.mark.parametrize("before", ["\n\n", " \t", "\ufeff", "\ufeff\n", "<!-- made by x -->"])
def test_what_stands_before_the_declaration_costs_nothing(before: str) -> None:
    assert titles("One", before=f'{before}<?xml version="1.0" encoding="UTF-8"?>') == ["One"]


@pytest.mark.parametrize(
    ("name", "codec", "title"),
    [
        ("Shift_JIS", "cp932", "金利が上昇①"), ("gb2312", "gb18030", "利率上升镕"), ("Big5", "big5", "利率上升"),
        ("EUC-KR", "euc_kr", "금리 상승"),
        ("windows-1251", "cp1251", "Ставки растут"), ("ISO-8859-1", "cp1252", "Räntan – upp"), ("utf-16", "utf-16", "Räntan"),
        ("utf-16", "utf-16-be", "Räntan"), ("EUC-JP", "euc_jp", "金利が上昇"),
    ],
)  # fmt: skip
def test_a_sitemap_is_read_in_its_encoding(name: str, codec: str, title: str) -> None:
    assert titles(title, before=f'<?xml version="1.0" encoding="{name}"?>', encoding=codec) == [title]


def test_an_encoding_that_is_not_read_is_told_with_the_address() -> None:
    with pytest.raises(ValueError, match=URL):
        titles("A", before='<?xml version="1.0" encoding="klingon"?>')


def test_what_came_whole_before_a_damage_is_kept() -> None:
    *whole, damage = found(urlset(ENTRY.format(title="One"), ENTRY.format(title="Two"), "<loc></b>", ENTRY.format(title="Three")))
    assert [one.title for one in whole if isinstance(one, Item)] == ["One", "Two"]
    assert isinstance(damage, sitemaps.Damage)
    assert URL in damage.reason
    with pytest.raises(ValueError, match=URL):
        found(urlset("<loc></b>"))


@given(st.text(alphabet="<&;#x8dD[]!-C>", max_size=40))
def test_whatever_a_title_holds_its_forerunners_are_read(written: str) -> None:
    assert titles("One", written)[:1] == ["One"]


def test_what_does_not_end_takes_no_time() -> None:
    assert titles("One", "<![CDATA[" * 100_000, "<!--" * 100_000) == ["One"]


def test_a_prefix_that_nobody_declared_costs_nothing() -> None:
    entry = ENTRY.format(title="One: two a:b c:d=e") + '<image:image xsi:y="1"/><!-- a:b -->'
    assert found(f"<urlset><url>{entry}</url></urlset>") == [Item(title="One: two a:b c:d=e", url="https://a.example/1")]
