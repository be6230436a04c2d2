"""Alert policies over history: when they would have told somebody, what they would have missed. Nothing is stored."""

__all__: list[str] = []
