"""The sections of the settings: what each key may hold. Defaults and descriptions are in `config/defaults.toml`."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, SecretStr, model_validator

from config.clock import MAX_DAYS
from config.values import (
    ADDRESS,
    ADDRESS_OR_NONE,
    KINDS,
    TRACKERS,
    NotNegative,
    NotNegativeHours,
    NotNegativeInt,
    Positive,
    PositiveHours,
    PositiveInt,
    SecretUrl,
    Share,
    listed,
    must_be_base64,
)


class Section(BaseModel):
    """One table of the settings file: frozen, no unknown keys."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class LogSettings(Section):
    """How the process writes its log."""

    format: Literal["auto", "console", "json"]
    level: Literal["debug", "info", "warning", "error"]


class ExtensionsSettings(Section):
    """What modules of one's own bring."""

    modules: Annotated[str, Field(pattern=r"^\s*([A-Za-z_][\w.]*\s*(,\s*[A-Za-z_][\w.]*\s*)*)?$")]

    @property
    def names(self) -> tuple[str, ...]:
        """The modules, one by one."""
        return listed(self.modules)


class EventsSettings(Section):
    """Where events live."""

    backend: Literal["embedded", "kafka"]
    retention_days: Annotated[float, Field(gt=0, le=MAX_DAYS)]


class KafkaSettings(Section):
    """How the cluster is reached when events live in Kafka."""

    bootstrap_servers: Annotated[str, Field(pattern=r"^[^\s,]+:\d+(\s*,\s*[^\s,]+:\d+)*$")]
    group_prefix: Annotated[str, Field(min_length=1, max_length=100)]
    security_protocol: Literal["PLAINTEXT", "SSL", "SASL_PLAINTEXT", "SASL_SSL"]
    sasl_mechanism: Literal["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"]
    username: str
    password: SecretStr
    oauth_token_url: Annotated[str, Field(pattern=r"^(https?://\S+)?$")]
    oauth_client_id: str
    oauth_client_secret: SecretStr
    oauth_scope: str
    tls_ca: str
    tls_certificate: str
    tls_key: str
    tls_key_password: SecretStr
    tls_check_hostname: bool

    @property
    def servers(self) -> list[str]:
        """The bootstrap servers, one by one."""
        return [server.strip() for server in self.bootstrap_servers.split(",")]

    @model_validator(mode="after")
    def _credentials_are_there(self) -> Self:
        if not self.security_protocol.startswith("SASL"):
            return self
        needed = ("oauth_token_url", "oauth_client_id") if self.sasl_mechanism == "OAUTHBEARER" else ("username", "password")
        missing = [name for name in needed if not _plain(getattr(self, name))]
        if missing:
            keys = " and ".join(f"kafka.{name}" for name in missing)
            message = f"{self.security_protocol} with {self.sasl_mechanism} needs {keys}"
            raise ValueError(message)
        return self


class IngestSettings(Section):
    """How events become durable rows."""

    batch_events: PositiveInt
    max_unflushed_bytes: PositiveInt
    poll_timeout_s: Positive
    max_event_bytes: PositiveInt
    future_tolerance_s: NotNegative
    min_free_disk_mib: NotNegativeInt
    dead_letters_days: Annotated[float, Field(ge=0, le=MAX_DAYS)]


class BufferSettings(Section):
    """How the LanceDB tables are kept."""

    optimize_every: PositiveInt
    keep_versions_hours: Annotated[float, Field(ge=1, le=24 * MAX_DAYS)]
    retention_days: Annotated[float, Field(ge=0, le=MAX_DAYS)]
    predictions_days: Annotated[float, Field(ge=0, le=MAX_DAYS)]


class ErasureSettings(Section):
    """How soon what must be forgotten is gone."""

    limit_hours: PositiveHours


class EnrichSettings(Section):
    """What is computed for each text behind ingest."""

    encoder: str
    export: Literal["auto", "none"]
    batch_size: PositiveInt
    story_similarity: Share
    story_window_days: Annotated[float, Field(gt=0, le=MAX_DAYS)]
    test_fraction: Annotated[float, Field(gt=0, lt=1)]
    max_test_fraction: Annotated[float, Field(gt=0, lt=1)]
    min_quality: Share
    interval_s: Positive

    @property
    def test_fraction_while_short(self) -> float:
        """The share that is held out while there are too few test rows."""
        return max(self.test_fraction, self.max_test_fraction)


class FeedbackSettings(Section):
    """What feedback may do before a person has looked at it."""

    max_per_user_day: NotNegativeInt
    max_per_source_day: NotNegativeInt
    max_per_article: NotNegativeInt
    trust_min_evidence: PositiveInt
    exclude_below: Annotated[float, Field(gt=0, lt=1)]
    majority: Annotated[float, Field(gt=0.5, le=1)]
    alarm_min_count: PositiveInt
    alarm_window_hours: Annotated[float, Field(gt=0, le=24 * MAX_DAYS)]
    alarm_history_days: Annotated[float, Field(gt=0, le=MAX_DAYS)]
    alarm_confident_from: Share
    answers_from_trust: Annotated[float, Field(ge=0.5, le=1)]


class TrainingSettings(Section):
    """Limits and resources of a training child."""

    device: Literal["auto", "cpu", "cuda"]
    precision: Literal["auto", "fp32", "bf16"]
    threads: NotNegativeInt
    nice: Annotated[int, Field(ge=0, le=19)]
    time_limit_s: Positive
    stall_limit_s: Positive
    text_time_s: Positive
    memory_limit_mib: NotNegativeInt
    stop_grace_s: Positive
    retry_after_s: Positive
    retry_limit: NotNegativeInt
    export_limit_s: Positive
    seed: NotNegativeInt
    keep_runs: PositiveInt
    trackers: Annotated[str, Field(pattern=TRACKERS)] = ""

    @property
    def tracked_by(self) -> tuple[str, ...]:
        """The trackers, one by one."""
        return tuple(dict.fromkeys(listed(self.trackers)))


class SandboxSettings(Section):
    """What a candidate is put through before the gate may promote it."""

    texts: PositiveInt
    time_limit_s: Positive
    memory_limit_mib: NotNegativeInt


class ScheduleSettings(Section):
    """When triggers are looked at and when the weekly run is due."""

    check_interval_s: Positive
    weekly_day: Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
    weekly_hour: Annotated[int, Field(ge=0, le=23)]
    weekly: bool


class RegistrySettings(Section):
    """Where versions, aliases and runs are recorded."""

    url: str
    lease_s: Positive
    keep_versions: NotNegativeInt
    history_days: Annotated[float, Field(ge=0, le=MAX_DAYS)]


class ServingSettings(Section):
    """The HTTP process that answers."""

    host: str
    port: Annotated[int, Field(ge=0, le=65535)]
    public_url: Annotated[str, Field(pattern=ADDRESS_OR_NONE)]
    token: SecretStr
    keys_grace_s: Annotated[float, Field(ge=10, le=86_400 * MAX_DAYS)]
    tls_certificate: str
    tls_key: str
    texts_per_s: NotNegative
    requests_per_s: NotNegative
    burst_s: Positive
    wrong_keys_per_min: NotNegative
    refresh_interval_s: Positive
    read_timeout_s: Positive
    max_body_bytes: PositiveInt
    max_bodies_bytes: PositiveInt
    max_texts: PositiveInt
    text_time_s: Positive
    corrections_answer: bool
    threads: NotNegativeInt


class DeskSettings(Section):
    """What people are asked to label, at the desk and by `perennial review`."""

    double_share: Annotated[float, Field(ge=0, le=1)]
    audit_per_week: NotNegativeInt
    text_chars: PositiveInt
    keep_days: Annotated[float, Field(gt=0, le=MAX_DAYS)]


class NotificationsSettings(Section):
    """Who is told what happened, beside readers of the outgoing events."""

    webhook_url: SecretUrl
    webhook_secret: Annotated[SecretStr, AfterValidator(must_be_base64)]
    slack_url: SecretUrl
    email_host: str
    email_port: Annotated[int, Field(ge=1, le=65535)]
    email_security: Literal["starttls", "tls", "none"]
    email_username: str
    email_password: SecretStr
    email_ca: str
    email_from: str
    email_to: str
    kinds: Annotated[str, Field(pattern=KINDS)]
    repeat_after_hours: NotNegativeHours
    give_up_after_hours: PositiveHours

    @property
    def wanted(self) -> tuple[str, ...]:
        """What is told of, one by one."""
        return listed(self.kinds)

    @property
    def receivers(self) -> tuple[str, ...]:
        """The addresses that mail goes to, one by one."""
        return listed(self.email_to)

    @model_validator(mode="after")
    def _mail_can_be_sent(self) -> Self:
        if not self.email_host:
            return self
        missing = [name for name in ("email_from", "email_to") if not listed(getattr(self, name))]
        if missing:
            message = f"notifications.email_host needs {' and '.join(f'notifications.{name}' for name in missing)}"
            raise ValueError(message)
        odd = [address for address in (self.email_from, *self.receivers) if not ADDRESS.fullmatch(address)]
        if odd:
            message = f"{odd[0]!r} in notifications.email_from or email_to is no address of the form name@host"
            raise ValueError(message)
        return self


class HubSettings(Section):
    """Where `perennial publish` sends models."""

    endpoint: Annotated[str, Field(pattern=ADDRESS_OR_NONE)]
    token: SecretStr


class MlflowSettings(Section):
    """The MLflow server that mirrors versions, and that runs are tracked on."""

    url: Annotated[str, Field(pattern=ADDRESS_OR_NONE)]
    username: str
    password: SecretStr
    token: SecretStr
    prefix: Annotated[str, Field(pattern=r"^[\w .-]{0,100}$")]
    mirror: bool


class OracleSettings(Section):
    """The language model that labels texts where a task file has a rubric, and what it may cost."""

    base_url: Annotated[str, Field(pattern=ADDRESS_OR_NONE)]
    model: Annotated[str, Field(max_length=200)]
    api_key: SecretStr
    json_mode: bool
    temperature: Annotated[float, Field(ge=0, le=2)]
    max_answer_tokens: Annotated[int, Field(gt=0, le=100_000)]
    timeout_s: Annotated[float, Field(gt=0, le=3_600)]
    concurrency: Annotated[int, Field(gt=0, le=64)]
    requests_per_minute: NotNegative
    retries: Annotated[int, Field(ge=0, le=20)]
    batch_poll_s: Annotated[float, Field(ge=1, le=3_600)]
    price_per_million_in: NotNegative
    price_per_million_out: NotNegative
    max_cost: NotNegative
    max_tokens: NotNegativeInt


class ReportsSettings(Section):
    """What the reports of runs tell."""

    watts_per_core: NotNegative


class CollectSettings(Section):
    """What articles the daemon fetches itself."""

    file: str


class TelemetrySettings(Section):
    """The daemon's own metrics."""

    host: str
    port: Annotated[int, Field(ge=-1, le=65535)]


def _plain(value: str | SecretStr) -> str:
    return value.get_secret_value() if isinstance(value, SecretStr) else value
