"""The one error of this distribution; who opens an artifact says what happens next."""

from __future__ import annotations


class UnusableError(Exception):
    """A published model cannot be used: its bytes are not those on record, or it cannot be opened."""
