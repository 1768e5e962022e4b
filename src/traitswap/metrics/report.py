"""A report of `Evaluator` as short tables, measures down, attributes across: on a terminal, or in Markdown."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from rich.console import Console
from rich.table import Table

from traitswap.metrics.chunks import ALL

PLACE = "<!-- evaluation -->"
"""In a text: where `markdown` of a report goes."""
_HEADING, _COLUMN = 30, 11
_MOST_MOVED = 3

Row = tuple[str, Sequence[str]]


class _Table(NamedTuple):
    title: str
    names: Sequence[str]
    """Of the columns after the first."""
    rows: Sequence[Row]


def print_report(report: Mapping[str, Any], console: Console) -> None:
    p = report["protocol"]
    _line(console, "")
    _line(console, f"{p['weights']}: {p['preset']}, {p['images_seen']:,} images seen", bold=True)
    if "same_person" in report:
        _print_same_person(report, console)
        return
    _line(console, f"{p['data']}, {p['split']}, {p['pairs']:,} pairs both ways, seed {p['seed']}{_drawn(p)}")
    for table in _tables(report):
        _print_table(console, table)
    for name, change in report["logit_change"].items():
        most = sorted(change.items(), key=lambda item: -item[1])[:_MOST_MOVED]
        _line(console, f"logits most moved, {name}: " + ", ".join(f"{c} {value:.2f}" for c, value in most))
    _line(console, _rebuilt(report))


def markdown(report: Mapping[str, Any]) -> str:
    """The tables of a report on pairs, and the protocol below them."""
    parts = []
    for title, names, rows in _tables(report):
        lines = [[title, *names], ["---", *["---:"] * len(names)], *([label.strip(), *v] for label, v in rows)]
        parts.append("\n".join(f"| {' | '.join(line)} |" for line in lines))
    p = report["protocol"]
    judges = [("judged by a classifier", p["judge"]), ("identity by", p.get("identity_network"))]
    judges.append(("image quality by", p.get("feature_network")))
    named = [(f"{what} {n['name']}" if "name" in n else what, n["sha256"]) for what, n in judges if n]
    seen = "; ".join(f"{network} (sha256 {sha256[:12]}…)" for network, sha256 in named)
    about = f"{p['data']}, {p['split']} split, {p['pairs']:,} pairs both ways, seed {p['seed']}; {p['pairing']}"
    return "\n\n".join([*parts, f"{_rebuilt(report)}.", f"{about}{_drawn(p)}. {seen.capitalize()}."])


def _drawn(protocol: Mapping[str, Any]) -> str:
    confined = (f"; {name} confined to the {region}" for name, region in protocol.get("confined", {}).items())
    return "".join(confined) + ("; each face also drawn mirrored" if protocol.get("mirrored") else "")


def _tables(report: Mapping[str, Any]) -> Iterator[_Table]:
    names = list(report["attributes"])
    yield _Table("each attribute alone", names, _alone_rows(report, names))
    yield _Table("all that differ at once", [*names, "over all"], _together_rows(report, names))
    if "quality" in report:
        yield _Table("image quality", [*names, ALL], _quality_rows(report["quality"], [*names, ALL]))
    yield _style(report)


def _rebuilt(report: Mapping[str, Any]) -> str:
    r = report["reconstruction"]
    also = "".join(f", {key} {r[key]:.3f}" for key in ("identity", "kept") if key in r)
    return f"rebuilt, nothing swapped: {r['psnr']:.1f} dB{also}"


def _alone_rows(report: Mapping[str, Any], names: Sequence[str]) -> list[Row]:
    a = report["attributes"]
    rows = (
        ("pairs", "pairs"),
        ("changed as the reference", "success"),
        ("  untouched photo", "success_untouched"),
        ("  real reference", "success_real"),
        ("stayed, another taken", "stayed"),
        ("  untouched photo", "stayed_real"),
        ("other labels kept", "kept"),
        ("identity to the photo", "identity"),
        ("reference's identity leaked", "leaked"),
        ("  photo and reference", "unrelated"),
        ("border moved", "border_change"),
    )
    table: list[Row] = [(label, [number(a[name][key]) for name in names]) for label, key in rows]
    table.append(("judge right on real faces", [number(report["judge_accuracy"][name]) for name in names]))
    for label, key in (("blending monotone", "monotone"), ("  largest of 4 steps", "largest_step")):
        table.append((label, [number(report["blending"][name][key]) for name in names]))
    return table


def _together_rows(report: Mapping[str, Any], names: Sequence[str]) -> list[Row]:
    t = report["together"]
    by_attribute = {
        "pairs": "pairs",
        "changed as the reference": "success",
        "  real reference": "success_real",
        "stayed where labels agree": "stayed",
    }
    rest = {
        "other labels kept": "kept",
        "identity to the photo": "identity",
        "reference's identity leaked": "leaked",
        "border moved": "border_change",
    }
    blank = [""] * len(names)
    return [
        *(
            (label, [*(number(t["attributes"][n][key]) for n in names), number(t["pairs"]) if key == "pairs" else ""])
            for label, key in by_attribute.items()
        ),
        *((label, [*blank, number(t[key])]) for label, key in rest.items()),
    ]


def _quality_rows(quality: Mapping[str, Any], names: Sequence[str]) -> list[Row]:
    rows: list[Row] = [("results", [number(quality[name]["count"]) for name in names])]
    for key in quality[ALL]:
        if key != "count":
            rows.append((key, [number(quality[name][key], 4) for name in names]))
    return rows


def _style(report: Mapping[str, Any]) -> _Table:
    found = [row for rows in report["style"].values() for row in rows]
    drawn = any("true" in row for row in found)
    keys = ("pairs", "correlation", *(("true", "true_real") if drawn else ()))
    headings = ("pairs", "correlation", *(("with truth", "reference's") if drawn else ()))
    rows = [
        (row["column"] if row["label"] else f"not {row['column']}", [number(row.get(key)) for key in keys])
        for row in found
    ]
    return _Table("style kept, within the label", headings, rows)


def _print_same_person(report: Mapping[str, Any], console: Console) -> None:
    p, s = report["protocol"], report["same_person"]
    name, what = next(iter(p["attributes"])), "against the person's own real image"
    _line(console, f"{p['data']}, {s['people']} people, seed {p['seed']}: {name} taken from another, {what}")
    rows: list[Row] = [
        ("pixels apart, of 255", [number(s["error"], 2), number(s["error_untouched"], 2), number(s["nearer_pixels"])])
    ]
    if s["identity"] is not None:
        rows.append(
            ("identity (cosine)", [number(s[key]) for key in ("identity", "identity_untouched", "nearer_identity")])
        )
        rows.append(("reference's identity leaked", [number(s["leaked"]), "", ""]))
    if s["success"] is not None:
        rows.append(("judged to have it", [number(s["success"]), number(s["success_untouched"]), ""]))
        rows.append(("  real image", [number(s["success_real"]), "", ""]))
    if s["kept"] is not None:
        rows.append(("other labels kept", [number(s["kept"]), "", ""]))
        rows.append(("  real image", [number(s["kept_real"]), "", ""]))
    _print_table(console, _Table("", ["result", "untouched", "nearer"], rows))


def _print_table(console: Console, measured: _Table) -> None:
    """As many columns at a time as the terminal has room for."""
    title, names, rows = measured
    room = max((console.width - _HEADING) // (_COLUMN + 2), 1)
    for start in range(0, len(names), room):
        table = Table(title, box=None, pad_edge=False)
        for name in names[start : start + room]:
            table.add_column(name, justify="right", overflow="fold")
        for label, values in rows:
            table.add_row(label, *values[start : start + room])
        console.print(table)
        _line(console, "")


def _line(console: Console, text: str, bold: bool = False) -> None:
    console.print(text, style="bold" if bold else None, highlight=False, markup=False)


def number(value: float | None, digits: int = 3) -> str:
    if value is None:
        return "–"
    return f"{value:,}" if isinstance(value, int) else f"{value:.{digits}f}"
