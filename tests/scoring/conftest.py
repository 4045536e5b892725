"""Made-up signals that the scores of speech can judge."""

import numpy as np
import pytest

from speecht5_fairseq.constants import SAMPLE_RATE


def make_speech(seconds: float = 1.5, seed: int = 0) -> np.ndarray:
    """Syllables of a gliding voice with formants that move, and pauses: float32 (S,)."""
    generator = np.random.default_rng(seed)
    time = np.arange(int(seconds * SAMPLE_RATE)) / SAMPLE_RATE
    pitch = 120.0 + 25.0 * np.sin(2 * np.pi * 0.9 * time + seed)
    phase = 2 * np.pi * np.cumsum(pitch) / SAMPLE_RATE
    wave = np.zeros_like(time)
    for harmonic in range(1, 40):
        frequency = harmonic * pitch
        level = sum(
            np.exp(-(((frequency - centre - spread * np.sin(2 * np.pi * rate * time + seed)) / 180.0) ** 2))
            for centre, spread, rate in ((600, 200, 1.9), (1500, 400, 1.3), (2600, 300, 2.3))
        )
        wave += level * np.sin(harmonic * phase)
    syllables = np.clip(np.sin(2 * np.pi * 3.0 * time), 0.0, 1.0) ** 0.5
    wave = wave * syllables + 1e-3 * generator.standard_normal(len(time))
    return (0.3 * wave / np.abs(wave).max()).astype(np.float32)


@pytest.fixture(scope="session")
def speech() -> np.ndarray:
    """1.5 seconds that STOI and PESQ take for speech."""
    return make_speech()


@pytest.fixture(scope="session")
def noisy(speech):
    """A function: the speech with white noise of a signal-to-noise ratio in dB."""
    noise = np.random.default_rng(1).standard_normal(len(speech))
    noise -= noise.mean()
    noise /= np.sqrt((noise**2).mean())
    level = np.sqrt((speech.astype(np.float64) ** 2).mean())
    return lambda ratio: (speech + noise * level * 10 ** (-ratio / 20)).astype(np.float32)
