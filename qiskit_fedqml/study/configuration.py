"""What makes runs runs of one configuration: all that changes their numbers, except the seed."""

import json
from pathlib import Path

from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import ResultError
from qiskit_fedqml.results.manifest import digest_of_file


def by_content(experiment: Experiment) -> Experiment:
    """Return the experiment with the content of its files in the place of their paths, wherever it ran.

    Raises:
        ResultError: A file cannot be read.
    """

    def digest(name: str, path: str) -> str:
        try:
            return digest_of_file(Path(path))
        except ResultError as error:
            backend = Path(name).stem
            what = f"The calibration of backend {backend!r}" if name.startswith("calibrations/") else "The circuit"
            raise ResultError(f"{what}: {error}") from error

    return experiment.with_files(digest).with_workers(1)


def key_of(experiment: Experiment) -> str:
    """Return a text that is equal for experiments which differ in nothing but the seed and the number of workers.

    A file that cannot be read counts by its path.
    """
    try:
        resolved = by_content(experiment).resolved()
    except ResultError:
        resolved = experiment.resolved()
    return json.dumps({**resolved, "seed": None}, sort_keys=True)
