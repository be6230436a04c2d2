"""How far the alerts of rules are."""

revision = "0009"
down_revision = "0008"


def upgrade() -> None:
    pass
