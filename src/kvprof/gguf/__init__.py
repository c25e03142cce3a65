"""GGUF files: their header is read, and what it says put into the words of a config.json."""
