"""A hook of mkdocs: roles of Sphinx in docstrings, :class:`X`, are shown as X."""

import re
from typing import Any

ROLE = re.compile(r":(?:class|func|meth|mod|data|attr|exc):(<code>)~?")


def on_page_content(html: str, **_: Any) -> str:
    """The page without them."""
    return ROLE.sub(r"\1", html)
