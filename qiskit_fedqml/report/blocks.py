"""The blocks of the machines that runs used: a map of each, how far they differ, and what their clients made of it."""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from qiskit_fedqml.backends.chip import Chip, MachineMap
from qiskit_fedqml.report.device_map import map_panel
from qiskit_fedqml.report.drawing import INK, Mark, Panel, count_percent, new_figure
from qiskit_fedqml.report.naming import file_names
from qiskit_fedqml.results.records import ClientRecord
from qiskit_fedqml.results.result import RunResult

Row = dict[str, str]
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class UsedBlocks:
    """A machine's blocks by the last calibration that runs met.

    Args:
        machine: The machine, with its success probabilities; without couplings where the runs do not record them.
        runs: Names of the runs that used them.
    """

    machine: MachineMap
    runs: tuple[str, ...]

    def label(self, all_blocks: "Sequence[UsedBlocks]") -> str:
        """Return the machine's name, with those of the runs where other runs met other blocks of it."""
        is_alone = sum(other.machine.machine == self.machine.machine for other in all_blocks) == 1
        return self.machine.machine if is_alone else f"{self.machine.machine} ({', '.join(self.runs)})"


def used_blocks(runs: Mapping[str, RunResult]) -> list[UsedBlocks]:
    """Return the blocks of each machine that runs used in blocks; where several runs used the same, once.

    Args:
        runs: The runs by name.
    """
    found: list[UsedBlocks] = []
    for name, run in runs.items():
        for machine in _machines(run):
            place = next((k for k, other in enumerate(found) if other.machine == machine), None)
            if place is None:
                found.append(UsedBlocks(machine, (name,)))
            else:
                found[place] = replace(found[place], runs=(*found[place].runs, name))
    return found


def map_panels(used: Sequence[UsedBlocks], num_runs: int) -> list[Panel]:
    """Draw each machine whose couplings are known, with the runs that used it where these are not all of them."""
    drawn = [of for of in used if of.machine.chip.couplings]
    slugs = file_names([f"map_{of.machine.machine}_{of.runs[0]}" for of in drawn])
    where = ["" if len(of.runs) == num_runs else f"; in {', '.join(of.runs)}" for of in drawn]
    return [map_panel(of.machine, *names) for of, *names in zip(drawn, slugs, where, strict=True)]


def spread_rows(used: Sequence[UsedBlocks]) -> list[Row]:
    """Return a row for each machine: how far its blocks differ."""
    return [
        {
            "Machine": of.label(used),
            "Blocks": str(len(successes := of.machine.successes)),
            "Least success": f"{min(successes):.1%}",
            "Mean": f"{fmean(successes):.1%}",
            "Most": f"{max(successes):.1%}",
            "Spread": f"{100 * (max(successes) - min(successes)):.1f} points",
        }
        for of in used
    ]


def spread_panel(used: Sequence[UsedBlocks], colours: Mapping[str, str]) -> Panel:
    """Draw the success probability of each block, a lane for each machine.

    Args:
        used: The blocks, of one machine or more.
        colours: A colour for each machine.
    """
    figure, axis = new_figure(0.85 + 0.35 * len(used))
    marks = []
    for lane, of in enumerate(used):
        successes = of.machine.successes
        look: Any = {"color": colours[of.machine.machine], "linestyle": "", "marker": "o", "markersize": 6}
        axis.plot(successes, [lane] * len(successes), alpha=0.55, markeredgewidth=0, **look)
        axis.plot([fmean(successes)], [lane], marker="|", markersize=18, markeredgewidth=1.6, color=INK)
        for block, success in of.machine.blocks.items():
            marks.append(Mark(success or 0.0, lane, f"Block {', '.join(map(str, block))}: {success:.1%}"))
    axis.set_yticks(range(len(used)), [of.label(used) for of in used])
    axis.set(xlabel="Success probability", ylim=(len(used) - 0.5, -0.5))
    axis.grid(visible=False, axis="y")
    count_percent(axis.xaxis)
    return Panel("blocks", "Success probability of each block", figure, {}, marks, note="Line: mean of the machine.")


def client_block_panels(run: RunResult, name: str, colours: Mapping[str, str], slug: str) -> list[Panel]:
    """Draw what clients with blocks of their own came back with last, by the success probability of these blocks.

    Args:
        run: A run.
        name: Its name.
        colours: A colour for each machine.
        slug: What the panels' files end in.
    """
    figures: tuple[tuple[str, str, Callable[[ClientRecord], float | None]], ...] = (
        ("loss", "Loss", lambda client: client.train_loss),
        ("accuracy", "Accuracy", _accuracy),
    )
    return [
        _client_panel(last, f"block_{kind}_{slug}", f"{label} of each client by its blocks: {name}", label, of, colours)
        for kind, label, of in figures
        if (last := _last(run, of))
    ]


def _accuracy(client: ClientRecord) -> float | None:
    return client.accuracy


def _machines(run: RunResult) -> list[MachineMap]:
    """Return a run's machines with blocks by their last calibration; of its rounds each may have used other ones."""
    found = []
    for machine in dict.fromkeys(machine for record in run.rounds for machine in record.devices):
        met = [record.devices[machine] for record in run.rounds if machine in record.devices]
        device, date = met[-1]["device"], met[-1]["date"]
        same = [of for of in met if (of["device"], of["date"]) == (device, date)]
        blocks = {text: success for of in same for text, success in of.get("blocks", {}).items()}
        if blocks:
            by_qubits = {tuple(map(int, text.split("-"))): success for text, success in sorted(blocks.items())}
            left_out = tuple(met[-1].get("left_out", ()))
            found.append(MachineMap(machine, device, date or "", _chip(run, machine), by_qubits, left_out))
    return found


def _chip(run: RunResult, machine: str) -> Chip:
    """Return the chip that the run recorded; one without couplings where it recorded none."""
    try:
        return Chip.from_json(run.run["chips"][machine])
    except (LookupError, TypeError, ValueError, AttributeError) as error:  # the report shows what there is
        logger.warning("Machine %s is not drawn: the run does not record its couplings (%r).", machine, error)
        return Chip(0, ())


def _last(run: RunResult, figure: Callable[[ClientRecord], float | None]) -> list[ClientRecord]:
    """Return the last record with a figure of each client that has blocks of its own."""
    every = [c for record in run.rounds for c in record.clients if c.blocks and c.success_probability is not None]
    return list({client.id: client for client in every if figure(client) is not None}.values())


def _client_panel(
    clients: Sequence[ClientRecord],
    slug: str,
    title: str,
    label: str,
    figure_of: Callable[[ClientRecord], float | None],
    colours: Mapping[str, str],
) -> Panel:
    figure, axis = new_figure()
    legend = {name: colour for name, colour in colours.items() if name in {client.backend for client in clients}}
    marks = [
        Mark(x, y, f"Client {client.id}, block {' and '.join(client.blocks)} ({x:.1%}): {label.lower()} {y:.4g}")
        for client in clients
        if (x := client.success_probability) is not None and (y := figure_of(client)) is not None
    ]
    look: Any = {"marker": "o", "linestyle": "", "markersize": 5, "alpha": 0.8, "markeredgewidth": 0}
    for name, colour in legend.items():
        of_machine = [mark for client, mark in zip(clients, marks, strict=True) if client.backend == name]
        axis.plot([mark.x for mark in of_machine], [mark.y for mark in of_machine], color=colour, **look)
    axis.set(xlabel="Success probability of the client's blocks", ylabel=label)
    count_percent(axis.xaxis)
    if figure_of is _accuracy:
        count_percent(axis.yaxis)
    return Panel(slug, title, figure, legend, marks, note="Of each client its last round.")
