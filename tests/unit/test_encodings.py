"""The code page of a file: told by the letters of its language; where two are as likely, refused."""

from __future__ import annotations

import contextlib
import io

import pytest
from hypothesis import given
from hypothesis import strategies as st

from config.errors import UserError
from consumers.formats.files.encoding import recognise

LATIN = [
    ("cp1250", "Árvíztűrő tükörfúrógép a kormány új költségvetést fogadott el"),
    ("iso8859_2", "A kormány őszi költségvetést fogadott el, a miniszter szerint fűtésre is jut"),
    ("cp1250", "Árvíztűrő"),
    ("cp1250", "Oraşul este mare, iar preşedintele ţării a vorbit"),
    ("cp1250", "Oraşul"),
    ("iso8859_16", "Orașul este mare, iar președintele țării a spus: „cœur”"),
    ("cp1250", "Vlada je usvojila proračun za sljedeću godinu"),
    ("cp1250", "Vláda schválila rozpočet na příští rok, říká ministr"),
    ("cp1250", "Dnes je nedeľa a vláda schválila štátny rozpočet na ďalší rok"),
    ("iso8859_2", "Vláda dnes schválila státní rozpočet, škoda přesáhla milion"),
    ("cp1257", "Saldība budžetā un nodokļi šogad pieaug"),
    ("cp1257", "Vyriausybė priėmė kitų metų biudžetą ir mokesčius"),
    ("iso8859_15", "Le cœur de la ville bat encore, 5 € l’entrée".replace("’", "'")),
    ("iso8859_15", "cœur"),
    ("cp1254", "Hükümet gelecek yılın bütçesini açıkladı, şirketler güçlendi"),
    ("cp1252", "Die Regierung beschließt den Haushalt für nächstes Jahr, sagt Muñoz"),
    ("cp1252", "Le gouvernement a adopté le budget : « c’est là », où ça coûte 5 €"),
    ("cp1252", "El Gobierno aprobó el presupuesto del año; ¿quién pagará? ¡Mañana!"),
    ("cp1252", "O governo não aprovou o orçamento, disse a direcção em São Paulo"),
    ("cp1252", "Regeringen överväger att höja skatten för åkerier på Öland"),
    ("cp1252", "Ekonomien vokser, sier Ørsted i Tromsø på mandag"),
    ("cp1252", "The café in São Paulo charges “€5” – Beyoncé’s naïve fans pay"),
    ("cp850", "Die Regierung beschließt den Haushalt für nächstes Jahr"),
]
CYRILLIC = ["cp1251", "koi8_r", "iso8859_5", "cp866", "mac_cyrillic"]


def read(text: str, encoding: str) -> str:
    content = f"text,label\n{text},x\nA plain row,y\n".encode(encoding)
    return content.decode(recognise(io.BytesIO(content), guess=True).name).split("\n")[1].removesuffix(",x")


@pytest.mark.parametrize(("encoding", "text"), LATIN)
def test_a_text_in_latin_letters_is_read_as_it_was_written(encoding: str, text: str) -> None:
    assert read(text, encoding).translate(str.maketrans("șț", "şţ")) == text.translate(str.maketrans("șț", "şţ"))


@pytest.mark.parametrize("encoding", CYRILLIC)
@pytest.mark.parametrize(
    "text",
    [
        "Правительство приняло бюджет на следующий год. Министр сообщил об этом журналистам в Москве",
        "Президент Яковлев подписал закон о налогах, и Юлия Ефимова выиграла чемпионат мира по плаванию",
    ],
)
def test_a_text_in_cyrillic_letters_is_read_as_it_was_written(encoding: str, text: str) -> None:
    assert read(text, encoding) == text


@pytest.mark.parametrize("content", ["Привет".encode("cp1251"), b"\xaf\\_()_/\xaf and so on"])
def test_two_readings_that_are_as_likely_are_refused(content: bytes) -> None:
    with pytest.raises(UserError, match="--encoding"):
        recognise(io.BytesIO(content), guess=True)


@given(st.binary(max_size=200))
def test_any_bytes_are_read_or_refused(content: bytes) -> None:
    with contextlib.suppress(UserError):
        assert recognise(io.BytesIO(content), guess=True).name


@given(st.text(min_size=1, max_size=100))
def test_utf8_comes_first(text: str) -> None:
    assert recognise(io.BytesIO(f"Wörter,{text}".encode()), guess=True).name == "utf-8-sig"
