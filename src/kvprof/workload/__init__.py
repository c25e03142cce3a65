"""The workload axis: when memory is asked for."""
