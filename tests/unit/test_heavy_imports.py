"""What the import of heavy libraries spares a process."""

from __future__ import annotations

import gc
import subprocess
import sys
from collections.abc import Iterator

import pytest

from config import collector


@pytest.fixture
def at_work() -> Iterator[None]:
    gc.enable()
    yield
    gc.enable()


def printed(code: str) -> str:
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.strip()


def test_the_collector_rests_within_the_block_alone(at_work: None) -> None:
    with collector.resting():
        assert not gc.isenabled()
        with collector.resting():
            pass
        assert not gc.isenabled(), "the outer block's rest goes on"
    assert gc.isenabled()


def test_the_collector_goes_on_after_an_import_that_failed(at_work: None) -> None:
    with pytest.raises(ImportError), collector.resting():
        raise ImportError
    assert gc.isenabled()


@pytest.mark.process
def test_tables_come_without_a_rest_client_that_is_there_for_whoever_asks() -> None:
    code = """
import sys
from consumers.tables import lance
package = "lance_namespace_urllib3_client"
print(f"{package}.models" in sys.modules, any(name.startswith(f"{package}.api.") for name in sys.modules))
import lance_namespace_urllib3_client
from lance_namespace_urllib3_client.api import table_api
print(lance_namespace_urllib3_client.TableApi is table_api.TableApi, hasattr(lance_namespace_urllib3_client, "nothing"))
"""
    assert printed(code) == "True False\nTrue False"
