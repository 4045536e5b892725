"""What every test runs under: no network, few threads, the fairseq user dir registered once."""

import os

# Before torch and transformers are imported: their thread pools and hub access are fixed at import.
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.update(HF_HUB_OFFLINE="1", TRANSFORMERS_OFFLINE="1", HF_DATASETS_OFFLINE="1", TOKENIZERS_PARALLELISM="false")

import socket  # noqa: E402

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import HealthCheck, settings  # noqa: E402

# The same inputs in every run, and none refused for the time that a busy machine took.
settings.register_profile(
    "tests",
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("tests")

torch.set_num_threads(1)  # tests run in several processes; more threads each are slower, and sums would differ


@pytest.fixture(autouse=True)
def no_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test that reaches for another machine fails at once, with the address, instead of hanging or passing by luck.

    Loopback and local sockets stay: workers and torch.distributed use them.
    """
    connect = socket.socket.connect

    def local_only(self: socket.socket, address: object) -> None:
        host = address[0] if isinstance(address, tuple) else "localhost"
        if host not in ("localhost", "127.0.0.1", "::1"):
            raise OSError(f"a test tried to reach {address}: tests make or ship their data")
        connect(self, address)

    monkeypatch.setattr(socket.socket, "connect", local_only)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """torch's global generator starts alike in every test, so that no result depends on the order of tests."""
    torch.manual_seed(0)
