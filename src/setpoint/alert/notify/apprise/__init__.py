"""The channels that Apprise knows: chat rooms, push messages and others, by an address each. It is imported when the
first of them is made, because it costs a quarter of a second and 36 MB.
"""

from setpoint.alert.notify.apprise.transport import make

__all__ = ["make"]
