"""One HTML page of what trainings and generated folders hold: curves, scores, the worst utterances, confusions."""
