"""Events of alerts for the noise they make."""

revision = "0011"
down_revision = "0010"


def upgrade() -> None:
    pass
