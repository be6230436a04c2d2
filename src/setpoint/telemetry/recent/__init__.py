"""The parts of the head: blocks that are still open, segments of sealed chunks, late samples, and how an
answer is gathered from them. Only `telemetry.head` uses these modules.
"""

__all__: list[str] = []
