"""What a result shows of itself: in a line, in a notebook, and as a table of pandas."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from qiskit_fedqml.config.evaluation import label_of, name_of
from qiskit_fedqml.errors import ConfigurationError, shortened
from qiskit_fedqml.results.records import RoundRecord
from qiskit_fedqml.tables import duration, html_table, number

if TYPE_CHECKING:
    import pandas as pd

    from qiskit_fedqml.results.result import RunResult

_LAST = 5
"""Rounds that a notebook shows of a run."""


def result_in_words(result: "RunResult") -> str:
    """Return a run in one line."""
    name = "" if result.folder is None else f" {shortened(result.folder.name)!r}"
    done, rounds = len(result.rounds), result.experiment.federation.rounds
    text = f"RunResult{name}: {done:,} of {rounds:,} {'round' if rounds == 1 else 'rounds'}"
    if done:
        last = result.final
        text += f"; testing accuracy {last.test_accuracy:.1%}, testing loss {last.test_loss:.3f}"
    privacy = f"; {result.privacy_in_words.rstrip('.')}" if result.privacy_in_words else ""
    return f"<{text}{privacy}>"


def result_as_html(result: "RunResult") -> str:
    """Return a run's last rounds as a table."""
    first = max(0, len(result.rounds) - _LAST)
    metrics = list(map(name_of, result.experiment.evaluation.shown_metrics))
    rows = [_row(result.rounds[position], metrics) for position in range(first, len(result.rounds))]
    caption = result_in_words(result).strip("<>")
    return html_table(rows, f"{caption}. The last {len(rows)}:" if first else caption)


def as_dataframe(result: "RunResult", *, clients: bool) -> "pd.DataFrame":
    """Return a run's records as a table, a row for each round, or for each client of each round.

    Raises:
        ConfigurationError: pandas is not installed.
    """
    try:
        import pandas as pd
    except ImportError as error:
        raise ConfigurationError(
            f"`to_dataframe` needs an extra that is not installed: pip install 'qiskit-fedqml[notebook]' ({error})."
        ) from error
    if clients:
        rows = [
            {"round": record.round, "client": values.pop("id"), **values}
            for record in result.rounds
            for values in (dict(_scalars(client.as_json())) for client in record.clients)
        ]
    else:
        rows = [dict(_scalars(record.as_json())) for record in result.rounds]
    table = pd.DataFrame(rows).dropna(axis="columns", how="all")
    return table.set_index(["round", "client"] if clients else "round") if rows else table


def _row(record: RoundRecord, metrics: Sequence[str]) -> dict[str, str]:
    return {
        "Round": str(record.round),
        "Training loss": "–" if record.train_loss is None else f"{record.train_loss:.4f}",
        "Testing loss": f"{record.test_loss:.4f}",
        "Testing accuracy": f"{record.test_accuracy:.2%}",
        **{
            f"Testing {label_of(name)}": number(value, 4) if (value := record.metrics.get(name)) is not None else "–"
            for name in metrics
        },
        "Time": duration(record.seconds),
    }


def _scalars(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Yield what a table's cell can hold, by dotted key: neither lists nor what is known of devices."""
    for key, value in values.items():
        if isinstance(value, Mapping) and key != "devices":
            yield from _scalars(value, f"{prefix}{key}.")
        elif not isinstance(value, list | tuple | Mapping):
            yield f"{prefix}{key}", value
