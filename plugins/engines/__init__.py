"""Built-in engines: how a layout is placed in memory."""
