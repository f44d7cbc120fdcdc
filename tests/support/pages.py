"""Reads HTML pages as a browser does, and texts that try to become markup."""

from html.parser import HTMLParser

from hypothesis import strategies as st


class Reading(HTMLParser):
    """Tags, attributes and texts of a page, as a browser reads them."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.texts: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]

    def handle_data(self, data: str) -> None:
        self.texts.append(data)


HOSTILE = st.text(alphabet=st.sampled_from("<>\"'&/=;:{}()\\a\n\0-!ö")) | st.sampled_from(
    [
        "</style><script>alert(1)</script>",
        '"><img src=x onerror=alert(1)>',
        "javascript:alert(1)",
        "{{ 7*7 }}",
        "]]>-->",
    ]
)
"""Texts that would be markup, a script or a template if a page did not escape them."""
