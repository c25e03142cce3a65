"""The stream operations by name; see ``csrc/device/backend.hpp`` for what each does."""

from __future__ import annotations

OPERATIONS = (
    "decode_read",
    "sparse_read",
    "append",
    "state_update",
    "block_copy",
    "zero",
    "swap_out",
    "swap_in",
)
STEP_OPERATIONS = ("decode_read", "sparse_read", "append", "state_update")
"""What one decode step does."""
