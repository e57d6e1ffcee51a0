"""The bound on spaCy's tokenizer: the same tokens, patterns that read little."""

from __future__ import annotations

import functools
import re
from typing import Any

import pytest
import spacy
from hypothesis import given, settings
from hypothesis import strategies as st
from spacy.language import Language
from spacy.tokens import Doc

from perennial_artifact.spacy.tokens import INFIX_CHARS, NEAR_CHARS, Infixes, Prefix, Short, Suffix, make_linear
from trainers.learners.protocols import Example
from trainers.learners.spacy.rows import lay_on_tokens

ATOMS = [
    *"abzAZéßяЖ日本。0159.,;:!?'\"()[]{}<>/\\@#$€%&*-–—_=+~^|°²…’“”« \n\t\u00a0\u0301\u200d😀",
    "'s", "km", "http://", "www.", "U.S.", "don't", ".com", "...", "--", "l'", "10km", "C++", "e.g.", "@x.org", "°C", "a-b",
    "1,2-3,4",
]  # fmt: skip
RUNS = [
    "$",
    "(",
    ".",
    "'",
    '"',
    "-",
    "_",
    ":)",
    "'s",
    "a:",
    "a@",
    "a.",
    "1km",
    "1.",
    "/",
    "http://a.b/",
    "😀",
    "e\u0301",
    "日本。",
    "..",
    "\n",
]


@functools.cache
def pipelines(language: str) -> tuple[Language, Language]:
    return spacy.blank(language), make_linear(spacy.blank(language))


def tokens(doc: Doc) -> list[tuple[Any, ...]]:
    return [(token.idx, token.text, token.whitespace_, token.norm) for token in doc]


def assert_same_tokens(language: str, text: str) -> None:
    plain, bounded = pipelines(language)
    assert tokens(bounded.make_doc(text)) == tokens(plain.make_doc(text))


@pytest.mark.parametrize("language", ["en", "xx", "el"])
def test_every_text_has_the_tokens_it_had(language: str) -> None:
    some = st.lists(st.sampled_from(ATOMS), max_size=200).map("".join)
    runs = st.tuples(some, st.sampled_from(ATOMS), st.integers(1, 150), some).map(
        lambda each: each[0] + each[1] * each[2] + each[3]
    )

    @settings(max_examples=60, deadline=None)
    @given(st.one_of(some, runs, st.text(max_size=200)))
    def check(text: str) -> None:
        assert_same_tokens(language, text)

    check()


@pytest.mark.parametrize("run", RUNS)
def test_runs_longer_than_what_is_read_have_the_tokens_they_had(run: str) -> None:
    for count in (NEAR_CHARS - 1, NEAR_CHARS, NEAR_CHARS + 1, 3 * NEAR_CHARS, INFIX_CHARS, INFIX_CHARS + NEAR_CHARS):
        assert_same_tokens("en", f"He paid {(run * count)[:count]} for it")


class Noting:
    """A compiled pattern that notes how many characters each call may read."""

    def __init__(self, pattern: str) -> None:
        self.pattern = pattern
        self.read: list[int] = []
        self._compiled = re.compile(pattern)

    def search(self, run: str, begin: int = 0, end: int | None = None) -> Any:
        end = len(run) if end is None else end
        self.read.append(end - begin)
        return self._compiled.search(run, begin, end)

    def match(self, run: str) -> Any:
        self.read.append(len(run))
        return self._compiled.match(run)

    def finditer(self, run: str, begin: int = 0, end: int | None = None) -> Any:
        end = len(run) if end is None else end
        self.read.append(end - begin)
        return self._compiled.finditer(run, begin, end)


@pytest.mark.parametrize(("bound", "pattern"), [(Prefix, r"^\$|^\("), (Suffix, r"\$$|\($")])
def test_an_affix_is_looked_for_where_it_must_lie(bound: Any, pattern: str) -> None:
    compiled = Noting(pattern)
    found = bound(compiled).find("$" * 10_000)
    assert found.end() - found.start() == 1
    assert compiled.read == [NEAR_CHARS]


def test_infixes_are_looked_for_in_parts_and_all_are_found() -> None:
    compiled, run = Noting(r"\.\.+|(?<=a)-(?=b)"), "a-b" * 1_000 + "." * 2_000 + "a-b" * 1_000
    found = [match.span() for match in Infixes(compiled).find(run)]  # type: ignore[arg-type]  # what is used of a pattern
    assert found == [match.span() for match in re.finditer(compiled.pattern, run)]
    assert sum(compiled.read) < 3 * len(run)


def test_a_run_too_long_for_an_address_is_not_matched_with_one() -> None:
    compiled = Noting("a+")
    short = Short(compiled, 5)  # type: ignore[arg-type]  # as above
    assert short.find("aaaaa") is not None
    assert short.find("aaaaaa") is None
    assert compiled.read == [5]


def test_a_saved_pipeline_is_the_one_without_the_bound() -> None:
    plain, bounded = pipelines("en")
    assert bounded.tokenizer.to_bytes(exclude=["vocab"]) == plain.tokenizer.to_bytes(exclude=["vocab"])
    again = make_linear(make_linear(spacy.blank("xx")))
    assert isinstance(again.tokenizer.prefix_search.__self__._compiled, re.Pattern), "bounded twice"


def test_a_tokenizer_of_another_kind_stays_as_it_is() -> None:
    nlp = spacy.blank("xx")
    nlp.tokenizer = own = lambda text: Doc(nlp.vocab, words=text.split())
    assert make_linear(nlp).tokenizer is own


def test_a_row_is_read_once_and_its_document_made_again_from_what_was_kept() -> None:
    nlp = make_linear(spacy.blank("en"))
    texts = ["He didn't pay £5 at 10a.m.,  \n\n in the U.S.A. - 'twas $5!", "\u00a0😀 l'État  c'est moi\t", "x" * 40 + "$" * 60]
    laid, _report = lay_on_tokens(nlp, [Example(text, text, {"spans": []}) for text in texts], ())
    expected = [nlp.make_doc(text) for text in texts]
    read = nlp.tokenizer
    nlp.tokenizer = None  # nothing is read again
    documents = [row.example(nlp).predicted for row in laid]
    nlp.tokenizer = read
    assert [document.text for document in documents] == texts
    assert [tokens(document) for document in documents] == [tokens(document) for document in expected]
    attributes = ["NORM", "PREFIX", "SUFFIX", "SHAPE", "SPACY", "IS_SPACE"]
    for made, again in zip(expected, documents, strict=True):
        assert (made.to_array(attributes) == again.to_array(attributes)).all()


def test_a_row_that_takes_longer_than_its_time_is_left_out_by_name() -> None:
    clock = iter([0.0, 0.5, 10.0, 11.5, 20.0, 20.9, 30.0, 30.5, 32.5])
    rows = [Example(name, "Paris is big", {"spans": [{"start": 0, "end": 5, "label": "GPE"}]}) for name in ("a", "slow", "c")]
    long = Example("long", "word " * 2_500, {"spans": []})
    done: list[int] = []

    laid, report = lay_on_tokens(
        spacy.blank("xx"), [*rows, long], ("GPE",), text_time_s=1.0, report=done.append, elapsed=lambda: next(clock)
    )

    assert len(laid) == 2
    assert (report.exact, report.over_time, done) == (2, ["slow", "long"], [1, 2, 3, 4])
    assert str(report) == "2 rows left out, whose text took too long to read: 'slow', 'long'"
