"""Needs what is not installed."""

raise ImportError("the accelerator library is not installed")
