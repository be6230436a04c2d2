"""The only place where packages are wired together: opens the databases, makes each part, hands functions down.

`web.serve` builds an `App` from `Settings` at start and closes it at the end; pages and protocols reach every
part through it. Events flow upwards by functions: a part never imports what stands above it.
"""

from setpoint.app.kinds import default_registry
from setpoint.app.parts import App
from setpoint.app.wire import build, wire

__all__ = ["App", "build", "default_registry", "wire"]
