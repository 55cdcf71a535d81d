"""The report: one HTML page that needs nothing else, and its figures as files."""

import re
from base64 import b64encode
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
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
from qiskit_fedqml.report.blocks import (
    UsedBlocks,
    client_block_panels,
    map_panels,
    spread_panel,
    spread_rows,
    used_blocks,
)
from qiskit_fedqml.report.calibrations import calibrations, merged
from qiskit_fedqml.report.class_histogram import class_panels
from qiskit_fedqml.report.clients import client_panels, client_rows
from qiskit_fedqml.report.cost import cost_rows, device_rows
from qiskit_fedqml.report.curves import curve_panels, round_rows
from qiskit_fedqml.report.differences import difference_note, difference_rows
from qiskit_fedqml.report.drawing import DASHES, Panel, colours, panel_files, style
from qiskit_fedqml.report.earlier import check_report, figures_of
from qiskit_fedqml.report.groups import grouped, seed_folders
from qiskit_fedqml.report.inline import inline_svg, placed_marks, series_colour
from qiskit_fedqml.report.machines import machine_rows, rate_tables
from qiskit_fedqml.report.naming import file_names, machine_name, run_names, steps_word
from qiskit_fedqml.report.queues import queue_rows
from qiskit_fedqml.report.staleness import is_stale, staleness_panel
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.report.timeline import timeline_panels
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.result import RunResult

_NUMBER = re.compile(r"(US\$ )?[+-]?\d[\d,.]*( ?[%µ±(A-Za-z].*)?")


@dataclass(frozen=True)
class _Panels:
    curves: list[Panel]
    timelines: list[Panel]
    classes: list[Panel]
    clients: list[Panel]
    stale: list[Panel]
    maps: list[Panel]
    blocks: list[Panel]

    def all(self) -> list[Panel]:
        return [*self.curves, *self.maps, *self.blocks, *self.timelines, *self.classes, *self.clients, *self.stale]


def write_report(folders: Sequence[Path], out: Path, *, overwrite: bool = False) -> Path:
    """Write ``report.html``, and ``figures/`` with each of its figures as PNG and SVG.

    Of an earlier report there, the page is replaced and the figures that it links to are removed; other files stay.

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
    make_folder(out / "figures")
    with style():
        blocks = used_blocks(runs)
        panels = _panels(runs, blocks)
        html = _page(runs, panels, spread_rows(blocks))
        files = {path: text for panel in panels.all() for path, text in panel_files(panel, out / "figures").items()}
    write_new({path: content for path, content in files.items() if path not in earlier}, overwrite=overwrite)
    write_new({path: content for path, content in files.items() if path in earlier}, overwrite=True)
    write_text(page, html)
    with writing(page):
        for figure in earlier - figures_of(page):
            figure.unlink(missing_ok=True)
    return page


def machine_colours(runs: Mapping[str, RunResult]) -> dict[str, str]:
    """Return a colour for each machine, the same in all runs; those of clients come first."""
    of_clients = [machine_name(run, c.backend) for run in runs.values() for r in run.rounds for c in r.clients]
    in_files = [name for run in runs.values() for name in run.experiment.backends.backends]
    used = set(of_clients)
    return colours(sorted(dict.fromkeys([*in_files, *of_clients]), key=lambda name: name not in used))


def _panels(runs: Mapping[str, RunResult], blocks: Sequence[UsedBlocks]) -> _Panels:
    of_machines = machine_colours(runs)
    spread = [spread_panel(blocks, of_machines)] if blocks else []
    found = _Panels(curve_panels(grouped(runs)), [], [], [], [], map_panels(blocks, len(runs)), spread)
    for (name, run), slug in zip(runs.items(), file_names(list(runs)), strict=True):
        found.timelines.extend(timeline_panels(run, name, of_machines, slug))
        found.classes.extend(class_panels(run, name, slug))
        found.clients.extend(client_panels(run, name, of_machines, slug))
        found.stale.extend([staleness_panel(run, name, of_machines, slug)] if is_stale(run) else [])
        found.blocks.extend(client_block_panels(run, name, of_machines, slug))
    return found


def _page(runs: Mapping[str, RunResult], panels: _Panels, blocks: Sequence[Mapping[str, str]]) -> str:
    known = {name: calibrations(name, run) for name, run in runs.items()}
    journals = {name: RunFolder(run.folder).submissions() for name, run in runs.items() if run.folder}
    groups, script = grouped(runs), _file("page.js")
    return (
        _environment()
        .from_string(_file("page.html.jinja"))
        .render(
            css=Markup(_file("page.css")),
            script=Markup(script),
            script_hash=b64encode(sha256(script.encode()).digest()).decode(),
            runs=runs,
            overview=overview,
            groups=groups,
            table_of_runs=[_accuracy_first(row) for row in table_rows(groups)],
            differences=difference_rows(groups),
            difference_note=difference_note(groups),
            rounds=round_rows(groups),
            panels=panels,
            machines=[row for name, run in runs.items() for row in machine_rows(name, run, known[name])],
            calibrations=merged(known),
            blocks=blocks,
            rates=rate_tables(runs),
            colours=machine_colours(runs),
            cost=cost_rows(runs),
            devices=[row for name, sent in journals.items() for row in device_rows(name, runs[name], sent)],
            jobs={name: job_sentence(sent) for name, sent in journals.items() if sent},
            clients=client_rows(runs),
            block_legend={name: colour for panel in panels.blocks for name, colour in panel.legend.items()},
            timeline_legend={name: colour for panel in panels.timelines for name, colour in panel.legend.items()},
            client_legend={name: colour for panel in panels.clients for name, colour in panel.legend.items()},
            step=steps_word(runs),
            steps=steps_word(runs, "s"),
            queues=queue_rows(runs),
            configurations={name: _configuration(run) for name, run in runs.items()},
        )
    )


def _accuracy_first(row: Mapping[str, str]) -> dict[str, str]:
    """Put the accuracy next to the run's name, to be seen on a phone without scrolling."""
    first = ("Scheme", "Testing accuracy")
    return {**{column: row[column] for column in first}, **row}


def _environment() -> Environment:
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    functions: dict[str, Any] = {
        "inline": lambda panel: Markup(inline_svg(panel)),
        "marks": placed_marks,
        "breakable": lambda name: escape(name).replace("_", Markup("_<wbr>")),
        "series": series_colour,
        "dash_class": lambda dash: f"dash-{DASHES.index(dash)}",
        "columns": lambda rows: list(dict.fromkeys(column for row in rows for column in row)),
        "is_numeric": _is_numeric,
    }
    environment.filters.update(functions)
    return environment


def _is_numeric(rows: Sequence[Mapping[str, str]], column: str) -> bool:
    """Return whether a column holds numbers, which are read more easily with their digits under each other."""
    texts = [text for row in rows if (text := row.get(column, "")) not in {"", "–", "exact", "not read"}]
    return all(_NUMBER.fullmatch(text) for text in texts)


def _configuration(run: RunResult) -> str:
    assert run.folder is not None
    return read_text(run.folder / "config.yaml", ResultError)


def _file(name: str) -> str:
    return resources.files(__package__).joinpath(name).read_text(encoding="utf-8")
