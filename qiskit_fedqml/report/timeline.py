"""When each client of each round worked, and on which machine, in real time and in simulated time."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from qiskit_fedqml.report.activity import NUM_SPANS, Activity, activities
from qiskit_fedqml.report.bars import bars, simulated_bars
from qiskit_fedqml.report.drawing import INK, MOST_MARKS, Mark, Panel, new_figure
from qiskit_fedqml.report.naming import step_word
from qiskit_fedqml.report.work import SERVER, Bar
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import time_unit

_MOST_ROUNDS_WITH_BARS = 40


@dataclass(frozen=True)
class _Timeline:
    """What is drawn.

    Args:
        title: The panel's title.
        slug: What its files are called.
        label: The horizontal axis, without a unit.
        work: The bars.
        ends: Seconds at which rounds end.
        step_word: What the run's rounds are called.
    """

    title: str
    slug: str
    label: str
    work: list[Bar]
    ends: Sequence[float]
    step_word: str


def timeline_panels(run: RunResult, name: str, colours: Mapping[str, str], slug: str) -> list[Panel]:
    """Draw each machine's work over the time that the run took, a lane for each machine; summed up where it is much.

    Args:
        run: A run with at least one round.
        name: Its name.
        colours: A colour for each machine.
        slug: What the panels' files end in.

    Returns:
        A panel in simulated time, where time is simulated, and one in real time.
    """
    simulated, word = simulated_bars(run), step_word(run)
    ends = list(accumulate(record.seconds for record in run.rounds))
    title = f"Machines {'in real time' if simulated else 'over time'}: {name}"
    real = _Timeline(title, f"timeline_{slug}", "Time since the start", bars(run), ends, word)
    if not simulated:
        return [_panel(real, colours)]
    ends = [record.clock_seconds for record in run.rounds if record.clock_seconds is not None]
    title, slug = f"Machines in simulated time: {name}", f"simulated_timeline_{slug}"
    return [_panel(_Timeline(title, slug, "Simulated time", simulated, ends, word), colours), _panel(real, colours)]


def _panel(timeline: _Timeline, colours: Mapping[str, str]) -> Panel:
    work = timeline.work
    is_summed = len(timeline.ends) > _MOST_ROUNDS_WITH_BARS or len(work) > MOST_MARKS
    entries = {bar.entry: bar.lane for bar in work}
    of_clients = dict.fromkeys(entries[entry] for entry in colours if entry in entries)
    lanes = [*of_clients, *([SERVER] if SERVER in entries else [])]
    unit, scale = time_unit(max(timeline.ends))
    figure, axis = new_figure(0.75 + (0.4 if is_summed else 0.3) * len(lanes))
    if is_summed:
        marks = _draw_shares(axis, activities(work, max(b.end_seconds for b in work)), lanes, scale, colours)
    else:
        marks = _draw_each(axis, work, lanes, scale, colours)
        _draw_ends(axis, timeline.ends, scale)
    axis.set_yticks(range(len(lanes)), lanes)
    axis.set(xlabel=f"{timeline.label} ({unit})", ylim=(len(lanes) - 0.5, -0.5))
    axis.grid(visible=False, axis="y")
    axis.set_xlim(left=0)
    is_replayed = any(entry != lane for entry, lane in entries.items())
    legend = {entry: colours[entry] for entry in colours if entry in entries} if is_replayed else {}
    note = _note(timeline, is_summed=is_summed)
    return Panel(timeline.slug, timeline.title, figure, legend, marks, note=note, keeps_size=is_replayed)


def _note(timeline: _Timeline, *, is_summed: bool) -> str:
    notes = []
    if is_summed:
        notes.append(f"Height: the share of time at work, in {NUM_SPANS} equal spans.")
    notes += ["Thin: in the queue."] if any(bar.waited_seconds for bar in timeline.work) else []
    notes += [] if all(bar.is_used for bar in timeline.work) else ["Hatched: nothing came of it."]
    if not is_summed:
        is_round = timeline.step_word == "round"
        notes.append("Dashed lines end rounds." if is_round else "Dashed lines are server steps.")
    return " ".join(notes)


def _draw_each(axis: Axes, work: list[Bar], lanes: list[str], scale: float, colours: Mapping[str, str]) -> list[Mark]:
    """Draw each piece of work as a bar."""
    marks = []
    for place, lane in enumerate(lanes):
        of_lane = [bar for bar in work if bar.lane == lane]
        _draw_waiting(axis, [bar for bar in of_lane if bar.waited_seconds], place, scale, colours)
        for entry in [*colours, SERVER]:
            of_entry = [bar for bar in of_lane if bar.entry == entry]
            if of_entry:
                _draw_bars(axis, of_entry, place, scale, colours.get(entry, INK))
            marks += [Mark((b.start_seconds + b.seconds / 2) / scale, place, b.text) for b in of_entry]
    return marks


def _draw_shares(
    axis: Axes, found: list[Activity], lanes: list[str], scale: float, colours: Mapping[str, str]
) -> list[Mark]:
    """Draw how much each machine worked, in steps that rise from the lane's floor."""
    marks, edges = [], np.linspace(0.0, found[0].end_seconds / scale, NUM_SPANS + 1)
    order = [*colours, SERVER]
    for place, lane in enumerate(lanes):
        floor = np.full(NUM_SPANS, place + 0.36)
        axis.plot(edges[[0, -1]], [place + 0.36] * 2, color=INK, alpha=0.25, linewidth=0.6)
        for one in sorted((one for one in found if one.lane == lane), key=lambda one: order.index(one.entry)):
            colour = colours.get(one.entry, INK)
            for share, alpha, hatch in ((one.worked, 0.85, None), (one.wasted, 0.35, "////")):
                if share.any():
                    look: Any = {"facecolor": to_rgba(colour, alpha), "edgecolor": INK if hatch else "none"}
                    top = floor - 0.8 * share
                    axis.stairs(top, edges, baseline=floor, fill=True, linewidth=0.4, hatch=hatch, **look)
                    floor = top
            if one.waited.any():
                rim, fill = np.full(NUM_SPANS, place + 0.46), to_rgba(colour, 0.45)
                axis.stairs(rim - 0.08 * one.waited, edges, baseline=rim, fill=True, facecolor=fill, linewidth=0)
            middles = (edges[:-1] + edges[1:]) / 2
            marks += [Mark(float(x), place, text) for x, text in zip(middles, one.texts, strict=True) if text]
    return marks


def _draw_bars(axis: Axes, work: list[Bar], place: int, scale: float, colour: str) -> None:
    """Draw the bars of an entry in a lane; a hatch has the colour of the edge."""

    def draw(is_chosen: Callable[[Bar], bool], alpha: float, edge: str, hatch: str | None = None) -> None:
        spans = [(bar.start_seconds / scale, bar.seconds / scale) for bar in work if is_chosen(bar)]
        fill = to_rgba(colour, alpha)
        axis.broken_barh(spans, (place - 0.36, 0.72), facecolor=fill, edgecolor=edge, linewidth=0.6, hatch=hatch)

    draw(lambda bar: bar.is_used, 0.85, colour)
    draw(lambda bar: not bar.is_used, 0.35, INK, hatch="////")


def _draw_waiting(axis: Axes, work: list[Bar], place: int, scale: float, colours: Mapping[str, str]) -> None:
    """Draw since when tasks have waited."""
    for bar in work:
        span = ((bar.start_seconds - bar.waited_seconds) / scale, bar.waited_seconds / scale)
        axis.broken_barh([span], (place - 0.05, 0.1), facecolor=to_rgba(colours.get(bar.entry, INK), 0.35), linewidth=0)


def _draw_ends(axis: Axes, ends: Sequence[float], scale: float) -> None:
    for end in ends:
        axis.axvline(end / scale, color=INK, linewidth=0.5, alpha=0.45, linestyle=(0, (2, 2)))
