"""Which rules of error budget policies are in force, as far as the timeline tells."""

import sqlalchemy as sa
from alembic import op

revision = "0004"
down_revision = "0003"


def upgrade() -> None:
    op.create_table(
        "policy_holds",
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("rule", sa.Text, nullable=False),
        sa.Column("objective", sa.Text, nullable=False),
        sa.Column("service", sa.Text, nullable=False),
        sa.Column("releases", sa.Text, nullable=False),
        sa.Column("since_ms", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("policy", "rule", "objective"),
    )
