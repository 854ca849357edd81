"""Read it: from the bytes of a body to text, a document, links."""
