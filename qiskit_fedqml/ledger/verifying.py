"""Whether a ledger proves its run: link by link, up to the first that does not fit."""

from dataclasses import dataclass
from pathlib import Path

from qiskit_fedqml.errors import ConfigurationError, ResultError
from qiskit_fedqml.ledger.digests import digest_of_state, load_start
from qiskit_fedqml.ledger.environment import Threads, difference_from
from qiskit_fedqml.ledger.keeper import FORMAT
from qiskit_fedqml.ledger.keys import is_signed
from qiskit_fedqml.ledger.links import FOLDER, START, Link, digest_of_value, parse_link, read_links
from qiskit_fedqml.ledger.replay import Replay
from qiskit_fedqml.ledger.result_check import check_result
from qiskit_fedqml.ledger.step_check import MisfitError, ReplayError, StepCheck
from qiskit_fedqml.ledger.update_files import UpdateFiles
from qiskit_fedqml.results.folder import RunFolder
from qiskit_fedqml.results.result import RunResult


@dataclass(frozen=True)
class Verified:
    """What came of a verification.

    Args:
        misfit: The first link that does not fit, and why, in one sentence; empty where all fit.
        links: Links that fit.
        steps: Server steps of these.
        key_epochs: How often keys began: once, and whenever the run was resumed.
        head: The digest of the last of these links.
        is_replayed: Whether the server's steps were repeated from the stored updates.
        is_finished: Whether the run has its final model.
        after_head: Links after the one that was asked for; None where none was.
    """

    misfit: str
    links: int
    steps: int
    key_epochs: int
    head: str
    is_replayed: bool
    is_finished: bool
    after_head: int | None = None


def verify_ledger(folder: str | Path, head: str | None = None) -> Verified:
    """Verify the ledger in a result folder.

    Each link must name the one before it and be signed by the server, each update by its client. Where updates are
    kept, each step is repeated from them, and must give the models that its link names, to the bit; the last one must
    be the folder's. Records and configuration must be those of the links.

    Args:
        folder: The result folder.
        head: The digest of a link that was noted before, such as the last one at the end of the run; None asks for
            none. A chain that was cut before that link, or made again with other keys, does not have it.

    Returns:
        What fits, and the first link that does not.

    Raises:
        ConfigurationError: ``head`` is no digest, or the extra ``ledger`` is not installed.
        ResultError: It is no result folder, has no ledger, or its configuration or records are damaged.
    """
    if head is not None and (len(head) != 64 or set(head) - set("0123456789abcdef")):
        raise ConfigurationError(f"A head must be 64 hexadecimal digits, but has {len(head)} characters.")
    run = RunFolder(Path(folder))
    walk = _Walk(run)
    misfit = ""
    with Threads() as threads:
        walk.threads = threads
        try:
            walk.all_links(head)
        except MisfitError as error:
            misfit = str(error)
    return walk.verified(misfit, head)


class _Walk:
    """Goes through the links of a run, and knows what the next one must fit to."""

    threads: Threads

    def __init__(self, run: RunFolder) -> None:
        self._run, self._path = run, run.path / FOLDER
        self._manifest = run.proven_manifest()
        self._experiment, _, self._records = run.read()
        self._links, self._epochs, self._last = 0, 0, Link(-1, "", {})
        self._model_digests: list[str] = []
        self._after_head: int | None = None
        self._is_replayed = False

    def verified(self, misfit: str, head: str | None) -> Verified:
        """Return what was found."""
        steps = max(0, len(self._model_digests) - 1)
        after = self._after_head if head else None
        digest = self._last.digest if self._links else ""
        finished = self._run.is_finished
        return Verified(misfit, self._links, steps, self._epochs, digest, self._is_replayed, finished, after)

    def all_links(self, head: str | None) -> None:
        """Go through all links, and then look at the folder that they lead to.

        Raises:
            MisfitError: Something does not fit.
            ResultError: The chain cannot be read.
        """
        for line in read_links(self._run.path):
            try:
                self._link(line)
            except MisfitError as error:
                doubt = f" ({self._other}, which may be why)" if isinstance(error, ReplayError) and self._other else ""
                raise MisfitError(f"Link {self._links} does not fit: {error}{doubt}.") from None
            except (ValueError, KeyError, TypeError, AttributeError, IndexError, ResultError) as error:
                reason = f"it lacks {error}" if isinstance(error, KeyError) else str(error).rstrip(".")
                raise MisfitError(f"Link {self._links} does not fit: {reason}.") from error
            self._links += 1
            if head is not None:
                is_it = self._last.digest == head
                self._after_head = 0 if is_it else None if self._after_head is None else self._after_head + 1
        self._end(head)

    def _link(self, line: bytes) -> None:
        link, before = parse_link(line), self._last
        if link.index != self._links:
            raise MisfitError(f"it says that it is link {link.index}")
        if link.previous != (before.digest if before.index >= 0 else ""):
            raise MisfitError("it names another link as the one before it")
        kind = link.content["kind"]
        if (kind == "begin") != (link.index == 0):
            raise MisfitError(f"it is of the kind {kind!r}, which cannot come here")
        if kind in ("begin", "resume"):
            self._key, self._epochs = link.content["key"], self._epochs + 1
        if not is_signed(self._key, link.signature, link.signed):
            raise MisfitError("the server's signature is not that of what it says")
        if kind == "begin":
            self._begin(link)
        elif kind == "resume":
            self._resume(link)
        elif kind == "step":
            self._step(link)
        elif kind == "end":
            self._check_end(link)
        else:
            raise MisfitError(f"its kind {kind!r} is not known")
        self._last = link

    def _begin(self, link: Link) -> None:
        said, here = link.content, self._experiment
        if said["format"] != FORMAT:
            raise MisfitError(f"its format is {said['format']!r}, but this version reads {FORMAT}")
        if said["run_id"] != self._manifest.run_id:
            raise MisfitError("it is of another run")
        sections = {("aggregation",): said["aggregation"], ("federation", "algorithm"): said["algorithm"]}
        named = here.changed({key: ("a value that it names", value) for key, value in sections.items()})
        for what, is_same in (
            ("aggregation", named.aggregation == here.aggregation),
            ("algorithm", named.federation.algorithm == here.federation.algorithm),
            ("choice of what is kept", said["updates"] == (here.ledger is True)),
        ):
            if not is_same:
                raise MisfitError(f"its {what} is not that of config.yaml")
        start = load_start(self._path / START)
        if digest_of_state(start) != said["model"]:
            raise MisfitError(f"{START} is not the model with which the run began")
        self._model_digests.append(said["model"])
        self._is_replayed = bool(said["updates"])
        replay = Replay(self._experiment, start) if said["updates"] else None
        self._check = StepCheck(self._experiment, link.digest, replay, UpdateFiles(self._path))
        self._frozen = said["frozen"]
        self._open(link)

    def _resume(self, link: Link) -> None:
        if link.content["step"] != len(self._model_digests) - 1:
            raise MisfitError(f"it resumes after server step {link.content['step']}, which is not the last one")
        self._open(link)

    def _open(self, link: Link) -> None:
        self.threads.use(link.content["threads"])
        self._opening, self._other = link, difference_from(link.content)
        self._check.forget_keys()

    def _step(self, link: Link) -> None:
        step = len(self._model_digests)
        if link.content["step"] != step:
            raise MisfitError(f"it is of server step {link.content['step']}, but step {step} comes next")
        record = self._records[step - 1] if step <= len(self._records) else None
        self._check.step(link.content, self._model_digests, record)
        self._model_digests.append(link.content["after"])

    def _check_end(self, link: Link) -> None:
        if link.content["step"] != len(self._model_digests) - 1:
            raise MisfitError(f"it ends the run after server step {link.content['step']}, which is not the last one")
        self._model_digests[link.content["model_step"]]  # there is one

    def _end(self, head: str | None) -> None:
        """Check that the chain leads to what is in the folder."""
        steps, recorded = len(self._model_digests) - 1, len(self._records)
        if self._links == 0 or steps < recorded:
            where = f"the chain ends after server step {steps}" if self._links else "the chain is empty"
            raise MisfitError(f"Link {self._links} is missing: {where}, but rounds.jsonl has {recorded}.")
        if digest_of_value(self._manifest.configuration) != self._opening.content["configuration"]:
            raise MisfitError(f"Link {self._opening.index} does not fit: config.yaml is not the one that it names.")
        if self._run.is_finished:
            if self._last.content["kind"] != "end":
                raise MisfitError(f"Link {self._links} is missing: the run is finished, but the chain has not ended.")
            end = self._last
            wanted = self._model_digests[end.content["model_step"]]
            try:
                check_result(
                    self._run, RunResult(self._experiment, {}, self._records), end.content, wanted, self._frozen
                )
            except MisfitError as error:
                raise MisfitError(f"Link {end.index} does not fit: {error}.") from None
        if head is not None and self._after_head is None:
            raise MisfitError(f"No link is {head}: the chain was cut, or another was made, since that was noted.")
