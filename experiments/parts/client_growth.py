"""The chart of `benchmark_many_clients.py`: time and memory as federations grow."""

from collections.abc import Mapping, Sequence
from typing import Any

from matplotlib.figure import Figure

COLOURS = ("#0072B2", "#D55E00")


def growth_figure(rows: Sequence[Mapping[str, Any]]) -> Figure:
    """Draw processor time before the first round and in a round, and peak memory, against the number of clients."""
    figure = Figure(figsize=(11, 3.6), layout="constrained")
    start, of_round, memory = figure.subplots(1, 3)
    most = max(row["chosen"] for row in rows)
    fewer = sorted({row["chosen"] for row in rows} - {most})
    groups = {f"{fewer[-1]:,} clients a round": fewer} if fewer else {}  # or all of fewer clients
    groups[f"{most:,} clients a round"] = [most]
    for (label, chosen), colour in zip(groups.items(), COLOURS, strict=False):
        of_group = [row for row in rows if row["chosen"] in chosen]
        clients = [row["clients"] for row in of_group]
        for axis, values in (
            (start, [row["start_processor_seconds"] for row in of_group]),
            (of_round, [1000 * row["median_round_processor_seconds"] for row in of_group]),
            (memory, [row["peak_memory_bytes"] / 2**30 for row in of_group]),
        ):
            axis.plot(clients, values, "o-", color=colour, label=label, markersize=4)
    start.set(title="Before the first round", ylabel="Seconds of processor time")
    of_round.set(title="A round", ylabel="Milliseconds of processor time (log.)", yscale="log")
    memory.set(title="Peak memory of the process", ylabel="GiB")
    for axis in (start, of_round, memory):
        axis.set(xscale="log", xlabel="Clients (logarithmic)")
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
    for axis in (start, memory):
        axis.set_ylim(0, 1.1 * axis.dataLim.ymax)
    of_round.legend(frameon=False, fontsize=9)
    return figure
