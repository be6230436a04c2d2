"""Users, tokens, sessions and what they did."""

revision = "0010"
down_revision = "0009"


def upgrade() -> None:
    pass
