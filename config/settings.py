"""Settings of the application: one frozen tree, read from defaults, `perennial.toml` and the environment."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

from pydantic import SecretStr, ValidationError, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from config import extensions
from config.errors import UserError
from config.keys import ENV_FILE_VARIABLE, ENV_PREFIX, flatten, key_of, variable_of, variables
from config.sections import (
    BufferSettings,
    CollectSettings,
    DeskSettings,
    EnrichSettings,
    ErasureSettings,
    EventsSettings,
    ExtensionsSettings,
    FeedbackSettings,
    HubSettings,
    IngestSettings,
    KafkaSettings,
    LogSettings,
    MlflowSettings,
    NotificationsSettings,
    OracleSettings,
    RegistrySettings,
    ReportsSettings,
    SandboxSettings,
    ScheduleSettings,
    ServingSettings,
    TelemetrySettings,
    TrainingSettings,
)

DEFAULTS_FILE = Path(__file__).with_name("defaults.toml")
SHIPPED_TASKS_DIR = Path(__file__).with_name("tasks")
DEFAULT_CONFIG_FILE = "perennial.toml"


class _MappingSource(PydanticBaseSettingsSource):
    """A settings source over one parsed TOML file."""

    def __init__(self, settings_cls: type[BaseSettings], values: Mapping[str, Any]) -> None:
        super().__init__(settings_cls)
        self._values = dict(values)

    def get_field_value(self, field: Any, field_name: str) -> tuple[Any, str, bool]:  # noqa: ANN401, ARG002 - the base class's signature
        return self._values.get(field_name), field_name, False

    def __call__(self) -> dict[str, Any]:
        return self._values


class Settings(BaseSettings):
    """All settings, frozen. Read them with `load_settings()`; all defaults are in `config/defaults.toml`."""

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX, env_nested_delimiter="__", extra="forbid", frozen=True, nested_model_default_partial_update=True
    )

    data_dir: Path
    tasks_dir: str
    log: LogSettings
    extensions: ExtensionsSettings
    events: EventsSettings
    kafka: KafkaSettings
    ingest: IngestSettings
    buffer: BufferSettings
    erasure: ErasureSettings
    enrich: EnrichSettings
    feedback: FeedbackSettings
    training: TrainingSettings
    sandbox: SandboxSettings
    schedule: ScheduleSettings
    registry: RegistrySettings
    serving: ServingSettings
    telemetry: TelemetrySettings
    notifications: NotificationsSettings
    hub: HubSettings
    mlflow: MlflowSettings
    desk: DeskSettings
    reports: ReportsSettings
    collect: CollectSettings
    oracle: OracleSettings

    @classmethod
    def settings_customise_sources(  # noqa: D102 - pydantic-settings' own hook
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not used: one file format is enough
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not used
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (
            init_settings,
            env_settings,
            _MappingSource(settings_cls, _read_toml(config_file())),
            _MappingSource(settings_cls, _read_toml(DEFAULTS_FILE)),
        )

    @model_validator(mode="after")
    def _erasures_can_be_done_in_time(self) -> Self:
        keep_hours = self.buffer.keep_versions_hours
        if self.erasure.limit_hours <= keep_hours:
            message = (
                f"erasure.limit_hours is {self.erasure.limit_hours:g}, but old table versions are kept for {keep_hours:g} hours "
                "(buffer.keep_versions_hours), so no erasure could finish in time; raise the first or lower the second"
            )
            raise ValueError(message)
        return self

    @property
    def registry_url(self) -> str:
        """The SQLAlchemy URL in force."""
        return self.registry.url or f"sqlite:///{self.data_dir.resolve() / 'registry.db'}"

    @property
    def tasks_folder(self) -> Path:
        """The folder that holds the task files in force."""
        return Path(self.tasks_dir) if self.tasks_dir else SHIPPED_TASKS_DIR

    @property
    def buffer_dir(self) -> Path:
        """Folder of the LanceDB tables."""
        return self.data_dir / "buffer"

    @property
    def event_log_file(self) -> Path:
        """File of the embedded event log."""
        return self.data_dir / "events.db"

    @property
    def dead_letter_file(self) -> Path:
        """File of the dead letters."""
        return self.data_dir / "dead_letters.db"

    @property
    def accepted_feedback_file(self) -> Path:
        """File of the feedback that serving has acknowledged."""
        return self.data_dir / "accepted_feedback.db"

    @property
    def artifacts_dir(self) -> Path:
        """Folder of published model artifacts."""
        return self.data_dir / "artifacts"

    @property
    def runs_dir(self) -> Path:
        """Folder of training runs: frozen set, history, result."""
        return self.data_dir / "runs"

    @property
    def evidence_dir(self) -> Path:
        """Folder of evidence bundles, one a verdict."""
        return self.data_dir / "evidence"

    @property
    def reports_dir(self) -> Path:
        """Folder of the reports of runs."""
        return self.data_dir / "reports"

    @property
    def suspicious_dir(self) -> Path:
        """Folder of what the last looks at labels found, a file a task."""
        return self.data_dir / "suspicious"

    @property
    def near_copies_dir(self) -> Path:
        """Near copies across the sides, as the last look found them, a file for each task."""
        return self.data_dir / "near_copies"

    @property
    def next_labels_dir(self) -> Path:
        """Folder of what was last drawn to be labelled next, a file a task."""
        return self.data_dir / "next_labels"


def config_file() -> Path:
    """Return the path of the user's settings file (it need not exist)."""
    return Path(os.environ.get(ENV_FILE_VARIABLE, DEFAULT_CONFIG_FILE))


def load_settings(**overrides: object) -> Settings:
    """Read defaults, `perennial.toml` and PERENNIAL_* variables, later ones winning; import the extensions that they name.

    `overrides` are top-level keys (sections as dicts) and win over everything. Raises `UserError` naming each
    wrong key, what is wrong and where it was set.
    """
    _refuse_unknown_variables()
    try:
        settings = Settings(**overrides)  # type: ignore[arg-type]  # values are validated by pydantic
    except ValidationError as error:
        raise UserError(_explain(error)) from None
    # With the settings, because no task file can be read before its kind is known.
    extensions.load(settings.extensions.names)
    return settings


class _ShippedSettings(Settings):
    """Settings that read neither `perennial.toml` nor the environment by themselves."""

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the base class's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - not read: see above
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - as above
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return (init_settings,)


def shipped_settings(section_from_environment: str, **overrides: object) -> Settings:
    """Return the shipped defaults, ignoring `perennial.toml`: for a temporary installation that must work anywhere.

    PERENNIAL_* variables count for the one section named; `overrides` (sections as dicts) win. Raises `UserError` as
    `load_settings` does.
    """
    tree = _read_toml(DEFAULTS_FILE)
    for variable in variables():
        section, _, key = key_of(variable).partition(".")
        if section == section_from_environment:
            tree[section][key] = os.environ[variable]
    for name, value in overrides.items():
        tree[name] = {**tree[name], **value} if isinstance(value, Mapping) else value
    try:
        settings = _ShippedSettings(**tree)
    except ValidationError as error:
        raise UserError(_explain(error)) from None
    extensions.load(settings.extensions.names)
    return settings


def sources() -> dict[str, str]:
    """Return for each dotted key the place its value came from: `default`, the file's path, or the variable."""
    found: dict[str, str] = {}
    for key in flatten(_read_toml(DEFAULTS_FILE)):
        found[key] = "default"
    for key in flatten(_read_toml(config_file())):
        found[key] = str(config_file())
    for variable in variables():
        found[key_of(variable)] = variable
    return found


def known_keys() -> frozenset[str]:
    """Return every dotted settings key."""
    return frozenset(flatten(_read_toml(DEFAULTS_FILE)))


def environment_of(settings: Settings) -> dict[str, str]:
    """Return PERENNIAL_* variables that make a child process read these very settings (the token included)."""
    environment: dict[str, str] = {}
    for key, value in flatten(settings.model_dump(mode="python")).items():
        plain = value.get_secret_value() if isinstance(value, SecretStr) else value
        text = str(plain).lower() if isinstance(plain, bool) else str(plain)
        environment[variable_of(key)] = text
    return environment


def _refuse_unknown_variables() -> None:
    known = known_keys()
    for name in variables():
        inside = sorted(key for key in known if key.startswith(f"{key_of(name)}."))
        if inside:
            forms = ", ".join(variable_of(key) for key in inside)
            message = f"{name} names a whole section of settings. Set one of its keys instead: {forms}"
            raise UserError(message)
    unknown = [name for name in variables() if key_of(name) not in known]
    if unknown:
        message = (
            f"unknown setting in the environment: {', '.join(unknown)}. "
            "`perennial config` lists the keys; a nested key such as serving.port is PERENNIAL_SERVING__PORT."
        )
        raise UserError(message)


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, NotADirectoryError):
        if ENV_FILE_VARIABLE not in os.environ:
            return {}
        message = f"{ENV_FILE_VARIABLE} names {path}, which does not exist. Create it or unset the variable."
        raise UserError(message) from None
    except OSError as error:
        message = f"{path} cannot be read ({error.strerror}). Give this user the right to read it, or name another file in "
        message += f"{ENV_FILE_VARIABLE}; nothing was started."
        raise UserError(message) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        message = f"{path} is not valid TOML: {error}. Fix the file; nothing was started."
        raise UserError(message) from None


def _explain(error: ValidationError) -> str:
    where, secrets = sources(), _secret_keys()
    lines = []
    for problem in error.errors():
        key = ".".join(str(part) for part in problem["loc"])
        source = where.get(key, str(config_file()))
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting `{key}` in {source}. `perennial config` lists the keys.")
        elif not key:  # about several settings together; its input is the whole tree, the token too
            lines.append(f"{problem['msg'].removeprefix('Value error, ')}.")
        else:
            # Messages end up in logs and bug reports: they never contain a secret.
            hidden = key in secrets or isinstance(problem["input"], Mapping)
            got = "" if hidden else f", got {problem['input']!r}"
            lines.append(f"setting `{key}` ({source}): {problem['msg']}{got}.")
    return "\n".join(lines)


def _secret_keys() -> frozenset[str]:
    sections = {name: getattr(field.annotation, "model_fields", {}) for name, field in Settings.model_fields.items()}
    return frozenset(
        f"{name}.{key}" for name, fields in sections.items() for key, field in fields.items() if field.annotation is SecretStr
    )
