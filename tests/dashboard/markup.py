"""Reads a page as a browser would, and says what on it could run, lead astray or deceive the eye."""

from __future__ import annotations

import unicodedata
from html.parser import HTMLParser

VOID = frozenset({"meta", "link", "input", "br", "img", "hr", "path", "rect", "wbr"})
LEADING = ("href", "src", "action", "formaction", "hx-get", "hx-post", "data-get")
DECEIVING = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


class Page(HTMLParser):
    """A page: `wrong` is what must not be there, `words` its text, `ids` its ids."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.wrong: list[str] = []
        self.words = ""
        self.ids: list[str] = []
        self.labelled: set[str] = set()
        self.fields: list[dict[str, str]] = []
        self.tags: list[str] = []
        self.title = ""
        self._open: list[str] = []
        self.feed(text)
        self.close()
        if self._open:
            self.wrong.append(f"not closed: {self._open}")
        self._names()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.tags.append(tag)
        if tag not in VOID:
            self._open.append(tag)
        if tag in ("style", "iframe", "object", "embed", "base", "img"):
            self.wrong.append(f"<{tag}>")
        if tag == "script" and not given.get("src", "").startswith("/static/"):
            self.wrong.append(f"script from {given.get('src', 'the page')!r}")
        for name, value in given.items():
            if name.startswith("on") or name in ("style", "srcdoc", "hx-on"):
                self.wrong.append(f"{tag} {name}={value!r}")
            if name in LEADING and not value.startswith(("/", "#", "http://", "https://")):
                self.wrong.append(f"{tag} {name}={value!r}")
            if (
                name in LEADING
                and value.startswith("http")
                and ("rel" not in given or "noopener" not in given["rel"])
            ):
                self.wrong.append(f"{tag} {name}={value!r} without rel")
            self._see(value)
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "label" and "for" in given:
            self.labelled.add(given["for"])
        if tag in ("input", "select", "textarea") and given.get("type") != "hidden":
            self.fields.append(given | {"_in": " ".join(self._open)})

    def handle_endtag(self, tag: str) -> None:
        if tag in VOID:
            return
        if not self._open or self._open[-1] != tag:
            self.wrong.append(f"</{tag}> closes {self._open[-1:]}")
            return
        self._open.pop()

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_data(self, data: str) -> None:
        self.words += data
        if self._open and self._open[-1] == "title" and "svg" not in self._open:
            self.title += data
        if self._open and self._open[-1] == "script" and data.strip():
            self.wrong.append(f"script: {data!r}")
        self._see(data)

    def _see(self, text: str) -> None:
        bad = {c for c in text if unicodedata.category(c) in DECEIVING and c not in "\n\t\u200c\u200d"}
        if bad:
            self.wrong.append(f"not visible: {sorted(bad)!r} in {text[:80]!r}")

    def _names(self) -> None:
        """Every id is there once, every field has a label."""
        self.wrong += [f"id {each} twice" for each in set(self.ids) if self.ids.count(each) > 1]
        for field in self.fields:
            inside = "label" in field["_in"].split()
            if not (inside or field.get("id") in self.labelled or "aria-label" in field):
                self.wrong.append(f"no label: {field}")
