"""What a training will take, before any GPU is asked for: parameters, memory, work and time of a configuration.

``configuration`` reads the flags, ``step`` counts one step on few utterances, ``memory`` and ``estimate`` extend it to
the whole batch and to the named GPUs, ``report`` says it.
"""
