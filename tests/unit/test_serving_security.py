"""The bind rule: loopback needs no token, anything wider does."""

from __future__ import annotations

import pytest

from config.errors import UserError
from config.settings import load_settings
from daemon.serving.security import refuse_open_bind


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_needs_no_token(host: str) -> None:
    refuse_open_bind(load_settings(serving={"host": host}).serving)


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.7"])  # noqa: S104 - what is tested
def test_a_wider_bind_without_a_token_is_refused_with_the_remedy(host: str) -> None:
    with pytest.raises(UserError, match=r"serving\.token is empty.*PERENNIAL_SERVING__TOKEN"):
        refuse_open_bind(load_settings(serving={"host": host}).serving)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - what is tested
def test_a_wider_bind_with_a_token_is_allowed(host: str) -> None:
    refuse_open_bind(load_settings(serving={"host": host, "token": "s3cret"}).serving)


def test_a_host_that_is_no_address_is_refused() -> None:
    with pytest.raises(UserError, match="is not an address"):
        refuse_open_bind(load_settings(serving={"host": "no host at all"}).serving)
