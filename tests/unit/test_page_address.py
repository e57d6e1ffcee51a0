"""Where a browser finds the page, as `perennial run` tells it first."""

from __future__ import annotations

import pytest

from config.addresses import page_address
from config.settings import load_settings


@pytest.mark.parametrize(
    ("serving", "told"),
    [
        ({}, "http://127.0.0.1:8310/ui"),
        ({"host": "", "port": 9000}, "http://127.0.0.1:9000/ui"),
        ({"host": "::1"}, "http://[::1]:8310/ui"),
        ({"host": "news.example", "tls_certificate": "cert.pem", "tls_key": "key.pem"}, "https://news.example:8310/ui"),
    ],
)
def test_the_page_is_told_where_this_machine_reaches_it(serving: dict[str, object], told: str) -> None:
    settings = load_settings().serving.model_copy(update=serving)
    assert page_address(settings) == told
