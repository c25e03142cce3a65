"""The built-in plugins; each is a template to copy."""
