"""The noise study: what noise costs in federated training, by machine, array, shots, and strength of the noise.

Run by `experiments/noisy_vs_noiseless.py --study`, which explains the options.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from noise_design import FULL, NOISELESS, SKEWED, UNIFORM, Design, array, gap, success_range
from noise_figures import client_figure, gap_figure, gradient_figure

from qiskit_fedqml import BackendRegistry, RunResult, load_experiment, load_model, run_federation
from qiskit_fedqml.backends.aer import AerBackend
from qiskit_fedqml.backends.entries import AerEntry, BackendsFile
from qiskit_fedqml.experiment import Experiment
from qiskit_fedqml.files import write_text
from qiskit_fedqml.preparation import Examples, prepare_data
from qiskit_fedqml.records import ClientRecord
from qiskit_fedqml.report.drawing import save_figure
from qiskit_fedqml.seeds import derive_seed, numpy_generator
from qiskit_fedqml.study.gradients import GradientQuality, gradient_quality
from qiskit_fedqml.study.outcomes import ACCURACY, LOSS, settled_accuracy
from qiskit_fedqml.study.summary import write_csv, write_study
from qiskit_fedqml.study.trials import Study, Trial, run_trials
from qiskit_fedqml.tables import duration, markdown_table

_MINIBATCH = 32
"""Examples on which gradients are compared."""

_GRADIENT_SHOTS = (128, 1024, 8192)


def run_study(
    path: Path, overrides: Mapping[str, Any], out: Path, *, seeds: int, processes: int, design: Design = FULL
) -> None:
    """Run the study on one experiment file, and write its tables and figures.

    Args:
        path: The experiment file.
        overrides: Changes to it, by dotted key.
        out: Where results go.
        seeds: How many seeds. All schemes of a seed share data, shards, clients drawn and initial weights.
        processes: How many runs at a time.
        design: What is compared.
    """
    base = load_experiment(path, overrides)
    trials = [
        Trial(scheme, load_experiment(path, {**overrides, "backends": backends, "seed": base.seed + k}))
        for k in range(seeds)
        for scheme, backends in design.schemes().items()
    ]
    study = run_trials(trials, out / "runs", processes=processes, tell=_tell)
    write_study(study, out)
    rows = table(study)
    write_csv(rows, out / "table.csv")
    clients = client_rows(study)
    write_csv(clients, out / "clients.csv")
    qualities = gradient_study(base, design, out / "gradients.jsonl")
    title = path.stem.replace("_", " ").capitalize()
    save_figure(gap_figure(study, design, title), out / "gaps")
    save_figure(client_figure(clients, title), out / "clients")
    save_figure(gradient_figure(qualities, title), out / "gradients")
    text = markdown_table(rows) + _ABOUT.format(seeds=seeds)
    write_text(out / "results.md", text)
    print(text)


_ABOUT = """
Accuracies are in percent; they and the losses are means of the last rounds (ten, or a quarter of a short run) over
{seeds} seeds with 95% intervals, the aggregate tested exactly on an ideal machine. A gap is the noisy run less the
noiseless run of the same seed (same data, shards, clients drawn, initial weights), of accuracies in percentage points,
with a 95% interval (Student's t). The array's machines are FakeManilaV2, FakeNairobiV2, FakeJakartaV2 and FakeQuitoV2
in turn, 1,024 shots unless another number is said; in the skewed array two of five clients have Quito with four times
its error rates.
"""


def table(study: Study) -> list[dict[str, str]]:
    """Return a row for each scheme."""
    return [
        {
            "Scheme": scheme,
            **{o.name: o.text(o.mean(study, scheme)) for o in (ACCURACY, LOSS)},
            **{
                f"Gap in {o.name.lower()}": "" if scheme == NOISELESS else o.text(gap(study, scheme, o), signed=True)
                for o in (ACCURACY, LOSS)
            },
            "Success probability": success_range(study, scheme),
            "Time a run": duration(
                np.median([sum(r.seconds for r in run.rounds) for run in study.of(scheme).values()])
            ),
            "Memory of the process": f"{max(_peak(run) for run in study.of(scheme).values()) / 2**30:.1f} GiB",
        }
        for scheme in study.schemes
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


def gradient_study(base: Experiment, design: Design, kept: Path) -> list[GradientQuality]:
    """Measure the gradient's signal and noise on each machine, at the noiseless model after a tenth of the rounds.

    Args:
        base: The experiment.
        design: The machines, and the factors on their error rates.
        kept: A file of JSON lines from which the figures are read if it is of the same experiment, and else written.
    """
    asked = sha256(f"{base.model_dump_json()} {design.devices} {design.factors}".encode()).hexdigest()
    if kept.exists():
        first, *lines = kept.read_text(encoding="utf-8").splitlines()
        if json.loads(first) == {"of": asked}:
            return [GradientQuality(**json.loads(line)) for line in lines]
    few = max(base.federation.rounds // 10, 1)
    federation = base.federation.model_copy(update={"rounds": few})
    noiseless = BackendsFile(backends={"ideal": AerEntry(type="aer")})
    experiment = base.model_copy(update={"federation": federation, "backends": noiseless})
    folder = kept.parent / "runs" / "gradients"
    run = run_federation(experiment, folder, overwrite=True)
    model = load_model(folder)
    data = prepare_data(experiment)
    rng = numpy_generator(derive_seed(base.seed, "minibatch of the gradients"))
    rows = np.sort(rng.choice(np.concatenate(data.shards), _MINIBATCH, replace=False))
    minibatch = Examples(np.asarray(data.train.features[rows]), data.train.labels[rows])
    found = []
    for name, machine in design.devices.items():
        for factor in design.factors:
            for shots in _GRADIENT_SHOTS:
                section = array({name: {**machine, "noise_factor": factor}}, shots)
                backend = BackendRegistry.from_mapping(section)[name.lower()]
                assert isinstance(backend, AerBackend)
                found.append(gradient_quality(model, run, backend, minibatch, draws=50, seed=base.seed))
    lines = [json.dumps({"of": asked}), *(json.dumps(asdict(quality)) for quality in found)]
    write_text(kept, "\n".join(lines) + "\n")
    return found


def _peak(run: RunResult) -> int:
    return max(record.peak_memory_bytes or 0 for record in run.rounds)


def _tell(trial: Trial, run: RunResult, done: int, total: int) -> None:
    seconds = sum(record.seconds for record in run.rounds)
    print(
        f"{done}/{total} {trial.scheme}, seed {trial.seed}: {settled_accuracy(run):.2%} in {duration(seconds)}",
        flush=True,
    )
