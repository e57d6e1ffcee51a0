"""`make audit`: do the pinned versions have known vulnerabilities? Asks the advisory services through pip-audit.

PyPI's and OSV's are asked; where neither can be reached, the variable OSV_URL names a mirror of OSV's query address.

Exit codes: 0 every version was audited and nothing found, 1 something was found, 2 the audit itself is set up wrongly, 3 nothing
found but some or all versions were NOT AUDITED, because no advisory service answered for them.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
CONSTRAINTS = ROOT / "constraints.txt"
IGNORED = ROOT / ".ci" / "audit-ignored.toml"
CLEAN, FOUND, SET_UP_WRONGLY, NOT_AUDITED = 0, 1, 2, 3
_SERVICES = (("-s", "pypi"), ("-s", "osv"))
_ANSWER_LIMIT_S, _LIMIT_S = 15, 600


@dataclass(frozen=True, slots=True)
class Accepted:
    """A finding that does not fail the audit until a day."""

    id: str
    package: str
    reason: str
    until: date


@dataclass(frozen=True, slots=True)
class Report:
    """What one advisory service said."""

    service: str
    findings: Sequence[tuple[str, str, frozenset[str], Sequence[str]]]
    """Package, version, all names of the vulnerability, versions that fix it."""
    audited: frozenset[str]
    silent: str
    """Why it said nothing of the other packages."""


def main() -> int:
    """Audit, print what was found, return the exit code."""
    if importlib.util.find_spec("pip_audit") is None:
        print("pip-audit is not installed; run `make setup`")
        return SET_UP_WRONGLY
    try:
        accepted = read_accepted(IGNORED)
    except ValueError as error:
        print(f"{IGNORED.relative_to(ROOT)}: {error}")
        return SET_UP_WRONGLY
    pinned = frozenset(_name(line) for line in CONSTRAINTS.read_text().splitlines() if "==" in line)
    reports: list[Report] = []
    mirror = os.environ.get("OSV_URL")
    for service in (("-s", "osv", "--osv-url", mirror),) if mirror else _SERVICES:
        reports.append(ask(service))
        if reports[-1].audited >= pinned:
            break
    lines, code = judge(reports, pinned, accepted, datetime.now(UTC).date())
    print("\n".join(lines))
    return code


def ask(options: Sequence[str]) -> Report:
    """Return what one advisory service, chosen by pip-audit's options, says of the pinned versions."""
    service = options[-1]
    command = (
        sys.executable, "-m", "pip_audit", "-r", str(CONSTRAINTS), "--no-deps", "--disable-pip", *options,
        "-f", "json", "--progress-spinner", "off", "--timeout", str(_ANSWER_LIMIT_S),
    )  # fmt: skip
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_LIMIT_S, check=False)
    except subprocess.TimeoutExpired:
        return Report(service, (), frozenset(), f"no answer within {_LIMIT_S} s")
    try:
        return read_report(service, json.loads(done.stdout))
    except json.JSONDecodeError:
        # Where a service cannot be reached, pip-audit ends with a traceback and writes no report.
        last = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
        return Report(service, (), frozenset(), last[:300])


def read_report(service: str, report: dict[str, Any]) -> Report:
    """Return pip-audit's JSON as a report. A package the service does not know counts as not audited."""
    findings, audited, silent = [], set(), ""
    for package in report["dependencies"]:
        if "skip_reason" in package:
            silent = package["skip_reason"]
            continue
        audited.add(_name(package["name"]))
        for one in package["vulns"]:
            names = frozenset({one["id"], *one.get("aliases", ())})
            findings.append((package["name"], package["version"], names, one.get("fix_versions", ())))
    return Report(service, findings, frozenset(audited), silent)


def judge(reports: Sequence[Report], pinned: frozenset[str], accepted: Sequence[Accepted], today: date) -> tuple[list[str], int]:
    """Return what to print and the exit code."""
    lines, failed = [], 0
    seen: set[tuple[str, str]] = set()
    for report in reports:
        for package, version, names, fixed in report.findings:
            if any((package, name) in seen for name in names):
                continue
            seen.update((package, name) for name in names)
            entry = next((one for one in accepted if one.id in names and _name(one.package) == _name(package)), None)
            what = f"{package} {version}: {', '.join(sorted(names))}"
            if entry is not None and today <= entry.until:
                lines.append(f"accepted until {entry.until}: {what} ({entry.reason})")
                continue
            failed += 1
            why = f"; it was accepted until {entry.until} only" if entry is not None else ""
            lines.append(f"VULNERABLE: {what}; fixed in {', '.join(fixed) or 'no version yet'}{why}")
    audited = frozenset().union(*(report.audited for report in reports)) & pinned
    left = sorted(pinned - audited)
    lines.append(f"{len(audited)} of {len(pinned)} pinned versions audited, {failed} vulnerabilities to fix")
    if left:
        why = "; ".join(f"{report.service}: {report.silent}" for report in reports if report.silent)
        named = "NOTHING WAS" if not audited else f"{', '.join(left)} WERE NOT"
        lines.append(f"*** NOT AUDITED: {named} checked for known vulnerabilities. {why}")
    if failed:
        return lines, FOUND
    return lines, NOT_AUDITED if left else CLEAN


def read_accepted(path: Path) -> list[Accepted]:
    """Return the accepted findings. Raises `ValueError` for one without id, package, reason or end."""
    entries = tomllib.loads(path.read_text()).get("ignored", [])
    accepted = []
    for number, entry in enumerate(entries, start=1):
        fields = {"id": str, "package": str, "reason": str, "until": date}
        wrong = [name for name, kind in fields.items() if not isinstance(entry.get(name), kind) or not entry[name]]
        if wrong or set(entry) - set(fields):
            message = (
                f"entry {number} needs exactly id, package, reason and until (a date); wrong: {', '.join(wrong) or 'more keys'}"
            )
            raise ValueError(message)
        accepted.append(Accepted(**entry))
    return accepted


def _name(requirement: str) -> str:
    return requirement.partition("==")[0].strip().lower().replace("_", "-").replace(".", "-")


if __name__ == "__main__":
    sys.exit(main())
