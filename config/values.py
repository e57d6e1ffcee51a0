"""Values that several settings have in common: numbers in a range, addresses, lists, secrets."""

from __future__ import annotations

import re
from base64 import b64decode
from typing import Annotated

from pydantic import AfterValidator, Field, SecretStr

from config.clock import MAX_DAYS

_MOST = 1e9
"""Of a number whose unit nobody knows here: as seconds 31 years, which every clock can add."""

Positive = Annotated[float, Field(gt=0, le=_MOST, allow_inf_nan=False)]
PositiveInt = Annotated[int, Field(gt=0)]
NotNegative = Annotated[float, Field(ge=0, le=_MOST, allow_inf_nan=False)]
NotNegativeInt = Annotated[int, Field(ge=0)]
PositiveHours = Annotated[float, Field(gt=0, le=24 * MAX_DAYS, allow_inf_nan=False)]
NotNegativeHours = Annotated[float, Field(ge=0, le=24 * MAX_DAYS, allow_inf_nan=False)]
NotNegativeMinutes = Annotated[float, Field(ge=0, le=1_440 * MAX_DAYS, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]

_TRACKER = r"(tensorboard|mlflow|wandb)"
TRACKERS = rf"^\s*({_TRACKER}\s*(,\s*{_TRACKER}\s*)*)?$"
_KIND = r"(promoted|rolled_back|refused|labels_wanted|alarm|run_failed)"
KINDS = rf"^\s*({_KIND}\s*(,\s*{_KIND}\s*)*)?$"
ADDRESS = re.compile(r"[!-?A-~]+@[!-?A-~]+")
ADDRESS_OR_NONE = r"^(https?://[^\s/@]+(/[^\s?#]*[^\s?#/])?)?$"
_HTTP = re.compile(r"https?://[^\s/@]+(/\S*)?")


def _an_address(value: SecretStr) -> SecretStr:
    if (url := value.get_secret_value()) and not _HTTP.fullmatch(url):
        message = "it must be an address that begins with http:// or https://, without a user name"
        raise ValueError(message)
    return value


def must_be_base64(value: SecretStr) -> SecretStr:
    """Return a secret that is base64; raise `ValueError` for another."""
    try:
        b64decode(value.get_secret_value().removeprefix("whsec_"), validate=True)
    except ValueError:
        message = "it must be base64, with or without the prefix whsec_; `openssl rand -base64 32` makes one"
        raise ValueError(message) from None
    return value


def listed(value: str) -> tuple[str, ...]:
    """Return the parts of a list that is written with commas."""
    return tuple(part.strip() for part in value.split(",") if part.strip())


SecretUrl = Annotated[SecretStr, AfterValidator(_an_address)]
"""Whoever knows the address of an incoming webhook can post to it."""
