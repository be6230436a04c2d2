"""SLAs: the kind, the rule, and both over a book."""
