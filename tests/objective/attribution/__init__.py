"""Attribution: the rule, the causes, and both over a book."""
