"""The pieces of work of a run, in real time and on its simulated clock."""

from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace

from qiskit_fedqml.config.devices import DeviceEntry
from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.report.naming import machine_name, step_word
from qiskit_fedqml.report.work import SERVER, Bar
from qiskit_fedqml.results.records import ClientRecord, RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration


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
