"""The quantum network: an ``EstimatorQNN`` that asks for values and Jacobian in one PUB."""

from collections.abc import Sequence
from copy import copy
from dataclasses import replace
from typing import Any, NamedTuple, Protocol, cast

import numpy as np
from qiskit.circuit import Parameter, QuantumCircuit
from qiskit.primitives import BaseEstimatorV2, StatevectorEstimator
from qiskit.quantum_info.operators.base_operator import BaseOperator
from qiskit.transpiler.basepasses import BasePass
from qiskit.transpiler.passmanager import PassManager
from qiskit_machine_learning.exceptions import QiskitMachineLearningError
from qiskit_machine_learning.gradients import BaseEstimatorGradient, ParamShiftEstimatorGradient
from qiskit_machine_learning.neural_networks import EstimatorQNN

from qiskit_fedqml.backends.base import Backend, PackingBackend, PreparingBackend, QueuedBackend, compile_program
from qiskit_fedqml.backends.broadcast import EstimatorBackend
from qiskit_fedqml.backends.job import JobKey, Usage
from qiskit_fedqml.backends.program import Asked, Evaluation, Program
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.arrays import Array, all_finite
from qiskit_fedqml.circuits.observables import as_observables
from qiskit_fedqml.circuits.showing import sizes_in_words
from qiskit_fedqml.circuits.unrolling import unrolled
from qiskit_fedqml.config.circuit import Wanted
from qiskit_fedqml.errors import TrainingError
from qiskit_fedqml.seeds import derive_seed


class NotFiniteError(QiskitMachineLearningError, TrainingError):
    """An input, a weight or an angle is NaN or infinite."""

    def __str__(self) -> str:
        return str(self.message)  # Qiskit's errors show it in quotes


class Evaluate(Protocol):
    """Evaluates a network's program in place of its backend."""

    def __call__(self, program: Program, asked: Asked, *, jacobian: bool, key: JobKey) -> Evaluation: ...  # noqa: D102


class Answer(NamedTuple):
    """What a network gives at a batch of inputs.

    Args:
        parameters: Inputs and weights of each example, shape (batch, inputs + weights).
        values: The outputs, shape (batch, outputs).
        of_angles: Their derivatives with respect to the gate angles, shape (batch, outputs, angles), or None.
        jacobian: Their derivatives with respect to the parameters, shape (batch, outputs, inputs + weights), or None.
        of: Of which parameters they are; those of the others are 0.
    """

    parameters: Array
    values: Array
    of_angles: Array | None = None
    jacobian: Array | None = None
    of: Wanted = "all"


class BroadcastEstimatorQNN(EstimatorQNN):
    """``EstimatorQNN`` with parameter-shift gradients as one broadcast PUB in one job.

    It gives what ``EstimatorQNN`` gives, with four differences: the circuit is transpiled once; values and gradients
    have the same precision (the stock network's ``default_precision`` reaches the values only); gates that cannot reach
    a measured qubit are not shifted, because their derivative is zero; and an empty batch is answered without a job.

    Args:
        circuit: The parameterised circuit; loops over fixed values are written out.
        estimator: An ``EstimatorV2``; ``StatevectorEstimator`` if neither it nor ``backend`` is given.
        observables: One for each output, or one alone, of any kind that ``CircuitSpec`` takes; Z on all qubits if None.
        input_params: The circuit's parameters that carry the inputs.
        weight_params: The circuit's trainable parameters.
        gradient: If given, the backward pass is left to it, as in ``EstimatorQNN``.
        input_gradients: Whether derivatives with respect to inputs are wanted.
        default_precision: Precision of every evaluation through ``estimator``; not used with ``backend``, whose shots
            say it.
        pass_manager: Transpiles the circuit once, for ``estimator``.
        backend: Evaluates the circuit, in place of ``estimator`` and ``pass_manager``.

    Attributes:
        program: The circuit as the backend runs it.
        programs: The same by the parameters of which derivatives are wanted.
        angles: The gate angles as functions of the parameters.
        usage: Jobs, circuits and executions so far.
        simulator: What computed the last evaluation; before the first, what the backend tries first.

    Raises:
        ValueError: ``backend`` comes with ``estimator``, ``pass_manager`` or ``gradient``, or the parameters do not
            match the circuit's.
        CircuitError: A parameterised gate has no two-term shift rule, or an observable is none.
    """

    def __init__(
        self,
        *,
        circuit: QuantumCircuit,
        estimator: BaseEstimatorV2 | None = None,
        observables: Sequence[BaseOperator] | BaseOperator | None = None,
        input_params: Sequence[Parameter] | None = None,
        weight_params: Sequence[Parameter] | None = None,
        gradient: BaseEstimatorGradient | None = None,
        input_gradients: bool = False,
        default_precision: float = 0.015625,
        pass_manager: PassManager | BasePass | None = None,
        backend: Backend | None = None,
    ) -> None:
        if backend is not None and (estimator is not None or pass_manager is not None or gradient is not None):
            raise ValueError("Argument `backend` must come without `estimator`, `pass_manager` and `gradient`.")
        if backend is not None:
            estimator = backend.estimator()
        elif estimator is None:
            estimator = StatevectorEstimator()
        super().__init__(
            circuit=unrolled(circuit),
            estimator=estimator,
            observables=None if observables is None else list(as_observables(observables)),
            input_params=input_params,
            weight_params=weight_params,
            gradient=gradient,
            input_gradients=input_gradients,
            default_precision=default_precision,
            pass_manager=pass_manager,
        )
        self.backend: Backend = backend if backend is not None else EstimatorBackend(estimator, default_precision)
        # Asked once: to look through a protocol takes as long as a small circuit.
        self._queued = self.backend if isinstance(self.backend, QueuedBackend) else None
        self._packing = self.backend if isinstance(self.backend, PackingBackend) else None
        self.usage = Usage()
        self.simulator = self.backend.simulator
        self._own_gradient = gradient is None
        self._seed: int | None = None
        self._key: JobKey | None = None
        self._step = 0
        self._evaluate_by: Evaluate | None = None
        # After super().__init__, self._circuit has the parameters inputs[i], then weights[i], in this order.
        self.angles = GateAngles(self._circuit, list(self._circuit.parameters))
        self.program = self._compiled()

    def __repr__(self) -> str:
        return f"<BroadcastEstimatorQNN: {self.in_words()}>"

    def in_words(self) -> str:
        """Return the sizes and the backend in one line."""
        sizes = sizes_in_words(self.circuit.num_qubits, self.num_inputs, self.num_weights, len(self.observables))
        return f"{sizes}, on {getattr(self.backend, 'name', None) or type(self.backend).__name__}"

    def __getstate__(self) -> dict[str, Any]:
        # The backend comes first, so that one that holds a connection refuses before anything else is tried. What is
        # made of it is made again.
        state = {"backend": self.backend, **self.__dict__}
        if not isinstance(self.backend, EstimatorBackend):
            state |= {"estimator": None, "gradient": None}
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if not isinstance(self.backend, EstimatorBackend):
            self.estimator = self.backend.estimator()
            self.gradient = ParamShiftEstimatorGradient(self.estimator)

    def reseed(self, seed: int, key: JobKey | None = None) -> None:
        """Let the shots of the next evaluations derive from ``seed``, each evaluation's in its own way.

        Args:
            seed: The seed.
            key: What the next evaluation is for; the following ones are its next steps.
        """
        self._seed, self._key, self._step = seed, key, 0 if key is None else key.step

    def twin(self, evaluate: Evaluate) -> "BroadcastEstimatorQNN":
        """Return a network with the same program and a usage of its own, evaluated by somebody else.

        It keeps the program when the device's calibration changes; a new twin has the new one.

        Args:
            evaluate: Asks the backend, or lets another one ask for several networks together.
        """
        twin = copy(self)
        twin.usage, twin._evaluate_by = Usage(), evaluate
        return twin

    def refresh(self) -> None:
        """Transpile the circuit again if the backend is a device whose calibration has changed.

        Raises:
            BackendError: The device cannot be asked.
        """
        if self._queued is not None and self._evaluate_by is None:
            self._queued.refresh()
            if self._queued.calibration_date != self._compiled_for:
                self.program = self._compiled()

    def success_probability(self) -> float | None:
        """Return the estimated chance that no gate and no readout of the circuit errs, or None if it is unknown."""
        if self._packing is not None:
            return self._packing.success_probability(self.program, self._client)
        return self.backend.success_probability(self.program)

    def calibration(self) -> dict[str, Any] | None:
        """Return a device's name, date and the figures of the qubits or blocks in use; None without a device."""
        if self._packing is not None and self.program.copies:
            return self._packing.calibration_of(self.program, self._client)
        return self._queued.calibration_of(self.program) if self._queued is not None else None

    @property
    def _client(self) -> int | None:
        return None if self._key is None else self._key.client

    def _compiled(self) -> Program:
        self._compiled_for = self._queued.calibration_date if self._queued is not None else None
        program = compile_program(self.backend, self.angles.circuit, self.angles.params, self._observables)
        parameters = list(self._circuit.parameters)
        inputs = self.angles.driven_by(parameters[: self.num_inputs])
        weights = self.angles.driven_by(parameters[self.num_inputs :])
        program = replace(program, driven_by_inputs=inputs)
        self.programs = {"all": program, "inputs": program.shifting(inputs), "weights": program.shifting(weights)}
        return program

    def prepare(self) -> None:
        """Let loops be compiled for which the first evaluation on a simulator would wait; nothing runs on a device.

        Raises:
            BackendError: As :meth:`evaluate`.
        """
        if isinstance(self.backend, PreparingBackend):
            self.backend.prepare(self.program)
            parameters, angles = self.points(np.zeros((1, self.num_inputs)), np.zeros(self.num_weights))
            self.angles.chain_rule(np.zeros((1, *self.output_shape, angles.shape[1])), parameters)

    def evaluate(
        self, inputs: Array, weights: Array, *, jacobian: bool, of: Wanted = "all"
    ) -> tuple[Array, Array | None]:
        """Evaluate the outputs and, on request, their derivatives, in one job.

        Args:
            inputs: Shape (batch, inputs).
            weights: Shape (weights,).
            jacobian: Whether derivatives are wanted.
            of: Of which parameters; gates of the others alone are not shifted.

        Returns:
            Outputs of shape (batch, outputs), and derivatives of shape (batch, outputs, inputs + weights) or None.

        Raises:
            NotFiniteError: An input, a weight or an angle is not finite.
            BackendError: The backend failed.
        """
        answer = self.ask(inputs, weights, jacobian=jacobian, of=of)
        return answer.values, answer.jacobian

    def ask(self, inputs: Array, weights: Array, *, jacobian: bool, of: Wanted = "all") -> Answer:
        """Do as :meth:`evaluate`, and return also where and with respect to what it was evaluated.

        Inputs and weights may be of any real dtype.
        """
        parameters, angles = self.points(inputs, weights)
        if not len(inputs):
            return self._nothing(parameters, jacobian=jacobian, of=of)
        values, of_angles = self.evaluate_at_angles(angles, jacobian=jacobian, of=of)
        if of_angles is None:
            return Answer(parameters, values)
        return Answer(parameters, values, of_angles, self.angles.chain_rule(of_angles, parameters), of)

    def points(self, inputs: Array, weights: Array) -> tuple[Array, Array]:
        """Return each example's inputs and weights, (batch, inputs + weights), and its gate angles, (batch, angles).

        Args:
            inputs: Shape (batch, inputs).
            weights: Shape (weights,), or (batch, weights) where each example has its own.

        Raises:
            NotFiniteError: An input, a weight or an angle is not finite.
        """
        parameters = np.empty((len(inputs), self.num_inputs + self.num_weights))
        parameters[:, : self.num_inputs] = inputs
        parameters[:, self.num_inputs :] = weights
        if not all_finite(parameters):
            raise NotFiniteError("Inputs and weights must be finite, but some are NaN or infinite.")
        angles = self.angles.values(parameters)
        if not self.angles.expressions.stays_finite and not all_finite(angles):
            raise NotFiniteError("Angles must be finite, but some are NaN or infinite at these inputs and weights.")
        return parameters, angles

    def _nothing(self, parameters: Array, *, jacobian: bool, of: Wanted) -> Answer:
        """Return the answer for an empty batch."""
        shape = (0, *self.output_shape)
        if not jacobian:
            return Answer(parameters, np.zeros(shape))
        of_angles, of_parameters = np.zeros((*shape, self.angles.num_angles)), np.zeros((*shape, parameters.shape[1]))
        return Answer(parameters, np.zeros(shape), of_angles, of_parameters, of)

    def evaluate_at_angles(self, angles: Array, *, jacobian: bool, of: Wanted) -> tuple[Array, Array | None]:
        """Evaluate the outputs and their derivatives with respect to the gate angles, in one job.

        Args:
            angles: Finite angles in radians, shape (batch, angles), at least one example.
            jacobian: Whether derivatives are wanted.
            of: Of which parameters' angles; those of the others are 0.

        Returns:
            Outputs of shape (batch, outputs), and derivatives of shape (batch, outputs, angles) or None.
        """
        seed = None if self._seed is None else derive_seed(self._seed, "evaluation", step=self._step)
        key = None if self._key is None else self._key.at(self._step)
        self._step += 1
        program = self.programs[of]
        if self._evaluate_by is not None and key is not None:
            evaluation = self._evaluate_by(program, Asked(angles, seed, key.client), jacobian=jacobian, key=key)
        else:
            evaluation = self.backend.evaluate(program, angles, jacobian=jacobian, seed=seed, key=key)
        self.usage.jobs += len(evaluation.jobs) or 1
        self.usage.receipts += evaluation.jobs
        self.usage.circuits += evaluation.circuits
        self.usage.executions += evaluation.executions
        self.simulator = evaluation.simulator
        return evaluation.values, evaluation.jacobian

    def _forward(self, input_data: Array | None, weights: Array | None) -> Array:
        return self.evaluate(*self._batch(input_data, weights), jacobian=False)[0]

    def _backward(self, input_data: Array | None, weights: Array | None) -> tuple[Array | None, Array | None]:
        if not self._own_gradient:
            return cast(tuple[Array | None, Array | None], super()._backward(input_data, weights))
        inputs, weights = self._batch(input_data, weights)
        wanted = inputs.size + weights.size if self._input_gradients else weights.size
        if not wanted and len(inputs):
            return None, None
        _, jacobian = self.evaluate(inputs, weights, jacobian=True)
        jacobian = cast(Array, jacobian)
        input_grad = jacobian[:, :, : self.num_inputs] if self._input_gradients else None
        return input_grad, jacobian[:, :, self.num_inputs :]

    def _batch(self, input_data: Array | None, weights: Array | None) -> tuple[Array, Array]:
        """Return inputs (batch, inputs) and weights (weights,), both present, as the stock network pairs them."""
        inputs = np.zeros((1, 0)) if input_data is None else input_data
        weights = np.zeros(0) if weights is None else weights
        if inputs.shape[1] + len(weights) != self.num_inputs + self.num_weights:
            raise ValueError(
                f"The network needs {self.num_inputs} inputs and {self.num_weights} weights, "
                f"but got {inputs.shape[1]} and {len(weights)}."
            )
        return inputs, weights
