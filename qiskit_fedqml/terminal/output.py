"""Tables in a terminal."""

import os
import sys

from qiskit_fedqml.tables import markdown_table


def print_table(rows: list[dict[str, str]]) -> None:
    """Print a table: fitted to a terminal, or as Markdown where the output goes elsewhere."""
    if not (sys.stdout.isatty() or os.environ.get("FORCE_COLOR")):
        print(markdown_table(rows))
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in rows[0]:
        table.add_column(Text(column), overflow="fold", min_width=max(len(word) for word in column.split()))
    for row in rows:
        table.add_row(*map(Text, row.values()))  # names in square brackets are no markup
    console.print(table)
