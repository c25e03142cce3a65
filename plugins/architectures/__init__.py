"""Built-in architectures: what a model keeps."""
