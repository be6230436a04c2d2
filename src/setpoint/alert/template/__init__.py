"""Templates in labels and annotations of rules: the part of Go's text/template that Prometheus's rules use, with
Prometheus's functions, parsed when a rule is read and run in a closed room for each alert.
"""

from setpoint.alert.template.errors import TemplateError
from setpoint.alert.template.functions import Surroundings
from setpoint.alert.template.template import Template
from setpoint.alert.template.values import LabelMap, Sample

__all__ = ["LabelMap", "Sample", "Surroundings", "Template", "TemplateError"]
