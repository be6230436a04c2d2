"""Adjustments of error budgets: time that is left out or counted good, once or recurring, and corrections of what was
counted; declared in documents, derived into ledgers of their own, taken back by deleting the document.
"""

__all__: list[str] = []
