"""The scheduler that an experiment names."""

from collections.abc import Callable, Sequence
from functools import cache

from qiskit_fedqml.backends.array.registry import BackendRegistry
from qiskit_fedqml.backends.base import compile_program
from qiskit_fedqml.circuits.angles import GateAngles
from qiskit_fedqml.circuits.spec import CircuitSpec
from qiskit_fedqml.config.circuit import Wanted
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.federation.scheduling.machines import BackendFacts, FactsOf, open_machines
from qiskit_fedqml.federation.scheduling.policies import open_policy
from qiskit_fedqml.federation.scheduling.scheduler import Scheduler


def open_scheduler(
    experiment: Experiment,
    registry: BackendRegistry,
    spec: CircuitSpec | None,
    assignment: Sequence[str],
    num_examples: Callable[[int], int],
) -> Scheduler | None:
    """Return the scheduler of an experiment; None where time is not simulated.

    Args:
        experiment: The experiment.
        registry: The machines.
        spec: The circuit; None without one, where time cannot be simulated.
        assignment: Name of each client's own machine.
        num_examples: Returns how many examples a client has.

    Raises:
        ConfigurationError: Calibrations that follow each other have dates that do not.
        BackendError: A calibration that is replayed cannot be read, or the circuit does not fit its machine.
    """
    config = experiment.scheduling
    if config is None or spec is None:
        return None

    def date_of(entry: str) -> str | None:
        return registry[entry].describe()["calibration_date"]

    facts = facts_of(registry, spec, experiment.model.derivatives)
    return Scheduler(
        seed=experiment.seed,
        config=config,
        federation=experiment.federation,
        machines=open_machines(config, sorted({*assignment}), date_of),
        assignment=assignment,
        num_examples=num_examples,
        facts=facts,
        policy=open_policy(config.policy),
    )


def facts_of(registry: BackendRegistry, spec: CircuitSpec, of: Wanted) -> FactsOf:
    """Return what finds the facts of a backend, each once.

    Args:
        registry: The backends.
        spec: The circuit.
        of: Of which of its parameters training takes derivatives.
    """

    @cache
    def facts(backend: str) -> BackendFacts:
        machine = registry[backend]
        angles = GateAngles(spec.circuit, [*spec.input_params, *spec.weight_params])
        program = compile_program(machine, angles.circuit, angles.params, spec.observables)
        if of != "all":
            program = program.shifting(angles.driven_by(spec.parameters_of(of)))
        circuits = (1 + 2 * len(program.shifted)) * program.num_groups
        return BackendFacts(
            executions_per_example=circuits * (machine.shots or 1),
            success_probability=machine.success_probability(program),
        )

    return facts
