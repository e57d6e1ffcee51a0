from __future__ import annotations

import pytest

from consumers.text.quality import READ_CHARS, assess

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
    for huge in (PROSE * 100, "Word upon word <b>goes</b> by, and still more. " * 20_000):
        whole, beginning = assess(huge), assess(huge[:READ_CHARS])
        assert (whole.score, whole.reasons) == (beginning.score, beginning.reasons)


HEADLINES = {
    "Hindi": "सरकार ने किसानों के लिए नई बीमा योजना शुरू की। भारत ने क्रिकेट मैच में ऑस्ट्रेलिया को हराया।",
    "Tamil": "மத்திய வங்கி வட்டி விகிதத்தைக் குறைத்தது. இறுதிப் போட்டியில் அணி தோல்வியடைந்தது. கனமழையால் சாலைகள் வெள்ளத்தில் மூழ்கின.",
    "Bengali": "কেন্দ্রীয় ব্যাংক সুদের হার কমিয়েছে। ফাইনালে দল হেরে গেছে। ভারী বৃষ্টিতে রাস্তা ডুবে গেছে।",
    "Chinese": "央行宣布下调基准利率。国足在预选赛中输给日本队。台风登陆沿海多地停课。科学家发现新的行星。",
    "Japanese": "中央銀行が金利を引き下げた。台風で学校が休校になった。新しい惑星が見つかった。",
    "Thai": "ธนาคารกลางลดอัตราดอกเบี้ย ทีมชาติแพ้ในนัดชิงชนะเลิศ ฝนตกหนักน้ำท่วมถนนในกรุงเทพ",
    "Arabic": "البنك المركزي يخفض سعر الفائدة. المنتخب يفوز في نهائي الكأس. أمطار غزيرة تغرق شوارع العاصمة.",
    "Khmer": "ធនាគារកណ្តាលបានបញ្ចុះអត្រាការប្រាក់ ភ្លៀងធ្លាក់ខ្លាំងជន់លិចផ្លូវ",
}


@pytest.mark.parametrize("language", HEADLINES)
def test_scripts_without_case_or_spaces_or_with_marks_have_nothing_against_them(language: str) -> None:
    text = HEADLINES[language]
    assert assess(text).reasons == ()
    assert assess(f"GDP {text} {text.replace(' ', ' ')} NATO").reasons == (), "an acronym does not shout"
    lines = "\n".join(part.strip() for part in text.replace("。", ".").replace("।", ".").split(".") if part.strip())
    assert not any("menu" in reason for reason in assess(lines * 1 + "\n" + lines).reasons)


@pytest.mark.parametrize("spam", ["买便宜的鞋", "सस्ते जूते खरीदें ", "ซื้อรองเท้าราคาถูก", "மலிவான காலணிகள் "])
def test_repetition_is_found_in_every_script(spam: str) -> None:
    assert any("repeated words" in reason for reason in assess(spam * 60).reasons)


STUBS = [
    # As reported; then shorter, with a teaser, in other languages.
    """Mayor wins close vote in Porto

To keep reading this story, please subscribe. Subscribers get unlimited access on any device, daily newsletters and the full
archive. Already a subscriber? Log in. This is subscriber-only content; support quality journalism in your region today.""",
    "Striker breaks leg\n\nSubscribe to continue reading. Already have an account? Sign in.",
    """Court rules on water rights

The ruling came on Monday.

This article is for subscribers only. Start your free trial to read the full article. Cancel anytime.""",
    "Bürgermeister gewinnt\n\nWeiterlesen mit Plus-Artikel. Jetzt testen. Bereits Abonnent?",
    "Le maire élu de justesse\n\nCet article est réservé aux abonnés. Abonnez-vous. Déjà abonné ? Se connecter.",
    "Borgmästaren vann\n\nLäs vidare. Redan prenumerant? Logga in. Avsluta när du vill.",
    "首相が会見\n\nこの記事は会員限定です。続きを読むにはログインしてください。",
]


@pytest.mark.parametrize("text", STUBS)
def test_what_a_paywall_leaves_of_an_article_is_no_text(text: str) -> None:
    found = assess(text)
    assert found.score <= 0.3
    assert any(reason.startswith("paywall: ") for reason in found.reasons)


@pytest.mark.parametrize(
    "text",
    [
        PROSE,
        PROSE + "\n\nAlready a subscriber? Log in.",
        "Netflix gains subscribers\n\nThe company added six million subscribers. Shares rose in late trading.",
        "Spotify raises prices\nSubscribers get a free trial of 30 days, the company said. Subscribers can cancel anytime.",
        "Paper grows\nRegistered users get a free trial. Subscribers have access to the archive.",
        "Readers' letters\n\nTo keep reading habits alive, libraries open on Sundays. The city pays for it.",
    ],
)
def test_an_article_about_subscriptions_is_one(text: str) -> None:
    assert not any("paywall" in reason for reason in assess(text).reasons)


def test_a_stray_entity_does_not_cost_a_headline_its_use() -> None:
    assert assess("Q&amp;A: budget").score >= 0.4


@pytest.mark.parametrize(
    "sentence",
    [
        "삼성과 LG는 AI와 5G를 말했다. ",
        "\u82f1\u4f1f\u8fbe\u53d1\u5e03\u4e86\u65b0GPU\u548cAI\u82af\u7247\u3002",
        "トヨタのEVとNHKのSNSについて。",
    ],
)
def test_acronyms_in_a_script_without_capitals_are_no_shouting(sentence: str) -> None:
    text = "".join(f"{sentence}{number} " for number in range(200))
    assert not [reason for reason in assess(text).reasons if "shouting" in reason]


WRITTEN = [
    "Правительство приняло бюджет на следующий год",
    "政府通过了明年的预算案，部长表示欢迎",
    "Rząd przyjął budżet, a złoty słabnie",
    "Η κυβέρνηση ενέκρινε τον προϋπολογισμό",
    "政府は予算を可決した",
    "정부가 예산안을 통과시켰다",
    "वित्त मंत्री ने बजट पेश किया",
    "Vláda schválila rozpočet na příští rok",
    "Chính phủ thông qua ngân sách năm tới",
]


@pytest.mark.parametrize("text", WRITTEN)
def test_utf8_read_as_windows_1252_is_wrongly_decoded(text: str) -> None:
    encoded = text.encode()
    # The five bytes that Windows-1252 does not have become controls or are lost.
    lenient = "".join(bytes([byte]).decode("cp1252", "ignore") or chr(byte) for byte in encoded)
    for misread in (lenient, encoded.decode("latin-1")):
        found = assess(misread)
        assert any(reason.startswith("wrongly decoded") for reason in found.reasons), misread
        assert found.score < 0.5
    assert not any(reason.startswith("wrongly decoded") for reason in assess(text).reasons)


@pytest.mark.parametrize(
    "text",
    [
        "« C’est l’été\xa0», dit-il, « et le marché\xa0» monte\xa0; l’idée\xa0» reste.",
        "„Das macht Spaß“, sagt er, „und Fuß“. IKEA PÅ»TOPP«",
        "Ångström är på väg – ”åäö” kostar 5 €",
        "AÇÃO “NÃO” — IRMÃ ”",
    ],
)
def test_letters_with_accents_before_quotation_marks_are_well_decoded(text: str) -> None:
    assert not any(reason.startswith("wrongly decoded") for reason in assess(text).reasons)


@pytest.mark.parametrize(
    "text",
    [
        "Bank acts\nThis content is only available to registered users. Please log in or register.",
        "Bank acts\nYou've read all your free articles. Subscribe for unlimited access.",
        "Bank acts\nThis article is for subscribers. Log in or subscribe to read the full article.",
        "Bank acts\nThis content is only available to registered users. Sign up for free.",
        "Bank acts\nThank you for reading! Subscribe. Sign in here.",
        "Pankki nosti korkoja\nTämä juttu on vain tilaajille. Tilaa nyt. Oletko jo tilaaja? Kirjaudu sisään.",
        "Banca a crescut dobânda\nAcest articol este doar pentru abonați. Abonează-te. Ești deja abonat? Autentifică-te.",
        "A bank kamatot emelt\nA cikk csak előfizetőinknek érhető el. Fizessen elő! Már előfizető? Jelentkezzen be.",
        "Η τράπεζα\nΤο άρθρο είναι μόνο για συνδρομητές. Είστε ήδη συνδρομητής; Συνδεθείτε.",
        "Банк підняв ставку\nМатеріал лише для передплатників. Оформіть передплату. Увійдіть, щоб читати далі.",
        "Ngân hàng tăng lãi suất\nBài viết dành cho thuê bao. Đăng nhập để đọc tiếp.",
        "Bank naikkan bunga\nArtikel ini khusus pelanggan. Berlangganan sekarang. Sudah berlangganan? Silakan masuk.",
        "Bank acts\nThe rest is reserved for subscribers. Start with a free trial.",
    ],
)
def test_other_words_that_paywalls_use(text: str) -> None:
    assert "paywall" in "; ".join(assess(text).reasons)
