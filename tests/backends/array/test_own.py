import warnings

import pytest
from qiskit.primitives import BackendEstimatorV2, StatevectorEstimator
from qiskit.providers.fake_provider import GenericBackendV2
from qiskit_aer import AerSimulator
from qiskit_ibm_runtime import EstimatorV2, QiskitRuntimeService
from qiskit_ibm_runtime.fake_provider import FakeManilaV2

from qiskit_fedqml.backends.array.own import backend_of, described, has_queue
from qiskit_fedqml.backends.broadcast import EstimatorBackend
from qiskit_fedqml.backends.providers.local import LocalBackend
from qiskit_fedqml.backends.simulated.aer import AerBackend
from qiskit_fedqml.errors import BackendError
from tests.backends.providers.shop import Keeper, Shop, Vendor
from tests.own_machines import Own, noise_model


def runtime_estimator(mode):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        return EstimatorV2(mode=mode)


@pytest.mark.parametrize(
    ("thing", "kind", "shots"),
    [
        (noise_model(), AerBackend, None),
        (FakeManilaV2(), AerBackend, 1024),
        (AerSimulator(method="stabilizer"), LocalBackend, 1024),
        (StatevectorEstimator(), EstimatorBackend, None),
        (BackendEstimatorV2(backend=GenericBackendV2(3, seed=1)), LocalBackend, None),
        (runtime_estimator(FakeManilaV2()), LocalBackend, None),
        (Own(), Own, None),
    ],
)
def test_what_each_kind_becomes(thing, kind, shots):
    backend = backend_of("mine", thing)
    assert type(backend) is kind
    assert backend.shots == shots
    if kind is not Own:
        assert backend.name == "mine"
        assert backend_of("mine", thing, 100).shots == 100


def test_devices_of_ibm_have_a_queue(server):
    device = QiskitRuntimeService().backend("ibm_manila")
    for thing in (device, runtime_estimator(device), BackendEstimatorV2(backend=device)):
        assert has_queue(thing)
        with pytest.raises(BackendError, match="may have a queue.* IBM's devices are entries of type ibm"):
            backend_of("mine", thing)


def test_backends_that_find_jobs_again_have_a_queue(tmp_path):
    assert has_queue(Shop(tmp_path))
    assert has_queue(Keeper(tmp_path))
    assert not has_queue(Vendor(tmp_path))  # nothing could be done for its jobs


def test_a_description_is_plain():
    class Talkative(Own):
        def describe(self):
            return {"machine": FakeManilaV2(), "loss": float("nan"), 3: (1, 2)}

    assert described(Talkative()) == {"machine": "FakeManilaV2", "loss": "NaN", "3": [1, 2]}
