"""Whatever entities a sentence has, every tagging scheme that can tell them apart gives them back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumers.formats.tags import TokenSpan, decode_tags, sentence

LABELS = st.sampled_from(["PER", "ORG", "creative-work", "0-day"])


@st.composite
def entities(draw: st.DrawFn) -> tuple[int, list[TokenSpan]]:
    """Return the number of tokens and disjoint entities over them, in order."""
    spans, position = [], 0
    for _ in range(draw(st.integers(0, 6))):
        first = position + draw(st.integers(0, 2))
        after = first + draw(st.integers(1, 3))
        spans.append(TokenSpan(first, after, draw(LABELS)))
        position = after
    return position + draw(st.integers(0, 2)), spans


def tags(length: int, spans: list[TokenSpan], scheme: str) -> list[str]:
    """Return the tags of a sentence in one scheme."""
    written = ["O"] * length
    previous: TokenSpan | None = None
    for span in spans:
        touches = previous is not None and previous.after == span.first and previous.label == span.label
        for token in range(span.first, span.after):
            prefix = "I"
            if scheme == "IOB2" and token == span.first:
                prefix = "B"
            if scheme == "IOB1" and token == span.first and touches:
                prefix = "B"
            if scheme == "IOBES":
                alone, first, last = span.after - span.first == 1, token == span.first, token == span.after - 1
                prefix = "S" if alone else "B" if first else "E" if last else "I"
            written[token] = f"{prefix}-{span.label}"
        previous = span
    return written


@given(entities(), st.sampled_from(["IOB1", "IOB2", "IOBES"]))
def test_every_scheme_gives_the_entities_back(drawn: tuple[int, list[TokenSpan]], scheme: str) -> None:
    length, spans = drawn
    assert decode_tags(tags(length, spans, scheme)) == spans


@given(st.data())
def test_spans_of_the_text_cover_their_tokens(data: st.DataObject) -> None:
    length, spans = data.draw(entities())
    # Of scripts that write spaces between words: others are joined without.
    token = st.text(st.characters(exclude_categories=["Cs", "Cc", "Zs", "Zl", "Zp", "Lo"]), min_size=1, max_size=8)
    tokens = data.draw(st.lists(token, min_size=length, max_size=length))
    row = sentence(tokens, [tags(length, spans, "IOB2")])
    text, found = str(row["text"]), row["spans"]
    assert isinstance(found, list)
    assert [(text[span["start"] : span["end"]], span["label"]) for span in found] == [
        (" ".join(tokens[span.first : span.after]), span.label) for span in spans
    ]
