"""What users declare in YAML: read with line numbers, checked against registered kinds, stored with
revisions.

Packages register their kinds (`Registry.register`); `cli` and `web` load and apply; `app` hears of changes. The store
is imported when it is asked for: who only reads files, such as `setpoint test`, loads no database.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

from setpoint.resource.canonical import canonical_yaml
from setpoint.resource.load import load_paths, load_text
from setpoint.resource.model import Change, Document, Metadata, Part, Resource, Revision
from setpoint.resource.registry import Registry

if TYPE_CHECKING:
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


def __getattr__(name: str) -> Any:
    if name != "ResourceStore":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return import_module(f"{__name__}.store").ResourceStore
