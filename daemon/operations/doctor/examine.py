"""`perennial doctor`: checks an installation, one small function per check, and says what to fix."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from config.errors import UserError
from config.settings import Settings, load_settings
from config.tasks import TaskSpec
from daemon.operations.doctor import machine, models, policies, serving, stores
from daemon.operations.doctor.finding import Finding
from daemon.process import task_files


def examine() -> list[Finding]:
    """Run every check and return what each found; settings or task files that cannot be read end the list early."""
    findings = [machine.python(), machine.libraries()]
    try:
        settings = load_settings()
    except UserError as error:
        return [*findings, Finding("settings", "problem", str(error), "fix perennial.toml or the variable named")]
    findings.append(Finding("settings", "ok", "readable"))
    try:
        tasks = task_files.loaded(settings.tasks_folder)
    except UserError as error:
        return [*findings, Finding("task files", "problem", str(error), f"fix the file in {settings.tasks_folder}")]
    findings.append(Finding("task files", "ok", f"{', '.join(tasks)} in {settings.tasks_folder}"))
    checks: list[Callable[[Settings, Mapping[str, TaskSpec]], Finding]] = [
        machine.data_folder, machine.disk, stores.event_log, stores.registry, stores.buffer, stores.champions,
        policies.promotion, policies.quality, models.base_models, models.encoder,
        machine.processor, serving.address, serving.certificate, serving.port, stores.dead_letters,
    ]  # fmt: skip
    return findings + [check(settings, tasks) for check in checks]
