import math
import os
from importlib.util import find_spec
from pathlib import Path

import matplotlib
import pytest
import torch

from qiskit_fedqml.config.experiment import Experiment

matplotlib.use("Agg")
# Tests run in as many processes as there are cores (pytest-xdist; `-n 0` for one). Each takes its share of threads, and
# so do the commands that it starts: bits are compared between them, and are equal for an equal number of threads.
if "PYTEST_XDIST_WORKER_COUNT" in os.environ:
    threads = max(1, torch.get_num_threads() // int(os.environ["PYTEST_XDIST_WORKER_COUNT"]))
    torch.set_num_threads(threads)
    os.environ |= {"OMP_NUM_THREADS": str(threads), "NUMBA_NUM_THREADS": str(threads)}

# The loopback server runs jobs of the executor, which older client libraries do not have.
collect_ignore = [] if find_spec("qiskit_ibm_runtime.executor_estimator") else ["ibm_server"]

ROOT = Path(__file__).resolve().parent.parent

TINY = {
    "seed": 5,
    "data": {"dataset": "digits", "classes": [0, 1], "test_fraction": 0.8},
    "model": {"hidden": [4], "dropout": 0.25, "circuit": {"num_qubits": 2, "num_layers": 1}},
    "federation": {"clients": 4, "clients_per_round": 2, "rounds": 2, "batch_size": 8, "learning_rate": 0.05},
}
"""A federation that runs in a fraction of a second."""


def make_tiny(**overrides):
    """Make the tiny experiment, with overrides by key, dots as double underscores."""
    data = {key: dict(value) if isinstance(value, dict) else value for key, value in TINY.items()}
    for key, value in overrides.items():
        parts = key.split("__")
        section = data
        for part in parts[:-1]:
            section[part] = dict(section.get(part, {}))
            section = section[part]
        section[parts[-1]] = value
    return Experiment.model_validate(data)


@pytest.fixture(autouse=True)
def _patient_lines(monkeypatch):
    """Let no phase count as long, such as the compilation of loops by the test that happens to come first."""
    monkeypatch.setattr("qiskit_fedqml.progress.lines._LONG_SECONDS", math.inf)


@pytest.fixture
def tiny():
    """Return the function that makes the tiny experiment."""
    return make_tiny


@pytest.fixture
def shared_data():
    """Return the folder of real data and weights, or skip where it is not there."""
    folder = os.environ.get("FEDQML_DATA")
    if not folder or not (Path(folder) / "data" / "planes_vs_cars.npz").exists():
        pytest.skip("FEDQML_DATA names no folder of real data")
    return Path(folder)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    """Keep the feature cache of a test to itself."""
    monkeypatch.setenv("FEDQML_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def outcome(request):
    """Return a function that tells what came of a failure, for the table at the end of the test run."""
    return lambda event, what: request.node.user_properties.append(("outcome", (event, what)))


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.getreports("passed")
    outcomes = [value for report in reports for name, value in report.user_properties if name == "outcome"]
    if outcomes:
        terminalreporter.section("failures of the service, and what came of them")
        width = max(len(event) for event, _ in outcomes)
        for event, what in sorted(outcomes):
            terminalreporter.write_line(f"{event.ljust(width)}  {what}")
