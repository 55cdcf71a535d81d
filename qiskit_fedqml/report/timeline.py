"""When each client of each round worked, and on which machine."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import accumulate

from matplotlib.axes import Axes
from matplotlib.colors import to_rgba

from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.report.drawing import INK, MOST_MARKS, Mark, Panel, new_figure
from qiskit_fedqml.report.naming import machine_name
from qiskit_fedqml.results.records import ClientRecord, RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration

SERVER = "server"
_MOST_ROUNDS_WITH_LINES = 40


@dataclass(frozen=True)
class Bar:
    """A piece of work.

    Args:
        round: The round.
        lane: The machine, or the server.
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
    """Return what clients and server did, round after round."""
    found, begun = [], 0.0
    for record in run.rounds:
        found += [_bar(run, record, client, begun + start) for client, start in _starts(run, record)]
        if record.evaluation_seconds:
            start = begun + record.seconds - record.evaluation_seconds
            text = f"Round {record.round}, the server's tests: {duration(record.evaluation_seconds)}"
            found.append(Bar(record.round, SERVER, start, record.evaluation_seconds, text))
        begun += record.seconds
    return found


def thinned(work: list[Bar], most: int = MOST_MARKS) -> tuple[list[Bar], int]:
    """Join the bars of each machine and round, or of each machine and 2, 4, … rounds, where they are too many.

    Args:
        work: The bars.
        most: How many are not too many.

    Returns:
        The bars, and how many rounds each one spans; 0 where none are joined.
    """
    if len(work) <= most:
        return work, 0
    num_rounds = 1
    while len(joined := _joined(work, num_rounds)) > most and num_rounds < work[-1].round:
        num_rounds *= 2
    return joined, num_rounds


def timeline_panel(run: RunResult, name: str, colours: Mapping[str, str], slug: str) -> Panel:
    """Draw each machine's work over the time that the run took, a lane for each machine; thinned where it is much.

    Args:
        run: A run with at least one round.
        name: Its name.
        colours: A colour for each machine.
        slug: What the panel's files are called.
    """
    work, num_rounds = thinned(bars(run))
    used = {bar.lane for bar in work}
    lanes = [*(lane for lane in colours if lane in used), *([SERVER] if SERVER in used else [])]
    unit, scale = _unit(sum(record.seconds for record in run.rounds))
    figure, axis = new_figure(0.75 + 0.3 * len(lanes))
    marks = []
    for place, lane in enumerate(lanes):
        of_lane = [bar for bar in work if bar.lane == lane]
        colour = colours.get(lane, INK)
        _draw_bars(axis, [b for b in of_lane if b.is_used], place, scale, to_rgba(colour, 0.85), colour)
        _draw_bars(axis, [b for b in of_lane if not b.is_used], place, scale, to_rgba(colour, 0.35), INK, hatch="////")
        marks += [Mark((b.start_seconds + b.seconds / 2) / scale, place, b.text) for b in of_lane]
    if has_lines := len(run.rounds) <= _MOST_ROUNDS_WITH_LINES:
        _draw_rounds(axis, run, scale)
    axis.set_yticks(range(len(lanes)), lanes)
    axis.set(xlabel=f"Time since the start ({unit})", ylim=(len(lanes) - 0.5, -0.5))
    axis.grid(visible=False, axis="y")
    axis.set_xlim(left=0)
    note = _note(num_rounds, has_lines=has_lines, has_unused=not all(bar.is_used for bar in work))
    return Panel(slug, f"Machines over time: {name}", figure, {}, marks, note=note)


def _joined(work: Iterable[Bar], num_rounds: int) -> list[Bar]:
    groups: defaultdict[tuple[str, int], list[Bar]] = defaultdict(list)
    for bar in work:
        groups[bar.lane, (bar.round - 1) // num_rounds].append(bar)
    return [_join(group) if len(group) > 1 else group[0] for group in groups.values()]


def _join(group: list[Bar]) -> Bar:
    first, last = group[0].round, group[-1].round
    start, end = min(b.start_seconds for b in group), max(b.start_seconds + b.seconds for b in group)
    unused = sum(not b.is_used for b in group)
    rounds = f"Round {first}" if first == last else f"Rounds {first} to {last}"
    what = "tests of the server" if group[0].lane == SERVER else f"clients on {group[0].lane}"
    text = f"{rounds}, {len(group)} {what}: {duration(sum(b.seconds for b in group))}"
    lost = f", {unused} of them not used" if unused else ""
    return replace(group[0], start_seconds=start, seconds=end - start, text=text + lost, is_used=unused < len(group))


def _note(num_rounds: int, *, has_lines: bool, has_unused: bool) -> str:
    notes = []
    if num_rounds:
        rounds = "round" if num_rounds == 1 else f"{num_rounds} rounds"
        notes.append(f"One bar for each machine and {rounds}, from the first start to the last end.")
    notes += ["Hatched: nothing came of it."] if has_unused else []
    notes += ["Dashed lines end rounds."] if has_lines else []
    return " ".join(notes)


def _draw_bars(
    axis: Axes,
    chosen: list[Bar],
    place: int,
    scale: float,
    fill: tuple[float, float, float, float],
    edge: str,
    hatch: str | None = None,
) -> None:
    """Draw bars of one look in a lane; a hatch has the colour of the edge."""
    spans = [(bar.start_seconds / scale, bar.seconds / scale) for bar in chosen]
    axis.broken_barh(spans, (place - 0.36, 0.72), facecolor=fill, edgecolor=edge, linewidth=0.6, hatch=hatch)


def _starts(run: RunResult, record: RoundRecord) -> Iterator[tuple[ClientRecord, float]]:
    """Give each client and its start, or where this was not recorded, when it may have begun.

    Simulated clients follow each other; each device works at the same time as they and as the others.
    """
    clock: defaultdict[str, float] = defaultdict(float)
    for client in record.clients:
        is_device = isinstance(run.experiment.backends.backends.get(client.backend), DeviceEntry)
        lane = client.backend if is_device else ""
        start = clock[lane] if client.started_seconds is None else client.started_seconds
        clock[lane] = start + client.seconds
        yield client, start


def _bar(run: RunResult, record: RoundRecord, client: ClientRecord, start: float) -> Bar:
    lane = machine_name(run, client.backend)
    outcome = "" if client.status is Status.OK else f", {client.outcome}"
    text = f"Round {record.round}, client {client.id} on {lane}: {duration(client.seconds)}{outcome}"
    return Bar(record.round, lane, start, client.seconds, text, client.status in (Status.OK, Status.TESTED))


def _draw_rounds(axis: Axes, run: RunResult, scale: float) -> None:
    ends = accumulate(record.seconds / scale for record in run.rounds)
    for end in ends:
        axis.axvline(end, color=INK, linewidth=0.5, alpha=0.45, linestyle=(0, (2, 2)))


def _unit(seconds: float) -> tuple[str, float]:
    """Return a unit in which a time is easy to read, and its seconds."""
    if seconds < 300:
        return "s", 1.0
    return ("min", 60.0) if seconds < 3 * 3600 else ("h", 3600.0)
