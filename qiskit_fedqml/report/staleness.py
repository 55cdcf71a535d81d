"""How old the models were from which updates came."""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from math import ceil
from statistics import fmean
from typing import Any

import numpy as np
from matplotlib.colors import to_rgba
from matplotlib.ticker import MaxNLocator

from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.report.drawing import INK, Mark, Panel, new_figure
from qiskit_fedqml.report.naming import machine_name
from qiskit_fedqml.results.result import RunResult

_MOST_BARS = 60


def is_stale(run: RunResult) -> bool:
    """Return whether a run has an update that came from an older model than that of its step."""
    return any(record.staleness_of(client) for record in run.rounds for client in record.clients)


def staleness_column(values: Iterable[int | None]) -> dict[str, str]:
    """Return the column of a table in which a mean staleness is."""
    known = [value for value in values if value is not None]
    return {"Mean staleness": f"{fmean(known):.1f}" if known else "–"}


def staleness_panel(run: RunResult, name: str, colours: Mapping[str, str], slug: str) -> Panel:
    """Draw how many updates were how stale, by machine.

    Args:
        run: A run with at least one round.
        name: Its name.
        colours: A colour for each machine.
        slug: What the panel's files end in.
    """
    found: defaultdict[tuple[str, bool], list[int]] = defaultdict(list)
    for record in run.rounds:
        for client in record.clients:
            kind = machine_name(run, client.backend), client.status in (Status.OK, Status.TESTED)
            found[kind].append(record.staleness_of(client) or 0)
    width = ceil((1 + max(map(max, found.values()))) / _MOST_BARS)
    num_bars = 1 + max(map(max, found.values())) // width
    places, below = np.arange(num_bars) * width + (width - 1) / 2, np.zeros(num_bars)
    figure, axis = new_figure()
    marks = []
    for machine, is_used in sorted(found, key=lambda kind: (list(colours).index(kind[0]), not kind[1])):
        heights = np.bincount(np.array(found[machine, is_used]) // width, minlength=num_bars)
        fill, edge = to_rgba(colours[machine], 0.85 if is_used else 0.35), colours[machine] if is_used else INK
        hatch, there = None if is_used else "////", np.flatnonzero(heights)
        look: Any = {"color": fill, "edgecolor": edge, "linewidth": 0.6, "hatch": hatch}
        axis.bar(places[there], heights[there], 0.8 * width, below[there], **look)
        for bar in there:
            what = f"Staleness {_range(int(bar) * width, width)} on {machine}{'' if is_used else ', not averaged'}"
            middle = float(below[bar] + heights[bar] / 2)
            marks.append(Mark(float(places[bar]), middle, f"{what}: {_updates(int(heights[bar]))}"))
        below = below + heights
    axis.set(xlabel="Staleness (server steps)", ylabel="Updates")
    axis.grid(visible=False, axis="x")
    for scale in (axis.xaxis, axis.yaxis):
        scale.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    legend = {machine: colour for machine, colour in colours.items() if {(machine, True), (machine, False)} & {*found}}
    note = "" if all(is_used for _, is_used in found) else "Hatched: failed or refused, not averaged."
    return Panel(f"staleness_{slug}", f"Staleness of updates: {name}", figure, legend, marks, note=note)


def _range(first: int, width: int) -> str:
    return f"{first:,}" if width == 1 else f"{first:,} to {first + width - 1:,}"


def _updates(count: int) -> str:
    return "1 update" if count == 1 else f"{count:,} updates"
