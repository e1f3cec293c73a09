"""Money and limits: what a call may cost, what it did cost."""
