"""One self-contained HTML page: headings, words, tables and pictures inline, no script, nothing fetched."""

from __future__ import annotations

import base64
import re
from html import escape

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; color: #282c34; max-width: 1240px; margin: 2em auto; padding: 0 1.2em }
h1 { font-size: 1.6em } h2 { margin-top: 2.2em; border-bottom: 2px solid #dee1e6 } h3 { margin-bottom: .3em }
table { border-collapse: collapse; font-size: 12.5px; margin: .6em 0 1.4em; font-variant-numeric: tabular-nums }
th, td { padding: .25em .5em; text-align: left; vertical-align: top; border-bottom: 1px solid #dee1e6 }
th { background: #f4f5f7; position: sticky; top: 0 }
td small { color: #6b7280; display: block; white-space: nowrap }
td.paper, th.paper { color: #6b7280; background: #faf8f3 }
figure { margin: 1em 0 1.6em } figcaption { font-size: 13px; color: #4b5563 } img { max-width: 100%; height: auto }
ul { font-size: 13px; color: #4b5563 } div.wide, pre { overflow-x: auto }
"""
SCORE = re.compile(r"^(-?[\d.]+)((?: \[[^\]]*\])?(?: n=\d+)?)$")


class Page:
    """A page that is added to from top to bottom."""

    def __init__(self, title: str) -> None:
        self._title = title
        self._parts = [f"<h1>{escape(title)}</h1>"]

    def heading(self, words: str, level: int = 2) -> None:
        self._parts.append(f"<h{level}>{escape(words)}</h{level}>")

    def words(self, text: str) -> None:
        self._parts.append(f"<p>{escape(text)}</p>")

    def points(self, items: list[str]) -> None:
        self._parts.append("<ul>" + "".join(f"<li>{escape(item)}</li>" for item in items) + "</ul>")

    def table(self, heads: list[str], rows: list[list[str]], caption: str = "") -> None:
        """Cells as in Markdown; columns whose head begins with ``paper`` are set apart."""
        theirs = [head.startswith("paper") for head in heads]
        top = "".join(f"<th{_class(p)}>{escape(h)}</th>" for h, p in zip(heads, theirs, strict=True))
        cells = ("".join(map(_cell, row, theirs)) for row in rows)
        lines = [f"<tr>{line}</tr>" for line in cells]
        self._parts.append(
            (f"<p>{escape(caption)}</p>" if caption else "")
            + f'<div class="wide"><table><tr>{top}</tr>{"".join(lines)}</table></div>'
        )

    def folded(self, words: str, text: str) -> None:
        """Text as it stands, shown when it is asked for."""
        self._parts.append(f"<details><summary>{escape(words)}</summary><pre>{escape(text)}</pre></details>")

    def picture(self, png: bytes, caption: str) -> None:
        inline = base64.b64encode(png).decode()
        self._parts.append(
            f'<figure><img alt="{escape(caption)}" src="data:image/png;base64,{inline}">'
            f"<figcaption>{escape(caption)}</figcaption></figure>"
        )

    def html(self) -> str:
        """The whole page."""
        return (
            '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">'
            '<meta name="viewport" content="width=device-width, initial-scale=1">'
            f"<title>{escape(self._title)}</title><style>{STYLE}</style></head>\n<body>\n"
            + "\n".join(self._parts)
            + "\n</body></html>\n"
        )


def _class(paper: bool) -> str:
    return ' class="paper"' if paper else ""


def _cell(words: str, paper: bool) -> str:
    score = SCORE.match(words)
    if score and score[2]:  # the number large, its interval and n small below it
        return f"<td{_class(paper)}><b>{score[1]}</b><small>{escape(score[2].strip())}</small></td>"
    if words.startswith("*"):
        return f"<td><i>{escape(words.strip('*'))}</i></td>"
    return f"<td{_class(paper)}>{escape(words)}</td>"
