"""Masks secrets in logs: the values of secret settings, and anything in the form of a key, token or password."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Collection
from urllib.parse import quote, quote_plus, unquote, unquote_plus

from pydantic import SecretStr

from config.errors import UserError
from config.keys import flatten
from config.settings import Settings, load_settings

MASK = "********"
# A shorter secret is masked as a whole word only: a token `a` must not eat every `a` of the log.
_WHOLE_WORD_BELOW = 6
_IN_USERINFO = re.compile(r"://[^/@:\s]*:(.+)@")
_IN_QUERY = re.compile(r"password=([^&\s]+)", re.IGNORECASE)
# What each looks like, and what of it may be read.
_FORMS = (
    (re.compile(r"\b(prn_[0-9a-f]{12}_)[0-9a-f]+"), rf"\1{MASK}"),
    (re.compile(r"\b(bearer\s+)[\w.~+/=-]{8,}", re.IGNORECASE), rf"\1{MASK}"),
    # Without the scheme before it: to look for that takes time that grows with the square of a text such as `a.a.a.`.
    (re.compile(r"(://[^\s/:@\"']*:)[^\s/\"']+@"), rf"\1{MASK}@"),
    (re.compile(r"(password=)[^\s&\"']+", re.IGNORECASE), rf"\1{MASK}"),
)


def secrets_of(settings: Settings) -> frozenset[str]:
    """Return the values that must never be shown: secret settings, and passwords inside URLs."""
    found: set[str] = set()
    for value in flatten(settings.model_dump(mode="python")).values():
        if isinstance(value, SecretStr):
            found.add(value.get_secret_value())
        elif isinstance(value, str):
            found.update(_IN_USERINFO.findall(value))
            found.update(_IN_QUERY.findall(value))
    return frozenset(found - {""})


def masked_message(error: Exception) -> str:
    """Return an error's message with secrets masked, for a terminal or a service's log."""
    try:
        secrets = secrets_of(load_settings())
    except UserError:
        secrets = frozenset()  # unreadable settings; their messages contain no secret
    return masker(secrets)(str(error))


def masker(secrets: Collection[str]) -> Callable[[str], str]:
    """Return a function that replaces `secrets`, in every spelling they may be logged in, and all that looks like one."""
    spellings = {spelling for secret in secrets for spelling in _spellings(secret)}
    # The longest first: a secret may be a part of another.
    alternatives = [
        re.escape(spelling) if len(spelling) >= _WHOLE_WORD_BELOW else rf"(?<!\w){re.escape(spelling)}(?!\w)"
        for spelling in sorted(spellings, key=len, reverse=True)
    ]
    known = re.compile("|".join(alternatives)) if alternatives else None

    def mask(text: str) -> str:
        if known is not None:
            text = known.sub(MASK, text)
        for form, shown in _FORMS:
            text = form.sub(shown, text)
        return text

    return mask


def _spellings(secret: str) -> set[str]:
    """Return all spellings of a secret: as it is, URL-encoded, and escaped by `repr` and JSON, also combined."""
    plain = {secret, unquote(secret), unquote_plus(secret)}
    in_urls = {encode(one, safe="", errors="surrogatepass") for one in plain for encode in (quote, quote_plus)}
    in_python = {repr(one)[1:-1] for one in plain} | {repr(one.encode("utf-8", "surrogatepass"))[2:-1] for one in plain}
    # Python escapes a quote only in a text that holds both kinds.
    spelled = plain | in_urls | in_python | {one.replace("'", "\\'") for one in in_python}
    return spelled | {json.dumps(one, ensure_ascii=ascii_only)[1:-1] for one in spelled for ascii_only in (True, False)}
