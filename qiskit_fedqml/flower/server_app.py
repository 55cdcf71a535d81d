"""The app that the SuperLink runs."""

import logging
import sys

from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from qiskit_fedqml.backends.devices.request import JobWaiting
from qiskit_fedqml.federation.messages import ClientUpdate
from qiskit_fedqml.flower.serving import config_or_error, serve
from qiskit_fedqml.results.records import RoundRecord

logger = logging.getLogger(__name__)

app = ServerApp()


@app.main()
def main(grid: Grid, context: Context) -> None:
    """Run the experiment, or resume it."""
    _show_log()
    config = config_or_error(context.run_config)
    result = serve(grid, config, _Log())
    logger.info("The run has its %d rounds; the result is in %s.", len(result.rounds), config.out)


class _Log:
    """Writes what happens into the log, which `flwr log` shows."""

    def features_extracted(self, what: str, done: int, total: int) -> None:
        """Say nothing: it is fast, or cached."""

    def round_started(self, round: int, num_rounds: int, num_clients: int) -> None:
        """Say that a round starts."""
        logger.info("Round %d of %d: %d clients.", round, num_rounds, num_clients)

    def client_finished(self, client: ClientUpdate) -> None:
        """Say what came of a client's task."""
        logger.info("Client %d on %s: %s, %.1f s.", client.client_id, client.backend, client.outcome, client.seconds)

    def job_waiting(self, job: JobWaiting) -> None:
        """Say nothing: jobs wait at their nodes."""

    def round_finished(self, record: RoundRecord) -> None:
        """Say what the aggregate is worth."""
        logger.info(
            "Round %d: loss %.4f, accuracy %.2f%%, %.1f s.",
            record.round,
            record.test_loss,
            100 * record.test_accuracy,
            record.seconds,
        )


def _show_log() -> None:
    """Let this package's log go where Flower's goes."""
    package = logging.getLogger("qiskit_fedqml")
    if not package.handlers:
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
        package.addHandler(handler)
        package.setLevel(logging.INFO)
        package.propagate = False
