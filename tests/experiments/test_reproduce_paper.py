import re
import shutil
import sys

import pytest

from tests.conftest import ROOT


@pytest.mark.slow
def test_whole_reproduction_in_small_and_restarted(script, tmp_path, monkeypatch):
    shutil.copy(ROOT / "experiments" / "digits.yaml", tmp_path / "planes_vs_cars_small.yaml")
    small = ["federation.rounds=2", "federation.clients=10", "data.test_fraction=0.7", "data.classes=[0,1]"]
    settings = [a for s in small for a in ("--set", s)]
    out = tmp_path / "out"
    without = ["--without", "Federated, E = 2", "Federated, E = 4"]
    arguments = [str(tmp_path / "planes_vs_cars_small.yaml"), "--out", str(out), *without, *settings]
    monkeypatch.setattr(sys, "argv", ["", *arguments])
    script.main()
    folder = out / "planes_vs_cars_small"
    for name in ("curves.png", "curves.svg", "examples.png", "table.csv", "rounds.csv", "runs.jsonl"):
        assert (folder / name).stat().st_size > 100
    text = (folder / "results.md").read_text()
    assert "one seed: no interval" in text
    assert "Hidden widths 16" in text
    rounds = {path: path.stat().st_mtime_ns for path in folder.rglob("rounds.jsonl")}
    monkeypatch.setattr(sys, "argv", ["", *arguments, "--seeds", "2"])
    script.main()
    assert all(path.stat().st_mtime_ns == time for path, time in rounds.items())
    assert re.search(r"\d \(\S+ and \S+\)", (folder / "results.md").read_text())  # two seeds
