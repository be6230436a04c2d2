"""Alerts as they were told last, what receivers were told of them, and who does the dispatching."""

revision = "0006"
down_revision = "0005"


def upgrade() -> None:
    pass
