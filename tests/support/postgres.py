"""A real PostgreSQL server for tests, started where its programs are installed."""

from __future__ import annotations

import functools
import importlib.util
import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.support.lasting import at_end
from tests.support.missing import missing

# PostgreSQL refuses to run as root; any other user will do.
_UNPRIVILEGED = "nobody"


class Server:
    """A running server."""

    def __init__(self, folder: Path, user: str) -> None:
        self._folder = folder
        self._user = user

    def empty_database(self) -> str:
        """Empty the server's one database and return its URL; much quicker than a new one per test."""
        import psycopg  # noqa: PLC0415 - an optional driver; `running` has made sure that it is here

        with psycopg.connect(host=str(self._folder), user=self._user, dbname="postgres", autocommit=True) as connection:
            connection.execute("DROP SCHEMA public CASCADE")
            connection.execute("CREATE SCHEMA public")
        return f"postgresql://{self._user}@/postgres?host={self._folder}"


@functools.cache
def shared() -> Server:
    """Return the server of this test process, started at its first use; as `running` where it cannot run."""
    return at_end.enter_context(running())


@contextmanager
def running() -> Iterator[Server]:
    """Start a server on a Unix socket of its own and stop it afterwards; where it is not installed, skip, or fail in CI."""
    programs = _programs()
    if programs is None:
        missing("PostgreSQL is not installed here (no pg_ctl and initdb found); on Debian: apt-get install -y postgresql")
    need_driver()
    folder = Path(tempfile.mkdtemp(prefix="pg-"))
    account = _UNPRIVILEGED if os.geteuid() == 0 else None
    if account is not None:
        shutil.chown(folder, account)
    user = "perennial"

    def call(program: str, *arguments: str) -> None:
        command = [str(programs / program), *arguments]
        subprocess.run(command, check=True, cwd=folder, user=account, stdout=subprocess.DEVNULL, timeout=60)

    data = folder / "data"
    call("initdb", "-D", str(data), "-U", user, "--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C")
    call(
        "pg_ctl",
        "-D",
        str(data),
        "-w",
        "-l",
        str(folder / "log"),
        "-o",
        f"-k {folder} -c listen_addresses='' -c fsync=off",
        "start",
    )
    try:
        yield Server(folder, user)
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
        shutil.rmtree(folder)


def need_driver() -> None:
    """Skip the test, or fail it in CI, where the driver is not installed."""
    if importlib.util.find_spec("psycopg") is None:
        missing("the driver psycopg is not installed; `make setup` installs it")


def _programs() -> Path | None:
    """Return the folder of PostgreSQL's programs; distributions keep it out of PATH."""
    folders = [*sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)]
    on_path = shutil.which("initdb")
    if on_path is not None:
        folders.append(Path(on_path).resolve().parent)
    return next((folder for folder in folders if (folder / "initdb").exists() and (folder / "pg_ctl").exists()), None)
