"""One self-contained HTML page: text, tables and pictures inside it, nothing loaded from elsewhere."""

import base64
from collections.abc import Sequence
from html import escape
from typing import NamedTuple
from urllib.parse import quote

STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 62rem; margin: 2rem auto; padding: 0 1rem; color: #222;
  background: #fff; }
h1 { font-size: 1.6rem; } h2 { font-size: 1.15rem; margin-top: 2.2rem; border-bottom: 1px solid #ddd; }
nav { display: flex; flex-wrap: wrap; gap: 0.2rem 1.2rem; }
figure { margin: 1rem 0; } img { max-width: 100%; height: auto; }
figcaption, .note { color: #555; font-size: 0.9rem; } table { border-collapse: collapse; margin: 0.6rem 0; }
th, td { text-align: left; vertical-align: top; padding: 0.15rem 1rem 0.15rem 0; border-bottom: 1px solid #eee; }
td { font-variant-numeric: tabular-nums; } .wide { overflow-x: auto; }
.good { color: #1b5e20; font-weight: 600; } .bad { color: #b00020; font-weight: 600; }
.facts td { overflow-wrap: anywhere; } .facts td:first-child { width: 12rem; }
"""
# The browser itself refuses to fetch anything, should a picture or style ever name another place.
POLICY = "default-src 'none'; img-src data:; style-src 'unsafe-inline'"


class Link(NamedTuple):
    """Text of a cell that leads to a file beside the page; `target` is its path from there."""

    text: str
    target: str


Cell = str | Link


def paragraph(text: str, css_class: str = "") -> str:
    """A paragraph of plain text."""
    return f'<p class="{escape(css_class)}">{escape(text)}</p>' if css_class else f"<p>{escape(text)}</p>"


def table(header: Sequence[str], rows: Sequence[Sequence[Cell]]) -> str:
    """A table of plain text and links with a header; one that is too wide scrolls."""
    head = "".join(f"<th>{escape(cell)}</th>" for cell in header)
    return f'<div class="wide"><table><thead><tr>{head}</tr></thead><tbody>{_rows(rows)}</tbody></table></div>'


def facts(rows: Sequence[tuple[str, str]]) -> str:
    """A table of names and values; long values are broken anywhere."""
    return f'<table class="facts"><tbody>{_rows(rows)}</tbody></table>'


def _rows(rows: Sequence[Sequence[Cell]]) -> str:
    return "".join("<tr>" + "".join(f"<td>{_cell(cell)}</td>" for cell in row) + "</tr>" for row in rows)


def _cell(cell: Cell) -> str:
    if isinstance(cell, Link):
        return f'<a href="{escape(quote(cell.target))}">{escape(cell.text)}</a>'
    return escape(cell)


def picture(png: bytes, caption: str) -> str:
    """A PNG inside the page, with its caption below."""
    encoded = base64.b64encode(png).decode()
    image = f'<img alt="{escape(caption)}" src="data:image/png;base64,{encoded}">'
    return f"<figure>{image}<figcaption>{escape(caption)}</figcaption></figure>"


def page(title: str, sections: Sequence[tuple[str, str]]) -> str:
    """The whole page: a list of contents, then the sections, each a title and ready HTML."""
    links = "".join(f'<a href="#s{number}">{escape(name)}</a>' for number, (name, _) in enumerate(sections))
    body = "".join(
        f'<section id="s{number}"><h2>{escape(name)}</h2>{content}</section>'
        for number, (name, content) in enumerate(sections)
    )
    return (
        f'<!DOCTYPE html><html lang="en"><head><meta charset="utf-8"><title>{escape(title)}</title>'
        f'<meta http-equiv="Content-Security-Policy" content="{POLICY}">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1><nav>{links}</nav>{body}</body></html>\n"
    )
