"""All figures and tables of a report, before they are put on its page."""

from collections.abc import Mapping
from dataclasses import dataclass

from qiskit_fedqml.report.blocks import client_block_panels, map_panels, spread_panel, spread_rows, used_blocks
from qiskit_fedqml.report.calibrations import Calibration, calibrations, merged
from qiskit_fedqml.report.circuit_drawings import Circuits, circuit_drawings
from qiskit_fedqml.report.class_histogram import class_panels, class_rows
from qiskit_fedqml.report.clients import client_panels, client_rows
from qiskit_fedqml.report.confusion import (
    Confusion,
    class_accuracy_rows,
    confusion_panels,
    confusion_tables,
    confusions,
    missing_sentences,
)
from qiskit_fedqml.report.cost import cost_rows, device_rows
from qiskit_fedqml.report.curves import curve_panels, round_rows
from qiskit_fedqml.report.differences import difference_rows
from qiskit_fedqml.report.drawing import Panel, colours
from qiskit_fedqml.report.error_maps import error_map_panels, error_maps
from qiskit_fedqml.report.groups import grouped
from qiskit_fedqml.report.machines import StatedRates, machine_rows, rate_tables
from qiskit_fedqml.report.metrics import shown_metrics
from qiskit_fedqml.report.naming import file_names, machine_name, steps_word
from qiskit_fedqml.report.nodes import has_nodes, node_panels, node_rows
from qiskit_fedqml.report.overview import origin_rows
from qiskit_fedqml.report.privacy import privacy_panels
from qiskit_fedqml.report.programs import compiled_circuits, designed_circuits
from qiskit_fedqml.report.queues import queue_rows
from qiskit_fedqml.report.staleness import is_stale, staleness_panel
from qiskit_fedqml.report.table import table_rows
from qiskit_fedqml.report.table_files import Row, Table
from qiskit_fedqml.report.timeline import timeline_panels
from qiskit_fedqml.results.folder import RunFolder, Submission
from qiskit_fedqml.results.result import RunResult


@dataclass(frozen=True)
class Panels:
    """The figures, by section."""

    curves: list[Panel]
    confusions: list[Panel]
    classes: list[Panel]
    maps: list[Panel]
    errors: list[Panel]
    circuits: list[Panel]
    blocks: list[Panel]
    timelines: list[Panel]
    clients: list[Panel]
    stale: list[Panel]
    nodes: list[Panel]

    def all(self) -> list[Panel]:
        """Return all figures."""
        return [panel for section in vars(self).values() for panel in section]


@dataclass(frozen=True)
class Card:
    """What is known of a machine's qubits, or of its stated rates.

    Args:
        machine: The machine.
        title: What the card is called.
        text: Device and date.
        tables: Its tables.
    """

    machine: str
    title: str
    text: str
    tables: list[Table]


@dataclass(frozen=True)
class Contents:
    """A report's contents.

    Args:
        panels: The figures.
        tables: The tables by name, without those of :attr:`cards`; a table without rows is not there.
        cards: Machines with tables of their own.
        colours: A colour for each machine.
        sentences: What is not shown, and why, by section.
        journals: The jobs that each run sent to devices.
    """

    panels: Panels
    tables: dict[str, Table]
    cards: list[Card]
    colours: dict[str, str]
    sentences: dict[str, list[str]]
    journals: dict[str, list[Submission]]

    def all_tables(self) -> list[Table]:
        """Return all tables."""
        return [*self.tables.values(), *(table for card in self.cards for table in card.tables)]


def machine_colours(runs: Mapping[str, RunResult]) -> dict[str, str]:
    """Return a colour for each machine, the same in all runs; those of clients come first."""
    of_clients = {machine_name(run, c.backend): None for run in runs.values() for r in run.rounds for c in r.clients}
    in_files = [name for run in runs.values() for name in run.experiment.backends.backends]
    return colours(sorted(dict.fromkeys([*in_files, *of_clients]), key=lambda name: name not in of_clients))


def collect(runs: Mapping[str, RunResult]) -> Contents:
    """Draw the figures and make the tables of some runs.

    Args:
        runs: Runs with at least one round, by name.
    """
    of_machines, slugs = machine_colours(runs), file_names(list(runs))
    blocks, found = used_blocks(runs), [one for name, run in runs.items() for one in confusions(run, name)]
    compiled = compiled_circuits(runs)
    circuits = circuit_drawings(designed_circuits(runs), compiled, len(runs))
    panels = Panels(
        curves=[*curve_panels(grouped(runs)), *privacy_panels(grouped(runs))],
        confusions=confusion_panels(found),
        classes=[],
        maps=map_panels(blocks, len(runs)),
        errors=error_map_panels(error_maps(compiled), len(runs)),
        circuits=circuits.panels,
        blocks=[spread_panel(blocks, of_machines)] if blocks else [],
        timelines=[],
        clients=[],
        stale=[],
        nodes=[],
    )
    of_classes = []
    for (name, run), slug in zip(runs.items(), slugs, strict=True):
        panels.timelines.extend(timeline_panels(run, name, of_machines, slug))
        panels.clients.extend(client_panels(run, name, of_machines, slug))
        panels.stale.extend([staleness_panel(run, name, of_machines, slug)] if is_stale(run) else [])
        panels.nodes.extend(node_panels(run, name, slug) if has_nodes(run) else [])
        panels.blocks.extend(client_block_panels(run, name, of_machines, slug))
        panels.classes.extend(class_panels(run, name, slug))
        of_classes.append(Table(f"classes_{slug}", f"Classes by client: {name}", class_rows(run), is_tall=True))
    journals = {name: RunFolder(run.folder).submissions() for name, run in runs.items() if run.folder}
    known = {name: calibrations(name, run) for name, run in runs.items()}
    tables = [*_tables(runs, known, journals, spread_rows(blocks)), *confusion_tables(found), *of_classes]
    tables.append(Table("class_accuracy", "Accuracy of each class", class_accuracy_rows(found)))
    return Contents(
        panels,
        {table.name: table for table in tables if table.rows},
        _cards(merged(known), rate_tables(runs), len(runs)),
        of_machines,
        _sentences(runs, found, circuits),
        journals,
    )


def _tables(
    runs: Mapping[str, RunResult],
    known: Mapping[str, Mapping[str, Calibration]],
    journals: Mapping[str, list[Submission]],
    blocks: list[dict[str, str]],
) -> list[Table]:
    step, groups = steps_word(runs), grouped(runs)
    machines = [row for name, run in runs.items() for row in machine_rows(name, run, known[name])]
    devices = [row for name, sent in journals.items() for row in device_rows(name, runs[name], sent)]
    what = "Each run's machines, and their share of the clients' time and of what was averaged"
    cut = "Blocks of the machines that are cut into some, each with a copy of the circuit"
    shown = "Losses, accuracy and metrics" if shown_metrics(runs.values()) else "Losses and accuracy"
    queues = "Machines in simulated time: their queues, and how much of the time they worked"
    return [
        Table("results", f"{shown} of each run after its last {step}", _accuracy_first(table_rows(groups))),
        Table("differences", "Differences to the first, in pairs of the same seed", difference_rows(groups)),
        Table("rounds", f"Each {step} of each run", round_rows(groups), is_tall=True),
        Table("nodes", "Nodes without a server: what they sent, and how far they are from each other", node_rows(runs)),
        Table("machines", what, machines),
        Table("blocks", cut, blocks),
        Table("queues", queues, queue_rows(runs)),
        Table("cost", "What each run took", cost_rows(runs)),
        Table("devices", "Jobs on devices", devices),
        Table("clients", "Each client of each run", client_rows(runs), is_tall=True),
        Table("origins", "What decides the numbers of each run", origin_rows(runs)),
    ]


def _accuracy_first(rows: list[dict[str, str]]) -> list[Row]:
    """Put the accuracy next to the run's name, to be seen on a phone without scrolling."""
    first = ("Scheme", "Testing accuracy")
    return [{**{column: row[column] for column in first}, **row} for row in rows]


def _cards(known: list[Calibration], rates: list[StatedRates], num_runs: int) -> list[Card]:
    slugs = file_names([of.machine for of in known] + [of.title for of in rates])
    cards = []
    for of, slug in zip(known, slugs, strict=False):
        dates = f", the last of {of.num_dates} calibrations" if of.num_dates > 1 else ""
        where = "" if len(of.runs) == num_runs else f"; in {', '.join(of.runs)}"
        text = f"{of.device}{f', calibrated {of.date[:16]}' if of.date else ''}{dates}{where}"
        tables = [
            Table(
                f"calibration_blocks_{slug}",
                f"Blocks of {of.machine}, each with a copy of the circuit",
                of.block_rows(),
            ),
            Table(f"qubits_{slug}", f"Qubits of {of.machine} that the circuit uses", of.qubit_rows()),
            Table(f"couplings_{slug}", f"Couplings of {of.machine} that the circuit uses", of.coupling_rows()),
        ]
        cards.append(Card(of.machine, of.machine, text, [table for table in tables if table.rows]))
    for stated, slug in zip(rates, slugs[len(known) :], strict=True):
        table = Table(f"rates_{slug}", f"Stated rates of {stated.title}", stated.rows)
        cards.append(Card(stated.machine, stated.title, "Stated rates, the same on every qubit", [table]))
    return cards


def _sentences(runs: Mapping[str, RunResult], found: list[Confusion], circuits: Circuits) -> dict[str, list[str]]:
    without = [name for name, run in runs.items() if not run.run.get("class_counts")]
    classes = [f"The runs of {', '.join(without)} do not record which classes their clients hold."] if without else []
    return {"confusions": missing_sentences(runs, found), "classes": classes, "circuits": circuits.left_out}
