import pytest

from qiskit_fedqml import RunResult, run_federation
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.report.page import write_report
from tests.conftest import TINY, make_tiny
from tests.stopping import Interrupt, StopAfter

EVIL = "<script>alert(1)</script>"
ARRAY = {
    "backends": {
        "ideal": {"type": "aer"},
        "manila": {"type": "aer", "noise": "FakeManilaV2", "shots": 64},
        "stated": {"type": "aer", "noise": {"readout": 0.2}},
    },
    "assignment": {"default": {"cycle": ["manila", "stated"]}},
}


@pytest.fixture(scope="session")
def folders(tmp_path_factory):
    """Result folders: a finished run under a malicious name, and an unfinished one."""
    parent = tmp_path_factory.mktemp("runs")
    finished, unfinished = parent / EVIL.replace("/", "⁄"), parent / "unfinished"
    federation = {**TINY["federation"], "rounds": 3}
    run_federation(
        Experiment.model_validate(
            {**TINY, "federation": federation, "backends": ARRAY, "evaluation": {"backends": ["stated"]}}
        ),
        finished,
    )
    with pytest.raises(Interrupt):
        run_federation(Experiment.model_validate(TINY), unfinished, observer=StopAfter(2, 1))
    return [finished, unfinished]


@pytest.fixture(scope="session")
def run(folders):
    """The finished run."""
    return RunResult.load(folders[0])


@pytest.fixture(scope="session")
def page(folders, tmp_path_factory):
    """The page about both runs."""
    return write_report(folders, tmp_path_factory.mktemp("report"))


@pytest.fixture(scope="session")
def timed():
    """A buffered run and a synchronous one on the same simulated clock, each on two machines, by name."""
    queue = {"lognormal": {"median_seconds": 600, "sigma": 1.0}}
    shape = {"federation__clients_per_round": 3, "federation__rounds": 6, "scheduling": {"queue": queue}}
    machines = {**ARRAY, "backends": {name: {"type": "aer"} for name in ("ideal", "manila", "stated")}}
    algorithms = {"buffered": {"buffered": {"buffer": 2}}, "synchronous": "synchronous"}
    return {
        name: run_federation(make_tiny(**shape, backends=machines, federation__algorithm=algorithm))
        for name, algorithm in algorithms.items()
    }
