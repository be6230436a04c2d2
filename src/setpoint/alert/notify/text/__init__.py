"""The texts of notifications: Alertmanager's templates, with its data and functions, run in a closed room. A channel
makes one `TemplateData` of a notification, and asks `Texts`, read from the files that a routing names, for each text.
"""

from setpoint.alert.notify.text.data import TemplateData
from setpoint.alert.notify.text.texts import Texts, Told

__all__ = ["TemplateData", "Texts", "Told"]
