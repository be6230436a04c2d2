"""Whether a page is worth waking somebody for: what an alert must say to be acted on, and the noise that rules make.

`severity` says which alerts page. `noise` measures, from the timeline, what each rule cost those on call; `mend` says
what to do about it.
"""

from setpoint.alert.quality.severity import PAGING, is_paging

__all__ = ["PAGING", "is_paging"]
