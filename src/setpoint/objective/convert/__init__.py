"""Objectives of other tools: Sloth's and Pyrra's documents in (`documents`), Prometheus rules as Sloth writes them out
(`rules`). What cannot be carried over is never dropped silently: every such place is a `Note` with its line.
"""

from setpoint.objective.convert.carried import Note
from setpoint.objective.convert.documents import Imported, import_documents
from setpoint.objective.convert.writing import Options

__all__ = ["Imported", "Note", "Options", "import_documents"]
