"""The noise study: what noise costs in federated training, by machine, array, shots, and strength of the noise.

Run by `experiments/noisy_vs_noiseless.py --study`, which explains the options.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.figure import Figure

from qiskit_fedqml import BackendRegistry, RunResult, load_experiment, load_model, run_federation
from qiskit_fedqml.backends.aer import AerBackend
from qiskit_fedqml.backends.entries import AerEntry, BackendsFile
from qiskit_fedqml.experiment import Experiment
from qiskit_fedqml.files import write_text
from qiskit_fedqml.preparation import Examples, prepare_data
from qiskit_fedqml.records import ClientRecord
from qiskit_fedqml.report.drawing import COLOURS, save_figure
from qiskit_fedqml.seeds import derive_seed, numpy_generator
from qiskit_fedqml.study.figures import interval_rows, intervals_by
from qiskit_fedqml.study.gradients import GradientQuality, gradient_quality
from qiskit_fedqml.study.statistics import Interval, in_points, mean_interval, paired_difference
from qiskit_fedqml.study.summary import settled_accuracy, write_csv, write_study
from qiskit_fedqml.study.trials import Study, Trial, run_trials
from qiskit_fedqml.tables import duration, markdown_table

DEVICES = {
    "Manila": {"noise": "FakeManilaV2"},
    "Nairobi": {"noise": "FakeNairobiV2"},
    "Jakarta": {"noise": "FakeJakartaV2"},
    "Quito": {"noise": "FakeQuitoV2"},
}
"""The machines of the array, each as it was calibrated."""

SHOTS = 1024
"""Shots where they are not what is studied."""

SHOTS_SWEPT = (128, 512, 2048, 8192, None)
FACTORS = (0.5, 1.0, 2.0, 4.0, 8.0)
_MINIBATCH = 32
"""Examples on which gradients are compared."""

NOISELESS = "Noiseless"
UNIFORM = "Uniform array"
SKEWED = "Skewed array"


def array(machines: Mapping[str, Mapping[str, Any]], shots: int | None = SHOTS) -> dict[str, Any]:
    """Return a backends section in which clients have these machines in turn; the centre tests on an ideal one."""
    entries = {name.lower(): {"type": "aer", "shots": shots, **machine} for name, machine in machines.items()}
    return {
        "backends": {"ideal": {"type": "aer"}, **entries},
        "assignment": {"server": "ideal", "default": {"cycle": list(entries)}},
    }


def skewed_machines() -> dict[str, dict[str, Any]]:
    """Return five machines, two of which are far noisier than the others: Quito with four times its error rates."""
    good = {name: DEVICES[name] for name in ("Manila", "Nairobi", "Jakarta")}
    bad = {"noise": "FakeQuitoV2", "noise_factor": 4.0}
    return good | {"Quito_x4_a": bad, "Quito_x4_b": bad}


def with_shots(shots: int | None) -> str:
    """Return the name of the uniform array with so many shots."""
    return UNIFORM if shots == SHOTS else f"Uniform array, {shots or 'exact'}{' shots' if shots else ''}"


def with_factor(factor: float) -> str:
    """Return the name of the uniform array with its error rates multiplied."""
    return UNIFORM if factor == 1.0 else f"Uniform array, rates × {factor:g}"


def schemes() -> dict[str, dict[str, Any]]:
    """Return what is compared, as the backends section of each scheme."""
    scaled = {f: {name: m | {"noise_factor": f} for name, m in DEVICES.items()} for f in FACTORS if f != 1.0}
    return {
        NOISELESS: {"backends": {"ideal": {"type": "aer"}}},
        **{f"{name} alone": array({name: machine}) for name, machine in DEVICES.items()},
        UNIFORM: array(DEVICES),
        SKEWED: array(skewed_machines()),
        **{with_shots(shots): array(DEVICES, shots) for shots in SHOTS_SWEPT},
        **{with_factor(factor): array(machines) for factor, machines in scaled.items()},
    }


def run_study(path: Path, overrides: Mapping[str, Any], out: Path, *, seeds: int, processes: int) -> None:
    """Run the study on one experiment file, and write its tables and figures.

    Args:
        path: The experiment file.
        overrides: Changes to it, by dotted key.
        out: Where results go.
        seeds: How many seeds. All schemes of a seed share data, shards, clients drawn and initial weights.
        processes: How many runs at a time.
    """
    base = load_experiment(path, overrides)
    trials = [
        Trial(scheme, load_experiment(path, {**overrides, "backends": backends, "seed": base.seed + k}))
        for k in range(seeds)
        for scheme, backends in schemes().items()
    ]
    study = run_trials(trials, out / "runs", processes=processes, tell=_tell)
    write_study(study, out)
    rows = table(study)
    write_csv(rows, out / "table.csv")
    write_csv(client_rows(study), out / "clients.csv")
    qualities = gradient_study(base, out / "gradients.jsonl")
    title = path.stem.replace("_", " ").capitalize()
    save_figure(gap_figure(study, title), out / "gaps")
    save_figure(client_figure(study, title), out / "clients")
    save_figure(gradient_figure(qualities, title), out / "gradients")
    text = markdown_table(rows) + _ABOUT.format(seeds=seeds)
    write_text(out / "results.md", text)
    print(text)


_ABOUT = """
Accuracies in percent: means of the last rounds (ten, or a quarter of a short run) over {seeds} seeds with 95%
intervals, the aggregate tested exactly on an ideal machine; losses are those after the last round. The gap is the noisy
run less the noiseless run of the same seed (same data, shards, clients drawn, initial weights), in percentage points,
with a 95% interval (Student's t). The array's machines are FakeManilaV2, FakeNairobiV2, FakeJakartaV2 and FakeQuitoV2
in turn, 1,024 shots unless another number is said; in the skewed array two of five clients have Quito with four times
its error rates.
"""


def gap(study: Study, scheme: str) -> Interval:
    """Return a scheme's accuracy less that of the noiseless runs of the same seeds."""
    return paired_difference(study.values(scheme, settled_accuracy), study.values(NOISELESS, settled_accuracy))


def table(study: Study) -> list[dict[str, str]]:
    """Return a row for each scheme."""
    return [
        {
            "Scheme": scheme,
            "Accuracy (%)": in_points(mean_interval(study.values(scheme, settled_accuracy).values())),
            "Gap (points)": "" if scheme == NOISELESS else in_points(gap(study, scheme), signed=True),
            "Testing loss": f"{np.mean([run.rounds[-1].test_loss for run in study.of(scheme).values()]):.4f}",
            "Success probability": _success_range(study.of(scheme).values()),
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


def gradient_study(base: Experiment, kept: Path) -> list[GradientQuality]:
    """Measure the gradient's signal and noise on each machine, at the noiseless model after a tenth of the rounds.

    Args:
        base: The experiment.
        kept: A file of JSON lines from which the figures are read if it is of the same experiment, and else written.
    """
    asked = sha256(f"{base.model_dump_json()} {DEVICES} {FACTORS}".encode()).hexdigest()
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
    for name, machine in DEVICES.items():
        for factor in FACTORS:
            for shots in (128, 1024, 8192):
                section = array({name: machine | {"noise_factor": factor}}, shots)
                backend = BackendRegistry.from_mapping(section)[name.lower()]
                assert isinstance(backend, AerBackend)
                found.append(gradient_quality(model, run, backend, minibatch, draws=50, seed=base.seed))
    lines = [json.dumps({"of": asked}), *(json.dumps(asdict(quality)) for quality in found)]
    write_text(kept, "\n".join(lines) + "\n")
    return found


def gap_figure(study: Study, title: str) -> Figure:
    """Draw what each machine and array costs, and how that changes with shots and with the strength of the noise."""
    figure = Figure(figsize=(11, 7), layout="constrained")
    top, bottom = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    rows = [*(f"{name} alone" for name in DEVICES), UNIFORM, SKEWED]
    gaps = {f"{scheme}  ({_success_range(study.of(scheme).values())})": gap(study, scheme) for scheme in rows}
    interval_rows(top.subplots(), gaps, "Accuracy less noiseless (percentage points)")
    seeds = len(study.of(NOISELESS))
    top.suptitle(f"{title}: what noise costs, by machine (success probability); {SHOTS:,} shots, {seeds} seeds, 95%")
    by_shots, by_factor = bottom.subplots(1, 2)
    finite = sorted({SHOTS, *(shots for shots in SHOTS_SWEPT if shots is not None)})
    intervals_by(by_shots, finite, [gap(study, with_shots(s)) for s in finite], "uniform array", COLOURS[0])
    exact = gap(study, with_shots(None))
    by_shots.axhline(100 * exact.mean, color=COLOURS[1], linestyle=":", label="exact (gate and readout errors only)")
    if exact.half_width is not None:
        by_shots.axhspan(100 * exact.low, 100 * exact.high, color=COLOURS[1], alpha=0.12, linewidth=0)
    by_shots.set(xscale="log", xlabel="Shots of each circuit", ylabel="Gap (points)", xticks=finite)
    by_shots.set_xticklabels([f"{shots:,}" for shots in finite])
    by_shots.minorticks_off()
    intervals_by(by_factor, FACTORS, [gap(study, with_factor(f)) for f in FACTORS], "uniform array", COLOURS[0])
    by_factor.set(xscale="log", xlabel="Factor on every error rate of the array", ylabel="Gap (points)", xticks=FACTORS)
    by_factor.set_xticklabels([f"× {factor:g}" for factor in FACTORS])
    by_factor.minorticks_off()
    for axis in (by_shots, by_factor):
        axis.axhline(0, color="0.4", linewidth=1, linestyle="--")
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    return figure


def client_figure(study: Study, title: str) -> Figure:
    """Draw what noise adds to each client's training loss, by machine, in both arrays."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    for axis, scheme in zip(figure.subplots(1, 2, sharey=True), (UNIFORM, SKEWED), strict=True):
        lines = [line for line in client_rows(study) if line["scheme"] == scheme]
        chances = {line["backend"]: float(line["success_probability"]) for line in lines}
        machines = sorted(chances, key=lambda machine: -chances[machine])
        for place, machine in enumerate(machines):
            added = sorted(float(line["added_train_loss"]) for line in lines if line["backend"] == machine)
            spread = np.linspace(-0.3, 0.3, len(added)) if len(added) > 1 else [0.0]
            axis.plot(np.add(place, spread), added, "o", color=COLOURS[0], markersize=3, alpha=0.5)
            axis.plot([place - 0.35, place + 0.35], [np.mean(added)] * 2, color=COLOURS[1], linewidth=2)
        labels = [f"{machine}\n{chances[machine]:.2f}" for machine in machines]
        axis.set(title=f"{title}, {scheme.lower()}", xticks=range(len(machines)), xticklabels=labels)
        axis.axhline(0, color="0.4", linewidth=1, linestyle="--")
        axis.grid(alpha=0.3, linewidth=0.6, axis="y")
        axis.spines[["top", "right"]].set_visible(False)
    figure.axes[0].set_ylabel("Client's training loss less noiseless")
    figure.supxlabel("Machine and its success probability (points: clients of all seeds, in order; bar: mean)", size=10)
    return figure


def gradient_figure(qualities: Sequence[GradientQuality], title: str) -> Figure:
    """Draw how the gradient's signal shrinks, and its signal-to-noise ratio falls, as the machine errs more."""
    figure = Figure(figsize=(11, 4.2), layout="constrained")
    signal, ratio = figure.subplots(1, 2)
    shots = sorted({quality.shots for quality in qualities})
    for colour, count in zip(COLOURS, shots, strict=False):
        of = sorted((q for q in qualities if q.shots == count), key=lambda q: -q.success_probability)
        errors = [1 - q.success_probability for q in of]
        ratio.plot(errors, [q.signal_to_noise for q in of], "o", color=colour, markersize=4, label=f"{count:,} shots")
    of = [q for q in qualities if q.shots == shots[0]]
    errors = [1 - q.success_probability for q in of]
    signal.plot(
        errors, [q.signal / q.ideal_signal for q in of], "o", color=COLOURS[0], label="length, noisy / noiseless"
    )
    signal.plot(errors, [q.cosine for q in of], "s", color=COLOURS[1], label="cosine of the angle between them")
    signal.set(ylabel="Exact gradient beside the noiseless one", title=f"{title}: length and direction")
    ratio.set(yscale="log", ylabel="Length of the gradient / its shot noise", title="Signal to noise")
    figure.suptitle(
        "Gradient in the circuit's weights, one model and minibatch; a point is a machine at a noise factor"
    )
    ratio.axhline(1, color="0.4", linewidth=1, linestyle="--")
    for axis in (signal, ratio):
        axis.set_xlabel("1 − estimated success probability")
        axis.grid(alpha=0.3, linewidth=0.6)
        axis.spines[["top", "right"]].set_visible(False)
        axis.legend(frameon=False)
    return figure


def _success_range(runs: Any) -> str:
    found = {
        round(c.success_probability, 2)
        for run in runs
        for record in run.rounds
        for c in record.clients
        if c.success_probability is not None
    }
    return f"{min(found):.2f}" if len(found) == 1 else f"{min(found):.2f} to {max(found):.2f}"


def _peak(run: RunResult) -> int:
    return max(record.peak_memory_bytes or 0 for record in run.rounds)


def _tell(trial: Trial, run: RunResult, done: int, total: int) -> None:
    seconds = sum(record.seconds for record in run.rounds)
    print(
        f"{done}/{total} {trial.scheme}, seed {trial.seed}: {settled_accuracy(run):.2%} in {duration(seconds)}",
        flush=True,
    )
