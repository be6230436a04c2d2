"""What users declare in YAML: read with line numbers, checked against registered kinds, stored with
revisions.

Packages register their kinds (`Registry.register`); `cli` and `web` load and apply; `app` hears of changes.
"""

from setpoint.resource.canonical import canonical_yaml
from setpoint.resource.load import load_paths, load_text
from setpoint.resource.model import Change, Document, Metadata, Part, Resource, Revision
from setpoint.resource.registry import Registry
from setpoint.resource.store import ResourceStore

__all__ = [
    "Change",
    "Document",
    "Metadata",
    "Part",
    "Registry",
    "Resource",
    "ResourceStore",
    "Revision",
    "canonical_yaml",
    "load_paths",
    "load_text",
]
