"""Calibrations for tests: those of fake devices, with some of their figures changed."""

import copy
from functools import cache

from qiskit_fedqml.backends.calibration import Calibration, fake_calibration

READOUT = ("readout_error", "prob_meas1_prep0", "prob_meas0_prep1")
NOT_OPERATIONAL = {"name": "operational", "unit": "", "value": 0, "date": "2024-05-27T15:27:23-03:00"}

_of_fake_device = cache(fake_calibration)


class Change:
    """A copy of a fake device's calibration, to be changed figure by figure."""

    def __init__(self, device="FakeManilaV2"):
        published = _of_fake_device(device)
        self.calibration = Calibration(copy.deepcopy(published.configuration), copy.deepcopy(published.properties))
        self.qubits, self.gates = self.calibration.properties["qubits"], self.calibration.properties["gates"]

    def figures(self, of):
        """Return the list of figures of a qubit (3) or of a gate (("cx", 0, 1))."""
        if isinstance(of, int):
            return self.qubits[of]
        (gate,) = [g for g in self.gates if (g["gate"], *g["qubits"]) == of]
        return gate["parameters"]

    def set(self, of, name, **changes):
        """Change value or unit of a figure."""
        (item,) = [item for item in self.figures(of) if item["name"] == name]
        item.update(changes)
        return self

    def drop(self, of, *names):
        """Leave figures out."""
        figures = self.figures(of)
        figures[:] = [item for item in figures if item["name"] not in names]
        return self

    def drop_gate(self, *gates):
        """Leave gates out of the properties; the configuration keeps them."""
        self.gates[:] = [g for g in self.gates if (g["gate"], *g["qubits"]) not in gates]
        return self

    def drop_everywhere(self, gate, name):
        """Leave a figure of a gate out on all qubits."""
        for of in [(g["gate"], *g["qubits"]) for g in self.gates if g["gate"] == gate]:
            self.drop(of, name)
        return self

    def break_(self, of):
        """Mark a qubit or gate as not operational."""
        self.figures(of).append(dict(NOT_OPERATIONAL))
        return self
