"""Silences: matchers and a time in which what they match does not notify, once or again and again."""

__all__: list[str] = []
