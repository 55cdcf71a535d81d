"""What each client did: its rounds and its losses, as a table and as panels."""

from collections.abc import Callable, Collection, Mapping
from math import ceil
from typing import Any

from matplotlib.ticker import MaxNLocator

from qiskit_fedqml.federation.messages import Status
from qiskit_fedqml.report.drawing import MOST_MARKS, Mark, Panel, count_rounds, new_figure
from qiskit_fedqml.report.naming import NO_CIRCUIT, machine_name, step_word, steps_word
from qiskit_fedqml.report.shares import shares_by
from qiskit_fedqml.report.staleness import is_stale, staleness_column
from qiskit_fedqml.report.thinning import thinned
from qiskit_fedqml.results.records import ClientRecord, RoundRecord
from qiskit_fedqml.results.result import RunResult
from qiskit_fedqml.tables import duration

Row = dict[str, str]

_Point = tuple[RoundRecord, ClientRecord, float]

_LOOKS: Mapping[str, Mapping[str, object]] = {
    "ok": {"marker": "o", "markersize": 3.2, "markeredgewidth": 0},
    "tested": {"marker": "o", "markersize": 4.2, "markeredgewidth": 1, "markerfacecolor": "none"},
    "lost": {"marker": "x", "markersize": 4.2, "markeredgewidth": 1.2},
}
"""How a client is drawn, by what came of its work."""


def client_rows(runs: Mapping[str, RunResult]) -> list[Row]:
    """Return a row for each client of each run that took part in a round."""
    any_stale, steps = any(map(is_stale, runs.values())), steps_word(runs, "s").capitalize()
    rows = []
    for name, run in runs.items():
        by_client: dict[int, list[tuple[RoundRecord, ClientRecord]]] = {}
        for record in run.rounds:
            for c in record.clients:
                by_client.setdefault(c.id, []).append((record, c))
        shares = shares_by(run, lambda client: client.id)
        for _, times in sorted(by_client.items()):
            stale = staleness_column(record.staleness_of(c) for record, c in times) if any_stale else {}
            rows.append(_row(name, run, [c for _, c in times], {steps: str(len(times)), **stale}, shares))
    return rows


def client_panels(run: RunResult, name: str, colours: Mapping[str, str], slug: str) -> list[Panel]:
    """Draw which clients took part in which round, and the losses with which they came back.

    Args:
        run: A run with at least one round.
        name: Its name.
        colours: A colour for each machine.
        slug: What the panels' files end in.
    """
    return [
        _panel(run, f"clients_{slug}", f"Clients by {step_word(run)}: {name}", "Client", _id, colours),
        _panel(
            run,
            f"client_losses_{slug}",
            f"Each client's loss: {name}",
            "Loss",
            lambda client: client.train_loss,
            colours,
        ),
    ]


def _id(client: ClientRecord) -> float:
    return client.id


def _row(name: str, run: RunResult, times: list[ClientRecord], counts: Row, shares: Mapping[int, str]) -> Row:
    first, last = times[0], times[-1]
    losses = [client.train_loss for client in times if client.train_loss is not None]
    lost = [client.outcome for client in times if client.status not in (Status.OK, Status.TESTED)]
    return {
        "Run": name,
        "Client": str(last.id),
        "Machine": ", ".join(dict.fromkeys(machine_name(run, client.backend) for client in times)),
        "Examples": f"{last.examples:,}",
        **counts,
        "First loss": f"{losses[0]:.4f}" if losses else "–",
        "Last loss": f"{losses[-1]:.4f}" if losses else "–",
        "Accuracy there": "–" if last.accuracy is None else f"{last.accuracy:.2%}",
        "Share of average": shares.get(last.id, "–"),
        "Time": duration(sum(client.seconds for client in times)),
        "Not averaged": f"{len(lost)}: {lost[-1]}"
        if lost
        else ("only tests" if first.status is Status.TESTED else "–"),
    }


def _panel(
    run: RunResult,
    slug: str,
    title: str,
    label: str,
    value: Callable[[ClientRecord], float | None],
    colours: Mapping[str, str],
) -> Panel:
    figure, axis = new_figure()
    every = [(r, c, y) for r in run.rounds for c in r.clients if (y := value(c)) is not None]
    points, left_out = _every_few_rounds(every) if value is _id else _extremes(every)
    used = {machine_name(run, client.backend) for record in run.rounds for client in record.clients}
    legend = {name: colour for name, colour in colours.items() if name in used}
    for name, colour in legend.items():
        for outcome, look in _LOOKS.items():
            at = [(r.round, y) for r, c, y in points if (machine_name(run, c.backend), _outcome(c)) == (name, outcome)]
            shape: Any = {"color": colour, "linestyle": "", **look}
            axis.plot([x for x, _ in at], [y for _, y in at], **shape)
    marks = [Mark(record.round, y, _text(run, record, client)) for record, client, y in points]
    axis.set_ylabel(label)
    axis.margins(x=0.03, y=0.08)
    count_rounds(axis, step_word(run).capitalize())
    if value is _id:
        axis.set_ylim(-0.5, run.experiment.federation.clients - 0.5)
        axis.yaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    outcomes = {_outcome(client) for _, client, _ in points}
    return Panel(slug, title, figure, legend, marks, note=_note(outcomes, left_out, is_loss=value is not _id))


def _every_few_rounds(points: list[_Point]) -> tuple[list[_Point], str]:
    """Return the points of one round in so many, the last one among them, and of all rounds what was lost."""
    if (step := ceil(len(points) / MOST_MARKS)) <= 1:
        return points, ""
    last, lost = points[-1][0].round, [point for point in points if _outcome(point[1]) == "lost"]
    kept = [lost[k] for k in thinned([r.round for r, *_ in lost], [y for *_, y in lost], MOST_MARKS // 8)]
    shown = [p for p in points if (last - p[0].round) % step == 0 and _outcome(p[1]) != "lost"]
    others = ", and of the others what was lost" if lost else ""
    return sorted([*shown, *kept], key=lambda p: p[0].round), f"One round in {step} is shown{others}."


def _extremes(points: list[_Point]) -> tuple[list[_Point], str]:
    """Return the points with the lowest and the highest values of each column, machine by machine."""
    if len(points) <= MOST_MARKS:
        return points, ""
    groups: dict[tuple[str, str], list[_Point]] = {}
    for point in points:
        groups.setdefault((point[1].backend, _outcome(point[1])), []).append(point)
    columns = max(12, MOST_MARKS // 4 // len(groups))
    kept = [
        of_group[k]
        for of_group in groups.values()
        for k in thinned([r.round for r, *_ in of_group], [y for *_, y in of_group], columns)
    ]
    return sorted(
        kept, key=lambda p: p[0].round
    ), "Where there are too many points, the lowest and the highest are shown."


def _outcome(client: ClientRecord) -> str:
    return str(client.status) if client.status in (Status.OK, Status.TESTED) else "lost"


def _note(outcomes: Collection[str], left_out: str, *, is_loss: bool) -> str:
    notes = []
    if "tested" in outcomes:
        what = "the global model's loss at a client that only tests" if is_loss else "only tested the global model"
        notes.append(f"Hollow: {what}.")
    notes += ["Crosses: failed or refused, not averaged."] if "lost" in outcomes else []
    notes += [left_out] if left_out else []
    return " ".join(notes)


def _text(run: RunResult, record: RoundRecord, client: ClientRecord) -> str:
    loss = "no loss" if client.train_loss is None else f"loss {client.train_loss:.4f}"
    outcome = "" if client.status is Status.OK else f", {client.outcome}"
    machine = machine_name(run, client.backend)
    where = "" if machine == NO_CIRCUIT else f" on {machine}"
    return f"{step_word(run).capitalize()} {record.round}, client {client.id}{where}: {loss}{outcome}"
