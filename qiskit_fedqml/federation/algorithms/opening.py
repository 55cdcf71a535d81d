"""The algorithm that a configuration names."""

from qiskit_fedqml.config.buffered import Buffered as BufferedConfig
from qiskit_fedqml.config.extension import PythonReference
from qiskit_fedqml.config.gossip import Gossip as GossipConfig
from qiskit_fedqml.config.parts import make_part
from qiskit_fedqml.federation.algorithms.algorithm import Algorithm, Setting
from qiskit_fedqml.federation.algorithms.buffered import Buffered
from qiskit_fedqml.federation.algorithms.buffered_on_devices import BufferedOnDevices
from qiskit_fedqml.federation.algorithms.synchronous import Synchronous


def open_algorithm(setting: Setting) -> Algorithm:
    """Return the algorithm of a configuration.

    Raises:
        ConfigurationError: One of the user's own cannot be found or made, or a random graph is not connected.
    """
    named = setting.config.algorithm
    if isinstance(named, PythonReference):
        made: Algorithm = make_part(named, "federation.algorithm", setting, members=("init", "next_tasks", "apply"))
        return made
    if isinstance(named, BufferedConfig):
        if setting.scheduler is None:
            return BufferedOnDevices(setting, named.buffered)
        return Buffered(setting, setting.scheduler, named.buffered)
    if isinstance(named, GossipConfig):
        from qiskit_fedqml.federation.algorithms.gossip import Gossip
        from qiskit_fedqml.federation.algorithms.graphs import neighbours_in  # networkx takes long to import

        return Gossip(setting, named.gossip, neighbours_in(named.gossip.graph, setting.config.clients, setting.seed))
    return Synchronous(setting)
