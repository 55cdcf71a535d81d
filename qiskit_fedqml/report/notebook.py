"""A figure that a notebook shows, also where pyplot, which keeps every figure in memory, was never imported."""

from io import BytesIO

from matplotlib.figure import Figure


class NotebookFigure(Figure):
    """A figure that knows what it looks like in a notebook."""

    def _repr_png_(self) -> bytes:
        content = BytesIO()
        self.savefig(content, format="png", dpi=100)
        return content.getvalue()
