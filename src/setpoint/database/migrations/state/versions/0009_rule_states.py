"""How far the alerts of rules are, when their groups were evaluated, and rule files as they were read last."""

import sqlalchemy as sa
from alembic import op

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    op.create_table(
        "rule_alerts",
        sa.Column("rule", sa.Text, primary_key=True),
        sa.Column("alert", sa.Text, primary_key=True),
        sa.Column("body", sa.Text, nullable=False),
    )
    op.create_table(
        "rule_groups",
        sa.Column("name", sa.Text, primary_key=True),
        sa.Column("evaluated_ms", sa.BigInteger, nullable=False),
    )
    op.create_table(
        "rule_files",
        sa.Column("file", sa.Text, primary_key=True),
        sa.Column("text", sa.Text, nullable=False),
    )
