"""Who spent the budget: the bad events of an objective, shared out among what happened at the time.

`who.Attributions` answers for a name and a stretch of time; `causes` reads the timeline, `split` is the pure rule
(decision 0032), `model` what comes out.
"""

__all__: list[str] = []
