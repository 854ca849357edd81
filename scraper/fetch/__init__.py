"""Get it: from a request to a response, by one verb, `await fetch(request)`."""
