from __future__ import annotations

import time

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


@given(
    st.sampled_from(["a", "b", "i", "p", "s", "td", "select"]), st.lists(st.from_regex(r"[b-w]{1,6}", fullmatch=True), min_size=1)
)
def test_words_behind_a_name_are_no_attributes(name: str, words: list[str]) -> None:
    text = f"if x<{name} zz {' '.join(words)}>y then"
    assert plain(text) == text


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


@pytest.mark.parametrize("title", ["\u200b", "\u3164", "&shy;", "\u2800 \u2800", "<p>&#8203;</p>", "\u0301"])
def test_an_article_that_shows_nothing_has_no_text(title: str) -> None:
    with pytest.raises(ValueError, match="both empty"):
        article(title=title, body="")


def test_a_missing_part_may_be_null() -> None:
    assert article(title="Only title", body=None).text == "Only title"
    assert article(title=None, body="Only body").text == "Only body"
    with pytest.raises(ValueError, match="both empty"):
        article(title=None, body=None)


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("&lt;p&gt;Rates rise&lt;/p&gt;", "Rates rise"),
        ("&amp;lt;p&amp;gt;Rates &amp;lt;b&amp;gt;rise&amp;lt;/b&amp;gt;&amp;lt;/p&amp;gt;", "Rates rise"),
        ("Rates rise&lt;br /&gt;again", "Rates rise\nagain"),
        ("<p>Write &lt;b&gt;so&lt;/b&gt;</p>", "Write <b>so</b>"),
        ("a &lt; b &gt; c", "a < b > c"),
        ("Use &lt;stdin&gt;", "Use <stdin>"),
    ],
)
def test_a_feed_whose_tags_are_all_encoded_is_read_as_a_reader_sees_it(text: str, seen: str) -> None:
    assert plain(text) == seen


@pytest.mark.parametrize(
    ("text", "seen"),
    [
        ("<![CDATA[Rates rise]]>", "Rates rise"),
        ("<img src='a.jpg' alt='x > y'>Rates", "Rates"),
        ('<a title="it\'s > 5" href=x>Rates</a> rise', "Rates rise"),
        ("<p title=it's>Rates</p>", "Rates"),
        ("<svg><title>Logo</title><path d='M0'/></svg>Rates", "Rates"),
        ("<html><head><title>Site</title></head><body>Rates</body></html>", "Rates"),
        ("<picture><source srcset=x><img src=y></picture>Rates <del>fall</del> rise", "Rates fall rise"),
        ("<amp-img src=x></amp-img><button>Share</button> Rates", "Share Rates"),
        ("Rates &#8217 rise", "Rates \u2019 rise"),
        ("cp <source> <target>", "cp <source> <target>"),
        ("<ruby>首相<rt>しゅしょう</rt></ruby>が会見", "首相が会見"),
        ("<ruby>首相<rp>(</rp><rt>しゅしょう</rt><rp>)</rp></ruby>", "首相"),
        ("Pick <select name=x><option>One<option selected>Two</select>", "Pick\nOne\nTwo"),
        ("<textarea>Rates</textarea><template>not shown</template>", "Rates"),
        ("<object data=x>Rates</object> rise<var>x</var>", "Rates risex"),
        ("<object>Rates</object>", "Rates"),
        ("<canvas></canvas><optgroup label=a><hgroup>Rates</hgroup>", "Rates"),
        ("<!DOCTYPE html><p>Rates</p>", "Rates"),
        ('<?xml version="1.0" encoding="UTF-8"?>Rates', "Rates"),
        ("<!--[if IE]><p>x</p><![endif]--><![if !IE]>Rates<![endif]>", "Rates"),
        ("<input disabled><td nowrap>Rates</td><div data-ad>x</div>", "Rates\nx"),
        ("<p \nclass = 'a'>Rates</P >", "Rates"),
        ("Dear <title> <name>, see <time> and <data>", "Dear <title> <name>, see <time> and <data>"),
        ("if a<b and c>d then", "if a<b and c>d then"),
        ("x<p or y>q, a<i, u>v and s<a b>c", "x<p or y>q, a<i, u>v and s<a b>c"),
        ("&notanentity; &copyright; &not; &NotEqualTilde;", "&notanentity; &copyright; ¬ ≂̸"),
    ],
)
def test_what_sites_write_around_a_text(text: str, seen: str) -> None:
    assert plain(text) == seen


@pytest.mark.parametrize(
    "piece",
    [
        '<p "',
        "<p '",
        "<a title='\"",
        "&lt;p ",
        "<svg",
        "<![CDATA[",
        "]]>",
        "<!doctype ",
        "<?xml ",
        "<rt>",
        "</object",
        "<p a",
        '<p a="<',
    ],
)
def test_broken_tags_take_time_in_proportion_to_the_text(piece: str) -> None:
    begun = time.process_time()
    plain(piece * 100_000 + ">")
    assert time.process_time() - begun < 10
