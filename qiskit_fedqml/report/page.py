"""The report: one HTML page that needs nothing else, and its figures and tables as files."""

from base64 import b64encode
from collections.abc import Mapping, Sequence
from hashlib import sha256
from importlib import resources
from pathlib import Path
from typing import Any

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup, escape

from qiskit_fedqml.config.text_files import read_text
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.files import make_folder, write_new, write_text, writing
from qiskit_fedqml.planning.jobs import job_sentence
from qiskit_fedqml.report import overview
from qiskit_fedqml.report.contents import Contents, collect
from qiskit_fedqml.report.differences import difference_note
from qiskit_fedqml.report.drawing import DASHES, panel_files, style
from qiskit_fedqml.report.earlier import check_report, files_of
from qiskit_fedqml.report.groups import grouped, seed_folders
from qiskit_fedqml.report.inline import inline_svg, placed_marks, series_colour
from qiskit_fedqml.report.naming import run_names, steps_word
from qiskit_fedqml.report.table_files import table_files
from qiskit_fedqml.results.result import RunResult


def write_report(folders: Sequence[Path], out: Path, *, overwrite: bool = False) -> Path:
    """Write ``report.html``; ``figures/`` with its figures as PNG and SVG; and ``tables/`` as CSV and LaTeX.

    Of an earlier report there, the page is replaced and the files that it links to are removed; other files stay.

    Args:
        folders: Result folders of runs, finished or not, and folders that hold those of seeds.
        out: The folder to write to; an earlier report of these runs in it is replaced.
        overwrite: Whether other files in the way, and a report of other runs, are replaced too.

    Returns:
        The page.

    Raises:
        ConfigurationError: A folder is given twice.
        ResultError: One is no result folder or has no finished round; something else is in the report's place, and
            ``overwrite`` is False; or the report cannot be written.
    """
    folders = [path for folder in folders for path in seed_folders(folder)]
    runs = {name: RunResult.load(folder) for name, folder in zip(run_names(folders), folders, strict=True)}
    for name, run in runs.items():
        if not run.rounds:
            raise ResultError(f"The run {name!r} has no finished round yet, so there is nothing to report of it.")
    page = out / "report.html"
    earlier = check_report(page, runs, overwrite=overwrite)
    for folder in ("figures", "tables"):
        make_folder(out / folder)
    with style():
        contents = collect(runs)
        html = page_text(runs, contents)
        files = {p: of for panel in contents.panels.all() for p, of in panel_files(panel, out / "figures").items()}
    files |= {p: of for table in contents.all_tables() for p, of in table_files(table, out / "tables").items()}
    write_new({path: content for path, content in files.items() if path not in earlier}, overwrite=overwrite)
    write_new({path: content for path, content in files.items() if path in earlier}, overwrite=True)
    write_text(page, html)
    with writing(page):
        for file in earlier - files_of(page):
            file.unlink(missing_ok=True)
    return page


def page_text(runs: Mapping[str, RunResult], contents: Contents) -> str:
    """Return the page.

    Args:
        runs: The runs by name.
        contents: Their figures and tables, drawn in the report's style.
    """
    script, panels = _file("page.js"), contents.panels
    return (
        _environment()
        .from_string(_file("page.html.jinja"))
        .render(
            css=Markup(_file("page.css")),
            script=Markup(script),
            script_hash=b64encode(sha256(script.encode()).digest()).decode(),
            runs=runs,
            overview=overview,
            groups=grouped(runs),
            difference_note=difference_note(grouped(runs)),
            panels=panels,
            tables=contents.tables,
            cards=contents.cards,
            colours=contents.colours,
            sentences=contents.sentences,
            jobs={name: job_sentence(sent) for name, sent in contents.journals.items() if sent},
            legends={
                section: {name: colour for panel in of for name, colour in panel.legend.items()}
                for section, of in vars(panels).items()
            },
            step=steps_word(runs),
            steps=steps_word(runs, "s"),
            configurations={name: _configuration(run) for name, run in runs.items()},
        )
    )


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    functions: dict[str, Any] = {
        "inline": lambda panel: Markup(inline_svg(panel)),
        "marks": placed_marks,
        "breakable": lambda name: escape(name).replace("_", Markup("_<wbr>")),
        "series": series_colour,
        "dash_class": lambda dash: f"dash-{DASHES.index(dash)}",
    }
    environment.filters.update(functions)
    return environment


def _configuration(run: RunResult) -> str:
    assert run.folder is not None
    return read_text(run.folder / "config.yaml", ResultError)


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
