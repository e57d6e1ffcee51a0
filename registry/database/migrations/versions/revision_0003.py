"""Marks of erasure: runs whose folder held erased texts, versions that learnt from them."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None

_TIME = sa.DateTime(timezone=True)


def upgrade() -> None:
    """Add the two columns; nothing was erased before."""
    op.add_column("runs", sa.Column("erased_at", _TIME))
    op.add_column("versions", sa.Column("affected_at", _TIME))
