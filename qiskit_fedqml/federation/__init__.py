"""A federated training: who trains what and where, how updates become the next model, and how a run is resumed."""
