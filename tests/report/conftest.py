import dataclasses

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
def timed(tmp_path_factory):
    """A buffered run and a synchronous one on the same simulated clock, each on two machines, by name."""
    parent = tmp_path_factory.mktemp("timed")
    queue = {"lognormal": {"median_seconds": 600, "sigma": 1.0}}
    shape = {"federation__clients_per_round": 3, "federation__rounds": 6, "scheduling": {"queue": queue}}
    machines = {**ARRAY, "backends": {name: {"type": "aer"} for name in ("ideal", "manila", "stated")}}
    algorithms = {"buffered": {"buffered": {"buffer": 2}}, "synchronous": "synchronous"}
    return {
        name: run_federation(make_tiny(**shape, backends=machines, federation__algorithm=algorithm), parent / name)
        for name, algorithm in algorithms.items()
    }


@pytest.fixture
def on_devices(run):
    """A buffered run in real time: client 1 begins in the first step, and makes the third."""
    machines = {"ideal": {"type": "aer"}, "slow": {"type": "ibm", "device": "FakeManilaV2", "shots": 1}}
    backends = {"backends": machines, "assignment": {"clients": {1: "slow"}}}
    made = make_tiny(federation__algorithm={"buffered": {"buffer": 1}}, federation__rounds=3, backends=backends)
    one = run.rounds[0].clients[0]
    fast = dataclasses.replace(one, id=0, backend="ideal", seconds=1.0, started_seconds=0.5)
    slow = dataclasses.replace(one, id=1, backend="slow", seconds=8.0, started_seconds=-3.5, model_version=0)
    clients = [dataclasses.replace(fast, model_version=0), dataclasses.replace(fast, model_version=1), slow]
    shape = {"seconds": 2.0, "evaluation_seconds": 0.25}
    records = [
        dataclasses.replace(run.rounds[0], round=step, clients=(client,), **shape)
        for step, client in enumerate(clients, start=1)
    ]
    return RunResult(made, run.run, (*records[:2], dataclasses.replace(records[2], seconds=5.0)))
