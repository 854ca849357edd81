"""Get it: one verb, `await fetch(request) -> Response`, for the transport and every layer around it."""
