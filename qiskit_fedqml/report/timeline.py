"""When each client of each round worked, and on which machine."""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import accumulate

from matplotlib.axes import Axes

from qiskit_fedqml.backends.entries import IBMEntry
from qiskit_fedqml.records import ClientRecord, RoundRecord
from qiskit_fedqml.report.drawing import INK, Mark, Panel, new_figure
from qiskit_fedqml.results import RunResult
from qiskit_fedqml.tables import duration

CENTRE = "centre"
_MOST_ROUNDS_WITH_LINES = 40


@dataclass(frozen=True)
class Bar:
    """A piece of work.

    Args:
        round: The round.
        lane: The backend, or the centre.
        start_seconds: After the run's start; breaks between rounds are not known, and left out.
        seconds: How long it took.
        text: What it was, in words.
        is_used: Whether something came of it.
    """

    round: int
    lane: str
    start_seconds: float
    seconds: float
    text: str
    is_used: bool = True


def bars(run: RunResult) -> list[Bar]:
    """Return what clients and centre did, round after round."""
    found, begun = [], 0.0
    for record in run.rounds:
        found += [_bar(record, client, begun + start) for client, start in _starts(run, record)]
        if record.evaluation_seconds:
            start = begun + record.seconds - record.evaluation_seconds
            text = f"Round {record.round}, the centre's tests: {duration(record.evaluation_seconds)}"
            found.append(Bar(record.round, CENTRE, start, record.evaluation_seconds, text))
        begun += record.seconds
    return found


def timeline_panel(run: RunResult, name: str, colours: Mapping[str, str], slug: str) -> Panel:
    """Draw each machine's work over the time that the run took, a lane for each machine.

    Args:
        run: A run with at least one round.
        name: Its name.
        colours: A colour for each machine.
        slug: What the panel's files are called.
    """
    work = bars(run)
    used = {bar.lane for bar in work}
    lanes = [*(lane for lane in colours if lane in used), *([CENTRE] if CENTRE in used else [])]
    unit, scale = _unit(sum(record.seconds for record in run.rounds))
    figure, axis = new_figure(0.75 + 0.3 * len(lanes))
    marks = []
    for place, lane in enumerate(lanes):
        of_lane = [bar for bar in work if bar.lane == lane]
        colour = colours.get(lane, INK)
        for is_used, look in ((True, {"alpha": 0.85}), (False, {"alpha": 0.35, "hatch": "////"})):
            chosen = [(b.start_seconds / scale, b.seconds / scale) for b in of_lane if b.is_used is is_used]
            axis.broken_barh(chosen, (place - 0.36, 0.72), color=colour, linewidth=0.6, **look)
        marks += [Mark((b.start_seconds + b.seconds / 2) / scale, place, b.text) for b in of_lane]
    if len(run.rounds) <= _MOST_ROUNDS_WITH_LINES:
        _draw_rounds(axis, run, scale)
    axis.set_yticks(range(len(lanes)), lanes)
    axis.set(xlabel=f"Time since the start ({unit})", ylim=(len(lanes) - 0.5, -0.5))
    axis.grid(visible=False, axis="y")
    axis.set_xlim(left=0)
    return Panel(slug, f"Machines over time: {name}", figure, {}, marks)


def _starts(run: RunResult, record: RoundRecord) -> Iterator[tuple[ClientRecord, float]]:
    """Give each client and its start, or where this was not recorded, when it may have begun.

    Simulated clients follow each other; each device works beside them and beside the others.
    """
    clock: defaultdict[str, float] = defaultdict(float)
    for client in record.clients:
        is_device = isinstance(run.experiment.backends.backends.get(client.backend), IBMEntry)
        lane = client.backend if is_device else ""
        start = clock[lane] if client.started_seconds is None else client.started_seconds
        clock[lane] = start + client.seconds
        yield client, start


def _bar(record: RoundRecord, client: ClientRecord, start: float) -> Bar:
    outcome = "" if client.status == "ok" else f", {client.status}"
    text = f"Round {record.round}, client {client.id} on {client.backend}: {duration(client.seconds)}{outcome}"
    return Bar(record.round, client.backend, start, client.seconds, text, client.status in {"ok", "tested"})


def _draw_rounds(axis: Axes, run: RunResult, scale: float) -> None:
    ends = accumulate(record.seconds / scale for record in run.rounds)
    for end in ends:
        axis.axvline(end, color=INK, linewidth=0.5, alpha=0.45, linestyle=(0, (2, 2)))


def _unit(seconds: float) -> tuple[str, float]:
    """Return a unit in which a time is easy to read, and its seconds."""
    if seconds < 300:
        return "s", 1.0
    return ("min", 60.0) if seconds < 3 * 3600 else ("h", 3600.0)
