"""What holds of every report, whatever is in it."""

import re
from collections import Counter
from html.parser import HTMLParser

VOID = {"meta", "link", "img", "br", "hr", "input", "path", "rect", "circle", "polygon", "line"}


class Reader(HTMLParser):
    """Reads a page, and fails where its elements do not close in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.elements: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.words: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.elements.append((tag, dict(attrs)))

    def handle_endtag(self, tag):
        if tag not in VOID:
            assert self.open.pop() == tag, f"</{tag}> closes another element"

    def handle_data(self, data):
        if not self.open or self.open[-1] not in ("style", "script"):
            self.words.append(data)


def read_page(text):
    """The elements and the text of a page."""
    reader = Reader()
    reader.feed(text)
    reader.close()
    assert reader.open == []
    return reader


def check_page(text):
    """Nothing is asked of the network, all is named, and nothing twice."""
    page = read_page(text)
    assert len(text.encode()) < 5_000_000
    for tag, attributes in page.elements:
        for name in ("src", "href", "srcset", "data", "action", "poster"):
            address = attributes.get(name)
            assert address is None or address.startswith(("data:", "#")), (tag, address)
        if tag == "img":
            assert attributes["alt"]
        if tag == "button":
            assert attributes.get("type") == "button"
    style = "".join(re.findall(r"<style>(.*?)</style>", text, re.S))
    assert "url(" not in style
    assert "@import" not in style
    ids = Counter(a["id"] for _, a in page.elements if "id" in a)
    assert [name for name, times in ids.items() if times > 1] == []
    for _, attributes in page.elements:
        for name in ("aria-labelledby", "popovertarget"):
            assert attributes.get(name) is None or attributes[name] in ids
    assert "default-src 'none'" in text
    levels = [int(tag[1]) for tag, _ in page.elements if re.fullmatch(r"h\d", tag)]
    assert levels[0] == 1
    assert levels.count(1) == 1
    return page
