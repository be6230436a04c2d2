"""Who may do what: users with passwords, tokens of programs, sessions of browsers, and what they did.

`Directory` knows all of them in memory, so that a request costs no database read, and writes every change with its
event. `web.access` asks it who a request comes from, `web.doors` whether that is enough (decision 0042).
"""

from setpoint.access.directory import Directory
from setpoint.access.model import ROLES, Identity, Power, Role, Token, User, allows

__all__ = ["ROLES", "Directory", "Identity", "Power", "Role", "Token", "User", "allows"]
