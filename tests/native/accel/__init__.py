"""The CPU kernels, operation by operation, against references in double precision."""
