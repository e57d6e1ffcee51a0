from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumers.events.schemas import Article, article_text, content_sha256
from consumers.text.markup import plain


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        # As reported, and the same kinds.
        ("Q&amp;A: budget", "Q&A: budget"),
        ("Trump&#8217;s wall", "Trump’s wall"),
        (
            "Café &amp; bar: what the city&#8217;s new rules mean for owners",
            "Café & bar: what the city’s new rules mean for owners",
        ),
        ("R&eacute;sum&eacute; &#x2014; caf&eacute;", "Résumé — café"),
        ("AT&amp;amp;T, encoded twice", "AT&T, encoded twice"),
        ("&ldquo;Yes&rdquo;, she said&hellip;", "“Yes”, she said…"),
        ("<p>First.</p><p>Second <b>bold</b> &amp; last.</p>", "First.\nSecond bold & last."),
        ("Before<script>var a = '<p>';</script> after<!-- not seen -->.", "Before after."),
        ("Line<br/>break<br>again", "Line\nbreak\nagain"),
        # What only looks like HTML stays.
        ("if a < b and c > d we love <3", "if a < b and c > d we love <3"),
        ("https://example.org/?a=1&copy=2", "https://example.org/?a=1&copy=2"),
        ("write &lt;b&gt; for bold", "write <b> for bold"),
        ("read from <stdin>", "read from <stdin>"),
        ("&#0; &#xD800; &nosuchname;", "&#0; &#xD800; &nosuchname;"),
        ("AT&T", "AT&T"),
        ("<script>never closed", "never closed"),
    ],
)
def test_html_is_read_as_a_reader_sees_it(sent: str, read: str) -> None:
    assert plain(sent) == read


@given(st.text(alphabet="ab <>/&;#1pscriptylen!-\n\u0130é", max_size=300))
def test_whatever_stands_there_is_read_without_a_fault(text: str) -> None:
    found = plain(text)
    assert "\ud800" not in found
    if not {"<", "&"} & set(text):
        assert found == text


@pytest.mark.parametrize("piece", ["<script>", "<!--", "<p ", "<p>", "&amp;", "<a>", "</script", " \n", "<script></script>"])
def test_a_million_characters_of_markup_take_no_time_to_speak_of(piece: str) -> None:
    plain(piece * (1_000_000 // len(piece)))  # quadratic work here would never end


def article(**fields: str | None) -> Article:
    return Article(event_id="e-1", article_id="a-1", occurred_at="2026-05-01T12:00:00Z", **fields)


def test_an_articles_text_is_what_a_reader_sees_and_its_hash_what_was_sent() -> None:
    title, body = "Q&amp;A: budget", "<p>Rates &amp; rents rise.</p>"
    sent = article(title=title, body=body, content_sha256=content_sha256(article_text(title, body)))
    assert sent.text == "Q&A: budget\n\nRates & rents rise."
    assert (sent.title, sent.body) == (title, body)


def test_an_article_of_tags_alone_has_no_text() -> None:
    with pytest.raises(ValueError, match="both empty"):
        article(title="", body="<p> </p><br/>")


def test_a_missing_part_may_be_null() -> None:
    assert article(title="Only title", body=None).text == "Only title"
    assert article(title=None, body="Only body").text == "Only body"
    with pytest.raises(ValueError, match="both empty"):
        article(title=None, body=None)
