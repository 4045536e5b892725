"""What fairseq-train does around a task's batches: the start, what each update sees to, and how a run is kept.

- before the trainer exists: ``start``, ``checkpoint_folder``, ``processes``, ``speed``
- each update: ``optimizers``, ``joint``, ``bad_updates``, ``codebook``, ``code_revival``, ``gradient_norms``
- stopping and going on: ``keeper``, ``kept``, ``stop_signals``, ``positions``, ``epochs``, and ``seams`` to fairseq
- what is seen and heard meanwhile: ``pictures``, ``picture_targets``, ``steady_writer``
"""
