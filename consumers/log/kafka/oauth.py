"""Access tokens for SASL OAUTHBEARER, by the client credentials grant (RFC 6749, section 4.4)."""

from __future__ import annotations

import base64
import http.client
import json
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable

from kafka.errors import SaslAuthenticationFailedError
from kafka.net.sasl.oauth import AbstractTokenProvider

_TIMEOUT_S = 5.0
_REFRESH_BEFORE = 0.2
_LIFETIME_WHEN_UNTOLD_S = 300.0


class ClientCredentials(AbstractTokenProvider):  # type: ignore[misc]  # kafka-python ships no types
    """Asks an authorisation server for tokens and keeps one until a fifth of its life is left. Thread-safe."""

    def __init__(
        self, token_url: str, *, client_id: str, client_secret: str, scope: str = "", clock: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__()
        self._token_url = token_url
        self._credentials = base64.b64encode(
            f"{urllib.parse.quote(client_id, safe='')}:{urllib.parse.quote(client_secret, safe='')}".encode()
        ).decode()
        self._scope = scope
        self._clock = clock
        self._token = ""
        self._fresh_until = 0.0
        self._lock = threading.Lock()

    def token(self) -> str:
        """Return a valid access token. Raises kafka-python's `SaslAuthenticationFailedError` when the server gives none."""
        with self._lock:
            if self._clock() >= self._fresh_until:
                self._token, lifetime_s = self._ask()
                self._fresh_until = self._clock() + lifetime_s * (1 - _REFRESH_BEFORE)
            return self._token

    def _ask(self) -> tuple[str, float]:
        form = {"grant_type": "client_credentials"} | ({"scope": self._scope} if self._scope else {})
        request = urllib.request.Request(  # noqa: S310 - the settings take http and https only
            self._token_url,
            data=urllib.parse.urlencode(form).encode(),
            headers={"Authorization": f"Basic {self._credentials}", "Accept": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - as above
                told = json.load(answer)
            return str(told["access_token"]), float(told.get("expires_in", _LIFETIME_WHEN_UNTOLD_S))
        except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
            message = f"{self._token_url} gave no access token ({error or type(error).__name__}); check kafka.oauth_*"
            raise SaslAuthenticationFailedError(message) from error
