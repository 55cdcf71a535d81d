"""What each client did: its rounds and its losses, as a table and as panels."""

from collections.abc import Callable, Mapping

from matplotlib.ticker import MaxNLocator

from qiskit_fedqml.records import ClientRecord, RoundRecord
from qiskit_fedqml.report.drawing import Mark, Panel, count_rounds, new_figure
from qiskit_fedqml.results import RunResult
from qiskit_fedqml.tables import duration

Row = dict[str, str]


def client_rows(runs: Mapping[str, RunResult]) -> list[Row]:
    """Return a row for each client of each run that took part in a round."""
    return [
        _row(name, [c for record in run.rounds for c in record.clients if c.id == client])
        for name, run in runs.items()
        for client in sorted({c.id for record in run.rounds for c in record.clients})
    ]


def client_panels(run: RunResult, name: str, colours: Mapping[str, str], slug: str) -> list[Panel]:
    """Draw which clients took part in which round, and the losses with which they came back.

    Args:
        run: A run with at least one round.
        name: Its name.
        colours: A colour for each machine.
        slug: What the panels' files end in.
    """
    return [
        _panel(run, f"clients_{slug}", f"Clients by round: {name}", "Client", _id, colours),
        _panel(
            run,
            f"client_losses_{slug}",
            f"Each client's training loss: {name}",
            "Training loss",
            lambda client: client.train_loss,
            colours,
        ),
    ]


def _id(client: ClientRecord) -> float:
    return client.id


def _row(run: str, times: list[ClientRecord]) -> Row:
    first, last = times[0], times[-1]
    losses = [client.train_loss for client in times if client.train_loss is not None]
    lost = [client.status for client in times if client.status not in {"ok", "tested"}]
    return {
        "Run": run,
        "Client": str(last.id),
        "Machine": ", ".join(dict.fromkeys(client.backend for client in times)),
        "Examples": f"{last.examples:,}",
        "Rounds": str(len(times)),
        "First loss": f"{losses[0]:.4f}" if losses else "–",
        "Last loss": f"{losses[-1]:.4f}" if losses else "–",
        "Accuracy there": "–" if last.accuracy is None else f"{last.accuracy:.2%}",
        "Time": duration(sum(client.seconds for client in times)),
        "Not averaged": f"{len(lost)}: {lost[-1]}" if lost else ("only tests" if first.status == "tested" else "–"),
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
    used = {client.backend for record in run.rounds for client in record.clients}
    legend = {name: colour for name, colour in colours.items() if name in used}
    marks = []
    for name, colour in legend.items():
        points = [
            (record, client, y)
            for record in run.rounds
            for client in record.clients
            if client.backend == name and (y := value(client)) is not None
        ]
        x = [record.round for record, _, _ in points]
        axis.plot(x, [y for _, _, y in points], "o", color=colour, markersize=3.2, markeredgewidth=0)
        marks += [Mark(record.round, y, _text(record, client)) for record, client, y in points]
    axis.set_ylabel(label)
    axis.margins(x=0.03, y=0.08)
    count_rounds(axis)
    if value is _id:
        axis.set_ylim(-0.5, run.experiment.federation.clients - 0.5)
        axis.yaxis.set_major_locator(MaxNLocator("auto", integer=True, steps=[1, 2, 5, 10], min_n_ticks=1))
    return Panel(slug, title, figure, legend, marks)


def _text(record: RoundRecord, client: ClientRecord) -> str:
    loss = "no loss" if client.train_loss is None else f"loss {client.train_loss:.4f}"
    outcome = "" if client.status == "ok" else f", {client.status}"
    return f"Round {record.round}, client {client.id} on {client.backend}: {loss}{outcome}"
