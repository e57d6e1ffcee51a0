"""Feeds and folders become article events, each once; servers that are slow, broken, huge or say no hold up nothing else."""

from __future__ import annotations

import contextlib
import gzip
import json
import threading
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest

from config.errors import DeadLetterError, UserError
from config.settings import Settings, load_settings
from consumers.collecting import feeds, fetching
from consumers.collecting import gdelt as gdelts
from consumers.collecting.articles import Item
from consumers.collecting.fetching import Fetched
from consumers.collecting.kept import FILE_NAME
from consumers.collecting.manners import Manners
from consumers.events.schemas import Article, to_bytes
from consumers.log.open import open_event_log
from daemon.flow import collecting
from daemon.flow.collecting import Collected, Limits, Means
from tests.support.buffers import NOW, Moving

RSS = """<?xml version="1.0" encoding="UTF-8"?><rss version="2.0"><channel><title>City Desk</title>{items}</channel></rss>"""
ITEM = (
    "<item><guid>urn:n:{at}</guid><title>Title {at}</title><link>https://city.example/{at}</link>"
    "<description>&lt;p&gt;Body of {at}&lt;/p&gt;</description><pubDate>Wed, 01 May 2024 10:{at:02d}:00 GMT</pubDate></item>"
)
ATOM = """<feed xmlns="http://www.w3.org/2005/Atom"><title>Wire</title><entry><id>tag:wire,1</id><title>An entry</title>
<link href="https://wire.example/1"/><updated>2024-05-01T09:00:00Z</updated><summary>Short</summary>
<content type="html">The whole of the article</content></entry></feed>"""


def rss(*numbers: int) -> bytes:
    return RSS.format(items="".join(ITEM.format(at=at) for at in numbers)).encode()


@dataclass
class Site:
    """A server of feeds: what each path answers, and what it was asked."""

    url: str = ""
    pages: dict[str, Callable[[BaseHTTPRequestHandler], tuple[int, dict[str, str], bytes]]] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str]]] = field(default_factory=list)

    def put(self, path: str, body: bytes, status: int = 200, **headers: str) -> str:
        self.pages[path] = lambda _handler: (status, {name.replace("_", "-"): value for name, value in headers.items()}, body)
        return f"{self.url}{path}"


@contextmanager
def serving() -> Iterator[Site]:
    site = Site()

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            site.asked.append((self.path, dict(self.headers)))
            status, headers, body = site.pages.get(self.path, lambda _handler: (404, {}, b""))(self)
            if status == 0:
                self.connection.close()
                return
            self.send_response(status)
            for name, value in {"content-length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    site.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield site
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as found:
        yield found


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load_settings(data_dir=tmp_path / "data")


@pytest.fixture
def clock() -> Moving:
    return Moving()


def sent(settings: Settings) -> list[dict[str, Any]]:
    log = open_event_log(settings)
    try:
        source = log.source("test", ["perennial.articles"])
        try:
            return [json.loads(event.value) for event in source.poll(timeout_s=0.1, max_events=1_000)]
        finally:
            source.close()
    finally:
        log.close()


def look(
    settings: Settings, clock: Moving, *urls: str, manners: Manners | None = None, over: Callable[[], bool] = lambda: False,
    dry_run: bool = False, **limits: Any,
) -> list[Collected]:  # fmt: skip
    waits: list[float] = []
    means = Means(dry_run, clock, waits.append, manners, over)
    found = collecting.rss(settings, urls, Limits(**{"pause_s": 0.0} | limits), means)
    assert sum(waits) < 60
    return found


def test_items_become_articles_once(settings: Settings, clock: Moving, site: Site) -> None:
    feed = site.put("/rss", rss(1, 2))
    [first] = look(settings, clock, feed)
    assert (first.read, first.sent, first.known, first.error) == (2, 2, 0, "")
    [again] = look(settings, clock, feed)
    assert (again.sent, again.known) == (0, 2)
    site.put("/rss", rss(2, 3))
    [more] = look(settings, clock, feed)
    assert (more.sent, more.known) == (1, 1)
    events = sent(settings)
    assert [event["article_id"] for event in events] == ["urn:n:1", "urn:n:2", "urn:n:3"]
    assert {event["publisher"] for event in events} == {"City Desk"}
    assert events[0]["occurred_at"] == "2024-05-01T10:01:00Z"
    assert events[0]["url"] == "https://city.example/1"


def test_atom_and_a_changed_article(settings: Settings, clock: Moving, site: Site) -> None:
    feed = site.put("/atom", ATOM.encode())
    look(settings, clock, feed)
    site.put("/atom", ATOM.replace("The whole", "The corrected whole").encode())
    look(settings, clock, feed)
    bodies = [(event["article_id"], event["body"]) for event in sent(settings)]
    assert bodies == [("tag:wire,1", "The whole of the article"), ("tag:wire,1", "The corrected whole of the article")]


def test_what_has_not_changed_is_not_read_again(settings: Settings, clock: Moving, site: Site) -> None:
    feed = site.put("/rss", rss(1), etag='"v1"', last_modified="Wed, 01 May 2024 10:00:00 GMT")
    look(settings, clock, feed)
    site.put("/rss", b"", status=304)
    [again] = look(settings, clock, feed)
    assert again.unchanged
    headers = next(headers for path, headers in reversed(site.asked) if path == "/rss")
    assert headers["If-None-Match"] == '"v1"'
    assert headers["If-Modified-Since"] == "Wed, 01 May 2024 10:00:00 GMT"
    assert headers["User-Agent"].startswith("perennial/")


def test_robots_are_kept_to(settings: Settings, clock: Moving, site: Site) -> None:
    site.put("/robots.txt", b"User-agent: *\nDisallow: /private\n")
    allowed, refused = site.put("/rss", rss(1)), site.put("/private/rss", rss(2))
    found = {one.source: one for one in look(settings, clock, refused, allowed)}
    assert "robots.txt" in found[refused].error
    assert found[allowed].sent == 1
    assert "/private/rss" not in [path for path, _headers in site.asked]


def test_a_server_that_asks_for_rest_is_left_alone(settings: Settings, clock: Moving, site: Site) -> None:
    feed = site.put("/rss", b"", status=429, retry_after="3600")
    [first] = look(settings, clock, feed)
    assert "429" in first.error
    assert [path for path, _headers in site.asked].count("/rss") == 1


def test_what_hosts_ask_for_outlives_a_reading(settings: Settings, clock: Moving, site: Site) -> None:
    manners = Manners()
    feed = site.put("/rss", b"", status=429, retry_after="3600")
    look(settings, clock, feed, manners=manners)
    site.put("/rss", rss(1))
    [again] = look(settings, clock.forward(minutes=30), feed, manners=manners)
    assert "asked not to be asked before" in again.error
    [later] = look(settings, clock.forward(minutes=31), feed, manners=manners)
    assert later.sent == 1
    assert [path for path, _headers in site.asked] == ["/robots.txt", "/rss", "/rss"]


def test_a_host_that_asks_for_a_long_pause_holds_up_nothing(settings: Settings, clock: Moving, site: Site) -> None:
    manners = Manners()
    site.put("/robots.txt", b"User-agent: *\nCrawl-delay: 7200\n")
    one, other = site.put("/one", rss(1)), site.put("/other", rss(2))
    first, second = look(settings, clock, one, other, manners=manners)
    assert (first.sent, first.error) == (1, "")
    assert "7200 s between two requests" in second.error
    [early] = look(settings, clock.forward(minutes=60), other, manners=manners)
    assert early.error
    [later] = look(settings, clock.forward(minutes=61), other, manners=manners)
    assert (later.sent, later.error) == (1, "")


def test_a_reading_that_ends_early_goes_on_at_the_next(settings: Settings, clock: Moving, site: Site) -> None:
    feed = site.put("/rss", rss(1, 2, 3), etag='"v1"')
    looks = iter([False, True])
    [first] = look(settings, clock, feed, over=lambda: next(looks))
    assert (first.sent, first.late) == (1, True)
    [rest] = look(settings, clock, feed)
    assert (rest.sent, rest.known, rest.late) == (2, 1, False)


def test_a_long_feed_is_read_to_its_end_in_portions_and_nothing_is_sent_twice(
    settings: Settings, clock: Moving, site: Site
) -> None:
    items = "".join(f"<item><guid>urn:n:{at}</guid><title>Title {at}</title></item>" for at in range(3_000))
    feed = site.put("/rss", RSS.format(items=items).encode())
    found = [look(settings, clock, feed, articles=1_200)[0].sent for _ in range(4)]
    assert found == [1_200, 1_200, 600, 0]
    assert look(settings, clock, feed)[0].known == 3_000


def test_trouble_of_one_feed_holds_up_no_other(settings: Settings, clock: Moving, site: Site) -> None:
    broken, gone = site.put("/broken", b"", status=0), site.put("/gone", b"", status=410)
    failing, page = site.put("/failing", b"", status=503), site.put("/page", b"<html><body>Hello</body></html>")
    empty = site.put("/empty", b"")
    good = site.put("/rss", rss(1))
    found = {
        one.source: one
        for one in look(settings, clock, broken, gone, failing, page, empty, "ftp://x/y", "http://127.0.0.1:9/", good)
    }
    assert [bool(one.error) for one in found.values()] == [True] * 7 + [False]
    assert "is no feed" in found[page].error
    assert "is no feed" in found[empty].error
    assert [path for path, _headers in site.asked].count("/failing") == 3, "asked again, a few times"
    assert len(sent(settings)) == 1


def test_what_is_packed_is_unpacked_no_further_than_what_is_read(settings: Settings, clock: Moving, site: Site) -> None:
    packed = site.put("/packed", gzip.compress(rss(1)), content_encoding="gzip")
    bomb = site.put("/bomb", gzip.compress(rss(2) + b" " * 50_000_000), content_encoding="gzip")
    twice = site.put("/twice", gzip.compress(gzip.compress(rss(3))), content_encoding="gzip, gzip")
    damaged = site.put("/damaged", b"nonsense", content_encoding="gzip")
    to_bomb = site.put("/to", gzip.compress(b" " * 50_000_000), status=302, content_encoding="gzip", location=packed)
    tracemalloc.start()
    found = {one.source: one for one in look(settings, clock, packed, bomb, twice, damaged, to_bomb, most_bytes=10_000)}
    _now, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 20_000_000
    assert found[packed].sent == 1
    assert found[bomb].cut
    assert "which was not asked for" in found[twice].error
    assert "damaged" in found[damaged].error
    assert found[to_bomb].sent == 1


def test_redirects_are_followed_a_few_times(settings: Settings, clock: Moving, site: Site) -> None:
    feed = site.put("/rss", rss(1))
    moved, loop = site.put("/old", b"", status=301, location="/rss"), site.put("/loop", b"", status=302, location="/loop")
    found = {one.source: one for one in look(settings, clock, moved, loop, feed)}
    assert found[moved].sent == 1
    assert "redirects" in found[loop].error


def test_a_server_that_sends_headers_without_end_is_cut_off(
    settings: Settings, clock: Moving, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching, "_LIMIT_S", 0.2)
    monkeypatch.setattr(fetching, "_TIMEOUT_S", 0.2)
    ended = threading.Event()

    def dripping(handler: BaseHTTPRequestHandler) -> tuple[int, dict[str, str], bytes]:
        with contextlib.suppress(OSError):
            handler.wfile.write(b"HTTP/1.1 200 OK\r\nx-long: ")
            while not ended.wait(0.02):
                handler.wfile.write(b"x")
        return 0, {}, b""

    drip, good = f"{site.url}/drip", site.put("/rss", rss(1))
    site.pages["/drip"] = dripping
    with httpx.Client(timeout=30.0) as patient:
        monkeypatch.setattr(collecting, "client", lambda: contextlib.nullcontext(patient))
        found = {one.source: one for one in look(settings, clock, drip, good)}
    ended.set()
    assert "did not give" in found[drip].error
    assert found[good].sent == 1


WIDE = '<?xml version="1.0" encoding="{encoding}"?>{comment}<!DOCTYPE x [<!ENTITY a "b">]><urlset/>'


@pytest.mark.parametrize(
    "body",
    [
        WIDE.format(encoding="utf-8", comment=f"<!--{'x' * 20_000}-->").encode(),
        WIDE.format(encoding="utf-16", comment="").encode("utf-16"),
        WIDE.format(encoding="utf-16", comment="").encode("utf-16-be"),
        b'<?xml version="1.0" encoding="cp037"?>' + "<!DOCTYPE x [<!ENTITY a 'b'>]><urlset/>".encode("cp037"),
    ],
)
def test_xml_that_defines_entities_is_not_read(settings: Settings, clock: Moving, site: Site, body: bytes) -> None:
    page = site.put("/page", body)
    [mapped_, read] = [*mapped(settings, clock, page), *look(settings, clock, page)]
    assert all("XML of its own" in one.error or "encoding" in one.error for one in (mapped_, read))


def test_a_huge_feed_is_cut_and_its_last_half_item_left_out(settings: Settings, clock: Moving, site: Site) -> None:
    feed = site.put("/rss", rss(*range(50)) + b" " * 5_000_000, etag='"big"')
    [found] = look(settings, clock, feed, most_bytes=4_000)
    assert found.cut
    assert 0 < found.sent < 50
    kept = json.loads((settings.data_dir / FILE_NAME).read_text())
    assert kept["places"][feed]["etag"] is None, "it is read again"


def test_items_of_no_use_and_times_ahead(settings: Settings, clock: Moving, site: Site) -> None:
    items = "<item><title></title></item>" + ITEM.format(at=1).replace("2024", "2199") + "<item><title>No id</title></item>"
    feed = site.put("/rss", RSS.format(items=items).encode())
    [found] = look(settings, clock, feed)
    assert (found.sent, found.unusable) == (2, 1)
    assert {event["occurred_at"] for event in sent(settings)} == {NOW.isoformat().replace("+00:00", "Z")}


def test_no_more_than_were_asked_for_and_a_dry_run(settings: Settings, clock: Moving, site: Site) -> None:
    feed = site.put("/rss", rss(1, 2, 3))
    assert look(settings, clock, feed, dry_run=True)[0].sent == 3
    assert sent(settings) == []
    assert [one.sent for one in look(settings, clock, feed, articles=2)] == [2]
    assert [one.sent for one in look(settings, clock, feed)] == [1]


SITEMAP = """<?xml version="1.0"?><urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9"
xmlns:news="http://www.google.com/schemas/sitemap-news/0.9"><url><loc>https://n.example/1</loc><news:news><news:publication>
<news:name>The News</news:name></news:publication><news:publication_date>2024-05-01T10:00:00Z</news:publication_date>
<news:title>A headline</news:title></news:news></url><url><loc>https://n.example/2</loc><lastmod>2024-04-30</lastmod></url></urlset>"""


def mapped(settings: Settings, clock: Moving, *urls: str, most_bytes: int = 1_000_000) -> list[Collected]:
    limits = Limits(most_bytes=most_bytes, pause_s=0.0)
    return collecting.sitemap(settings, urls, limits, Means(clock=clock, sleep=lambda _s: None))


def test_a_news_sitemap_and_an_index_of_packed_ones(settings: Settings, clock: Moving, site: Site) -> None:
    packed = site.put("/news.xml.gz", gzip.compress(SITEMAP.encode()))
    index = f"<sitemapindex><sitemap><loc>{packed}</loc></sitemap></sitemapindex>"
    [found] = mapped(settings, clock, site.put("/index.xml", index.encode()))
    assert (found.sent, found.unusable) == (1, 1)
    [event] = sent(settings)
    assert (event["title"], event["url"], event["publisher"]) == ("A headline", "https://n.example/1", "The News")
    assert event["occurred_at"] == "2024-05-01T10:00:00Z"


def test_an_index_with_a_map_that_is_gone_gives_the_others(settings: Settings, clock: Moving, site: Site) -> None:
    good, gone, empty = site.put("/news.xml", SITEMAP.encode()), f"{site.url}/gone.xml", site.put("/empty.xml", b"")
    maps = "".join(f"<sitemap><loc>{one}</loc></sitemap>" for one in (gone, empty, good))
    [found] = mapped(settings, clock, site.put("/index.xml", f"<sitemapindex>{maps}</sitemapindex>".encode()))
    assert (found.sent, found.error) == (1, "")
    assert len(found.unread) == 2
    assert gone in found.unread[0]
    [found] = mapped(
        settings, clock, site.put("/index.xml", f"<sitemapindex><sitemap><loc>{gone}</loc></sitemap></sitemapindex>".encode())
    )
    assert gone in found.error


def test_a_damaged_sitemap_gives_what_came_whole(settings: Settings, clock: Moving, site: Site) -> None:
    damaged, gone = site.put("/news.xml", SITEMAP.replace("</urlset>", "<url></b>").encode(), etag='"v1"'), f"{site.url}/gone.xml"
    [found] = mapped(settings, clock, damaged)
    assert (found.sent, len(found.unread), found.error) == (1, 1, "")
    assert json.loads((settings.data_dir / FILE_NAME).read_text())["places"][damaged]["etag"] is None, "it is read again"
    maps = "".join(f"<sitemap><loc>{one}</loc></sitemap>" for one in (damaged, gone))
    [found] = mapped(settings, clock, site.put("/index.xml", f"<sitemapindex>{maps}</sitemapindex>".encode()))
    assert (found.read, len(found.unread), found.error) == (2, 2, "")


def test_an_answer_that_nobody_foresaw_stops_no_other_source(
    settings: Settings, clock: Moving, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad, good = site.put("/bad", rss(1)), site.put("/rss", rss(2))
    items = feeds.items

    def odd(found: Fetched) -> Iterator[Item]:
        if found.url == bad:
            message = "it was never seen before"
            raise KeyError(message)
        return items(found)

    monkeypatch.setattr(feeds, "items", odd)
    first, second = look(settings, clock, bad, good)
    assert "never seen before" in first.error
    assert second.sent == 1


def test_what_is_no_sitemap_is_said_and_a_huge_one_is_cut(settings: Settings, clock: Moving, site: Site) -> None:
    wrong = {
        site.put("/html", b"<html></html>"): "is no sitemap",
        site.put("/half", SITEMAP.encode()[:300]): "no XML",
        site.put("/dtd", b'<!DOCTYPE x [<!ENTITY a "b">]><urlset/>'): "XML of its own",
        site.put("/damaged", b"\x1f\x8bnonsense"): "damaged",
    }
    for one in mapped(settings, clock, *wrong):
        assert wrong[one.source] in one.error
    many = SITEMAP.replace("</urlset>", "<url><loc>https://n.example/3</loc></url>" * 1_000 + "</urlset>")
    [found] = mapped(settings, clock, site.put("/huge", many.encode()), most_bytes=2_000)
    assert found.cut
    assert found.sent == 1


def test_gdelt_in_as_many_answers_as_it_takes(
    settings: Settings, clock: Moving, site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gdelts, "MOST_RECORDS", 2)
    stories = [
        {"url": f"https://g.example/{at}", "title": f"Story {at}", "seendate": f"20240501T1{at}0000Z", "domain": "g.example"}
        for at in (1, 0)
    ]
    older = [{"url": "https://g.example/2", "title": "Story 2", "seendate": "20240430T090000Z", "domain": "g.example"}]
    answers = iter([json.dumps({"articles": stories}).encode(), json.dumps({"articles": older}).encode()])

    class Pages(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            return (lambda _handler: (200, {}, next(answers))) if path.startswith("/doc") else default

    site.pages = Pages()
    query = gdelts.Query("", country="sweden", theme="TERROR")
    means = Means(clock=clock, sleep=lambda _s: None)
    [found] = collecting.gdelt(
        settings, query, Limits(pause_s=0.0), span=timedelta(days=3), endpoint=f"{site.url}/doc", means=means
    )  # fmt: skip
    assert (found.sent, found.error) == (3, "")
    asked = [parse_qs(urlsplit(path).query) for path, _headers in site.asked if path.startswith("/doc")]
    assert [one["query"] for one in asked] == [["sourcecountry:sweden theme:TERROR"]] * 2
    assert [one["enddatetime"] for one in asked] == [["20240501120000"], ["20240501100000"]]
    assert sent(settings)[0]["occurred_at"] == "2024-05-01T11:00:00Z"


@pytest.mark.parametrize(
    ("body", "titles", "error"),
    [
        (b"URL,MobileURL,Date,Title\nhttps://g.example/1,,2024-05-01 09:00:00,From CSV\n", ["From CSV"], ""),
        (b"{}", [], ""),
        (b"", [], ""),
        (b"Please limit requests to one every 5 seconds", [], "GDELT says: Please limit"),
        (b'{"articles": [{"url": "x", "title": ', [], "cannot be read"),
        (b'{"articles": [{"url": null, "title": null, "seendate": 7}]}', [], ""),
        (b'{"articles": ["x", null, {"url": "https://g.example/1", "title": "A story"}]}', ["A story"], ""),
        (b'{"articles": [{"url": "x", "title": "cut \\ud83d"}, {"url": "y", "title": "A story"}]}', ["A story"], ""),
        (b'{"articles": 5}', [], "cannot be read"),
        (b'{"articles": ' + b"[" * 100_000, [], "cannot be read"),
    ],
)
def test_what_gdelt_may_answer(  # noqa: PLR0917 - each is given by name
    settings: Settings, clock: Moving, site: Site, body: bytes, titles: list[str], error: str
) -> None:
    class Pages(dict[str, Any]):
        def get(self, path: str, default: Any = None) -> Any:
            return (lambda _handler: (200, {}, body)) if path.startswith("/doc") else default

    site.pages = Pages()
    [found] = collecting.gdelt(
        settings, gdelts.Query("storm"), Limits(pause_s=0.0), span=timedelta(days=1), endpoint=f"{site.url}/doc",
        means=Means(clock=clock, sleep=lambda _s: None),
    )  # fmt: skip
    assert error in found.error
    assert bool(found.error) == bool(error)
    assert [event["title"] for event in sent(settings)] == titles


def test_gdelt_wants_a_question(settings: Settings) -> None:
    with pytest.raises(UserError, match="ask for something"):
        collecting.gdelt(settings, gdelts.Query(), Limits(), span=timedelta(days=1))


def test_lines_that_were_added_are_read_and_half_ones_left(settings: Settings, clock: Moving, tmp_path: Path) -> None:
    folder = tmp_path / "crawl"
    folder.mkdir()
    file = folder / "a.jsonl"
    file.write_text('{"title": "One", "text": "Body", "id": 7, "date": "2024-05-01"}\nnot json\n[1]\n{"title": "Tw')
    (folder / "notes.txt").write_text("x")

    def read() -> Collected:
        return collecting.jsonl(settings, folder, Limits(), Means(clock=clock.forward(minutes=1)))[0]

    first = read()
    assert (first.sent, first.unusable) == (1, 2)
    with file.open("a") as more:
        more.write('o", "body": ""}\n')
    assert (read().sent, read().sent) == (1, 0)
    file.write_text('{"title": "New"}\n')
    assert read().sent == 1
    assert [event["title"] for event in sent(settings)] == ["One", "Two", "New"]
    with pytest.raises(UserError, match="cannot be read"):
        collecting.jsonl(settings, tmp_path / "nothing", Limits())


def test_a_line_that_cannot_be_written_holds_up_no_other(settings: Settings, clock: Moving, tmp_path: Path) -> None:
    folder = tmp_path / "crawl"
    folder.mkdir()
    halves = [{"title": "cut \ud83d"}, {"title": "One", "url": "https://n.example/\ude00"}, {"title": "One", "source": "\udfff"}]
    lines = [
        {"title": "good one", "id": "g1"},
        *halves,
        {"title": "good two", "id": "g2"},
        {"title": "\ud83d\ude00", "id": "e1"},
    ]
    (folder / "a.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    [first] = collecting.jsonl(settings, folder, Limits(), Means(clock=clock))
    assert (first.read, first.sent, first.unusable, first.error) == (6, 3, 3, "")
    [again] = collecting.jsonl(settings, folder, Limits(), Means(clock=clock))
    assert (again.read, again.unchanged) == (0, True)
    assert [event["title"] for event in sent(settings)] == ["good one", "good two", "\U0001f600"]


@pytest.mark.parametrize("error", [DeadLetterError("too large"), ValueError("not to be written")])
def test_an_article_that_the_log_never_takes_holds_up_no_other(
    settings: Settings, clock: Moving, site: Site, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def picky(article: Article) -> bytes:
        if article.article_id == "urn:n:2":
            raise error
        return to_bytes(article)

    monkeypatch.setattr(collecting, "to_bytes", picky)
    feed = site.put("/rss", rss(1, 2, 3))
    [first] = look(settings, clock, feed)
    assert (first.read, first.sent, first.unusable, first.error) == (3, 2, 1, "")
    [again] = look(settings, clock, feed)
    assert (again.sent, again.known, again.unusable) == (0, 2, 1)
