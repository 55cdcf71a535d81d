"""Tables of text."""

import json
from collections.abc import Mapping, Sequence
from html import escape
from typing import Any


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Write rows as a Markdown table, columns aligned; what would end a cell or a line is escaped."""
    columns = list(rows[0])
    rows = [{column: " ".join(cell.replace("|", r"\|").split("\n")) for column, cell in row.items()} for row in rows]
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in columns}

    def line(cells: Mapping[str, str]) -> str:
        return "| " + " | ".join(cells[column].ljust(widths[column]) for column in columns) + " |"

    rule = "|" + "|".join("-" * (widths[column] + 2) for column in columns) + "|"
    return "\n".join([line({column: column for column in columns}), rule, *map(line, rows)]) + "\n"


def html_table(rows: Sequence[Mapping[str, str]], caption: str = "", most: int = 20) -> str:
    """Write rows as an HTML table, as a notebook shows it; all text is escaped.

    Args:
        rows: The rows, all with the columns of the first one.
        caption: What is written above it.
        most: The number of rows after which the others are only counted.
    """
    columns = list(rows[0]) if rows else []

    def line(cells: Sequence[str], tag: str) -> str:
        return "<tr>" + "".join(f'<{tag} style="text-align: left">{escape(cell)}</{tag}>' for cell in cells) + "</tr>"

    body = "".join(line([row[column] for column in columns], "td") for row in rows[:most])
    if len(rows) > most:
        body += f'<tr><td colspan="{len(columns)}">… and {len(rows) - most:,} more</td></tr>'
    head = f"<thead>{line(columns, 'th')}</thead>" if any(columns) else ""
    return (
        f'<div style="overflow-x: auto"><div><b>{escape(caption)}</b></div>'
        f"<table>{head}<tbody>{body}</tbody></table></div>"
    )


def duration(seconds: float) -> str:
    """Return a time in words: ``"40 ms"``, ``"3.2 s"``, ``"5 min 12 s"``, ``"7 h 5 min"``."""
    if 0 < seconds < 0.1:
        return f"{1000 * seconds:.0f} ms"
    if round(seconds, 1) < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes_left = divmod(minutes, 60)
    return f"{hours:,} h {minutes_left} min" if hours else f"{minutes} min {rest} s"


def fits_decimals(value: float) -> bool:
    """Return whether a few decimals show a number; others are better written in powers of ten."""
    return value == 0 or 1e-3 <= abs(value) < 1e6


def number(value: float, decimals: int) -> str:
    """Return a number of unknown size with so many decimals: ``"0.954"``, ``"1.235e+09"``."""
    return f"{value:.{decimals}{'f' if fits_decimals(value) else 'e'}}"


def about(seconds: float) -> str:
    """Return an estimated time, no more exact than it is: ``"about 60 s"``, ``"about 7 min"``, ``"about 1.5 h"``."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 95:
        step = 1 if seconds < 10 else 5 if seconds < 30 else 10
        return f"about {step * round(seconds / step)} s"
    if seconds < 90 * 60:
        return f"about {seconds / 60:.0f} min"
    hours = seconds / 3600
    return f"about {hours:.1f} h" if hours < 10 else f"about {hours:,.0f} h"


def time_unit(seconds: float) -> tuple[str, float]:
    """Return a unit in which a time is easy to read, and its seconds."""
    if seconds < 300:
        return "s", 1.0
    return ("min", 60.0) if seconds < 3 * 3600 else ("h", 3600.0)


def gibibytes(count: int) -> str:
    """Return memory in words: ``"2.9 GiB"``; "–" where it is not known."""
    return f"{count / 2**30:.1f} GiB" if count else "–"


def flattened(values: Mapping[str, Any], prefix: str = "") -> dict[str, str]:
    """Return nested values by dotted key, as text; what is no text is written as JSON."""
    flat: dict[str, str] = {}
    for key, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flattened(value, f"{prefix}{key}.")
        else:
            flat[f"{prefix}{key}"] = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return flat
