"""A ledger in all kinds of runs: it changes no bit, and verifies, also after the run was stopped at any moment."""

import os
import shutil
import sys
from dataclasses import replace

import pytest
import torch

from qiskit_fedqml import RunResult, resume_federation, run_federation
from qiskit_fedqml.backends.job import Usage
from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.federation.messages import ClientUpdate, Status
from qiskit_fedqml.federation.past_attempts import PastAttempts
from qiskit_fedqml.federation.runs.assembly import assemble
from qiskit_fedqml.federation.runs.resuming import extend_federation
from qiskit_fedqml.federation.runs.run import run_assembled
from qiskit_fedqml.ledger.chain import Chain
from qiskit_fedqml.ledger.keeper import LedgerKeeper
from qiskit_fedqml.ledger.links import parse_link
from qiskit_fedqml.ledger.overview import overview_of
from qiskit_fedqml.ledger.verifying import verify_ledger
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.writer import RunWriter
from tests.conftest import make_tiny
from tests.federation.algorithms.test_buffered import SHAPE
from tests.federation.test_attempts import SKIP, broken, drawn
from tests.federation.test_federation import same
from tests.ledger.conftest import CHANGES
from tests.stopping import Interrupt, StopAfter

BUFFERED = {**SHAPE, "federation__rounds": 5}
LATE = {"buffered": {"buffer": 2, "staleness_exponent": 0.5, "max_staleness": 1}}
SIX = {"federation__clients": 6, "federation__clients_per_round": 5}
FEDAVGM = {"method": "fedavgm"}
ALL = {"federation__clients_per_round": 4}
OPTIONS = {"noise_multiplier": 1.0, "max_norm": 1.0, "sampling_rate": 0.5}
PRIVATE = {"delta": 1e-5, "randomness": "simulated", "examples": OPTIONS}


def contents(folder):
    lines = (folder / "ledger" / "chain.jsonl").read_bytes().splitlines(keepends=True)
    return [parse_link(line).content for line in lines]


def check_fits(folder, **expected):
    found = verify_ledger(folder)
    assert found.misfit == ""
    assert {name: getattr(found, name) for name in expected} == expected


@pytest.mark.parametrize(
    "changes",
    [
        {"aggregation": {"rule": "foolsgold"}, **ALL},
        {"aggregation": {"rule": "coordinate_median", "norm_bound": 0.05, "norm_ratio": 1.01}, **ALL},
        {"federation__keep_best": "loss", "federation__rounds": 4},
        {"privacy": PRIVATE | {"epsilon": 8.0}, "aggregation": {"weights": "uniform"}, "federation__rounds": 9},
        {**BUFFERED, "federation__algorithm": LATE, "aggregation": {"server_optimizer": {"method": "fedadam"}}},
        *(
            pytest.param(changes, marks=pytest.mark.slow)
            for changes in (
                {"aggregation": {"rule": {"krum": {"byzantine": 1}}}, **SIX},
                {"aggregation": {"angles": "circular", "weights": "uniform", "server_optimizer": FEDAVGM}},
                {"federation__stop": {"patience": 1, "min_delta": 1.0}, "federation__rounds": 5},
                {**BUFFERED, "federation__algorithm": {"buffered": {"buffer": 3}}},
                {"scheduling": {"queue": {"trace": [[0, 60]]}}},
                {"federation__client_optimizer_state": "keep"},
                {"model": {"hidden": [4], "quantum": "frozen", "circuit": {"num_qubits": 2, "num_layers": 1}}},
            )
        ),
    ],
    ids=str,
)
def test_a_ledger_changes_no_bit_and_verifies(tmp_path, changes):
    result = run_federation(make_tiny(**changes, ledger=True), tmp_path / "run")
    same(result, run_federation(make_tiny(**changes)))
    check_fits(tmp_path / "run", steps=len(result.rounds), key_epochs=1, is_replayed=True, is_finished=True)


@pytest.mark.slow
def test_a_ledger_of_clients_in_other_processes(tmp_path):
    run_federation(make_tiny(**CHANGES, federation__workers=2), tmp_path / "run")
    check_fits(tmp_path / "run", steps=3)


def test_the_link_names_what_is_in_the_records(finished):
    begin, *steps, end = contents(finished)
    assert begin["aggregation"]["rule"] == "fedavg"
    for link, record in zip(steps, RunResult.load(finished).rounds, strict=True):
        (entries,) = link["attempts"]
        assert [(entry["client"], entry["share"]) for entry in entries] == [(c.id, c.share) for c in record.clients]
        assert [entry["weight"] for entry in entries] == [c.examples for c in record.clients]
    keys = [entry["client"] for link in steps for entry in link["attempts"][0] if "key" in entry]
    assert sorted(keys) == sorted(set(keys)) == [0, 1, 2, 3]
    assert end == {**end, "step": 3, "model_step": 3}


def test_no_private_key_is_written(finished):
    from tests.ledger.forging import SECRET, known_keys

    private = known_keys()._of("server").private_bytes_raw()
    for path in finished.rglob("*"):
        if path.is_file():
            content = path.read_bytes()
            for secret in (SECRET, private):
                assert secret not in content
                assert secret.hex().encode() not in content


def test_digests_alone(tmp_path):
    run_federation(make_tiny(**{**CHANGES, "ledger": "digests"}), tmp_path / "run")
    check_fits(tmp_path / "run", steps=3, is_replayed=False, is_finished=True)
    assert not (tmp_path / "run" / "ledger" / "updates").exists()
    assert overview_of(tmp_path / "run").update_bytes == 0


class Spoiled:
    """An executor one of whose clients sends what is no update."""

    def __init__(self, inner, client, spoil):
        self.inner, self.client, self.spoil = inner, client, spoil

    def run(self, tasks):
        for update in self.inner.run(tasks):
            if update.client_id == self.client:
                update = replace(update, state=self.spoil(update.state))  # noqa: PLW2901
            yield update

    def stop(self):
        self.inner.stop()


def claimed(folder):
    writer = RunWriter(RunFolder(folder))
    writer.claim(overwrite=False)
    return writer


def run_with(federation, folder):
    writer = claimed(folder)
    try:
        return run_assembled(federation, writer)
    finally:
        writer.release()


def with_more(state):
    return {**state, "more": torch.full((2,), torch.nan), "half": torch.ones(2).half()}


def with_infinity(state):
    return {name: tensor / 0 for name, tensor in state.items()}


def sparse(state):
    return {name: tensor.to_sparse() for name, tensor in state.items()}


def without_numbers(state):
    return {name: tensor.to("meta") for name, tensor in state.items()}


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (with_infinity, "'head.0.weight' is not finite"),
        (sparse, "it holds tensors that cannot be written down"),
        (without_numbers, "it holds tensors that cannot be written down"),
    ],
)
def test_what_is_no_update_is_refused(tmp_path, spoil, reason):
    federation = assemble(make_tiny(ledger=True, federation__rounds=1, **ALL), None, None)
    federation.executor = Spoiled(federation.executor, 2, spoil)
    run_with(federation, tmp_path / "run")
    check_fits(tmp_path / "run", steps=1)
    (entries,) = contents(tmp_path / "run")[1]["attempts"]
    assert [entry["reason"] for entry in entries] == ["", "", reason, ""]


def test_failed_and_refused_updates_are_in_it_with_their_reasons(tmp_path):
    federation = broken(make_tiny(**SKIP, ledger=True, **ALL), 1)
    federation.executor = Spoiled(federation.executor, 2, with_more)
    run_with(federation, tmp_path / "run")
    check_fits(tmp_path / "run", steps=2)
    (entries,) = contents(tmp_path / "run")[1]["attempts"]
    assert [(entry["status"], entry["reason"], "signed" in entry) for entry in entries] == [
        ("ok", "", True),
        ("failed", "ZeroDivisionError: by zero", False),
        ("refused", "it has 'half', which the model has not", True),
        ("ok", "", True),
    ]
    assert [entry["weight"] for entry in entries][1:3] == [0.0, 0.0]


def test_repeated_attempts(tmp_path):
    seed = next(s for s in range(100) if not set(drawn(s, 1)) & set(drawn(s, 2)))
    repeat = {**SKIP, "seed": seed, "federation__min_clients": 2, "federation__on_too_few": "repeat"}
    run_with(broken(make_tiny(**repeat, federation__rounds=1, ledger=True), drawn(seed, 1)[0]), tmp_path / "run")
    check_fits(tmp_path / "run", steps=1)
    first, second = contents(tmp_path / "run")[1]["attempts"]
    assert [entry["status"] for entry in first] == ["failed", "ok"]
    assert [entry["status"] for entry in second] == ["ok", "ok"]


def test_attempts_of_which_the_journal_of_devices_keeps_no_updates(tmp_path, monkeypatch):
    def recalled(self, step):
        statuses = (Status.FAILED, Status.OK)
        return [[recalled_update(*pair) for pair in zip(drawn(5, 1), statuses)]] if step == 1 else []

    monkeypatch.setattr(PastAttempts, "of", recalled)
    repeat = {**SKIP, "federation__min_clients": 2, "federation__on_too_few": "repeat"}
    run_federation(make_tiny(**repeat, federation__rounds=1, ledger=True), tmp_path / "run")
    check_fits(tmp_path / "run", steps=1)
    first, second = contents(tmp_path / "run")[1]["attempts"]
    assert ["signed" in entry for entry in (*first, *second)] == [False, False, True, True]


def recalled_update(client, status):
    return ClientUpdate(client, "ideal", "none", 10, None, 0.0, Usage(), status, "gone" * (status is Status.FAILED))


def test_an_attempt_that_counts_cannot_be_dropped(tmp_path, monkeypatch):
    def twice(self, before, after, attempts, stepped=LedgerKeeper.stepped):
        self._attempts = self._attempts * 2
        stepped(self, before, after, [[replace(u, share=0.0) for u in attempts[0]], *attempts])

    monkeypatch.setattr(LedgerKeeper, "stepped", twice)
    run_federation(make_tiny(ledger=True, federation__clients_per_round=4), tmp_path / "run")
    misfit = "Link 1 does not fit: attempt 1 has enough updates, but does not count."
    assert verify_ledger(tmp_path / "run").misfit == misfit


def stopped_at(folder, monkeypatch, moment):
    """Run until some moment of the third round, as if the process were killed there."""
    experiment = make_tiny(**{**CHANGES, "federation__rounds": 4, "checkpoints__every": 2})
    if moment == "in a round":
        with pytest.raises(Interrupt):
            run_federation(experiment, folder, observer=StopAfter(3, 2))
        return
    of = RunWriter if moment == "after the link" else Chain
    original = of.append

    def killed(self, what):
        step = what.round if of is RunWriter else what.get("step")
        if step == 3:
            if of is Chain:  # half a line
                with self.path.open("ab") as file:
                    file.write(b'{"content":{"after')
            raise Interrupt
        original(self, what)

    with monkeypatch.context() as patch:
        patch.setattr(of, "append", killed)
        with pytest.raises(Interrupt):
            run_federation(experiment, folder)


@pytest.mark.parametrize("moment", ["in a round", "after the link", "in the link"])
def test_a_run_that_is_killed_goes_on_with_a_chain_that_fits(tmp_path, monkeypatch, moment):
    stopped_at(tmp_path / "run", monkeypatch, moment)
    before = verify_ledger(tmp_path / "run")
    assert before.misfit == ("Link 3 does not fit: its line is cut short." if moment == "in the link" else "")
    assert before.steps == (3 if moment == "after the link" else 2)
    assert not before.is_finished
    result = resume_federation(tmp_path / "run")
    check_fits(tmp_path / "run", steps=4, key_epochs=2, links=7)
    kinds = [(content["kind"], content.get("step")) for content in contents(tmp_path / "run")]
    assert kinds == [("begin", None), ("step", 1), ("step", 2), ("resume", 2), ("step", 3), ("step", 4), ("end", 4)]
    same(result, run_federation(make_tiny(**{**CHANGES, "ledger": False, "federation__rounds": 4})))


def test_a_run_that_is_killed_before_it_has_begun(tmp_path, monkeypatch):
    def killed(*_):
        raise Interrupt

    with monkeypatch.context() as patch:
        patch.setattr("qiskit_fedqml.ledger.keeper.save_start", killed)
        with pytest.raises(Interrupt):
            run_federation(make_tiny(**CHANGES), tmp_path / "run")
    resume_federation(tmp_path / "run")
    check_fits(tmp_path / "run", steps=3, key_epochs=1)


def test_a_run_that_is_killed_between_its_last_link_and_its_model(tmp_path, monkeypatch):
    def killed(*_, **__):
        raise Interrupt

    with monkeypatch.context() as patch:
        patch.setattr(RunWriter, "finish", killed)
        with pytest.raises(Interrupt):
            run_federation(make_tiny(**CHANGES), tmp_path / "run")
    resume_federation(tmp_path / "run")
    check_fits(tmp_path / "run", steps=3, key_epochs=2, is_finished=True)
    assert [content["kind"] for content in contents(tmp_path / "run")][-3:] == ["end", "resume", "end"]


@pytest.mark.parametrize("changes", [{}, {**BUFFERED, "federation__algorithm": LATE, "federation__rounds": 3}], ids=str)
def test_more_rounds(tmp_path, changes):
    folder = tmp_path / "run"
    run_federation(make_tiny(**{**CHANGES, **changes}), folder)
    noted = verify_ledger(folder).head
    extend_federation(folder, 5)
    check_fits(folder, steps=5, key_epochs=2, is_finished=True)
    assert verify_ledger(folder, noted).after_head == 4  # resume, two steps, end


def test_a_chain_that_is_damaged_or_gone_is_not_continued(tmp_path):
    folder, changes = tmp_path / "run", {**CHANGES, "federation__rounds": 4}
    with pytest.raises(Interrupt):
        run_federation(make_tiny(**changes), folder, observer=StopAfter(4, 1))
    chain = folder / "ledger" / "chain.jsonl"
    whole = chain.read_bytes()
    lines = whole.splitlines(keepends=True)
    for content, message in (
        (b"".join(lines[:2]), "has the server steps up to 1, but the run has done 3"),
        (b"", "has the server steps up to 0, but the run has done 3"),
        (b"".join([lines[0], *lines[2:]]), "is damaged: link 1 does not follow the one before it"),
        (whole.replace(b'"share"', b'"shore"', 1), "is damaged: link 2 does not follow the one before it"),
        (whole.replace(b"{", b"{ ", 1), "is damaged: its line is not what a run writes"),
    ):
        chain.write_bytes(content)
        with pytest.raises(ResultError, match=message):
            resume_federation(folder)
    shutil.rmtree(folder / "ledger")
    with pytest.raises(ResultError, match="has the server steps up to 0, but the run has done 3"):
        resume_federation(folder)


def test_a_new_run_in_the_same_folder_has_a_new_ledger(folder):
    run_federation(make_tiny(**{**CHANGES, "federation__rounds": 1}), folder, overwrite=True)
    check_fits(folder, steps=1)
    assert len(os.listdir(folder / "ledger" / "updates")) == 1
    run_federation(make_tiny(), folder, overwrite=True)
    assert overview_of(folder) is None
    assert not (folder / "ledger").exists()


def test_no_ledger_without_a_folder_or_the_library(monkeypatch, tmp_path):
    with pytest.raises(ConfigurationError, match="`ledger` writes into the result folder, but the run has none"):
        run_federation(make_tiny(ledger=True))
    with pytest.raises(ConfigurationError, match="`ledger` writes into the result folder, but the run has none"):
        run_assembled(assemble(make_tiny(ledger=True), None, None))
    monkeypatch.delitem(sys.modules, "qiskit_fedqml.ledger.keys", raising=False)
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'qiskit-fedqml\[ledger\]'"):
        run_federation(make_tiny(ledger=True), tmp_path / "run")
    assert not (tmp_path / "run").exists()


OWN = {"python": "tests.own_parts:Median"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"aggregation__rule": OWN}, "must not run code that a result folder names, such as a rule of your own"),
        ({"federation__algorithm": OWN}, "can be kept of the algorithms synchronous and buffered"),
        ({"model__device": "cuda"}, "which other computers cannot with model.device: cuda"),
        ({"ledger": "all"}, "ledger"),
    ],
)
def test_what_cannot_be_verified_is_refused(changes, message):
    with pytest.raises(ValueError, match=message):
        make_tiny(**{"ledger": True, **changes})


def test_digests_need_no_repetition():
    make_tiny(ledger="digests", aggregation__rule=OWN)
    make_tiny(ledger="digests", model__device="cuda")
    with pytest.raises(ValueError, match="can be kept of the algorithms synchronous and buffered"):
        make_tiny(ledger="digests", federation__algorithm=OWN)
