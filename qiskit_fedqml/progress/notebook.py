"""Rich's bars in a notebook's cell, as HTML that is replaced as they move, and stays when the notebook is saved.

Rich's own way there is a widget, which needs ipywidgets and leaves nothing in a saved notebook.
"""

from io import StringIO
from time import monotonic
from typing import Any

from rich.console import Console
from rich.progress import Progress, TaskID

_PAUSE_SECONDS = 0.1
"""Between two pictures of the bars."""
_WIDTH = 142
_PLACE = '<pre style="line-height: 1.2; white-space: pre; overflow-x: auto; background: none">{code}</pre>'


class NotebookProgress(Progress):
    """Bars that are shown by IPython's display."""

    def __init__(self, *columns: Any) -> None:
        super().__init__(
            *columns, auto_refresh=False, console=Console(file=StringIO(), force_jupyter=False, width=_WIDTH)
        )
        self._handle: Any = None
        self._shown_at = 0.0

    def start(self) -> None:
        """Show the bars."""
        from IPython.display import display

        self._handle = display(self, display_id=True)

    def stop(self) -> None:
        """Show how far the bars came; they are not replaced any more."""
        self._show()
        self._handle = None

    def refresh(self) -> None:
        """Replace what is shown, unless that has just been done."""
        if monotonic() - self._shown_at >= _PAUSE_SECONDS:
            self._show()

    def update(self, task_id: TaskID, **changes: Any) -> None:
        """Move a bar."""
        super().update(task_id, **changes)
        self.refresh()

    def _show(self) -> None:
        if self._handle is not None:
            self._shown_at = monotonic()
            self._handle.update(self)

    def _repr_html_(self) -> str:
        console = Console(file=StringIO(), record=True, width=_WIDTH, force_terminal=True, force_jupyter=False)
        console.print(self.get_renderable())
        return console.export_html(inline_styles=True, code_format=_PLACE)

    def __repr__(self) -> str:
        return "\n".join(task.description for task in self.tasks)
