"""Compose, image and units, as far as they can be checked where no Docker daemon and no systemd runs."""

from __future__ import annotations

import fnmatch
import re
import shutil
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.testing import CliRunner

from config.keys import key_of
from config.settings import Settings, known_keys, load_settings
from daemon.app import STOP_LIMIT_S
from daemon.cli.main import app
from daemon.serving.__main__ import STOP_LIMIT_S as SERVING_STOP_LIMIT_S
from daemon.serving.http.security import refuse_open_bind

ROOT = Path(__file__).parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES: dict[str, Any] = COMPOSE["services"]
OWN = ("topics", "daemon", "serve")
DOCKERFILE = (ROOT / "Dockerfile").read_text()
UNITS = sorted((ROOT / "deploy").glob("*.service"))
STOP_S = load_settings().training.stop_grace_s + STOP_LIMIT_S


def seconds(text: str) -> float:
    number, unit = re.fullmatch(r"(\d+)(s|m|min)", text).groups()
    return float(number) * (1 if unit == "s" else 60)


def filled_in(value: Any) -> str:
    """What Compose makes of a value when .env sets everything."""
    return re.sub(r"\$\{(\w+)(?::[-?]([^}]*))?\}", lambda found: "s3cret" if "TOKEN" in found[1] else found[2] or "", str(value))


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_limited_restarted_pinned_and_published_on_loopback_only(name: str) -> None:
    service = SERVICES[name]
    assert "mem_limit" in service
    assert service["logging"]["options"].keys() == {"max-size", "max-file"}
    assert service["restart"] == ("on-failure:5" if name == "topics" else "unless-stopped")
    image, _, tag = service["image"].partition(":")
    assert image
    assert tag not in ("", "latest")
    for port in service.get("ports", []):
        assert port.startswith("127.0.0.1:"), f"{name} publishes {port} to everybody"
    for volume in service.get("volumes", []):
        source = volume.split(":")[0]
        assert (ROOT / source).exists() if source.startswith(".") else source in COMPOSE["volumes"]


def test_the_daemon_waits_for_the_topics_and_these_for_a_broker_that_answers() -> None:
    assert SERVICES["topics"]["depends_on"] == {"kafka": {"condition": "service_healthy"}}
    assert SERVICES["kafka"]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES["kafka"]["environment"]["KAFKA_AUTO_CREATE_TOPICS_ENABLE"] == "false"
    for name in ("daemon", "serve"):
        assert SERVICES[name]["depends_on"] == {"topics": {"condition": "service_completed_successfully"}}
    pom = (ROOT / "tests" / "kafka" / "pom.xml").read_text()
    assert SERVICES["kafka"]["image"].endswith(re.search(r"kafka_2\.13</artifactId>\s*<version>([\d.]+)<", pom)[1])


@pytest.mark.parametrize("name", OWN)
def test_containers_have_settings_that_the_program_takes(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    variables = {variable: filled_in(value) for variable, value in SERVICES[name]["environment"].items()}
    assert {key_of(variable) for variable in variables} <= known_keys()
    for variable, value in variables.items():
        monkeypatch.setenv(variable, value)
    settings: Settings = load_settings()
    assert settings.events.backend == "kafka"
    refuse_open_bind(settings.serving, lambda: False)
    assert SERVICES[name]["init"]
    assert SERVICES[name]["cap_drop"] == ["ALL"]


def test_commands_of_containers_and_units_exist() -> None:
    asked = [SERVICES[name]["command"] for name in OWN]
    asked += [found.split() for unit in UNITS for found in re.findall(r"bin/perennial ([a-z -]+)", unit.read_text())]
    assert len(asked) == 6
    for command in asked:
        done = CliRunner().invoke(app, [*(word for word in command if not word.startswith("-")), "--help"])
        assert done.exit_code == 0, command
        for option in (word for word in command if word.startswith("-")):
            assert option in done.output


def test_a_stop_has_the_time_that_is_stated() -> None:
    assert seconds(SERVICES["daemon"]["stop_grace_period"]) > STOP_S
    assert seconds(SERVICES["serve"]["stop_grace_period"]) > SERVING_STOP_LIMIT_S
    stated = (ROOT / "docs" / "operations.md").read_text()
    assert f"{STOP_S:.0f} s" in stated
    assert f"{SERVING_STOP_LIMIT_S:.0f} s" in stated
    for unit, limit_s in (("perennial", STOP_S), ("perennial-serve", SERVING_STOP_LIMIT_S)):
        text = (ROOT / "deploy" / f"{unit}.service").read_text()
        assert seconds(re.search(r"^TimeoutStopSec=(\w+)$", text, flags=re.MULTILINE)[1]) > limit_s


def test_secrets_come_from_a_file_that_is_never_committed() -> None:
    text = (ROOT / "docker-compose.yml").read_text()
    example = dict(
        line.split("=", 1) for line in (ROOT / ".env.example").read_text().splitlines() if line and not line.startswith("#")
    )
    assert set(re.findall(r"\$\{(\w+)", text)) == example.keys()
    assert example["PERENNIAL_SERVING__TOKEN"] == example["GRAFANA_PASSWORD"] == ""
    assert re.findall(r"\$\{(\w+):\?", text) == ["PERENNIAL_SERVING__TOKEN", "GRAFANA_PASSWORD"]
    assert COMPOSE["secrets"]["serving_token"] == {"environment": "PERENNIAL_SERVING__TOKEN"}
    assert ".env" in (ROOT / ".gitignore").read_text().splitlines()


def test_the_image_is_small_and_runs_as_nobody_special() -> None:
    final = DOCKERFILE[DOCKERFILE.rindex("\nFROM ") :]
    assert DOCKERFILE.count("\nFROM python:${PYTHON_VERSION}-slim") == 2
    assert final.index("\nUSER perennial") < final.index("\nENTRYPOINT")
    assert re.search(r'^ENTRYPOINT \["perennial"\]$', final, flags=re.MULTILINE), "in exec form: signals reach the process"
    assert re.search(r'^CMD \["run", "--no-serve"\]$', final, flags=re.MULTILINE)
    assert "\nHEALTHCHECK " in final
    assert "ARG TORCH_INDEX" in DOCKERFILE
    assert not re.search(r"^ADD |sudo|apt-get", DOCKERFILE, flags=re.MULTILINE)
    version = re.search(r"^ARG PYTHON_VERSION=([\d.]+)$", DOCKERFILE, flags=re.MULTILINE)[1]
    assert version in ("3.11", "3.12", "3.13")
    # The libraries' layer holds only what decides about them.
    assert DOCKERFILE.index("COPY pyproject.toml constraints.txt ./") < DOCKERFILE.index("COPY . .")


def test_the_image_gets_all_that_is_installed_and_nothing_else() -> None:
    lines = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if line and not line.startswith("#")]
    assert lines[0] == "*"
    let_in = {line[1:] for line in lines if line.startswith("!")}
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    packages = {pattern.rstrip("*") for pattern in project["tool"]["setuptools"]["packages"]["find"]["include"]}
    # Copied beside the packages when they are installed.
    beside = {
        Path(pattern).parent.as_posix() for some in project["tool"]["setuptools"]["data-files"].values() for pattern in some
    }
    assert packages | beside | {"artifact", "pyproject.toml", "constraints.txt", project["project"]["readme"]} == let_in
    for left_out in (".git", ".env", ".venv", "perennial-data", "tests"):
        assert not any(fnmatch.fnmatch(left_out, pattern) for pattern in let_in)


@pytest.mark.parametrize("unit", UNITS, ids=lambda unit: unit.stem)
@pytest.mark.process
def test_systemd_takes_the_units(unit: Path, tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("systemd-analyze is not installed here")
    # The program is looked for; it is not installed where the unit says.
    copy = tmp_path / unit.name
    copy.write_text(unit.read_text().replace("/opt/perennial/bin/perennial", "/bin/true"))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(copy)], capture_output=True, text=True, check=False, timeout=60
    )
    # It ends with 0 over an unknown key, but says so.
    assert (done.returncode, done.stdout + done.stderr) == (0, "")


def test_units_of_long_lived_processes_are_told_apart_from_their_children() -> None:
    for name in ("perennial", "perennial-serve"):
        text = (ROOT / "deploy" / f"{name}.service").read_text()
        for line in (
            "Type=notify",
            "NotifyAccess=main",
            "KillMode=mixed",
            "Restart=on-failure",
            "ExecReload=/bin/kill -HUP $MAINPID",
        ):
            assert f"\n{line}\n" in text
    assert "\nOOMPolicy=continue\n" in (ROOT / "deploy" / "perennial.service").read_text()


@pytest.mark.process
def test_compose_itself_takes_the_file() -> None:
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "compose", "version"], capture_output=True, check=False).returncode
    ):
        pytest.skip("docker compose is not installed here")
    environment = {"PATH": "/usr/bin:/bin:/usr/local/bin", "PERENNIAL_SERVING__TOKEN": "t", "GRAFANA_PASSWORD": "p"}
    done = subprocess.run(
        ["docker", "compose", "--project-directory", str(ROOT), "config", "--quiet"],
        capture_output=True, text=True, env=environment, check=False, timeout=60,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
