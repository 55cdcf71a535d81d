"""Settings that fit so many QPU seconds: found by planning combinations of changes, those that depart least first."""

from collections.abc import Iterable, Iterator, Sequence
from heapq import heappop, heappush
from math import ceil, log2
from typing import TYPE_CHECKING

from qiskit_fedqml.backends.devices.device import DeviceBackend
from qiskit_fedqml.config.experiment import Experiment
from qiskit_fedqml.errors import BackendError, ConfigurationError
from qiskit_fedqml.planning.ceilings import Ceiling, fit
from qiskit_fedqml.planning.changes import Change, changed
from qiskit_fedqml.planning.finer_shots import with_finer_shots
from qiskit_fedqml.planning.kinds import KINDS
from qiskit_fedqml.planning.limits import ceilings_of
from qiskit_fedqml.planning.proposals import Proposal, few_steps
from qiskit_fedqml.planning.rounds import drawn_clients
from qiskit_fedqml.planning.work import Item, Work, work_of

if TYPE_CHECKING:
    from qiskit_fedqml.planning.planner import Planner

_DEPARTURE_OF_FEW_STEPS = 10.0
_MOST_PROPOSALS = 8
_MOST_TRIED = 2000


def propose(planner: "Planner", seconds: float) -> list[Proposal]:
    """Return proposals that fit, those that depart least from the experiment first.

    They also keep to the experiment's own budgets, and to what the account has left. Of proposals that change the same
    kinds of setting, the one that departs least is given, and none that departs further than one which changes less.
    Shots are halved at first; a proposal then has as many as fit with all rounds, if it departs less so.

    Args:
        planner: The experiment, with its devices open.
        seconds: QPU seconds that the whole run may take.

    Raises:
        BackendError: A service does not say what its account has left.
    """
    backends = {name: backend for name, (backend, _) in planner.devices(planner.experiment).items()}
    own = ceilings_of(backends, planner.experiment.backends.budget_seconds, DeviceBackend.remaining_seconds)
    ceilings = (Ceiling(f"--fit {seconds:g}", frozenset(backends), seconds), *own)
    best: dict[frozenset[int], Proposal] = {}
    for kinds, changes in _combinations(planner):
        departure = sum(change.departure for change in changes)
        worst = sorted(proposal.departure for proposal in best.values())[_MOST_PROPOSALS - 1 : _MOST_PROPOSALS]
        if worst and departure >= worst[0]:
            break  # all that follow depart further
        if any(fewer <= kinds and best[fewer].departure <= departure for fewer in best):
            continue  # more changes than are needed
        proposal = _proposal(planner, changes, ceilings)
        if proposal and (kinds not in best or proposal.departure < best[kinds].departure):
            best[kinds] = proposal
    needed = [p for kinds, p in best.items() if not any(k < kinds and best[k].departure <= p.departure for k in best)]
    chosen = sorted(needed, key=lambda proposal: proposal.departure)[:_MOST_PROPOSALS]
    machines = planner.changeable()
    finer = [
        with_finer_shots(p, planner.experiment, machines, lambda changes: _proposal(planner, changes, ceilings))
        for p in chosen
    ]
    return sorted(finer, key=lambda proposal: proposal.departure)


def _combinations(planner: "Planner") -> Iterator[tuple[frozenset[int], tuple[Change, ...]]]:
    """Give combinations of at most one change of each kind, those that depart least first, and the kinds of each.

    No two of them change the same setting.
    """
    experiment, machines = planner.experiment, planner.changeable()
    kinds = [kind(experiment, machines) for kind in KINDS]
    heap: list[tuple[float, tuple[int, ...]]] = [(0.0, (0,) * len(kinds))]
    seen = {heap[0][1]}
    for _ in range(_MOST_TRIED):
        if not heap:
            return
        _, chosen = heappop(heap)
        changes = tuple(kinds[k][number - 1] for k, number in enumerate(chosen) if number)
        if len({key for change in changes for key in change.settings}) < sum(len(c.settings) for c in changes):
            continue
        yield frozenset(k for k, number in enumerate(chosen) if number), changes
        for k, number in enumerate(chosen):
            following = (*chosen[:k], number + 1, *chosen[k + 1 :])
            if number < len(kinds[k]) and following not in seen:
                seen.add(following)
                departure = sum(kinds[i][n - 1].departure for i, n in enumerate(following) if n)
                heappush(heap, (departure, following))


def _proposal(planner: "Planner", changes: Sequence[Change], ceilings: Iterable[Ceiling]) -> Proposal | None:
    """Plan the experiment with some changes.

    None where no round on a device fits, the changes do not go together, or a device cannot take them.
    """
    try:
        experiment = changed(planner.experiment, changes)
        by_round = list(_rounds_up_to(planner, experiment, ceilings))
    except (ConfigurationError, BackendError):
        return None
    found = fit(ceilings, (work_of(items) for items in by_round))
    work = sum((item.work for items in by_round[: found.rounds] for item in items), Work())
    if not work.jobs:
        return None
    num_rounds = experiment.federation.rounds
    steps = found.rounds * _steps_of_a_round(planner, experiment)
    departure = sum(change.departure for change in changes) + 2 * log2(num_rounds / found.rounds)
    departure += _DEPARTURE_OF_FEW_STEPS if few_steps(experiment, steps) else 0.0
    return Proposal(tuple(changes), found.rounds, num_rounds, steps, work, departure)


def _rounds_up_to(planner: "Planner", experiment: Experiment, ceilings: Iterable[Ceiling]) -> Iterator[list[Item]]:
    """Give what the rounds send, until a ceiling is passed."""
    costs, total = planner.costs(experiment), dict[str, Work]()
    for round, clients in drawn_clients(experiment, planner.machines(experiment).assignment):
        items = costs.items(round, clients)
        yield items
        for name, work in work_of(items).items():
            total[name] = total.get(name, Work()) + work
        if any(ceiling.is_passed(ceiling.need(total)) for ceiling in ceilings):
            return


def _steps_of_a_round(planner: "Planner", experiment: Experiment) -> int:
    """Return the steps that the optimiser of a client takes in a round, in the middle of those that train."""
    devices, assignment = planner.devices(experiment), planner.machines(experiment).assignment
    config = experiment.federation
    steps = sorted(
        config.local_epochs * ceil((experiment.expected_examples or examples) / config.batch_size)
        for examples, name in zip(planner.shards, assignment, strict=True)
        if name not in devices or devices[name][0].entry.task == "train"
    )
    return steps[len(steps) // 2] if steps else 0
