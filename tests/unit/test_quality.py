from __future__ import annotations

import time

import pytest

from consumers.quality import READ_CHARS, assess

PROSE = (
    "The central bank raised its main rate by a quarter point on Thursday, the third time this year, and said that inflation "
    "would fall only slowly. Markets had expected the step. Two members of the board voted for a larger one."
)


@pytest.mark.parametrize(
    "text",
    [
        "Aldon Smith Arrested: 49ers Linebacker Busted For DUI",
        "7 Amazing Name Generators (PHOTOS)",
        "LONDON 1996-08-30",
        "Hussain , considered surplus to England 's one-day requirements , struck 158 .",
        "CRICKET - LEICESTERSHIRE TAKE OVER AT TOP AFTER INNINGS VICTORY .",
        "Regeringen föreslår sänkt skatt på el",
        "東京で大雨、電車が止まる",
    ],
)
def test_headlines_and_sentences_of_real_sets_pass(text: str) -> None:
    assert assess(text).score >= 0.5


def test_prose_has_nothing_against_it() -> None:
    assert assess(PROSE).score == 1
    assert assess(PROSE).reasons == ()


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("12:30", "no letters"),
        ("— !", "no letters"),
        ("Ok", "too short: 2 letters"),
        ("Name 1 2 3 4 5 6 7 8 9 " * 40, "mostly digits"),
        (PROSE.upper().replace(".", ". ") + " NOTHING ELSE HAS EVER MATTERED SO MUCH TO SO MANY OF US", "shouting"),
        ("<div class='x'>" * 30 + "Hello world, this is a page", "markup remnants"),
        ("function() { return 1 } var a = 2; function (x) {} Hello there reader", "markup remnants: 3 pieces of script"),
        ("See http://spam.example/1 http://spam.example/2 and http://spam.example/3 now", "link farm: 3 links"),
        ("Sign up for our newsletter. Privacy policy. Terms of use. All rights reserved. Accept cookies.", "boilerplate"),
        ("\n".join(f"Item {name}" for name in "abcdefghijklmno"), "menu"),
        ("Breaking news today from the capital\n" * 8, "repeated lines: 88% of 8"),
        ("buy cheap shoes online " * 60, "repeated words: 4 different ones in 240"),
        ("FranÃ§ois dÃ©cide aprÃ¨s lâ€™Ã©lection", "wrongly decoded"),
    ],
)
def test_rubbish_fails_and_says_why(text: str, reason: str) -> None:
    found = assess(text)
    assert found.score < 0.5
    assert reason in "; ".join(found.reasons)


def test_several_faults_multiply_and_are_all_named() -> None:
    one = assess("Sign up for our newsletter. Privacy policy. Terms of use. All rights reserved. Accept cookies.")
    two = assess("Sign up for our newsletter. Privacy policy. Terms of use. All rights reserved. Accept cookies.\n" * 6)
    assert two.score < one.score
    assert len(two.reasons) > len(one.reasons)


def test_the_cost_of_a_huge_article_is_bounded() -> None:
    started = time.perf_counter()
    assess("Word upon word <b>goes</b> by, and still more. " * 20_000)
    assert time.perf_counter() - started < 1
    assert assess(PROSE * 100) == assess((PROSE * 100)[:READ_CHARS])
