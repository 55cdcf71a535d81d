"""What a job's parameters ask for: its circuits, their number, and running them on a fake device."""

import hashlib
import json
import math
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cached_property
from importlib import import_module

import numpy as np
from ibm_quantum_schemas.common import CompressedTensorModel, TensorModel
from qiskit.primitives import BackendEstimatorV2
from qiskit.primitives.containers.estimator_pub import EstimatorPub
from qiskit.quantum_info import PauliList
from qiskit_ibm_runtime import RuntimeDecoder, RuntimeEncoder
from qiskit_ibm_runtime.fake_provider.executor.run_quantum_program import run_quantum_program
from qiskit_ibm_runtime.options_models.simulator import SimulatorOptions
from qiskit_ibm_runtime.quantum_program.params_converters import QUANTUM_PROGRAM_PARAMS_CONVERTERS
from samplomatic.quantum_program import CircuitItem

from tests.ibm_server.trimming import SMALL_DEVICE, connected_parts, observed_qubits, on_qubits


def seed_of(arrays: Iterable[np.ndarray]) -> int:
    """Return the simulator's seed for a job, from its parameter values alone.

    Equal submissions so have equal outcomes, in whatever order and however often they arrive.

    Args:
        arrays: The parameter values of each item or PUB in order; they count as little-endian float64 in C order.
    """
    data = b"".join(np.ascontiguousarray(array, dtype="<f8").tobytes() for array in arrays)
    return int.from_bytes(hashlib.sha256(data).digest()[:4], "little") & 0x7FFFFFFF


class ExecutorProgram:
    """A program of the executor, as the client-side estimator submits it."""

    def __init__(self, params: dict):
        self._version = params["schema_version"]
        converter = QUANTUM_PROGRAM_PARAMS_CONVERTERS[self._version]
        self._model = converter.model.model_validate(params)
        self.program, options = converter.decoder(self._model)
        for item in self.program.items:
            if not isinstance(item, CircuitItem):
                item.samplex.finalize()
        self.rep_delay_seconds = options.execution.rep_delay

    @property
    def pubs(self) -> int:
        return self.program.passthrough_data["post_processor"]["num_pubs"]

    @property
    def circuits(self) -> int:
        return sum(item.size() for item in self.program.items)

    @property
    def executions(self) -> int:
        return self.circuits * self.program.shots

    @property
    def parameter_values(self) -> list[np.ndarray]:
        values = []
        for item in self.program.items:
            if isinstance(item, CircuitItem):
                values.append(item.circuit_arguments)
            elif "parameter_values" in item.samplex_arguments:
                values.append(item.samplex_arguments["parameter_values"])
        return values

    def parts(self) -> Iterator[tuple]:
        """Yield each circuit with the qubits to be measured after it, and how often it is executed."""
        for item in self.program.items:
            yield item.circuit, (), item.size() * self.program.shots

    def run(self, device) -> str:
        """Return the results as the service's text."""
        program, seed, started = self.program, seed_of(self.parameter_values), datetime.now(UTC)
        if device.fake.num_qubits <= SMALL_DEVICE:
            options = SimulatorOptions(seed_simulator=seed)
            return self._encode(run_quantum_program(device.simulator, program, options), started)
        observed = observed_qubits(program.passthrough_data)
        results = [self._run_by_parts(item, observed, device, seed) for item in program.items]
        return self._encode(results, started)

    def _run_by_parts(self, item, observed: set[int], device, seed: int) -> dict:
        """Run each group of qubits that gates connect on its own; each bit is 1 in at most one of the results."""
        together: dict = {}
        for number, part in enumerate(connected_parts(item, observed)):
            # Randomisations must be the same for all parts, and so must the seed; otherwise each part has its own.
            own = seed if any(name.endswith("flips") for name in together) else (seed + number) & 0x7FFFFFFF
            qubits = sorted(part)
            program = type(self.program)(self.program.shots, [on_qubits(item, qubits)])
            (found,) = run_quantum_program(device.simulator_of(qubits), program, SimulatorOptions(seed_simulator=own))
            for name, values in found.items():
                is_bits = values.dtype == bool and not name.endswith("flips")
                together[name] = values | together[name] if is_bits and name in together else values
        return together

    def _encode(self, result, started: datetime) -> str:
        models = import_module(f"ibm_quantum_schemas.executor.version_{self._version[1:].replace('.', '_')}")
        tensor = TensorModel if self._version < "v2" else CompressedTensorModel
        parts = [
            {
                "idx_item": index,
                "size": item.size(),
                "permutation": list(range(len(item.shape))),
                "element_range": (0, item.size(), 1),
            }
            for index, item in enumerate(self.program.items)
        ]
        span = {"start": started, "stop": datetime.now(UTC), "parts": parts}
        data = [
            {"results": {name: tensor.from_numpy(value) for name, value in item.items()}, "metadata": {}}
            for item in result
        ]
        model = models.QuantumProgramResultModel(
            data=data,
            metadata={"chunk_timing": [span]},
            passthrough_data=self._model.quantum_program.passthrough_data,
            semantic_role=self._model.quantum_program.semantic_role,
        )
        return model.model_dump_json()


class EstimatorProgram:
    """A job of the legacy estimator, whose PUBs reach the service as they are."""

    def __init__(self, params: dict):
        params = json.loads(json.dumps(params), cls=RuntimeDecoder)
        options = params.get("options") or {}
        self.rep_delay_seconds = (options.get("execution") or {}).get("rep_delay")
        precision = options.get("default_precision")
        if options.get("default_shots"):
            precision = 1 / math.sqrt(options["default_shots"])
        self.requested = [EstimatorPub.coerce(tuple(pub), precision or 1 / 64) for pub in params["pubs"]]

    @property
    def pubs(self) -> int:
        return len(self.requested)

    @property
    def circuits(self) -> int:
        return sum(self._groups)

    @property
    def executions(self) -> int:
        return sum(groups * _shots(pub) for groups, pub in zip(self._groups, self.requested))

    @property
    def parameter_values(self) -> list[np.ndarray]:
        return [pub.parameter_values.as_array() for pub in self.requested]

    def parts(self) -> Iterator[tuple]:
        """Yield each circuit with the qubits to be measured after it, and how often it is executed."""
        for pub, groups in zip(self.requested, self._groups):
            labels = [label for terms in np.asarray(pub.observables).ravel() for label in terms]
            measured = {index for label in labels for index, letter in enumerate(reversed(label)) if letter != "I"}
            yield pub.circuit, measured, groups * _shots(pub)

    def run(self, device) -> str:
        """Return the results as the service's text."""
        seed = seed_of(self.parameter_values)
        estimator = BackendEstimatorV2(backend=device.fake, options={"seed_simulator": seed})
        return json.dumps(estimator.run(self.requested).result(), cls=RuntimeEncoder)

    @cached_property
    def _groups(self) -> list[int]:
        """The number of circuits of each PUB: at every parameter set, one for each group of commuting observables."""
        known: dict[frozenset, int] = {}
        counts = []
        for pub in self.requested:
            shape = pub.parameter_values.shape
            indices = np.arange(math.prod(shape)).reshape(shape)
            wanted: dict[int, set] = {}
            for index, terms in zip(*(array.ravel() for array in np.broadcast_arrays(indices, pub.observables))):
                wanted.setdefault(int(index), set()).update(terms)
            for labels in map(frozenset, wanted.values()):
                if labels not in known:
                    known[labels] = len(PauliList(sorted(labels)).group_commuting(qubit_wise=True))
            counts.append(sum(known[frozenset(labels)] for labels in wanted.values()))
        return counts


PROGRAMS = {"executor": ExecutorProgram, "estimator": EstimatorProgram}


def _shots(pub: EstimatorPub) -> int:
    return math.ceil(round(1 / pub.precision**2, 6))  # a precision of n**-0.5 is n shots, whatever its rounding
