"""What the runs of the noise study show: the gap of each scheme, what noise adds to each client, and in words."""

from collections.abc import Iterable
from itertools import groupby
from textwrap import fill
from typing import Any

import numpy as np

from parts.noise_design import NOISELESS, SHOTS, SKEWED, UNIFORM, Design, Machine, mitigated
from qiskit_fedqml import RunResult
from qiskit_fedqml.results.records import ClientRecord
from qiskit_fedqml.study.outcomes import OUTCOMES, Outcome
from qiskit_fedqml.study.statistics import Interval, over_seeds
from qiskit_fedqml.study.study import Study
from qiskit_fedqml.tables import duration


def gap(study: Study, scheme: str, outcome: Outcome) -> Interval:
    """Return a scheme's accuracy or loss less that of the noiseless runs of the same seeds."""
    return outcome.less(study, scheme, NOISELESS)


def success_range(study: Study, scheme: str) -> str:
    """Return the lowest and the highest estimated success probability of a scheme's clients, in words."""
    found = {
        round(client.success_probability, 2)
        for run in study.of(scheme).values()
        for record in run.rounds
        for client in record.clients
        if client.success_probability is not None
    }
    return f"{min(found):.2f}" if len(found) == 1 else f"{min(found):.2f} to {max(found):.2f}"


def executions(study: Study, scheme: str) -> float:
    """Return the mean number of executions of a scheme's runs, tests included; an exact circuit counts as one."""
    return float(np.mean([sum(r.executions for r in run.rounds) for run in study.of(scheme).values()]))


def table(study: Study) -> list[dict[str, str]]:
    """Return a row for each scheme."""
    return [
        {
            "Scheme": scheme,
            **{o.heading: o.text(o.mean(study, scheme)) for o in OUTCOMES},
            **{
                o.heading_less("noiseless"): "" if scheme == NOISELESS else o.text(gap(study, scheme, o), signed=True)
                for o in OUTCOMES
            },
            "Success probability": success_range(study, scheme),
            "Executions (millions)": f"{executions(study, scheme) / 1e6:,.2f}",
            "Time a run": duration(
                np.median([sum(r.seconds for r in run.rounds) for run in study.of(scheme).values()])
            ),
            "Memory of the process": f"{max(_peak(run) for run in study.of(scheme).values()) / 2**30:.1f} GiB",
        }
        for scheme in study.schemes
    ]


def mitigation_rows(study: Study) -> list[dict[str, str]]:
    """Return what mitigated readout changes in each array, in pairs of the same seed."""
    return [
        {
            "Array": array,
            **{
                o.heading_less("not mitigated"): o.text(o.less(study, mitigated(array), array), signed=True)
                for o in OUTCOMES
            },
            "Executions (millions)": f"{executions(study, mitigated(array)) / 1e6:,.2f}",
            "not mitigated": f"{executions(study, array) / 1e6:,.2f}",
        }
        for array in (UNIFORM, SKEWED)
    ]


def client_rows(study: Study) -> list[dict[str, Any]]:
    """Return a line for each array, seed and client: its machine, and what noise adds to its training loss.

    The noiseless run of the seed draws the same clients in the same rounds, so that the difference of the losses of a
    client in a round is due to machines alone, its own and those of the rounds before.
    """
    lines = []
    for (scheme, seed), run in study.runs.items():
        if scheme not in (UNIFORM, SKEWED):
            continue
        noiseless = {(r.round, c.id): c for r in study.runs[NOISELESS, seed].rounds for c in r.clients}
        of_client: dict[int, list[tuple[ClientRecord, float]]] = {}
        for record in run.rounds:
            for client in record.clients:
                reference = noiseless[record.round, client.id].train_loss
                if client.train_loss is not None and reference is not None:
                    of_client.setdefault(client.id, []).append((client, client.train_loss - reference))
        for client_id, found in sorted(of_client.items()):
            lines.append(
                {
                    "scheme": scheme,
                    "seed": seed,
                    "client": client_id,
                    "backend": found[0][0].backend,
                    "success_probability": f"{found[0][0].success_probability:.4f}",
                    "rounds": len(found),
                    "added_train_loss": f"{np.mean([added for _, added in found]):.5f}",
                    "seconds": f"{sum(client.seconds for client, _ in found):.3f}",
                }
            )
    return lines


def about(design: Design, seeds: int) -> str:
    """Return in words what the table's figures are."""
    compared = len(OUTCOMES) * (len(design.schemes()) - 1)
    text = _ABOUT.format(
        over=over_seeds(seeds),
        chance="" if seeds < 3 else _CHANCE.format(compared=compared),
        shots=SHOTS,
        uniform=_in_words(design.devices.values()),
        skewed=_in_words(design.skewed.values()),
    )
    return f"\n{fill(text, 120)}\n"


_ABOUT = """\
Accuracies and losses are means of the last rounds (ten, or a quarter of a short run) {over},
the aggregate tested exactly on an ideal machine. Differences are of the noisy run and the
noiseless run of the same seed: same data, shards, clients drawn and initial weights. {chance}Clients
have the machines of an array in turn, with {shots:,} shots unless another number is said. Uniform array: {uniform}.
Skewed array: {skewed}. Executions are circuits times shots of a run; an exact circuit counts as one.
Mitigated readout takes no more of them on a simulator, which knows its confusion matrices; a device
calibrates with some 1,024 executions a job.
"""


_CHANCE = "Where noise did nothing, one in twenty of the {compared} intervals would leave out 0. "


def _in_words(machines: Iterable[Machine]) -> str:
    texts = (
        f"{m['noise']}" + (f" with {m['noise_factor']:g} times its error rates" if "noise_factor" in m else "")
        for m in machines
    )
    counted = ((machine, len(list(alike))) for machine, alike in groupby(texts))
    return ", ".join(machine if count == 1 else f"{machine} ({count} machines)" for machine, count in counted)


def _peak(run: RunResult) -> int:
    return max(record.peak_memory_bytes or 0 for record in run.rounds)
