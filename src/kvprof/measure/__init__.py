"""Measurement: a placement and a device in, allocation, bandwidth and fragmentation out."""
