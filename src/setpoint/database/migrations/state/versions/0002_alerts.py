"""Which alerts are open, and how far each webhook has been told."""

import sqlalchemy as sa
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade() -> None:
    op.create_index("events_by_kind", "events", ["kind", "id"])
    op.create_table(
        "open_alerts",
        sa.Column("objective", sa.Text, nullable=False),
        sa.Column("policy", sa.Text, nullable=False),
        sa.Column("event_id", sa.BigInteger, nullable=False),
        sa.PrimaryKeyConstraint("objective", "policy"),
    )
    op.create_table(
        "webhook_cursors",
        sa.Column("target", sa.Text, primary_key=True),
        sa.Column("name", sa.Text, nullable=False),
        sa.Column("event_id", sa.BigInteger, nullable=False),
    )
