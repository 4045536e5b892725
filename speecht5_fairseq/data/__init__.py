"""Manifests, audio, labels and the datasets of each job. Knows nothing of models, losses or tasks."""
