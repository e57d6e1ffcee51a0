"""Stubs that a paywall leaves of an article: a title, perhaps a sentence, and the request to subscribe; pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

_LEAST_CUES = 2
_LEAST_SHARE = 0.5
_LONGEST_STUB_CHARS = 3_000
_SENTENCE = re.compile(r"[^.!?。！？।\n]+[.!?。！？।]*|\n")
# What publishers write where the article should continue, by language; each is part of a regular expression.
_BETWEEN_WORDS = (
    # English
    r"(?:to|and) (?:keep|continue|finish) reading",
    r"(?:keep|continue|finish) reading (?:this|with|by|for)",
    r"(?:subscribe|register|sign (?:in|up)|log ?in) (?:now|today|to (?:read|continue|keep|access|unlock|view|get))",
    r"(?:please|just) (?:subscribe|register|sign (?:in|up)|log ?in)",
    r"subscribe (?:for|to get)",
    r"(?:registered|subscribed|premium|logged[- ]in) (?:users|readers|members)",
    r"(?:continues|reserved|exclusive(?:ly)?) for subscribers",
    r"(?:\w+ )?free trial",
    r"already (?:a (?:subscriber|member)|have an account|subscribed?)",
    r"(?:become|not) a (?:subscriber|member)",
    r"subscriber[- ]only",
    r"subscribers? (?:get|have|enjoy|receive)",
    r"(?:only|exclusive(?:ly)?|reserved) (?:available )?(?:to|for) (?:our )?(?:paying )?(?:subscribers|members)",
    r"(?:for|to) (?:our )?(?:subscribers|members) only",
    r"(?:unlimited (?:digital )?access|full access to|unlock (?:this|the full) (?:article|story))",
    r"start your (?:free )?(?:trial|subscription)",
    r"support (?:quality|independent|local|our) journalism",
    r"free articles? (?:left|remaining|this month)",
    r"(?:all|used|read) (?:of )?your (?:\w+ )?free articles?",
    r"reached your (?:article )?limit",
    r"create (?:a|your) (?:free )?account",
    r"cancel (?:any ?time|at any time)",
    r"read the (?:full|rest of the) (?:article|story)",
    r"premium (?:content|article)",
    r"log ?in or (?:subscribe|register)|(?:sign (?:in|up)|log ?in|register|subscribe) (?:here|for free)|^subscribe(?=[.!]?$)",
    r"(?:article|story|content|page) is (?:only )?(?:available )?(?:for|to) (?:our )?(?:\w+ )?(?:subscribers|members|users)",
    r"thank you for reading",
    # German
    r"weiterlesen|einloggen|probeabo|plus-artikel|jederzeit kündbar|unbegrenzt(?:er|en)? zugang",
    r"jetzt (?:abonnieren|testen|registrieren|anmelden)",
    r"(?:bereits|schon) (?:abonnent|abonnentin|registriert|kunde)",
    r"(?:nur|exklusiv) für abonnenten",
    # French
    r"réservée? (?:à nos|aux) abonnés|abonnez[- ]vous|déjà abonnée?|je m'abonne|se connecter",
    r"poursui\w+ (?:la|votre) lecture|il (?:vous )?reste \d+ ?% de cet article|accès illimité|sans engagement",
    # Spanish, Portuguese, Italian
    r"suscríbete|suscríbase|hazte suscriptor|ya (?:eres|soy) suscriptor|solo para suscriptores|seguir leyendo",
    r"contenido exclusivo para suscriptores|acceso ilimitado|iniciar? sesión",
    r"assine (?:já|agora|para)|já é assinante|continuar? (?:a ler|lendo)|exclusivo para assinantes|acesso ilimitado",
    r"abbonati|sei già abbonato|continua a leggere|riservato agli abbonati|accesso illimitato",
    # Dutch, Swedish, Danish, Norwegian
    r"verder lezen|lees verder|al abonnee|word abonnee|alleen voor abonnees|onbeperkte? toegang|inloggen",
    r"läs vidare|redan prenumerant|bli prenumerant|för prenumeranter|prova (?:en månad|gratis)|logga in|obegränsad tillgång",
    r"avsluta när du vill|læs videre|les videre|allerede abonnent|(?:bliv|bli) abonnent|(?:kun )?for abonnenter|log ind|logg inn",
    r"ubegrænset adgang|ubegrenset tilgang",
    # Polish, Czech, Turkish, Russian
    r"czytaj dalej|dla (?:subskrybentów|prenumeratorów)|masz już (?:konto|subskrypcję)|wykup dostęp|zaloguj się",
    r"pro předplatitele|pokračovat ve čtení|již (?:máte )?předplatné|přihlaste se",
    r"okumaya devam|abone ol(?:un)?|zaten abone|sadece aboneler",
    r"передплатникам|лише для передплатників|(?:оформіть|оформити) передплату|вже (?:є передплатником|маєте передплату)",
    r"(?:читати|продовжити) (?:далі|читання)|увійдіть|увійти",
    r"только для подписчиков|оформите подписку|уже (?:есть подписка|подписчик)|(?:читать|продолжить) (?:дальше|чтение)|войдите",
    # Finnish, Romanian, Hungarian
    r"(?:vain )?tilaajille|tilaa (?:nyt|lehti|ja lue)|jatka lukemista|lue (?:koko juttu|lisää)|oletko jo tilaaja",
    r"kirjaudu(?: sisään)?",
    r"(?:doar|exclusiv|rezervat) (?:pentru )?abonaților|(?:doar|exclusiv) pentru abonați|abonează-te|abonați-vă",
    r"(?:ești|sunteți) deja abonat|(?:continuă|continuați) (?:să citești|lectura|citirea)|citește (?:mai departe|tot articolul)",
    r"autentifică-te|intră în cont",
    r"(?:csak )?előfizetőinknek|(?:csak )?előfizetőknek|fizess(?:en)? elő|már előfizető|olvass(?:a|on)? tovább",
    r"a (?:teljes )?cikk folytatásához|jelentkezz(?:en)? be|lépj(?:en)? be",
    # Greek, Vietnamese, Indonesian
    r"(?:μόνο|αποκλειστικά) για συνδρομητές|γίνετε συνδρομητ[ήέ]ς?|γίνε συνδρομητής|είστε ήδη συνδρομητής|συνεχίστε την ανάγνωση",
    r"συνδεθείτε|εγγραφείτε",
    r"(?:chỉ )?dành (?:riêng )?cho (?:thuê bao|hội viên|người đăng ký|độc giả trả phí)|đăng nhập|đăng ký (?:ngay|để)|đọc tiếp",
    r"đã (?:là thuê bao|có tài khoản)|để đọc (?:tiếp|toàn bộ|đầy đủ)",
    r"khusus (?:untuk )?(?:pelanggan|pembaca premium)|berlangganan (?:sekarang|untuk)|sudah (?:berlangganan|punya akun)",
    r"lanjutkan membaca|untuk melanjutkan|silakan (?:masuk|login)|masuk di sini",
)
_ANYWHERE = (
    # Japanese, Chinese, Korean
    r"続きを読む|会員限定|有料会員|ログイン|無料登録|残り[0-9]+文字",
    r"登录后|订阅(?:后|以|即可|用户)|付费(?:内容|阅读|订阅)|会员专享|成为会员|继续阅读|訂閱(?:後|以|即可)|會員專享|繼續閱讀",
    r"구독자 전용|이미 구독|로그인|계속 읽",
    # Arabic, Hindi
    r"للمشتركين فقط|اشترك الآن|لمتابعة القراءة|تسجيل الدخول",
    r"सब्सक्राइब|आगे पढ़ने|लॉग इन",
)
_CUES = re.compile(rf"\b(?:{'|'.join(_BETWEEN_WORDS)})\b|{'|'.join(_ANYWHERE)}", re.IGNORECASE)
_TOLD = re.compile(r"subscribers? .+|(?:\w+ )?free trial|cancel .+|(?:registered|subscribed|premium) \w+", re.IGNORECASE)
"""Cues that news of a publisher has too: alone they ask nobody."""
_REPORTED = re.compile(r"\b(?:said|says|told|announced|reported|according to)\b", re.IGNORECASE)
_ADDRESSED = re.compile(r"\byou\w*\b", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Stub:
    """How much of a text is the request to subscribe."""

    share: float
    """0..1, of the characters behind the title."""
    example: str


def stub(text: str) -> Stub | None:
    """Return what marks `text` as the stub of an article behind a paywall; None when it is not one.

    Behind its first line, at least half of it stands in sentences that ask for a subscription, in two different ways; what is
    told of subscribers asks nobody.
    """
    if len(text) > _LONGEST_STUB_CHARS:
        return None
    _title, _line, body = text.partition("\n")
    if not body.strip():
        # A headline alone, or a text in one paragraph.
        body = text
    asking: list[str] = []
    chars = asked = 0
    for match in _SENTENCE.finditer(body):
        sentence = match.group().strip()
        chars += len(sentence)
        reported = _REPORTED.search(sentence) and not _ADDRESSED.search(sentence)
        if found := [] if reported else _CUES.findall(sentence):
            asking += found
            asked += len(sentence)
    share = asked / max(chars, 1)
    if len({cue.casefold() for cue in asking}) < _LEAST_CUES or share < _LEAST_SHARE or all(map(_TOLD.fullmatch, asking)):
        return None
    return Stub(share, asking[0][:40])
