"""How old the models were from which updates came."""

from qiskit_fedqml.results.records import ClientRecord, RoundRecord


def staleness_of(record: RoundRecord, client: ClientRecord) -> int | None:
    """Return how many server steps were taken between a client's model and the step that took its update.

    Args:
        record: The step.
        client: A client of it.

    Returns:
        The number; None in synchronous rounds without a simulated clock, where it is always 0.
    """
    return None if client.model_version is None else record.round - 1 - client.model_version
