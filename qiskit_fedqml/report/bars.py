"""The pieces of work of a run, in real time and on its simulated clock."""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.report.drawing import MOST_MARKS
from qiskit_fedqml.report.naming import machine_name, step_word
from qiskit_fedqml.results.records import ClientRecord, RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration

SERVER = "server"


@dataclass(frozen=True)
class Bar:
    """A piece of work.

    Args:
        round: The round, or the server step that took the update.
        lane: The machine, or the server.
        start_seconds: After the run's start; breaks between rounds are not known, and left out.
        seconds: How long it took.
        text: What it was, in words.
        is_used: Whether something came of it.
        entry: The entry of the backends file that stood for the machine.
        waited_seconds: How long its task was in the machine's queue before, on a simulated clock.
        staleness: That of the update.
        step_word: What the run's rounds are called.
    """

    round: int
    lane: str
    start_seconds: float
    seconds: float
    text: str
    is_used: bool = True
    entry: str = SERVER
    waited_seconds: float = 0.0
    staleness: int = 0
    step_word: str = "round"

    @property
    def end_seconds(self) -> float:
        """When it ended, after the run's start."""
        return self.start_seconds + self.seconds


def bars(run: RunResult) -> list[Bar]:
    """Return what clients and server did in real time, round after round."""
    found, begun, ends, word = list[Bar](), 0.0, [0.0], step_word(run)
    for record in run.rounds:
        for client, start in _starts(run, record):
            bar = _bar(run, record, client, begun + start)
            # Breaks between steps are left out of their times, but not of the time of a task that spans them.
            first = max(bar.start_seconds, ends[client.model_version or 0])
            found.append(replace(bar, start_seconds=first, seconds=bar.end_seconds - first))
        if record.evaluation_seconds:
            start = begun + record.seconds - record.evaluation_seconds
            text = f"{word.capitalize()} {record.round}, the server's tests: {duration(record.evaluation_seconds)}"
            found.append(Bar(record.round, SERVER, start, record.evaluation_seconds, text, step_word=word))
        begun += record.seconds
        ends.append(begun)
    return found


def simulated_bars(run: RunResult) -> list[Bar]:
    """Return what machines did on the simulated clock, step after step; nothing where time is not simulated.

    Entries whose calibrations follow each other are one machine.
    """
    scheduling = run.experiment.scheduling
    later = scheduling.replay.later if scheduling and scheduling.replay else {}
    machines = {entry: machine for machine, entries in later.items() for entry in entries}
    found = []
    for record in run.rounds:
        for client in record.clients:
            if client.dispatched_at is None or client.started_at is None or client.arrived_at is None:
                continue
            timed = replace(client, seconds=client.arrived_at - client.started_at)
            bar, waited = _bar(run, record, timed, client.started_at), client.started_at - client.dispatched_at
            text = f"{bar.text}, after {duration(waited)} in the queue"
            lane = machines.get(bar.lane, bar.lane)
            found.append(replace(bar, lane=lane, waited_seconds=waited, text=text))
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


def _joined(work: Iterable[Bar], num_rounds: int) -> list[Bar]:
    groups: defaultdict[tuple[str, int], list[Bar]] = defaultdict(list)
    for bar in work:
        groups[bar.entry, (bar.round - 1) // num_rounds].append(bar)
    return [_join(group) if len(group) > 1 else group[0] for group in groups.values()]


def _join(group: list[Bar]) -> Bar:
    first, last = group[0].round, group[-1].round
    start, end = min(b.start_seconds for b in group), max(b.end_seconds for b in group)
    unused = sum(not b.is_used for b in group)
    word = group[0].step_word.capitalize()
    rounds = f"{word} {first}" if first == last else f"{word}s {first} to {last}"
    what = "tests of the server" if group[0].lane == SERVER else f"clients on {group[0].entry}"
    text = f"{rounds}, {len(group)} {what}: {duration(sum(b.seconds for b in group))}"
    lost = f", {unused} of them not used" if unused else ""
    joined = replace(group[0], text=text + lost, is_used=unused < len(group))
    return replace(joined, start_seconds=start, seconds=end - start, waited_seconds=0.0)


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
    lane, word = machine_name(run, client.backend), step_word(run)
    outcome = "" if client.status is Status.OK else f", {client.outcome}"
    staleness = record.staleness_of(client) or 0
    stale = f", staleness {staleness}" if staleness else ""
    work = f"client {client.id} on {lane}: {duration(client.seconds)}"
    text = f"{word.capitalize()} {record.round}, {work}{outcome}{stale}"
    is_used = client.status in (Status.OK, Status.TESTED)
    return Bar(record.round, lane, start, client.seconds, text, is_used, lane, staleness=staleness, step_word=word)
