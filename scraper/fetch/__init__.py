"""Get it: from a request to a response."""
