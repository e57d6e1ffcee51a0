"""`make audit`: what it finds, accepts for a time, and says where nobody answered; with pip-audit and an advisory service."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from scripts import audit
from scripts.audit import CLEAN, FOUND, NOT_AUDITED, Accepted, Report, judge, read_accepted, read_report
from tests.support.missing import missing

ROOT = Path(__file__).parents[2]
PINNED = frozenset({"idna", "ruamel-yaml"})
TODAY = date(2026, 12, 1)
ALL = Report("pypi", (), PINNED, "")
VULNERABLE = Report("pypi", [("idna", "3.20", frozenset({"GHSA-1", "CVE-1"}), ["3.21"])], PINNED, "")


def test_a_report_of_pip_audit_is_read() -> None:
    report = read_report("pypi", {"dependencies": [
        {"name": "idna", "version": "3.20", "vulns": [
            {"id": "GHSA-1", "fix_versions": ["3.21"], "aliases": ["CVE-1"], "description": "x"}]},
        {"name": "Ruamel.YAML", "version": "1", "vulns": []},
        {"name": "ours", "skip_reason": "Dependency not found on PyPI and could not be audited: ours (1)"},
    ], "fixes": []})  # fmt: skip
    assert report.findings == VULNERABLE.findings
    assert report.audited == PINNED
    assert "not found on PyPI" in report.silent


def test_clean_only_when_all_were_audited() -> None:
    lines, code = judge([ALL], PINNED, [], TODAY)
    assert (lines, code) == (["2 of 2 pinned versions audited, 0 vulnerabilities to fix"], CLEAN)
    silent = Report("pypi", (), frozenset(), "no such host")
    lines, code = judge([silent, silent], PINNED, [], TODAY)
    assert code == NOT_AUDITED
    assert "*** NOT AUDITED: NOTHING WAS checked" in lines[-1]
    assert "no such host" in lines[-1]
    lines, code = judge([Report("pypi", (), frozenset({"idna"}), "unknown")], PINNED, [], TODAY)
    assert code == NOT_AUDITED
    assert "*** NOT AUDITED: ruamel-yaml WERE NOT checked" in lines[-1]
    half = Report("osv", (), frozenset({"ruamel-yaml"}), "")
    assert judge([Report("pypi", (), frozenset({"idna"}), "unknown"), half], PINNED, [], TODAY)[1] == CLEAN


def test_what_is_found_fails_however_many_services_tell_it_and_even_where_others_were_silent() -> None:
    lines, code = judge([VULNERABLE, VULNERABLE], PINNED, [], TODAY)
    assert code == FOUND
    assert lines == [
        "VULNERABLE: idna 3.20: CVE-1, GHSA-1; fixed in 3.21",
        "2 of 2 pinned versions audited, 1 vulnerabilities to fix",
    ]
    partly = Report("pypi", VULNERABLE.findings, frozenset({"idna"}), "unknown")
    assert judge([partly], PINNED, [], TODAY)[1] == FOUND


@pytest.mark.parametrize("name", ["GHSA-1", "CVE-1"])
def test_an_accepted_finding_passes_until_its_day(name: str) -> None:
    accepted = [Accepted(name, "idna", "not called here", date(2026, 12, 1))]
    lines, code = judge([VULNERABLE], PINNED, accepted, TODAY)
    assert code == CLEAN
    assert lines[0] == "accepted until 2026-12-01: idna 3.20: CVE-1, GHSA-1 (not called here)"
    lines, code = judge([VULNERABLE], PINNED, accepted, date(2026, 12, 2))
    assert code == FOUND
    assert lines[0].endswith("; it was accepted until 2026-12-01 only")
    assert judge([VULNERABLE], PINNED, [Accepted(name, "other", "x", date(2027, 1, 1))], TODAY)[1] == FOUND


ENTRY = '[[ignored]]\nid = "CVE-1"\npackage = "idna"\nreason = "r"\nuntil = 2027-01-01\n'


def test_the_shipped_list_can_be_read() -> None:
    assert isinstance(read_accepted(audit.IGNORED), list)


@pytest.mark.parametrize(
    "wrong", ['reason = "r"\n', "until = 2027-01-01\n", 'id = "CVE-1"\n', 'package = "idna"\n', "2027-01-01", '"r"']
)
def test_an_entry_without_reason_or_end_is_refused(tmp_path: Path, wrong: str) -> None:
    file = tmp_path / "ignored.toml"
    file.write_text(ENTRY)
    assert read_accepted(file) == [Accepted("CVE-1", "idna", "r", date(2027, 1, 1))]
    replacement = '"soon"' if wrong == "2027-01-01" else '""' if wrong == '"r"' else ""
    file.write_text(ENTRY.replace(wrong, replacement))
    with pytest.raises(ValueError, match="entry 1 needs exactly id, package, reason and until"):
        read_accepted(file)
    file.write_text(ENTRY + "forever = true\n")
    with pytest.raises(ValueError, match="more keys"):
        read_accepted(file)


@contextmanager
def advisory_service(known: dict[str, Any]) -> Iterator[str]:
    """Answer as OSV's query address does."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = json.dumps(known.get(asked["package"]["name"], {})).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/v1/query"
        server.shutdown()


def run(osv_url: str) -> subprocess.CompletedProcess[str]:
    if importlib.util.find_spec("pip_audit") is None:
        missing("pip-audit is not installed; `make setup` installs it")
    command = [sys.executable, "scripts/audit.py"]
    environment = os.environ | {"OSV_URL": osv_url}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=300, check=False)


@pytest.mark.process
def test_pip_audit_finds_what_the_service_knows() -> None:
    affected = [{"package": {"name": "idna", "ecosystem": "PyPI"}, "ranges": [
        {"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}]}]  # fmt: skip
    advisory = {"id": "GHSA-made-up", "aliases": ["CVE-2026-0"], "summary": "made up", "affected": affected}
    with advisory_service({"idna": {"vulns": [advisory]}}) as url:
        done = run(url)
    assert done.returncode == FOUND, done.stderr
    assert "VULNERABLE: idna" in done.stdout
    assert "CVE-2026-0, GHSA-made-up; fixed in 99.0" in done.stdout
    with advisory_service({}) as url:
        done = run(url)
    assert done.returncode == CLEAN, done.stdout
    assert "0 vulnerabilities to fix" in done.stdout


@pytest.mark.process
def test_where_no_service_answers_it_says_so_and_make_goes_on() -> None:
    done = run("http://127.0.0.1:1/v1/query")
    assert done.returncode == NOT_AUDITED, done.stderr
    assert "*** NOT AUDITED: NOTHING WAS checked" in done.stdout
    recipe = (ROOT / "Makefile").read_text()
    assert f"scripts/audit.py || [ $$? -eq {NOT_AUDITED} ]" in recipe
