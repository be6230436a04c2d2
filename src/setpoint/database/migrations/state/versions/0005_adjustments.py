"""What adjusted ledgers were derived with, and what the timeline was told of adjustments."""

import sqlalchemy as sa
from alembic import op

revision = "0005"
down_revision = "0004"


def upgrade() -> None:
    op.create_table(
        "adjusted_ledgers",
        sa.Column("ledger", sa.Text, primary_key=True),
        sa.Column("state", sa.Text, nullable=False),
        sa.Column("items", sa.Text, nullable=False),
    )
    op.create_table(
        "told_adjustments",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("content", sa.Text, nullable=False),
        sa.Column("until_ms", sa.BigInteger, nullable=False),
    )
