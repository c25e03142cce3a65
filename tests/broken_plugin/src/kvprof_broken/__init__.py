"""A distribution whose every plugin is broken."""
