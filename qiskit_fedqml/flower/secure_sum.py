"""The sum of a round's updates by Flower's own workflow of SecAgg+; the server learns nothing else of them."""

import logging
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from flwr.app import ArrayRecord, ConfigRecord, Context, RecordDict
from flwr.common import FitIns, FitRes, Parameters, parameters_to_ndarrays
from flwr.server.client_proxy import ClientProxy
from flwr.server.compat.legacy_context import LegacyContext
from flwr.server.strategy import FedAvg
from flwr.server.workflow.constant import MAIN_CONFIGS_RECORD, MAIN_PARAMS_RECORD, Key
from flwr.server.workflow.secure_aggregation.secaggplus_workflow import SecAggPlusWorkflow, WorkflowState
from flwr.serverapp import Grid
from numpy.typing import NDArray

from qiskit_fedqml.config.secure import MODULUS, SecureConfig
from qiskit_fedqml.flower.masking import use_strong_masks

logger = logging.getLogger(__name__)

STAGES = ("setup", "share keys", "collect masked vectors", "unmask")


class _Proxy:
    """Names a node to Flower's workflow."""

    def __init__(self, node: int) -> None:
        self.node_id = node


class _Strategy(FedAvg):
    """Says which nodes take part, and keeps the mean that Flower's workflow gives."""

    def __init__(self, nodes: Sequence[int]) -> None:
        super().__init__()
        self._nodes = nodes
        self.mean: list[NDArray[np.float64]] = []

    def configure_fit(self, server_round: int, parameters: Parameters, client_manager: Any) -> list[Any]:
        """Name the nodes; what they get is put into the workflow's state."""
        return [(_Proxy(node), FitIns(Parameters([], ""), {})) for node in self._nodes]

    def aggregate_fit(
        self, server_round: int, results: list[tuple[ClientProxy, FitRes]], failures: list[Any]
    ) -> tuple[None, dict[str, Any]]:
        """Keep the mean, which is each result's."""
        self.mean = parameters_to_ndarrays(results[0][1].parameters)
        return None, {}


def secure_mean(
    grid: Grid, contents: dict[int, RecordDict], config: SecureConfig, drawn: int, max_weight: float, step: int
) -> tuple[list[NDArray[np.float64]], set[int]]:
    """Return the weighted mean of nodes' vectors, and the nodes whose vectors are in it.

    Args:
        grid: Sends messages, and returns replies that are checked; a node that drops out gives none.
        contents: What each node gets in order to train, by node.
        config: The configuration.
        drawn: How many clients were drawn for the round, for whose sum there is room.
        max_weight: The largest weight of a node.
        step: The server step.

    Raises:
        ShortageError: Too few nodes stayed.
        ValueError: The shares do not give the masks, or the sum is none of such vectors.
    """
    use_strong_masks()
    workflow = SecAggPlusWorkflow(
        num_shares=1.0,
        reconstruction_threshold=config.threshold,
        max_weight=max_weight,
        clipping_range=config.clipping_range,
        quantization_range=config.quantization_range(drawn),
        modulus_range=MODULUS,
    )
    strategy, state = _Strategy(list(contents)), WorkflowState()
    context = _context(strategy, step)
    run: Sequence[Callable[[Grid, LegacyContext, WorkflowState], bool]] = (
        workflow.setup_stage,
        workflow.share_keys_stage,
        workflow.collect_masked_vectors_stage,
        workflow.unmask_stage,
    )
    summed: set[int] = set()
    for stage, name in zip(run, STAGES, strict=True):
        is_enough = stage(grid, context, state)
        if not is_enough:
            raise ShortageError(name, len(state.active_node_ids), config.threshold)
        if name == "setup":
            state.nid_to_fitins = dict(contents)
        elif name == "share keys":
            _forget_those_without_shares(state)
        elif name == "collect masked vectors":
            summed = set(state.active_node_ids)
    return _plausible(strategy.mean, config.clipping_range), summed


class ShortageError(Exception):
    """Too few nodes stayed in secure aggregation.

    Args:
        stage: The stage, by Flower's name of it.
        stayed: How many stayed.
        threshold: How many are needed.
    """

    def __init__(self, stage: str, stayed: int, threshold: int) -> None:
        super().__init__(
            f"{stayed} clients stayed in stage {stage!r} of secure aggregation, fewer than its threshold ({threshold})"
        )


def _context(strategy: _Strategy, step: int) -> LegacyContext:
    state = RecordDict(
        {MAIN_CONFIGS_RECORD: ConfigRecord({Key.CURRENT_ROUND: step}), MAIN_PARAMS_RECORD: ArrayRecord()}
    )
    return LegacyContext(Context(run_id=0, node_id=0, node_config={}, state=state, run_config={}), strategy=strategy)


def _forget_those_without_shares(state: WorkflowState) -> None:
    """Go on without nodes that have dropped out before anybody had shares of their secrets.

    Nobody has masked anything for them. Flower (1.42) would ask for their shares at the end, which nobody could give.
    """
    stayed = state.active_node_ids
    state.sampled_node_ids = set(stayed)
    state.nid_to_neighbours = {node: state.nid_to_neighbours[node] & stayed for node in stayed}


def _plausible(mean: list[NDArray[np.float64]], clipping_range: float) -> list[NDArray[np.float64]]:
    """Return a mean of numbers within a range.

    Raises:
        ValueError: It is none.
    """
    most = clipping_range * (1 + 1e-6)
    if not all(np.isfinite(part).all() and (np.abs(part) <= most).all() for part in mean):
        raise ValueError("the sum is none of updates within the clipping range: a client has masked something else")
    return mean
