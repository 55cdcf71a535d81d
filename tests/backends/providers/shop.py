"""Providers of the tests' own: machines of Qiskit's simulator whose jobs outlive their process, or do not."""

import json
import time
from pathlib import Path

from qiskit.primitives import BackendEstimatorV2, StatevectorEstimator
from qiskit.providers import JobStatus, JobV1
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit.result import Counts


class Order(JobV1):
    """A job of the shop: its counts are in a file from the beginning."""

    def __init__(self, backend, path):
        super().__init__(backend, path.stem)
        self._path = path

    def submit(self):
        raise NotImplementedError

    def _written(self):
        return json.loads(self._path.read_text())

    def status(self):
        written = self._written()
        return JobStatus[written["state"] if time.time() >= written["until"] else "RUNNING"]

    def result(self):
        written = self._written()
        if written["state"] == "ERROR":
            raise RuntimeError("the trap lost its ion")
        return Answer(written["counts"])

    def cancel(self):
        if self.status() not in (JobStatus.DONE, JobStatus.ERROR):
            self._path.write_text(json.dumps({**self._written(), "state": "CANCELLED"}))


class Answer:
    success = True

    def __init__(self, counts):
        self._counts = counts

    def get_counts(self):
        return [Counts(of_circuit) for of_circuit in self._counts]


class Vendor(GenericBackendV2):
    """Sells executions of a noisy machine of three qubits; jobs are files, which nobody finds again.

    Args:
        folder: Where jobs are written.
        max_circuits: Of one job, or None.
        state: That of new jobs.
        seconds: So long each job runs.
        seed: Of the machine's errors.
    """

    def __init__(self, folder, max_circuits=None, state="DONE", seconds=0.0, seed=1):
        super().__init__(3, basis_gates=["cx", "id", "rz", "sx", "x"], seed=seed)
        self.folder, self.max_circuits = Path(folder), max_circuits
        self._new = {"state": state, "until": seconds}
        self.refusals = []

    max_circuits = None

    def orders(self):
        return sorted(self.folder.glob("order-*.json"))

    def written(self):
        return [json.loads(path.read_text()) for path in self.orders()]

    def run(self, run_input, **options):
        if self.refusals and (error := self.refusals.pop(0)):
            raise error
        counts = super().run(run_input, **options).result().get_counts()
        path = self.folder / f"order-{len(self.orders()):04}.json"
        new = {**self._new, "until": time.time() + self._new["until"]}
        path.write_text(json.dumps({**new, "counts": counts if isinstance(counts, list) else [counts]}))
        return Order(self, path)


class Shop(Vendor):
    """A vendor whose jobs are found again by their ids."""

    def retrieve_job(self, job_id):
        path = self.folder / f"{job_id}.json"
        if not path.exists():
            raise KeyError(f"no order {job_id}")
        return Order(self, path)


class Keeper(Vendor):
    """A vendor that finds only the jobs that were kept, as AQT does."""

    def run(self, run_input, **options):
        order = super().run(run_input, **options)
        order.persist = (self.folder / f"kept-{order.job_id()}").touch
        return order

    def restore_job(self, job_id):
        if not (self.folder / f"kept-{job_id}").exists():
            raise LookupError(f"{job_id} was not kept")
        return Order(self, self.folder / f"{job_id}.json")


class Silent(GenericBackendV2):
    """A machine that states neither durations nor errors."""

    def __init__(self):
        super().__init__(3, basis_gates=["cx", "id", "rz", "sx", "x"], seed=1, noise_info=False)


class Last(GenericBackendV2):
    """A machine whose provider has a last stage of the transpiler of its own; it remembers what it ran."""

    seen = ()

    def get_scheduling_stage_plugin(self):
        return "alap"

    def run(self, run_input, **options):
        Last.seen = tuple(run_input)
        return super().run(run_input, **options)


def last():
    """Return the machine with a stage of its own."""
    return Last(3, basis_gates=["cx", "id", "rz", "sx", "x"], seed=1)


def with_estimator():
    """Return a machine, and the estimator that its provider offers for it."""
    return Silent(), StatevectorEstimator(seed=1)


def with_generic_estimator():
    """Return a machine, and Qiskit's estimator on it."""
    machine = last()
    return machine, BackendEstimatorV2(backend=machine, options={"seed_simulator": 5})


def broken(**_):
    """Fail as a provider does that refuses a login."""
    raise PermissionError("401: the key sk-very-secret-0123 is not known")


def nothing():
    """Return what is no backend."""
    return 3


def half():
    """Return a pair of which one half is none."""
    return Silent(), None


def on_a_line():
    """Return a machine of ten qubits in a line, which states its errors and durations."""
    couplings = [[k, k + step] for k in range(10) for step in (-1, 1) if 0 <= k + step < 10]
    return GenericBackendV2(10, basis_gates=["cx", "id", "rz", "sx", "x"], coupling_map=couplings, seed=1)
