"""The topics Perennial lives on: made on purpose, with settings under which nothing is lost unseen."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta

from kafka import errors as kafka_errors
from kafka.admin import ConfigResource, ConfigResourceType, KafkaAdminClient

from config.errors import RetryError, UserError
from config.settings import Settings
from consumers.events.schemas import TOPICS
from consumers.log.kafka.connection import connection_to, in_words, opened, security_of

_QUORUM_OF = 3


@dataclass(frozen=True, slots=True)
class TopicState:
    """One topic on the cluster; `differs` says in words what is not as it should be."""

    name: str
    created: bool
    partitions: int
    replicas: int
    differs: tuple[str, ...]


def wanted_settings(settings: Settings, replication_factor: int) -> dict[str, str]:
    """Return the topic settings that follow from ours."""
    retention = timedelta(days=settings.events.retention_days)
    return {
        "cleanup.policy": "delete",
        "retention.ms": _milliseconds(retention),
        # Only closed segments are removed: with Kafka's week for one, an event would outlive its retention by a week.
        "segment.ms": _milliseconds(min(retention, timedelta(days=1))),
        # An event somewhat too large becomes a dead letter; a huge one is refused to its producer.
        "max.message.bytes": str(2 * settings.ingest.max_event_bytes),
        # With three replicas one broker may be away, and an acknowledged event still stands on two.
        "min.insync.replicas": "2" if replication_factor >= _QUORUM_OF else "1",
        "unclean.leader.election.enable": "false",
    }


def _milliseconds(span: timedelta) -> str:
    return str(int(span.total_seconds() * 1000))


def create_missing(settings: Settings, *, partitions: int, replication_factor: int, update: bool = False) -> Sequence[TopicState]:
    """Make the topics that are not there; with `update` also give the others our settings. Never removes or shrinks one.

    Raises `UserError` when the cluster refuses, `RetryError` when it does not answer.
    """
    with _admin(settings) as admin:
        present = set(admin.list_topics())
        missing = [name for name in TOPICS if name not in present]
        wanted = wanted_settings(settings, replication_factor)
        if missing:
            new = {"num_partitions": partitions, "replication_factor": replication_factor, "configs": wanted}
            admin.create_topics(dict.fromkeys(missing, new), wait_for_metadata=True)
        states = _describe(admin, settings, created=frozenset(missing))
        stale = [state for state in states if state.differs]
        if update and stale:
            admin.alter_configs([
                ConfigResource(ConfigResourceType.TOPIC, state.name, configs=wanted_settings(settings, state.replicas))
                for state in stale
            ])  # fmt: skip
            states = _describe(admin, settings, created=frozenset(missing))
        return states


def describe(settings: Settings) -> Sequence[TopicState]:
    """Return our topics that exist on the cluster. Raises `RetryError` when it does not answer."""
    with _admin(settings) as admin:
        return _describe(admin, settings, created=frozenset())


def _describe(admin: KafkaAdminClient, settings: Settings, *, created: frozenset[str]) -> list[TopicState]:
    present = [name for name in TOPICS if name in set(admin.list_topics())]
    if not present:
        return []
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in present]
    configs = admin.describe_configs(resources, config_filter="all")["topic"]
    states = []
    for topic in sorted(admin.describe_topics(present), key=lambda found: TOPICS.index(found["name"])):
        replicas = min(len(partition["replica_nodes"]) for partition in topic["partitions"])
        differs = _differences(configs[topic["name"]], wanted_settings(settings, replicas))
        states.append(TopicState(topic["name"], topic["name"] in created, len(topic["partitions"]), replicas, differs))
    return states


def _differences(found: Mapping[str, Mapping[str, object]], wanted: Mapping[str, str]) -> tuple[str, ...]:
    values = {name: str(found[name]["value"]) if name in found else "unset" for name in wanted}
    return tuple(f"{name} is {values[name]}, not {value}" for name, value in wanted.items() if values[name] != value)


@contextlib.contextmanager
def _admin(settings: Settings) -> Iterator[KafkaAdminClient]:
    if settings.events.backend != "kafka":
        message = "events.backend is not kafka, so there are no topics: the embedded log makes its own. Set it first."
        raise UserError(message)
    admin = opened(KafkaAdminClient, connection_to(settings.kafka.servers, security_of(settings.kafka)))
    try:
        yield admin
    except kafka_errors.RetriableError as error:
        message = f"the cluster did not answer in time ({in_words(error)}). Ask again."
        raise RetryError(message) from error
    except kafka_errors.KafkaError as error:
        message = f"the cluster refused: {in_words(error)}. Created topics stay; fix the cause and run the command again."
        raise UserError(message) from error
    finally:
        admin.close()
