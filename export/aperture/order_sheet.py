"""The order as one printable page: every value of `order.json` in words, and a picture of the plate."""

import base64
import html

from cidesign.export.aperture.order import OrderRecord

_STYLE = """
@page { size: A4; margin: 14mm }
body { font: 11px/1.35 sans-serif; color: #111; max-width: 180mm; margin: 8mm auto }
h1 { font-size: 18px; margin: 0 0 2mm }
p.warn { border: 2px solid #111; padding: 2mm; font-size: 13px; margin: 2mm 0 }
table { border-collapse: collapse; width: 100%; margin: 2mm 0 }
td, th { border: 1px solid #999; padding: 0.8mm 1.5mm; text-align: left; vertical-align: top }
th { width: 46mm; font-weight: 600; background: #f2f2f2 }
td.hash { font-family: monospace; font-size: 8.5px; word-break: break-all }
img { float: right; height: 62mm; max-width: 80mm; object-fit: contain; margin: 0 0 3mm 5mm; border: 1px solid #999 }
"""


def order_sheet(order: OrderRecord, preview_png: bytes) -> str:
    """HTML without anything from elsewhere, for an order and the preview."""
    code = order.code
    rows = [
        ("Process", f"{order.process.name} ({order.process.profile})"),
        ("Plate", f"{_by(order.plate_size_mm)} mm"),
        ("Outer size of the drawing", f"{_by(order.outer_size_um)} um"),
        ("Code", f"{code.columns} x {code.rows} pixels of {code.pitch_um:g} um, {_by(code.size_um)} um"),
        ("Pitch on the detector", f"{code.pitch_on_detector_um:g} um"),
        ("Smallest feature, smallest gap", f"{_um(order.smallest_feature_um)}, {_um(order.smallest_gap_um)}"),
        ("Measured on", order.measured_on),
        ("Edge bias", order.edge_bias.says),
        (
            "Open fraction of the code",
            f"{order.open_fraction_of_code:.2%} designed, {order.drawn_open_fraction_of_code:.2%} drawn",
        ),
        (
            "Units and origin",
            f"{order.units}: {_by(code.origin_from_upper_left_um)} um from its upper left corner",
        ),
        ("Writer grid", f"{order.writer_grid_um:g} um"),
        ("Cell", order.top_cell),
        (
            "Layers (write all)",
            "; ".join(f"{entry.layer}/{entry.datatype} {entry.holds}" for entry in order.layers),
        ),
        (
            "Dimension to measure",
            f"{_um(order.critical_dimension_um)}: the lines of the cross" if order.marks else "none is marked",
        ),
        ("Mounting", order.reading.mount),
        ("Design", f"SHA-256 {order.design_sha256}"),
        ("Written", f"{order.created_utc} by {order.written_by}"),
    ]
    table = "".join(f"<tr><th>{html.escape(name)}</th><td>{html.escape(str(text))}</td></tr>" for name, text in rows)
    files = "".join(
        f"<tr><td>{html.escape(name)}</td><td>{html.escape(entry.says)}</td><td class='hash'>{entry.sha256}</td></tr>"
        for name, entry in order.files.items()
    )
    picture = base64.b64encode(preview_png).decode()
    title = html.escape(f"Mask order {order.name}")
    return (
        f"<!doctype html>\n<html lang='en'><head><meta charset='utf-8'><title>{title}</title>"
        f"<style>{_STYLE}</style></head><body><h1>{title}</h1>"
        f"<img alt='what the files show; light areas are clear' src='data:image/png;base64,{picture}'>"
        f"<p class='warn'><b>Tone.</b> {html.escape(order.tone.says)}</p>"
        f"<p class='warn'><b>Reading: {html.escape(order.reading.side)}.</b> {html.escape(order.reading.says)}</p>"
        f"<table>{table}</table><table><tr><td>file</td><td>content</td><td>SHA-256</td></tr>{files}</table>"
        "</body></html>\n"
    )


def _by(size: tuple[float, float]) -> str:
    return f"{size[0]:g} x {size[1]:g}"


def _um(length_um: float | None) -> str:
    return "none" if length_um is None else f"{length_um:g} um"
