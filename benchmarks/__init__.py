"""The measured comparisons: ``python -m benchmarks`` runs them all, ``python -m benchmarks.coupling`` one."""
