"""Drawings of machines: each qubit and coupling in its place, in the look that says what it is."""

import math
import re
from itertools import combinations

import numpy as np
import pytest
import yaml
from matplotlib.colors import to_rgba

from qiskit_fedqml import cli
from qiskit_fedqml.backends.chip import Chip, MachineMap
from qiskit_fedqml.report import drawing
from qiskit_fedqml.report.coordinates import coordinates
from qiskit_fedqml.report.device_map import map_panel
from qiskit_fedqml.report.drawing import panel_files, style
from qiskit_fedqml.report.inline import inline_svg
from tests.conftest import ROOT, TINY

LADDER = Chip(8, tuple(sorted([*((k, k + 1) for k in (0, 1, 2, 4, 5, 6)), *((k, k + 4) for k in range(4))])))
DRAWN = MachineMap("east", "fake_ladder", "2026-11-27T10:00:00", LADDER, {(0, 1): 0.9, (4, 5): 0.8}, ("3", "2-6"))


def chip(num_qubits, pairs):
    return Chip(num_qubits, tuple(sorted(pairs)))


def crossings(chip):
    """Return how many pairs of couplings without a common qubit cross."""

    def turns(p, q, r):
        return np.sign((q[0] - p[0]) * (r[1] - p[1]) - (q[1] - p[1]) * (r[0] - p[0]))

    at, found = coordinates(chip), 0
    for (a, b), (c, d) in combinations(chip.couplings, 2):
        if len({a, b, c, d}) == 4:
            p, q, r, s = at[[a, b, c, d]]
            found += turns(p, q, r) != turns(p, q, s) and turns(r, s, p) != turns(r, s, q)
    return found


def lines_of(panel, **look):
    return [line for line in panel.axis.lines if all(getattr(line, f"get_{k}")() == v for k, v in look.items())]


def test_published_coordinates_are_taken_with_rows_downwards():
    places = coordinates(Chip(3, ((0, 1), (1, 2)), ((0.0, 0.0), (1.0, 0.0), (1.0, 1.0))))
    assert places.tolist() == [[0, 0], [1, 0], [1, -1]]


@pytest.mark.parametrize(
    "drawn",
    [
        LADDER,
        chip(12, [(k, (k + 1) % 12) for k in range(12)]),  # a ring
        chip(25, [(k, k + 1) for k in range(25) if k % 5 < 4] + [(k, k + 5) for k in range(20)]),  # a square lattice
        chip(7, [(0, 1), (1, 2), (1, 3), (3, 5), (4, 5), (5, 6)]),
        chip(12, [(0, 1), (1, 2), (2, 3), (5, 6), (6, 7), (9, 10)]),  # in parts
        chip(2, []),
    ],
)
def test_places_are_planar_apart_and_the_same_each_time(drawn):
    places = coordinates(drawn)
    assert crossings(drawn) == 0
    assert min(math.dist(*pair) for pair in combinations(places, 2)) > 0.7
    lengths = [math.dist(places[a], places[b]) for a, b in drawn.couplings]
    assert not lengths or max(lengths) < 1.5
    assert np.array_equal(places, coordinates(drawn))


def test_qubits_that_are_all_coupled_form_a_circle():
    places = coordinates(chip(8, combinations(range(8), 2)))
    radii = np.linalg.norm(places - places.mean(axis=0), axis=1)
    assert np.ptp(radii) < 1e-6
    assert min(math.dist(*pair) for pair in combinations(places, 2)) > 0.7


def test_blocks_are_coloured_idle_qubits_pale_and_faulty_ones_crossed():
    panel = map_panel(DRAWN, "east")
    places = coordinates(LADDER)
    fills = {}
    for line in panel.axis.lines:
        if line.get_marker() == "o":
            for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True):
                (qubit,) = np.flatnonzero(np.linalg.norm(places - [x, y], axis=1) < 1e-9)
                fills[int(qubit)] = to_rgba(line.get_markerfacecolor())  # the topmost one
    assert fills[0] == fills[1] != fills[4] == fills[5]
    assert fills[2] == fills[6] == fills[7] == to_rgba("#f1f3f5")
    crosses = lines_of(panel, marker="x")
    assert [np.column_stack(line.get_data()).tolist() for line in crosses] == [
        [places[3].tolist()],
        [places[[2, 6]].mean(axis=0).tolist()],
    ]
    assert sum(fills[0][:3]) < sum(fills[4][:3])  # the better one is darker, also in print without colours
    assert {text.get_text() for text in panel.axis.texts} == {"0", "1", "2", "4", "5", "6", "7"}
    assert [text.get_text() for text in panel.figure.legends[0].get_texts()] == ["blocks", "idle", "left out"]


def test_marks_say_what_each_qubit_is():
    texts = [mark.text for mark in map_panel(DRAWN, "east").marks]
    assert texts[0] == "Qubit 0, block 0, 1: 90.0%"
    assert texts[2:4] == ["Qubit 2, idle", "Qubit 3, left out"]
    assert len(texts) == 8


def test_one_block_needs_no_colour_bar():
    one = MachineMap("m", "m", "", LADDER, {(0, 1): 0.9})
    assert len(map_panel(one, "m").figure.axes) == 1
    assert len(map_panel(DRAWN, "m").figure.axes) == 2
    unknown = map_panel(MachineMap("m", "m", "", LADDER, {(0, 1): None}), "m")
    assert unknown.marks[0].text == "Qubit 0, block 0, 1: success probability unknown"
    assert unknown.title == "m"


def test_drawings_hold_no_picture_of_pixels_and_follow_the_page():
    with style():
        svg = inline_svg(map_panel(DRAWN, "east"))
    assert "<image" not in svg
    assert all(own in svg for own in ("currentColor", "var(--card)", "var(--line)", "var(--soft)"))


def test_a_title_takes_no_room_from_the_chip(tmp_path, monkeypatch):
    def pitch(panel):
        panel.figure.draw_without_rendering()
        return np.diff(panel.axis.transData.transform([[0, 0], [1, 0]])[:, 0])[0]

    with style():
        panel, sizes = map_panel(DRAWN, "east"), []
        monkeypatch.setattr(drawing, "figure_files", lambda *_, **__: sizes.append(pitch(panel)))
        before = pitch(panel)
        panel_files(panel, tmp_path)
        assert sizes == [pytest.approx(before, rel=0.03)]
        assert pitch(panel) == before
    assert not panel.axis.get_title(loc="left")


def fedqml(monkeypatch, capsys, *arguments):
    monkeypatch.setattr("sys.argv", ["fedqml", "backends", *map(str, arguments)])
    with pytest.raises(SystemExit) as caught:
        cli.main()
    out, err = capsys.readouterr()
    return caught.value.code or 0, out, err


def test_command_draws_the_same_bytes_each_time(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backends.yaml").write_text("backends: {ideal: {type: aer}, n.7: {type: aer, noise: FakeNairobiV2}}")
    for folder in (".", "again"):
        code, out, err = fedqml(monkeypatch, capsys, "--map", "n.7", *(() if folder == "." else ("--out", folder)))
        assert (code, err) == (0, "")
    lines = out.splitlines()
    assert lines[0].startswith("n.7 (fake_nairobi), calibrated 20")
    assert "1 block of 4 qubits, success probability" in lines[0]
    assert lines[1:] == ["Map: again/n.7.svg, again/n.7.png"]
    for kind in ("svg", "png"):
        content = (tmp_path / f"n.7.{kind}").read_bytes()
        assert content == (tmp_path / "again" / f"n.7.{kind}").read_bytes()
        assert content[:8] == b"\x89PNG\r\n\x1a\n" if kind == "png" else b"<svg" in content


def test_command_takes_circuit_and_machines_of_an_experiment(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    machines = {"ideal": {"type": "aer"}, "n": {"type": "aer", "noise": "FakeNairobiV2", "blocks": "auto"}}
    (tmp_path / "two.yaml").write_text(yaml.safe_dump({**TINY, "backends": {"backends": machines}}))
    code, out, err = fedqml(monkeypatch, capsys, "--experiment", "two.yaml", "--map", "n")
    assert (code, err) == (0, "")
    assert "2 blocks of 2 qubits" in out


@pytest.mark.parametrize(
    ("arguments", "message", "exit_code"),
    [
        (["--map", "ideal"], "Backend 'ideal' cannot be drawn: it states no couplings", 4),
        (["--map", "ideel"], "There is no backend 'ideel'; did you mean 'ideal'", 4),
        (["--map", "ideal", "--check"], "are different things: give one of them.", 2),
        (["--out", "x"], "--out says where the files of --map go, but there is no --map.", 2),
        (["--map", "m", "--out", "taken"], "taken cannot be written", 6),
    ],
)
def test_command_refuses_in_one_sentence(arguments, message, exit_code, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "backends.yaml").write_text("backends: {ideal: {type: aer}, m: {type: aer, noise: FakeManilaV2}}")
    (tmp_path / "taken").touch()
    code, out, err = fedqml(monkeypatch, capsys, *arguments)
    assert (code, out) == (exit_code, "")
    assert message in err
    assert err.count("\n") == 1


@pytest.mark.slow
def test_the_documents_picture_of_fez_is_the_commands(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "b.yaml").write_text(
        "backends: {ideal: {type: aer}, fez: {type: ibm, device: FakeFez, shots: 512, blocks: auto}}"
    )
    code, out, _ = fedqml(monkeypatch, capsys, "--backends", "b.yaml", "--map", "fez")
    assert code == 0
    assert "26 blocks of 4 qubits" in out
    picture = (ROOT / "docs" / "images" / "fez_blocks.svg").read_text(encoding="utf-8")
    assert len(picture) < 150_000
    of_picture, of_command = (
        set(re.findall(r"#[0-9a-f]{6}\b", text)) for text in (picture, (tmp_path / "fez.svg").read_text("utf-8"))
    )
    assert of_picture == of_command
    assert len(of_picture) > 20  # blocks have the colours of their success probabilities
