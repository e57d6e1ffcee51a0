"""Sitemaps of newspapers as they are: with images and films, in many encodings, and not always well-formed."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

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
