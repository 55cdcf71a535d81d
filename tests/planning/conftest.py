"""Experiments on fake devices, whose plans are known in closed form."""

import numpy as np
import pytest

from qiskit_fedqml.planning.planner import plan_experiment

DEVICE = {"type": "ibm", "device": "FakeManilaV2", "shots": 100, "layout_trials": 1}
SHARING = 7
"""With this seed two clients of one device are drawn in each of two rounds."""


@pytest.fixture
def experiment(tiny, tmp_path):
    """Return a function that makes ten rounds of two of four clients on two devices, 10 examples each."""
    rng = np.random.default_rng(0)
    labels = {"y_train": np.arange(40) % 2, "y_test": np.arange(6) % 2}
    np.savez(tmp_path / "d.npz", x_train=rng.normal(size=(40, 3)), x_test=rng.normal(size=(6, 3)), **labels)

    def make(first=None, second=None, file=None, entries=None, **overrides):
        backends = {
            "backends": {"a": DEVICE | (first or {}), "b": DEVICE | (second or {}), "ideal": {"type": "aer"}},
            "assignment": {"default": {"cycle": ["a", "b"]}},
        }
        backends["backends"] |= entries or {}
        data = {"dataset": "npz", "path": str(tmp_path / "d.npz")}
        return tiny(data=data, backends=backends | (file or {}), **{"federation__rounds": 10, **overrides})

    return make


@pytest.fixture
def planned(experiment):
    """Return a function that plans two rounds of two clients, the second device of which holds one circuit only."""

    def make(first=None, second=None, file=None, **overrides):
        small = {"device": "FakeQuitoV2"} | (second or {})
        return plan_experiment(experiment(first, small, file, **{"federation__rounds": 2, **overrides}))

    return make
