"""The bind rule: loopback needs no key and no token, anything wider needs one of them."""

from __future__ import annotations

import pytest

from config.errors import UserError
from config.settings import load_settings
from daemon.serving.http.security import refuse_open_bind


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_needs_no_token_and_asks_for_no_keys(host: str) -> None:
    refuse_open_bind(load_settings(serving={"host": host}).serving, lambda: pytest.fail("the registry need not be opened"))


@pytest.mark.parametrize("host", ["0.0.0.0", "::", "", "192.0.2.7"])  # noqa: S104 - what is tested
def test_a_wider_bind_without_a_token_is_refused_with_the_remedy(host: str) -> None:
    with pytest.raises(UserError, match=r"serving\.token is empty.*perennial keys create.*PERENNIAL_SERVING__TOKEN"):
        refuse_open_bind(load_settings(serving={"host": host}).serving, lambda: False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - what is tested
def test_a_wider_bind_with_a_token_is_allowed(host: str) -> None:
    refuse_open_bind(load_settings(serving={"host": host, "token": "s3cret"}).serving, lambda: False)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])  # noqa: S104 - what is tested
def test_a_wider_bind_with_keys_is_allowed(host: str) -> None:
    refuse_open_bind(load_settings(serving={"host": host}).serving, lambda: True)


def test_a_key_as_the_token_is_refused() -> None:
    settings = load_settings(serving={"token": "prn_0123456789ab_" + "0" * 64}).serving
    with pytest.raises(UserError, match=r"serving\.token holds an API key") as refused:
        refuse_open_bind(settings, lambda: True)
    assert "0000" not in str(refused.value)


def test_a_host_that_is_no_address_is_refused() -> None:
    with pytest.raises(UserError, match="is not an address"):
        refuse_open_bind(load_settings(serving={"host": "no host at all"}).serving, lambda: False)
