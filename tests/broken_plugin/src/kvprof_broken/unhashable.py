"""A plugin object that cannot be hashed, and offers nothing."""

PLUGIN: list[object] = []
