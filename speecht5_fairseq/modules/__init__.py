"""The parts of SpeechT5 as plain torch modules with typed keyword arguments."""
