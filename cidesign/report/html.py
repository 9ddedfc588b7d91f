"""One self-contained HTML page: text, tables and pictures inside it, nothing loaded from elsewhere."""

import base64
import hashlib
import json
from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import quote

from cidesign.calibration.verify import Verdict
from cidesign.report.script import SCRIPT
from cidesign.report.style import STYLE

# The browser itself refuses to fetch anything, should a picture or style ever name another place, and to run any other
# script than the page's own.
SCRIPT_DIGEST = base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()
POLICY = f"default-src 'none'; img-src data:; style-src 'unsafe-inline'; script-src 'sha256-{SCRIPT_DIGEST}'"
COLOURS: dict[Verdict, str] = {"passed": "good", "failed": "bad", "not verified": "unsure"}
# So much of the width of the page is fine enough to name a place.
DIGITS = 4


class Spot(NamedTuple):
    """A place of a picture and what is there, for readers who point at it.

    The place is the share of the picture's width and height from its upper left corner on.  Where the place is an image
    itself, it has `rows` and `columns` of pixels, and where these are grey from 0 to `most`, that is above 0.
    """

    left: float
    top: float
    width: float
    height: float
    text: str
    rows: int = 0
    columns: int = 0
    most: float = 0.0


class Link(NamedTuple):
    """Text of a cell that leads to a file beside the page; `target` is its path from there."""

    text: str
    target: str


Cell = str | Link


def paragraph(text: str, css_class: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{escape(css_class)}">{escape(text)}</p>' if css_class else f"<p>{escape(text)}</p>"


def lead(text: str, verdict: Verdict) -> str:
    """The line that the page opens with."""
    return paragraph(text, f"verdict {COLOURS[verdict]}")


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table of plain text and links with a header; one that is too wide scrolls."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in header)
    body = "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)
    return _wide(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>", f"Table: {', '.join(header)}")


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """A table of names and values; long values are broken anywhere."""
    body = "".join(f'<tr><th scope="row">{escape(name)}</th><td>{escape(value)}</td></tr>' for name, value in rows)
    return f'<table class="facts"><tbody>{body}</tbody></table>'


def _wide(content: str, name: str) -> str:
    """What may be wider than the page; the keyboard reaches it, to scroll it."""
    return f'<div class="wide" tabindex="0" role="group" aria-label="{escape(name)}">{content}</div>'


def _cell(cell: Cell) -> str:
    if isinstance(cell, Link):
        return f'<a href="{escape(quote(cell.target))}">{escape(cell.text)}</a>'
    return escape(cell)


def picture(png: bytes, caption: str, spots: Sequence[Spot] = ()) -> str:
    """A PNG inside the page, with its caption below; where scripts run, what is at the `spots` can be read."""
    encoded = base64.b64encode(png).decode()
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{encoded}">'
    shown = _wide(f'<div class="shown">{image}</div>', "Picture, to be scrolled where it is wider than the page")
    return f"<figure{_spots(spots)}>{shown}<figcaption>{escape(caption)}</figcaption></figure>"


def _spots(spots: Sequence[Spot]) -> str:
    if not spots:
        return ""
    places = [[*(round(one, DIGITS) for one in spot[:4]), *spot[4:]] for spot in spots]
    return f' data-spots="{escape(json.dumps(places, separators=(",", ":"), allow_nan=False))}"'


def page(title: str, sections: Sequence[tuple[str, str]], first: str = "") -> str:
    """The whole page: what comes `first`, a list of contents, then the sections, each a title and ready HTML."""
    links = "".join(f'<a href="#s{number}">{escape(name)}</a>' for number, (name, _) in enumerate(sections))
    body = "".join(
        f'<section id="s{number}"><h2>{escape(name)}</h2>{content}</section>'
        for number, (name, content) in enumerate(sections)
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><header><h1>{escape(title)}</h1>{first}</header>"
        f'<nav aria-label="Contents">{links}</nav><main>{body}</main><script>{SCRIPT}</script></body></html>\n'
    )
