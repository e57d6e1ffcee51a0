"""SASL (PLAIN, SCRAM, OAUTHBEARER) and TLS, against a real broker that asks for them."""

from __future__ import annotations

import base64
import http.server
import json
import threading
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from kafka.admin import KafkaAdminClient, NewTopic
from kafka.errors import SaslAuthenticationFailedError

from config.errors import RetryError
from config.settings import Settings, shipped_settings
from consumers.log.kafka import connection
from consumers.log.kafka.oauth import ClientCredentials
from consumers.log.open import open_event_log
from consumers.log.protocols import EventLog
from tests.kafka.broker import Broker, free_port
from tests.support.certificates import self_signed
from tests.support.event_logs import read
from tests.support.kafka_logs import require_kafka

USER, PASSWORD = "app", "pa55-word"
_MODULES = "org.apache.kafka.common.security"


class Cluster:
    """One broker with a listener per way of proving who one is."""

    def __init__(self, folder: Path) -> None:
        own, client = self_signed(folder, "broker", host="127.0.0.1"), self_signed(folder, "client", host="app.example")
        # Signed by themselves: each side trusts the other's very certificate.
        self.ca, self.client_certificate, self.client_key = own.certificate, client.certificate, client.key
        store = folder / "broker.pem"
        store.write_bytes(own.key.read_bytes() + own.certificate.read_bytes())
        self.ports = {name: free_port() for name in ("plain", "scram", "oauth", "tls", "scramtls", "mutual")}
        protocols = {
            "plain": "SASL_PLAINTEXT", "scram": "SASL_PLAINTEXT", "oauth": "SASL_PLAINTEXT", "tls": "SSL", "scramtls": "SASL_SSL",
            "mutual": "SSL",
        }  # fmt: skip
        extra = ",".join(f"{name.upper()}://127.0.0.1:{port}" for name, port in self.ports.items())
        properties = f"""
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller}},{extra}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},{extra}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,{
            ",".join(f"{name.upper()}:{protocol}" for name, protocol in protocols.items())
        }
listener.name.plain.sasl.enabled.mechanisms=PLAIN
listener.name.plain.plain.sasl.jaas.config={_MODULES}.plain.PlainLoginModule required user_{USER}="{PASSWORD}";
listener.name.oauth.sasl.enabled.mechanisms=OAUTHBEARER
listener.name.oauth.oauthbearer.sasl.jaas.config={
            _MODULES
        }.oauthbearer.OAuthBearerLoginModule required unsecuredLoginStringClaim_sub="broker";
ssl.keystore.type=PEM
ssl.keystore.location={store}
ssl.truststore.type=PEM
ssl.truststore.location={self.client_certificate}
listener.name.mutual.ssl.client.auth=required
"""
        for name in ("scram", "scramtls"):
            properties += f"listener.name.{name}.sasl.enabled.mechanisms=SCRAM-SHA-512\n"
            properties += f"listener.name.{name}.scram-sha-512.sasl.jaas.config={_MODULES}.scram.ScramLoginModule required;\n"
        self.broker = Broker(folder / "kafka", properties=properties, scram=f"SCRAM-SHA-512=[name={USER},password={PASSWORD}]")
        self.broker.start()

    def settings(self, listener: str, **kafka: Any) -> Settings:
        """Settings of an installation that goes through one of the listeners."""
        address = f"127.0.0.1:{self.ports[listener]}"
        return shipped_settings("training", events={"backend": "kafka"}, kafka={"bootstrap_servers": address, **kafka})


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    require_kafka()
    made = Cluster(tmp_path_factory.mktemp("secured"))
    yield made
    made.broker.kill()


@pytest.fixture
def topic(cluster: Cluster) -> str:
    name = uuid.uuid4().hex
    with closing(KafkaAdminClient(bootstrap_servers=cluster.broker.address)) as admin:
        admin.create_topics([NewTopic(name, num_partitions=1, replication_factor=1)])
    return name


class TokenServer:
    """Hands out unsecured tokens (which Kafka's default validator takes) to one client, as RFC 6749 section 4.4 says."""

    def __init__(self, lifetime_s: int = 3600) -> None:
        self.asked: list[dict[str, list[str]]] = []
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                form = urllib.parse.parse_qs(self.rfile.read(int(self.headers["Content-Length"])).decode())
                outer.asked.append(form)
                expected = base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
                right = self.headers["Authorization"] == f"Basic {expected}"
                answer = json.dumps({"access_token": unsecured_token(lifetime_s), "expires_in": lifetime_s} if right else {})
                self.send_response(200 if right else 401)
                self.send_header("Content-Type", "application/json")
                self.end_headers()
                self.wfile.write(answer.encode())

            def log_message(self, *_: Any) -> None:
                pass

        self._server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/token"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


def unsecured_token(lifetime_s: int) -> str:
    now = time.time()
    parts = ({"alg": "none"}, {"sub": USER, "iat": now, "exp": now + lifetime_s})
    return ".".join(base64.urlsafe_b64encode(json.dumps(part).encode()).decode().rstrip("=") for part in parts) + "."


@pytest.fixture
def tokens() -> Iterator[TokenServer]:
    server = TokenServer()
    yield server
    server.close()


@pytest.fixture
def soon_refused(monkeypatch: pytest.MonkeyPatch) -> Callable[[Settings], EventLog]:
    """Open a log that gives up within a second instead of five: it never gets in."""

    def opened(settings: Settings) -> EventLog:
        with monkeypatch.context() as brief:
            brief.setattr(connection, "CONNECT_MS", 1_000)
            return open_event_log(settings)

    return opened


def goes_through(settings: Settings, topic: str) -> None:
    with closing(open_event_log(settings)) as log:
        with closing(log.sink()) as sink:
            sink.publish(topic, b"secret news")
        with closing(log.source(uuid.uuid4().hex, [topic])) as source:
            assert [event.value for event in read(source, 1)] == [b"secret news"]


PLAIN = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "PLAIN", "username": USER}
SCRAM = {"security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "SCRAM-SHA-512", "username": USER}


@pytest.mark.parametrize(("listener", "chosen"), [("plain", PLAIN), ("scram", SCRAM)])
def test_a_password_opens_the_log_and_a_wrong_one_is_told_without_it(
    cluster: Cluster, topic: str, soon_refused: Callable[[Settings], EventLog], listener: str, chosen: dict[str, str]
) -> None:
    goes_through(cluster.settings(listener, **chosen, password=PASSWORD), topic)
    wrong = soon_refused(cluster.settings(listener, **chosen, password="wr0ng-word"))
    with closing(wrong.sink()) as sink, pytest.raises(RetryError, match=r"credentials in \[kafka\]") as told:
        sink.publish(topic, b"x")
    assert "wr0ng-word" not in str(told.value)


def test_tls_trusts_the_named_authority_only(cluster: Cluster, topic: str, soon_refused: Callable[[Settings], EventLog]) -> None:
    goes_through(cluster.settings("tls", security_protocol="SSL", tls_ca=str(cluster.ca)), topic)
    stranger = soon_refused(cluster.settings("tls", security_protocol="SSL"))
    with closing(stranger.sink()) as sink, pytest.raises(RetryError, match="no Kafka broker answers"):
        sink.publish(topic, b"x")


def test_sasl_goes_through_tls(cluster: Cluster, topic: str) -> None:
    chosen = SCRAM | {"security_protocol": "SASL_SSL", "tls_ca": str(cluster.ca), "password": PASSWORD}
    goes_through(cluster.settings("scramtls", **chosen), topic)


def test_a_client_certificate_is_shown_where_the_broker_asks_for_one(
    cluster: Cluster, topic: str, soon_refused: Callable[[Settings], EventLog]
) -> None:
    chosen = {"security_protocol": "SSL", "tls_ca": str(cluster.ca)}
    own = {"tls_certificate": str(cluster.client_certificate), "tls_key": str(cluster.client_key)}
    goes_through(cluster.settings("mutual", **chosen, **own), topic)
    nameless = soon_refused(cluster.settings("mutual", **chosen))
    with closing(nameless.sink()) as sink, pytest.raises(RetryError, match="no Kafka broker answers"):
        sink.publish(topic, b"x")


def test_oauthbearer_gets_its_token_from_the_authorisation_server(
    cluster: Cluster, topic: str, tokens: TokenServer, soon_refused: Callable[[Settings], EventLog]
) -> None:
    chosen = {
        "security_protocol": "SASL_PLAINTEXT", "sasl_mechanism": "OAUTHBEARER", "oauth_token_url": tokens.url,
        "oauth_client_id": USER, "oauth_scope": "news",
    }  # fmt: skip
    goes_through(cluster.settings("oauth", **chosen, oauth_client_secret=PASSWORD), topic)
    assert tokens.asked[0] == {"grant_type": ["client_credentials"], "scope": ["news"]}
    assert len(tokens.asked) == 1, "one token serves every connection until it grows old"
    refused = soon_refused(cluster.settings("oauth", **chosen, oauth_client_secret="wr0ng-word"))
    with closing(refused.sink()) as sink, pytest.raises(RetryError) as told:
        sink.publish(topic, b"x")
    assert "wr0ng-word" not in str(told.value)


def test_a_token_is_kept_until_a_fifth_of_its_life_is_left(tokens: TokenServer) -> None:
    now = 0.0
    provider = ClientCredentials(tokens.url, client_id=USER, client_secret=PASSWORD, clock=lambda: now)
    assert provider.token() == provider.token()
    now = 2879.0
    provider.token()
    assert len(tokens.asked) == 1
    now = 2881.0
    provider.token()
    assert len(tokens.asked) == 2


def test_a_token_that_is_not_given_is_told_with_the_address_and_without_the_secret(tokens: TokenServer) -> None:
    with pytest.raises(SaslAuthenticationFailedError, match=r"gave no access token .* check kafka.oauth_\*") as told:
        ClientCredentials(tokens.url, client_id=USER, client_secret="wr0ng-word").token()
    assert "wr0ng-word" not in str(told.value)
