"""How a notification that was decided reaches its receiver: the outbox that keeps it, the channels, and their texts."""

__all__: list[str] = []
