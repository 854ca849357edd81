"""The room that reads a page: encoding, document, selectors, links, and the guard before the parse."""
