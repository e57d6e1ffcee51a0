"""How clients reach the cluster: addresses, SASL, TLS, and constructors that leave nothing behind when they fail."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from kafka import errors as kafka_errors
from kafka.net.compat import KafkaNetClient

from config.errors import RetryError
from config.sections import KafkaSettings
from consumers.log.kafka.oauth import ClientCredentials

CONNECT_MS = 5_000
"""How long a client tries to reach a broker before it gives up."""
REQUEST_MS = 15_000
"""How long one request waits for its answer."""
_RECONNECT_MS = 1_000
"""A broker that came back is found after this long at most; the library's own limit is half a minute."""
CLOSE_MS = 5_000
"""How long a client takes leave of its broker."""

Connection = Mapping[str, Any]
"""kafka-python's own settings for where and how to connect."""


def connection_to(bootstrap_servers: Sequence[str], security: Mapping[str, Any] | None = None) -> Connection:
    """Return what every client is opened with; `security` are kafka-python's settings for SASL and TLS."""
    waits = {"bootstrap_timeout_ms": CONNECT_MS, "reconnect_backoff_max_ms": _RECONNECT_MS}
    return {"bootstrap_servers": list(bootstrap_servers), **waits, **(security or {})}


def security_of(settings: KafkaSettings) -> dict[str, Any]:
    """Return kafka-python's settings for the SASL and TLS that the operator chose."""
    security: dict[str, Any] = {"security_protocol": settings.security_protocol}
    if settings.security_protocol.endswith("SSL"):
        security |= {
            "ssl_check_hostname": settings.tls_check_hostname,
            "ssl_cafile": settings.tls_ca or None,
            "ssl_certfile": settings.tls_certificate or None,
            "ssl_keyfile": settings.tls_key or None,
            "ssl_password": settings.tls_key_password.get_secret_value() or None,
        }
    if settings.security_protocol.startswith("SASL"):
        security["sasl_mechanism"] = settings.sasl_mechanism
        if settings.sasl_mechanism == "OAUTHBEARER":
            security["sasl_oauth_token_provider"] = ClientCredentials(
                settings.oauth_token_url,
                client_id=settings.oauth_client_id,
                client_secret=settings.oauth_client_secret.get_secret_value(),
                scope=settings.oauth_scope,
            )
        else:
            security["sasl_plain_username"] = settings.username
            security["sasl_plain_password"] = settings.password.get_secret_value()
    return security


def net_client(**options: object) -> KafkaNetClient:
    """Return a connection that makes no topic by asking for it."""
    # kafka-python 3.0.12 drops the option on the way to where it is read.
    client = KafkaNetClient(**options)
    client.cluster.config["allow_auto_create_topics"] = False
    return client


def opened(kind: Callable[..., Any], connection: Connection, **settings: object) -> Any:  # noqa: ANN401 - kafka-python ships no types
    """Return a client of `kind`. Raises `RetryError` when no broker answers or takes the credentials; nothing stays behind."""
    clients: list[KafkaNetClient] = []

    def client(**options: object) -> KafkaNetClient:
        clients.append(net_client(**options))
        return clients[-1]

    try:
        return kind(kafka_client=client, **connection, **settings)
    except (kafka_errors.KafkaError, OSError) as error:
        # kafka-python 3.0.12 leaves a thread and its sockets behind when its constructor fails.
        for left_behind in clients:
            left_behind.close()
        servers = ", ".join(connection["bootstrap_servers"])
        message = f"no Kafka broker answers at {servers} ({in_words(error)}). Nothing is lost; it is tried again. "
        message += "Start the broker, or fix the address or the credentials in [kafka]."
        raise RetryError(message) from error


def in_words(error: BaseException) -> str:
    """Return what an error says, or its name when it says nothing."""
    return str(error) or type(error).__name__
