"""SLAs: what is promised to customers in a month or a quarter, over objectives, and the credit that is owed for less.

`spec` is the kind, `check` what is wrong between it and other documents, `decide` the pure rule, `book` asks the
ledgers.
"""

__all__: list[str] = []
