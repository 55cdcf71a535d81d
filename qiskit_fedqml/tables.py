"""Tables of text."""

from collections.abc import Mapping, Sequence


def markdown_table(rows: Sequence[Mapping[str, str]]) -> str:
    """Write rows as a Markdown table, columns aligned."""
    columns = list(rows[0])
    widths = {column: max(len(column), *(len(row[column]) for row in rows)) for column in columns}

    def line(cells: Mapping[str, str]) -> str:
        return "| " + " | ".join(cells[column].ljust(widths[column]) for column in columns) + " |"

    rule = "|" + "|".join("-" * (widths[column] + 2) for column in columns) + "|"
    return "\n".join([line({column: column for column in columns}), rule, *map(line, rows)]) + "\n"
