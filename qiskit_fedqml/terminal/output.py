"""What commands share in a terminal: tables, options read, and how a stopped run is resumed."""


def print_table(rows: list[dict[str, str]]) -> None:
    """Print a table: fitted to a terminal, or as Markdown where the output goes elsewhere."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from qiskit_fedqml.tables import markdown_table

    console = Console()
    if not console.is_terminal:
        print(markdown_table(rows))
        return
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for column in rows[0]:
        table.add_column(column, overflow="fold", min_width=max(len(word) for word in column.split()))
    for row in rows:
        table.add_row(*row.values())
    console.print(table)
