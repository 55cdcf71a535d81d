"""What a ledger finds: each change of what lies in a result folder, by people who have no keys, some, or all."""

import json
import os
import re

import numpy as np
import pytest

from qiskit_fedqml import RunResult
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.ledger.figures import digest_of_figures
from qiskit_fedqml.ledger.verifying import verify_ledger
from tests.ledger.forging import Forger, known_keys, other_keys


def change_weight(forger):
    entry = forger.entry(2)
    entry["weight"], entry["share"] = 1, 0.1


def drop_client(forger):
    del forger.content(2)["attempts"][0][1]


def lose_client(forger):
    entry = forger.entry(2)
    for name in ("signed", "signature", "at"):
        del entry[name]
    entry |= {"status": "failed", "reason": "it was lost", "weight": 0.0, "share": 0.0}


def reorder(forger):
    forger.links[2], forger.links[3] = forger.links[3], forger.links[2]


def reorder_well(forger):
    """Exchange two rounds, as if each had been the other one."""
    reorder(forger)
    one, other = forger.content(2), forger.content(3)
    one["step"], other["step"] = 2, 3
    one["before"], other["before"] = other["before"], one["before"]


def change_update(forger):
    forger.change_update(2, forger.entry(2))


def change_rule(forger):
    forger.content(0)["aggregation"]["rule"] = "coordinate_median"
    forger.content(0)["configuration"] = forger.change_configuration(
        lambda values: values["aggregation"].update(rule="coordinate_median")
    )


def change_aggregate(forger):
    forger.content(2)["after"] = forger.content(3)["before"] = forger.content(1)["after"]


def change_memory(forger):
    forger.content(2)["optimizer"] = forger.content(1)["optimizer"]


def change_examples(forger):
    forger.entry(2)["signed"]["examples"] = 10**6


def change_first_model(forger):
    forger.content(0)["model"] = forger.content(1)["after"]


def put_other_key(forger):
    entry = forger.entry(1)
    entry["key"] = other_keys().public_key(f"client {entry['client']}")


def forge_signature(forger):
    entry = forger.entry(1)
    entry["signature"] = f"{'0' * 64}{entry['signature'][64:]}"


def put_signature_of_another_round(forger):
    one, other = forger.entry(2), forger.entry(1)
    one |= {name: other[name] for name in ("signed", "signature", "at")}


def change_run(forger):
    forger.content(0)["run_id"] = "0" * 32


SERVER = "the server's signature is not that of what it says"
CLIENT = "the signature of client . is not that of what it says"
RULE = "the global model after it is not what the rule gives of the stored updates"
CHANGES = [
    # what is changed; which link does not fit; why for a server that lies; and why where clients lie with it
    (change_weight, 2, "the share of client 0 is 0.1, not 0.3", "the share of client 0 is 0.1"),
    (drop_client, 2, r"its clients are \[0, 3\], but the run's seed draws \[0, 1, 3\]", "its clients are"),
    (lose_client, 2, "the share of client 1 is 0.3333333333333333, not 0.5", "the share of client 1"),
    (reorder_well, 2, "its clients are|it does not begin at the model", "its clients are|it does not begin at"),
    (change_update, 2, CLIENT, RULE),
    (change_aggregate, 2, RULE, RULE),
    (change_memory, 2, "the server optimiser after it remembers something else", "the server optimiser after it"),
    (change_examples, 2, CLIENT, "the share of client 0 is 0.3"),
    (put_signature_of_another_round, 2, "client 0 has signed its update for step 1|what client", "client|what"),
    (change_first_model, 0, "start.safetensors is not the model with which", "start.safetensors is not the model"),
    (change_run, 0, "it is of another run", "it is of another run"),
    (put_other_key, 1, CLIENT, ""),
    (forge_signature, 1, CLIENT, ""),
    (change_rule, 0, "", ""),
]
IDS = [change.__name__ for change, *_ in CHANGES]


def tampered(folder, change, server, clients, *, hashes=True):
    forger = Forger(folder, server, clients)
    change(forger)
    forger.write(hashes=hashes)
    return verify_ledger(folder).misfit


def test_an_honest_run_fits(finished):
    found = verify_ledger(finished)
    assert found.misfit == ""
    assert (found.links, found.steps, found.key_epochs) == (5, 3, 1)
    assert found.is_replayed
    assert found.is_finished
    assert verify_ledger(finished, found.head).after_head == 0
    assert found.head == Forger(finished).links[-1].digest


@pytest.mark.parametrize("hashes", [False, True], ids=["plain", "hashes_put_right"])
@pytest.mark.parametrize(("change", "link"), [(change, link) for change, link, *_ in CHANGES], ids=IDS)
def test_changes_by_somebody_without_keys(folder, change, link, hashes):
    reason = "it says that it is link 3" if change is reorder_well and not hashes else SERVER
    assert tampered(folder, change, None, None, hashes=hashes) == f"Link {link} does not fit: {reason}."


@pytest.mark.parametrize(
    ("change", "link", "why"), [(c, link, why) for c, link, why, _ in CHANGES if why], ids=IDS[:-1]
)
def test_lies_of_a_server(folder, change, link, why):
    assert re.fullmatch(f"Link {link} does not fit: ({why}).*\\.", tampered(folder, change, known_keys(), None))


@pytest.mark.parametrize(
    ("change", "link", "why"), [(c, link, why) for c, link, _, why in CHANGES if why], ids=IDS[:-3]
)
def test_lies_of_a_server_and_its_clients(folder, change, link, why):
    keys = known_keys()
    assert re.fullmatch(f"Link {link} does not fit: ({why}).*\\.", tampered(folder, change, keys, keys))


def test_another_rule_gives_another_model(folder):
    keys = known_keys()
    assert tampered(folder, change_rule, keys, None).startswith("Link 1 does not fit: the signature of client")
    assert tampered(folder, change_rule, keys, keys) == f"Link 1 does not fit: {RULE}."


def test_a_rule_that_only_the_configuration_names(folder):
    Forger(folder).change_configuration(lambda values: values["aggregation"].update(rule="coordinate_median"))
    assert verify_ledger(folder).misfit == "Link 0 does not fit: its aggregation is not that of config.yaml."


def test_another_configuration(folder):
    Forger(folder).change_configuration(lambda values: values["federation"].update(learning_rate=0.5))
    assert verify_ledger(folder).misfit == "Link 0 does not fit: config.yaml is not the one that it names."


def test_another_key_of_the_server_does_not_go_with_the_clients_signatures(folder):
    assert re.fullmatch(f"Link 1 does not fit: {CLIENT}.", tampered(folder, lambda _: None, other_keys(), None))


def test_a_chain_made_again_with_other_keys_is_found_by_a_noted_head_alone(folder):
    noted = verify_ledger(folder).head
    assert tampered(folder, lambda _: None, other_keys(), other_keys()) == ""
    assert verify_ledger(folder, noted).misfit == (
        f"No link is {noted}: the chain was cut, or another was made, since that was noted."
    )


def test_stored_updates_are_those_that_were_signed(folder):
    Forger(folder).change_update(2, Forger(folder).entry(2, 1))
    path = folder / "ledger" / "updates"
    changed = "the stored update of client 1 is not the one that it has signed"
    assert verify_ledger(folder).misfit == f"Link 2 does not fit: {changed}."
    os.truncate(path / "step-000001.bin", 3000)
    assert verify_ledger(folder).misfit.startswith("Link 1 does not fit: the stored update of client 2 cannot be read")
    (path / "step-000001.bin").unlink()
    assert verify_ledger(folder).misfit.startswith(f"Link 1 does not fit: {path / 'step-000001.bin'}: cannot be read")
    (folder / "ledger" / "start.safetensors").unlink()
    assert verify_ledger(folder).misfit.startswith(f"Link 0 does not fit: {folder / 'ledger' / 'start.safetensors'}")


def test_lines_in_another_order(folder):
    forger = Forger(folder)
    reorder(forger)
    forger.write(hashes=False)
    assert verify_ledger(folder).misfit == "Link 2 does not fit: it says that it is link 3."


def test_a_tail_that_is_cut(folder):
    whole = verify_ledger(folder)
    lines = (path := folder / "ledger" / "chain.jsonl").read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines)[:-1])
    assert verify_ledger(folder).misfit == "Link 4 does not fit: its line is cut short."
    path.write_bytes(b"".join(lines[:-1]))
    assert verify_ledger(folder).misfit == "Link 4 is missing: the run is finished, but the chain has not ended."
    path.write_bytes(b"".join(lines[:3]))
    ends = "the chain ends after server step 2, but rounds.jsonl has 3"
    assert verify_ledger(folder).misfit == f"Link 3 is missing: {ends}."
    Forger(folder).change_records(lambda lines: lines[:2])
    assert verify_ledger(folder).misfit == "Link 3 is missing: the run is finished, but the chain has not ended."
    Forger(folder).change_manifest(files=lambda files: {k: v for k, v in files.items() if k != "model.safetensors"})
    assert verify_ledger(folder).misfit == ""  # as an unfinished run, whose end nobody has noted
    assert verify_ledger(folder, whole.head).misfit.startswith(f"No link is {whole.head}: the chain was cut")
    path.write_bytes(b"")
    assert verify_ledger(folder).misfit == "Link 0 is missing: the chain is empty, but rounds.jsonl has 2."
    path.unlink()
    with pytest.raises(ResultError, match="has no ledger"):
        verify_ledger(folder)


@pytest.mark.parametrize("tensor", ["quantum.weight", "scaling.mean"])
def test_another_model(folder, tensor):
    Forger(folder).change_model(tensor)
    assert verify_ledger(folder).misfit == "Link 4 does not fit: model.safetensors is not the model that it leads to."


def test_an_end_that_comes_too_early(folder):
    forger = Forger(folder, known_keys(), known_keys())
    records = RunResult.load(folder).rounds[:2]
    forger.change_records(lambda lines: lines[:2])
    del forger.links[3]
    forger.content(3)["step"] = forger.content(3)["model_step"] = 2
    forger.content(3)["figures"] = digest_of_figures(records)
    forger.write()
    assert verify_ledger(folder).misfit == "Link 3 does not fit: it ends the run after 2 rounds, too early."


def test_the_model_of_another_round(folder):
    forger = Forger(folder, known_keys(), known_keys())
    forger.content(4)["model_step"] = 2
    forger.write()
    assert verify_ledger(folder).misfit == "Link 4 does not fit: the final model is that of round 3."


def test_other_figures(folder):
    def better(lines):
        values = json.loads(lines[2])
        return [*lines[:2], json.dumps({**values, "test_accuracy": 1.0}, separators=(",", ":")).encode() + b"\n"]

    Forger(folder).change_records(better)
    assert verify_ledger(folder).misfit == (
        "Link 4 does not fit: the figures of rounds.jsonl are not those of the run."
    )


def test_records_of_other_clients(folder):
    Forger(folder).change_records(lambda lines: [lines[0], lines[1].replace(b"ideal", b"other"), lines[2]])
    assert verify_ledger(folder).misfit == "Link 2 does not fit: rounds.jsonl says something else of client 0."


@pytest.mark.parametrize(
    ("line", "why"),
    [
        (b"[]\n", "its line is not what a run writes"),
        (b"{}\n", "its line is not what a run writes"),
        (b"[" * 5000 + b"\n", "its line is not what a run writes"),
        (b'{"content":{},"index":0,"previous":"","signature":""}\n', "it lacks 'kind'"),
        (b'{"content":{"kind":"step"},"index":0,"previous":"","signature":""}\n', "it is of the kind 'step'"),
        (b'{"content":{"kind":"begin"},"index":0,"previous":"","signature":""}\n', "it lacks 'key'"),
        (b'{"content":{"key":1,"kind":"begin"},"index":0,"previous":"","signature":""}\n', "fromhex"),
        (b'{"content":{"key":"zz","kind":"begin"},"index":0,"previous":"","signature":""}\n', SERVER),
    ],
)
def test_what_is_no_link(folder, line, why):
    (folder / "ledger" / "chain.jsonl").write_bytes(line)
    assert re.match(rf"Link 0 does not fit: .*{why}", verify_ledger(folder).misfit)


def test_any_other_byte_of_the_chain_is_found(folder):
    path, rng = folder / "ledger" / "chain.jsonl", np.random.default_rng(0)
    whole = path.read_bytes()
    ends = np.cumsum([len(line) for line in whole.splitlines(keepends=True)])
    for position in rng.integers(len(whole), size=25):
        changed = bytearray(whole)
        changed[position] ^= 1 << int(rng.integers(7))
        path.write_bytes(changed)
        assert verify_ledger(folder).misfit.startswith(f"Link {np.searchsorted(ends, position, 'right')} does not fit")


def test_a_step_that_other_instructions_may_round_differently(folder, monkeypatch):
    monkeypatch.setattr("qiskit_fedqml.ledger.environment.torch.backends.cpu.get_cpu_capability", lambda: "ABACUS")
    assert verify_ledger(folder).misfit == ""
    keys = known_keys()
    assert re.fullmatch(
        rf"Link 2 does not fit: {RULE} \(the run had \w+ instructions, but it is repeated with ABACUS instructions, "
        r"which may be why\)\.",
        tampered(folder, change_aggregate, keys, None),
    )


def test_a_head_is_a_digest(folder):
    with pytest.raises(ConfigurationError, match="A head must be 64 hexadecimal digits"):
        verify_ledger(folder, "abc")
