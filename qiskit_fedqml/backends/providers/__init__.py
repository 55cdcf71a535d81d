"""Machines of any other provider: each ``BackendV2`` of Qiskit, and each ``EstimatorV2`` that runs on one."""
