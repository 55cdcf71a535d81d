"""`fedqml ledger`: what it prints, and with which code it ends."""

import json
import re
import sys

import pytest

from qiskit_fedqml.cli import main
from qiskit_fedqml.ledger.overview import overview_of
from qiskit_fedqml.ledger.verifying import verify_ledger
from tests.ledger.forging import Forger


def fedqml(monkeypatch, capsys, *arguments):
    monkeypatch.setattr(sys, "argv", ["fedqml", *map(str, arguments)])
    try:
        main()
        code = 0
    except SystemExit as end:
        code = end.code or 0
    out, err = capsys.readouterr()
    return code, out, err


def test_a_ledger_that_fits(finished, monkeypatch, capsys):
    head = overview_of(finished).head
    code, out, _ = fedqml(monkeypatch, capsys, "ledger", "verify", finished, "--head", head)
    assert code == 0
    fits = "All 5 links fit (3 server steps): each global model is what its rule gives of the stored updates."
    assert out.splitlines() == [fits, f"Head: {head}"]
    code, out, _ = fedqml(monkeypatch, capsys, "ledger", "verify", finished, "--json", "-")
    assert json.loads(out) == {**json.loads(out), "folder": str(finished), "misfit": "", "links": 5, "head": head}


def test_a_ledger_that_does_not(folder, monkeypatch, capsys):
    forger = Forger(folder)
    forger.entry(3)["share"] = 1.0
    forger.write()
    code, out, _ = fedqml(monkeypatch, capsys, "ledger", "verify", folder)
    assert code == 1
    assert out == "Link 3 does not fit: the server's signature is not that of what it says.\n"


def test_a_ledger_is_shown(finished, monkeypatch, capsys):
    code, out, _ = fedqml(monkeypatch, capsys, "ledger", "show", finished)
    assert code == 0
    shown = dict(re.findall(r"^\| (.+?) +\| (.+?) +\|$", out, re.MULTILINE))
    assert shown["Head"] == verify_ledger(finished).head
    assert (shown["Links"], shown["Server steps"], shown["Clients that have signed"]) == ("5", "3", "4")
    assert shown["Server's key 1"] == Forger(finished).links[0].content["key"]


@pytest.mark.parametrize("what", ["verify", "show"])
def test_a_folder_without_a_ledger(tmp_path, monkeypatch, capsys, what):
    code, _, err = fedqml(monkeypatch, capsys, "ledger", what, tmp_path)
    assert code == 6
    assert len(err.splitlines()) == 1


def test_a_report_shows_the_head(finished, tmp_path, monkeypatch, capsys):
    assert fedqml(monkeypatch, capsys, "report", finished, "--out", tmp_path / "report")[0] == 0
    assert f"5 links, head {overview_of(finished).head}" in (tmp_path / "report" / "report.html").read_text()
