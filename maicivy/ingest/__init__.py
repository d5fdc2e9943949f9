"""The way in: what a request says is checked, reduced and redacted before it is kept."""
