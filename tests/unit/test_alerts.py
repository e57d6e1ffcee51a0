"""Alerts, runbooks and dashboard: each speaks of metrics that the program has, and each alert has its page."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from daemon.serving.metrics import ServingMetrics
from daemon.telemetry.metrics import DaemonMetrics
from tests.support.missing import missing

ROOT = Path(__file__).parents[2]
PROMETHEUS = ROOT / "deploy" / "prometheus"
RUNBOOKS = ROOT / "docs" / "runbooks"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "dashboards" / "perennial.json").read_text())
RULES = [rule for group in yaml.safe_load((PROMETHEUS / "alerts.yml").read_text())["groups"] for rule in group["rules"]]
NAMES = [rule["alert"] for rule in RULES]
# What Prometheus itself adds to every series and target.
OF_PROMETHEUS = {"up": set(), "ALERTS": {"alertname", "alertstate"}}
TARGET_LABELS = {"instance", "job"}


def metrics_of_the_program() -> dict[str, set[str]]:
    """Every series' name with its labels, from the registries the two processes really have."""
    found: dict[str, set[str]] = {}
    for registry in (DaemonMetrics().registry, ServingMetrics().registry):
        for collector, names in registry._collector_to_names.items():
            labels = set(getattr(collector, "_labelnames", ()))
            for name in names:
                found[name] = labels | ({"le"} if name.endswith("_bucket") else set())
        # Those of the process describe themselves only when they are collected.
        found |= {
            sample.name: set(sample.labels)
            for family in registry.collect()
            for sample in family.samples
            if sample.name not in found
        }
    return found


METRICS = metrics_of_the_program()


def expressions() -> list[tuple[str, str]]:
    panels = [(panel["title"], target["expr"]) for panel in DASHBOARD["panels"] for target in panel.get("targets", [])]
    return [(rule["alert"], rule["expr"]) for rule in RULES] + panels


def series_in(expression: str) -> dict[str, set[str]]:
    """Names of series with the labels selected on each."""
    found: dict[str, set[str]] = {}
    pattern = r"\b((?:perennial|process)_[a-z_]+|up|ALERTS)\b(?:\{([^}]*)\})?"
    for name, selector in re.findall(pattern, re.sub(r'"[^"]*"', '""', expression)):
        found.setdefault(name, set()).update(re.findall(r"(\w+)\s*(?:=~|!~|!=|=)", selector))
    return found


@pytest.mark.parametrize(("where", "expression"), expressions(), ids=[where for where, _ in expressions()])
def test_every_metric_that_is_asked_for_exists_with_its_labels(where: str, expression: str) -> None:
    series = series_in(expression)
    assert series, f"{where} asks for nothing"
    known = METRICS | OF_PROMETHEUS
    for name, labels in series.items():
        assert name in known, f"{where} asks for {name}, which the program does not have"
        assert labels <= known[name] | TARGET_LABELS, f"{where} selects {name} by labels that it does not have"
    grouped = {label.strip() for by in re.findall(r"(?:by|on)\s*\(([^)]*)\)", expression) for label in by.split(",")}
    assert grouped <= set().union(*(known[name] for name in series)) | TARGET_LABELS


def test_the_labels_an_alert_tells_are_there() -> None:
    for rule in RULES:
        told = set(re.findall(r"\$labels\.(\w+)", rule["annotations"]["summary"]))
        series = series_in(rule["expr"])
        assert told <= set().union(*((METRICS | OF_PROMETHEUS)[name] for name in series)) | TARGET_LABELS


def test_each_alert_has_a_page_and_each_page_an_alert() -> None:
    assert len(NAMES) == len(set(NAMES))
    assert {path.stem for path in RUNBOOKS.glob("*.md")} == set(NAMES)
    for rule in RULES:
        assert rule["annotations"]["runbook"] == f"docs/runbooks/{rule['alert']}.md"
        assert rule["labels"]["severity"] in ("critical", "warning")
        page = (RUNBOOKS / f"{rule['alert']}.md").read_text()
        headings = ["What it means", "How to check", "What to do", "How to know it is resolved"]
        assert page.startswith(f"# {rule['alert']}\n")
        assert re.findall(r"^## (.+)$", page, flags=re.MULTILINE) == headings


@pytest.mark.parametrize("page", sorted(RUNBOOKS.glob("*.md")), ids=lambda page: page.stem)
def test_pages_name_metrics_that_exist_and_link_to_what_is_there(page: Path) -> None:
    text = page.read_text()
    for name in re.findall(r"\bperennial_[a-z_]+", text):
        assert name in METRICS, f"{page.name} speaks of {name}"
    for target in re.findall(r"\]\(([^)]+)\)", text):
        path, _, anchor = target.partition("#")
        file = (page.parent / path).resolve()
        assert file.exists(), f"{page.name} links to {target}"
        anchors = [re.sub(r"[^\w\- ]", "", line.lstrip("# ")).lower().replace(" ", "-") for line in file.read_text().splitlines()]
        assert not anchor or anchor in anchors, f"{page.name} links to {target}"
    for other in re.findall(r"`(Perennial\w+)`", text):
        assert other in NAMES


def test_every_alert_and_metric_stands_in_the_docs() -> None:
    text = (ROOT / "docs" / "operations.md").read_text()
    for name in NAMES:
        assert f"[{name}](runbooks/{name}.md)" in text
    own = {re.sub(r"_(total|bucket|count|sum|created)$", "", name) for name in METRICS if name.startswith("perennial_")}
    table = {re.sub(r"_total$", "", name) for name in re.findall(r"^\| `(perennial_\w+)`", text, flags=re.MULTILINE)}
    assert own == table


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    if shutil.which("promtool") is None:
        missing("promtool is not installed; on Debian: apt-get install -y prometheus")
    return subprocess.run(["promtool", *arguments], capture_output=True, text=True, check=False, timeout=300)


@pytest.mark.process
def test_prometheus_takes_the_configuration_and_the_rules(tmp_path: Path) -> None:
    (tmp_path / "token").write_text("t")
    shutil.copy(PROMETHEUS / "alerts.yml", tmp_path)
    text = (PROMETHEUS / "prometheus.yml").read_text()
    (tmp_path / "prometheus.yml").write_text(text.replace("/run/secrets/serving_token", str(tmp_path / "token")))
    done = promtool("check", "config", str(tmp_path / "prometheus.yml"))
    assert done.returncode == 0, done.stdout + done.stderr
    assert f"{len(RULES)} rules found" in done.stdout


@pytest.mark.process
def test_every_alert_is_silent_and_fires_when_it_should() -> None:
    files = sorted(PROMETHEUS.glob("*.test.yml"))
    cases = [case for file in files for case in yaml.safe_load(file.read_text())["tests"]]
    assert sorted(case["name"] for case in cases) == sorted(NAMES)
    for case in cases:
        silent, firing = case["alert_rule_test"]
        assert not silent["exp_alerts"]
        assert firing["exp_alerts"]
    done = promtool("test", "rules", *map(str, files))
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_dashboard_is_one_that_grafana_provisions() -> None:
    provisioning = ROOT / "deploy" / "grafana" / "provisioning"
    (source,) = yaml.safe_load((provisioning / "datasources" / "prometheus.yml").read_text())["datasources"]
    (provider,) = yaml.safe_load((provisioning / "dashboards" / "perennial.yml").read_text())["providers"]
    compose = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["grafana"]
    assert f"./deploy/grafana/dashboards:{provider['options']['path']}:ro" in compose["volumes"]
    panels: list[dict[str, Any]] = DASHBOARD["panels"]
    (task,) = DASHBOARD["templating"]["list"]
    assert (task["name"], task["type"], task["multi"], task["includeAll"]) == ("task", "query", True, True)
    assert {one["name"] for one in DASHBOARD["annotations"]["list"]} == {"Champion moved", "Task paused"}
    assert [panel["title"] for panel in panels if panel["type"] != "row" and not panel.get("description")] == []
    assert len({panel["id"] for panel in panels}) == len(panels)
    for panel in panels:
        place = panel["gridPos"]
        assert place["x"] + place["w"] <= 24
        assert panel["title"]
        if panel["type"] != "row":
            assert panel["datasource"] == {"type": "prometheus", "uid": source["uid"]}
            assert len({target["refId"] for target in panel["targets"]}) == len(panel["targets"]) > 0
