"""Every script under experiments/ is run at its smallest size, and says and writes what it should.

Continuous integration chooses these runs by `-m script`, with the extra `benchmark` installed. A new script needs a
check here: what it must print, and what it must write.
"""

import csv
import json
import os
import re
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest

from tests.conftest import ROOT

SCRIPTS = sorted(path.stem for path in (ROOT / "experiments").glob("*.py"))


def lines_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def drawn(folder, *names):
    return all((folder / f"{name}.{kind}").stat().st_size > 10_000 for name in names for kind in ("png", "svg"))


def asynchronous_study(printed, out):
    with (out / "table.csv").open() as table:
        hours = {line["Training"]: float(line["Hours in all"].split()[0]) for line in csv.DictReader(table)}
    assert hours["Buffered, K = 2"] < 0.5 * hours["Synchronous, 8 a round"] < hours["Synchronous, 2 a round"]
    assert len(hours) == 5
    assert "gave the same bits" in " ".join(printed.split())
    assert drawn(out, "losses")


def attacks(printed, out):
    with (out / "table.csv").open() as table:
        found = {(line["attack"], line["defence"]): line for line in csv.DictReader(table)}
    accuracy = {key: float(line["accuracy_percent"] or "nan") for key, line in found.items()}
    assert len(found) == 5 * 3
    assert accuracy["scaled", "fedavg"] < accuracy["none", "fedavg"] - 20
    assert accuracy["scaled", "krum"] > accuracy["none", "fedavg"] - 10
    assert found["not_finite", "krum"]["accuracy_percent"] == ""
    assert "| update NaN" in printed
    assert " stops " in printed
    assert float(found["boosted_backdoor", "fedavg"]["success_percent"]) > 50
    assert drawn(out, "attacks")


def benchmark_flower(printed, out):
    found = {line["way"]: line["turns"] for line in lines_of(out / "flower.jsonl")}
    assert "this package" in found
    assert ("Flower, PennyLane default.qubit, backprop" in found) == ("is left out" not in printed)
    for turns in found.values():
        assert all(turn["seconds"] > sum(turn["rounds"]) > 0 and len(turn["rounds"]) == 2 for turn in turns)
        assert all(abs(turn["test_loss"] - found["this package"][0]["test_loss"]) < 0.3 for turn in turns)


def benchmark_head(printed, out):
    assert "times as fast by oneDNN" in printed
    (line,) = lines_of(out / "head.jsonl")
    assert line["ratio"] == pytest.approx(sum(line["ms"]["torch"]) / sum(line["ms"]["oneDNN"]))
    assert all(part > 0 for times in line["ms"].values() for part in times)


def benchmark_many_clients(printed, out):
    trained = lines_of(out / "trainings.jsonl")
    assert {"one after another, one process", "one after another, two processes"} <= {line["way"] for line in trained}
    assert {line["trainings"] for line in trained} == {12}
    losses = defaultdict(set)
    for line in trained:
        losses[line["way"].split(",")[0]].add(line["test_loss"])
    assert all(len(found) == 1 for found in losses.values()), "processes change no number"
    with (out / "growth.csv").open() as table:
        grown = [(line["clients"], line["clients_per_round"]) for line in csv.DictReader(table)]
    assert grown == [("10", "5"), ("100", "5"), ("100", "20")]
    assert drawn(out, "growth")


def benchmark_private_step(printed, out):
    lines = lines_of(out / "private_step.jsonl")
    assert [line["model"] for line in lines] == ["digits"] * 3 + ["planes_vs_cars_256"] * 3
    assert all(len(line["turns_ms"]) == 3 for line in lines)
    assert all(line["times_plain"] > 1 for line in lines if line["step"] != "plain")


def benchmark_round(printed, out):
    small, large = lines_of(out / "round.jsonl")
    assert (small["parameters"], large["parameters"]) == (10_033, 34_528)
    for line in (small, large):
        times = line["median_ms"]
        assert times["bare average of 5 models"] < times["the server alone"] < times["with the clients' handling"]
    assert "Times the bare average" in printed


def benchmark_scaling(printed, out):
    shifted = defaultdict(set)
    for row in lines_of(out / "scaling.jsonl"):
        assert row["seconds"] > 0
        shifted[row["kind"], row["qubits"], row["layers"]].add(row["shifted"])
    assert all(len(counts) == 1 for counts in shifted.values()), "the sweeps and Aer shift the same angles"
    assert drawn(out, "layers", "qubits")


def benchmark_startup(printed, out):
    assert "whole process" in printed
    assert "training step, noise, 1,024 shots" in printed


def benchmark_workers(printed, out):
    assert "a round of digits" in printed
    assert "Bits: equal in 2 studies and 2 runs." in printed
    one, two = lines_of(out / "workers.jsonl")
    assert (one.pop("workers"), two.pop("workers")) == (1, 2)
    assert one.keys() == two.keys()
    assert all(seconds > 0 for seconds in (*one.values(), *two.values()))


def benchmark_training_step(printed, out):
    assert printed.count("results agree") == 5
    rows = lines_of(out / "training_step.jsonl")
    names = {row["name"] for row in rows}
    apart = "MindQuantum, adjoint, double precision"
    assert (apart in names) == ("Left out" not in printed), "the extra `benchmark` must be installed"
    assert names - {apart} == {
        "this package, sweeps",
        "this package, sweeps, exact",
        "this package, sweeps, double precision",
        "this package, Aer",
        "this package's network, Aer's EstimatorV2",
        "stock EstimatorQNN, Aer's EstimatorV2",
        "PennyLane default.qubit, backprop",
        "PennyLane lightning.qubit, adjoint",
        "PennyLane default.mixed, backprop",
        "PennyLane, JAX, single precision",
        "PennyLane default.mixed, JAX, single precision",
        "tensorcircuit-ng, JAX, single precision",
    }
    assert all(row["median_ms"] > 0 for row in rows)
    assert drawn(out, "training_step")


def compare_aggregation(printed, out):
    text = (out / "digits" / "results.md").read_text()
    assert text.count("| Circular mean of angles") == 2
    assert text.count("Noise-aware") == 3
    assert drawn(out / "digits", "differences")


def compare_circuits(printed, out):
    folder = out / "digits_8_9_on_4_qubits"
    with (folder / "table.csv").open() as table:
        circuits = [line["Circuit"] for line in csv.DictReader(table)]
    assert circuits == ["paper", "reuploading", "qcnn", "tree", "classical"]
    assert "Two-qubit gates" in printed
    assert drawn(folder, "circuits")


def compare_mitigation(printed, out):
    with (out / "slopes.csv").open() as table:
        slopes = {(line["device"], line["method"]): float(line["slope"]) for line in csv.DictReader(table)}
    assert len(slopes) == 2 * 6
    for device in ("FakeManilaV2", "FakeQuitoV2"):
        assert slopes[device, "none"] < slopes[device, "readout"] < slopes[device, "readout, exponential"]
    assert "| executions, in those without mitigation | 1 " in printed
    assert drawn(out, "slopes")


def crosstalk_study(printed, out):
    (rounding,) = re.findall(r"Without crosstalk blocks together differ by (\S+) from each block alone", printed)
    assert float(rounding) < 1e-12, "simulating block by block is exact where there is no crosstalk"
    with (out / "errors.csv").open() as table:
        errors = {line["case"]: line for line in csv.DictReader(table)}
    adjacent, apart = errors["separation 0"], errors["separation 1"]
    assert 0 < float(apart["values_rms"]) < 0.3 * float(adjacent["values_rms"])
    assert 0 < float(apart["gradients_rms"]) < 0.3 * float(adjacent["gradients_rms"])
    assert {line["kilohertz"] for line in errors.values()} == {"100.0", ""}
    assert (out / "results.md").read_text() in printed
    assert drawn(out, "crosstalk")


def fuzz(printed, out):
    assert "| all " in printed


def gossip_study(printed, out):
    with (out / "table.csv").open() as table:
        rows = {line["Training"]: line for line in csv.DictReader(table)}
    sent = {name: int(line["Models sent a round"]) for name, line in rows.items()}
    assert sent.pop("Ring of 4, nodes leave") < sent["Ring of 4"]
    assert sent == {"FedAvg, 4 clients": 8, "Ring of 4": 8, "FedAvg, 9 clients": 18, "Torus of 9": 36}
    assert all((line["Consensus distance"] != "") == ("FedAvg" not in name) for name, line in rows.items())
    assert (out / "results.md").read_text() in printed
    with (out / "nodes.csv").open() as lines:
        assert len(list(csv.DictReader(lines))) == 3 * 2 * 4, "of each run without a server, seed and round"
    assert drawn(out, "gossip")


def interrupt_runs(printed, out):
    assert "Runs that differ from the reference: none" in printed


def noise_study(printed, out):
    folder = out / "digits"
    assert drawn(folder, "gaps", "curves", "clients", "gradients")
    assert all((folder / name).stat().st_size > 100 for name in ("table.csv", "clients.csv", "rounds.csv"))
    text = (folder / "results.md").read_text()
    assert "Uniform array, rates × 2" in text
    with (folder / "table.csv").open() as table:
        taken = {line["Scheme"]: float(line["Executions (millions)"]) for line in csv.DictReader(table)}
    assert taken["Skewed array, readout mitigated"] == taken["Skewed array"] > taken["Noiseless"]
    assert re.search(r"\d \(\S+ to \S+\)", text), "two seeds are shown by their range"
    assert "±" not in text
    assert "range of 2 seeds" in text


def noisy_vs_noiseless(printed, out):
    assert all(name in printed for name in ("Federated, no noise", "Federated, noisy array", "Not federated, no noise"))
    assert "(too few seeds)" in printed
    assert "±" not in printed, "two seeds show their range"
    assert drawn(out, "curves")


def open_plan(printed, out):
    with (out / "table.csv").open() as table:
        seconds = {line["Recipe"]: float(line["QPU seconds"]) for line in csv.DictReader(table)}
    tested, tuned, mixed, packed = sorted(seconds, key=seconds.get)
    assert tested == "Trained in simulation", "only its test is sent to the device"
    assert (tuned, mixed) == ("Trained in simulation, then on the device", "A fifth on the device")
    assert packed == "All on one device"
    assert "rehearsed on FakeGuadalupeV2" in printed


def privacy_attacks(printed, out):
    with (out / "pictures.csv").open() as table:
        decibels = {(line["Client's step"], line["Differential privacy"]): line for line in csv.DictReader(table)}
    one = decibels["1 image", "none"]
    assert float(one["PSNR (dB)"]) > 50 > 20 > float(one["PSNR (dB) of the mean digit"])
    if private := decibels.get(("1 image", "examples")):
        assert float(private["PSNR (dB)"]) < float(private["PSNR (dB) of the mean digit"])
    with (out / "members.csv").open() as table:
        members = [line for line in csv.DictReader(table) if line["Differential privacy"] == "none"]
    assert [line["Model"] for line in members] == ["layer and circuit", "layers alone"]
    assert all(0 < float(line["AUC, loss"].split()[0]) < 1 for line in members)
    assert drawn(out, "pictures", "members")


def privacy_audit(printed, out):
    lines = lines_of(out / "audit.jsonl")
    assert [line["run"] for line in lines] == ["no noise", "ε = 8", "ε = 3", "ε = 1"]
    assert all(line["epsilon"] is None or line["bound"] <= line["epsilon"] for line in lines)
    assert lines[0]["auc"] > lines[-1]["auc"], "noise hides who was trained on"
    assert "above the accountant's ε: 0 of 4" in printed


def privacy_study(printed, out):
    with (out / "table.csv").open() as table:
        spent = {line["Training"]: line["ε spent"] for line in csv.DictReader(table)}
    assert all(float(spent[f"ε = {most}"]) <= most for most in (1, 3, 8))
    assert len(spent) == 5
    assert drawn(out, "privacy")


def qpu_time_study(printed, out):
    with (out / "table.csv").open() as table:
        seconds = {line["Training"]: line["QPU seconds"] for line in csv.DictReader(table)}
    assert seconds.pop("Noiseless") == ""
    packed, spsa, one = (float(seconds[f"{way}, 64 shots"]) for way in ("Packed", "Packed, SPSA", "One copy"))
    assert spsa < float(seconds["Packed, 16 shots"]) < packed < one
    assert len(seconds) == 7
    assert drawn(out, "qpu_time")


def reproduce_paper(printed, out):
    if not (Path(os.environ.get("FEDQML_DATA", "")) / "data" / "planes_vs_cars.npz").exists():
        assert "left out" in printed
        return
    folder = out / "planes_vs_cars_256"
    assert drawn(folder, "curves", "examples")
    assert all((folder / name).stat().st_size > 100 for name in ("table.csv", "rounds.csv", "runs.jsonl"))
    text = (folder / "results.md").read_text()
    assert "one seed: no interval" in text
    assert "Hidden widths 4;" in text


def same_bits(printed, out):
    assert printed.count(" records ") + printed.count("left out") == 8


def sensitivity(printed, out):
    with (out / "ratios.csv").open() as table:
        lines = list(csv.DictReader(table))
    assert len(lines) == 60
    assert max(float(line["ratio"]) for line in lines) <= 1
    assert "| all " in printed


CHECKS = {
    check.__name__: check
    for check in (
        *(asynchronous_study, attacks),
        *(benchmark_flower, benchmark_head, benchmark_many_clients, benchmark_private_step),
        *(benchmark_round, benchmark_scaling, benchmark_startup, benchmark_training_step, benchmark_workers),
        *(compare_aggregation, compare_circuits, compare_mitigation, crosstalk_study, fuzz, gossip_study),
        *(interrupt_runs, noise_study, noisy_vs_noiseless, open_plan, privacy_attacks, privacy_audit, privacy_study),
        *(qpu_time_study, reproduce_paper, same_bits, sensitivity),
    )
}


def test_every_script_has_a_check_and_continuous_integration_runs_them():
    assert list(CHECKS) == SCRIPTS
    assert "pytest -m script" in (ROOT / ".ci" / "run").read_text(encoding="utf-8")


@pytest.mark.script
@pytest.mark.parametrize("name", SCRIPTS)
def test_script_at_its_smallest_size(name, tmp_path):
    command = [sys.executable, str(ROOT / "experiments" / f"{name}.py"), "--smallest"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=tmp_path)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    CHECKS[name](done.stdout, tmp_path / "results" / "smallest" / name)
