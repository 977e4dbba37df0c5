"""${message}."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = ${repr(up_revision)}
down_revision = ${repr(down_revision)}
branch_labels = None
depends_on = None
#: The oldest step whose code may run on this schema.
oldest_code = ${repr(down_revision)}
#: What goes, by name, and the step from which on no code uses it; see the tests of the steps.
contracts: dict[str, str] = {}


def upgrade() -> None:
    """Go from the former schema to this one."""
    ${upgrades if upgrades else "pass"}


def downgrade() -> None:
    """Go back."""
    ${downgrades if downgrades else "pass"}
