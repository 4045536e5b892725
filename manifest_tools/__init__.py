"""From recordings and text to what the training jobs read. Every tool runs as `python -m manifest_tools.NAME`."""
