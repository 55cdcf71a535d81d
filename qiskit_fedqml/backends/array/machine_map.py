"""What a map of a machine shows: its chip, the blocks that hold a circuit, and what is idle or left out."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from statistics import fmean

from qiskit_fedqml.backends.array.chip import Chip, Pair, required_chip
from qiskit_fedqml.backends.array.registry import BackendRegistry, find_calibration
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.backends.figures import left_out
from qiskit_fedqml.backends.program import Program
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.devices import ProviderEntry


@dataclass(frozen=True)
class MachineMap:
    """A machine with the blocks of a circuit.

    Args:
        machine: The backend's name.
        device: The device.
        date: When it was calibrated, as IBM writes it; empty where nobody says it.
        chip: Its qubits and couplings.
        blocks: The estimated success probability of each block, from 0 to 1, by its qubits; None where it is unknown.
        left_out: Qubits and couplings that cannot be used, such as ``"17"`` and ``"3-4"``.
    """

    machine: str
    device: str
    date: str
    chip: Chip
    blocks: Mapping[tuple[int, ...], float | None]
    left_out: tuple[str, ...] = ()

    @cached_property
    def faulty_qubits(self) -> tuple[int, ...]:
        """The qubits that cannot be used."""
        return tuple(int(text) for text in self.left_out if "-" not in text)

    @cached_property
    def faulty_couplings(self) -> frozenset[Pair]:
        """The couplings that cannot be used, those of such qubits included."""
        named = {tuple(sorted(map(int, text.split("-")))) for text in self.left_out if "-" in text}
        return frozenset(c for c in self.chip.couplings if c in named or not set(c).isdisjoint(self.faulty_qubits))

    @cached_property
    def idle_qubits(self) -> tuple[int, ...]:
        """The qubits that could be used, but are in no block."""
        busy = {qubit for block in self.blocks for qubit in block}.union(self.faulty_qubits)
        return tuple(qubit for qubit in range(self.chip.num_qubits) if qubit not in busy)

    @cached_property
    def successes(self) -> tuple[float, ...]:
        """The success probabilities that are known."""
        return tuple(p for p in self.blocks.values() if p is not None)

    @property
    def title(self) -> str:
        """What is drawn, in words."""
        device = "" if self.device == self.machine else f" ({self.device})"
        return f"{self.machine}{device}{f', calibrated {self.date[:10]}' if self.date else ''}"

    @property
    def summary(self) -> str:
        """The blocks and the rest, in one sentence."""
        sizes = sorted({len(block) for block in self.blocks})
        size = f"{sizes[0]}" if len(sizes) == 1 else f"{sizes[0]} to {sizes[-1]}"
        blocks = _count(len(self.blocks), "block")
        success = "success probability unknown"
        if len(self.successes) == 1:
            success = f"success probability {self.successes[0]:.1%}"
        elif self.successes:
            success = f"success probability: mean {fmean(self.successes):.1%}, worst {min(self.successes):.1%}"
        couplings = sum("-" in text for text in self.left_out)
        faulty = [_count(number, of) for number, of in ((len(self.faulty_qubits), "qubit"), (couplings, "coupling"))]
        left_out = f", {' and '.join(t for t in faulty if t[:2] != '0 ')} left out" if self.left_out else ""
        return f"{blocks} of {size} qubits, {success}. {_count(len(self.idle_qubits), 'qubit')} idle{left_out}."


def machine_map(registry: BackendRegistry, name: str, spec: CircuitSpec) -> MachineMap:
    """Return the map of a registry's machine with the blocks of a circuit; without blocks, with its one layout.

    Args:
        registry: The machines.
        name: The machine's name.
        spec: The circuit.

    Raises:
        BackendError: There is no such machine, it cannot be opened, it has no couplings, or the circuit does not fit.
    """
    chip, backend = required_chip(registry, name), registry[name]
    angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
    program = compile_program(backend, angles.circuit, angles.params, spec.observables)
    programs: Iterable[Program] = program.copies or (program,)
    blocks = {of.qubits: backend.success_probability(of) for of in programs}
    if isinstance(registry.file.backends[name], ProviderEntry):
        assert isinstance(backend, DeviceBackend)
        return MachineMap(name, backend.machine.device, "", chip, blocks)
    calibration = find_calibration(name, registry)
    gaps = tuple(left_out(calibration.gaps, calibration.target))
    return MachineMap(name, calibration.device, calibration.date, chip, blocks, gaps)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
