import os
from collections.abc import Callable
from typing import Any

import pytest
import torch

from config.errors import UserError
from config.sections import TrainingSettings
from config.settings import load_settings
from trainers import hardware

Pretend = Callable[..., None]


def settings(**changes: Any) -> TrainingSettings:
    return load_settings().training.model_copy(update=changes)


@pytest.fixture
def capable(monkeypatch: pytest.MonkeyPatch) -> Pretend:
    """Pretend to be a machine with these abilities."""

    def pretend(*, cuda: bool = False, cuda_bf16: bool = False, **cpu: bool) -> None:
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda **_: cuda_bf16)
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: cpu)

    return pretend


def test_auto_is_cuda_where_there_is_one_else_cpu(capable: Pretend) -> None:
    capable(cuda=True, cuda_bf16=True)
    assert (hardware.resolve(settings()).device, hardware.resolve(settings()).precision) == ("cuda", "bf16")
    capable()
    assert (hardware.resolve(settings()).device, hardware.resolve(settings()).precision) == ("cpu", "fp32")


@pytest.mark.parametrize(
    ("abilities", "precision"),
    [({"avx512_f": True}, "fp32"), ({"avx512_bf16": True}, "bf16"), ({"amx_tile": True}, "bf16")],
)
def test_auto_takes_bf16_only_where_it_is_native(capable: Pretend, abilities: dict[str, bool], precision: str) -> None:
    capable(**abilities)
    assert hardware.resolve(settings()).precision == precision


def test_what_is_asked_for_is_taken(capable: Pretend) -> None:
    capable(cuda=True, cuda_bf16=True, amx_tile=True)
    found = hardware.resolve(settings(device="cpu", precision="fp32", threads=3))
    assert (found.device, found.precision, found.threads) == ("cpu", "fp32", 3)
    assert hardware.resolve(settings(device="cpu", precision="bf16")).precision == "bf16"


def test_what_is_not_there_is_refused_with_the_setting_to_change(capable: Pretend) -> None:
    capable()
    with pytest.raises(UserError, match=r"training\.device is cuda"):
        hardware.resolve(settings(device="cuda"))
    capable(cuda=True, cuda_bf16=False)
    with pytest.raises(UserError, match=r"training\.precision is bf16"):
        hardware.resolve(settings(precision="bf16"))


def test_one_core_stays_free(capable: Pretend, monkeypatch: pytest.MonkeyPatch) -> None:
    capable()
    for cores, threads in ((8, 7), (1, 1)):
        monkeypatch.setattr(os, "sched_getaffinity", lambda _pid, count=cores: set(range(count)), raising=False)
        assert hardware.resolve(settings()).threads == threads


def test_description_is_for_people(capable: Pretend) -> None:
    capable()
    assert hardware.describe(hardware.resolve(settings(threads=1))) == "CPU, fp32, 1 thread"
    assert hardware.describe(hardware.resolve(settings(threads=4))) == "CPU, fp32, 4 threads"
