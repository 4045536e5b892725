"""Pickles as an attacker may write them: calls, tensors of absurd shapes, lists without an end, programs of noise."""

from __future__ import annotations

import io
import pickle
import pickletools
import random
import struct
import zipfile
from argparse import Namespace
from pathlib import Path
from typing import Any

import torch

CALLS = ("posix\nsystem", "builtins\neval", "builtins\nexec", "os\nsystem", "subprocess\ncheck_output", "nt\nsystem")
ALLOWED = (  # what torch lets a checkpoint name
    *("torch._utils\n_rebuild_tensor_v2", "torch._utils\n_rebuild_parameter", "torch\nFloatStorage"),
    *("collections\nOrderedDict", "argparse\nNamespace", "torch._utils\n_rebuild_sparse_tensor", "torch\ndevice"),
    *("torch._utils\n_rebuild_qtensor", "torch\nSize", "torch._tensor\n_rebuild_from_type_v2", "torch\nfloat64"),
)
_OPCODES = [opcode.code.encode("latin-1") for opcode in pickletools.opcodes]


def calling(name: str, argument: str) -> bytes:
    """A pickle that calls a function with a text when it is loaded without care."""
    return b"\x80\x02c" + name.encode() + b"\nX" + struct.pack("<I", len(argument)) + argument.encode() + b"\x85R."


def program(rng: random.Random, argument: str) -> bytes:
    """Opcodes in an order of their own, with allowed and forbidden names among them."""
    made = io.BytesIO()
    made.write(b"\x80" + bytes([rng.randrange(6)]))
    for _ in range(rng.choice((3, 10, 40, 300))):
        kind = rng.random()
        if kind < 0.25:
            name = rng.choice(CALLS if rng.random() < 0.3 else ALLOWED)
            made.write(b"c" + name.encode() + b"\n")
        elif kind < 0.4:
            made.write(b"X" + struct.pack("<I", len(argument)) + argument.encode())
        elif kind < 0.55:
            made.write(b"J" + struct.pack("<i", rng.choice((0, 1, -1, 7, 1 << 30, -(1 << 31)))))
        elif kind < 0.6:
            made.write(b"\x8a" + bytes([rng.choice((1, 8, 255))]) + rng.randbytes(8))
        elif kind < 0.75:
            made.write(rng.choice((b"(", b"t", b"R", b")", b"}", b"]", b"u", b"s", b"e", b"\x85", b"\x86", b"\x87")))
        elif kind < 0.8:
            made.write(rng.choice((b"q\x00", b"h\x00", b"b", b"Q", b"0", b"2", b"a", b"N", b"\x88", b"\x81")))
        else:
            made.write(rng.choice(_OPCODES) + rng.randbytes(rng.randrange(5)))
    made.write(b".")
    return made.getvalue()


def tower(levels: int, width: int = 1) -> bytes:
    """A list in a list in a list; of width 2 each holds the one below twice."""
    below = b"]q\x01"
    for level in range(levels):
        take = b"h\x01" if level == 0 else b"h" + bytes([1 + level % 200])
        below += b"]q" + bytes([1 + (level + 1) % 200]) + b"(" + take * width + b"e"
    return below


def absurd_tensor(rng: random.Random) -> Any:
    """A tensor that torch can save and nobody can copy, or of a kind that no checkpoint has."""
    return rng.choice(
        (
            lambda: torch.zeros(1).expand(1 << rng.choice((10, 30, 40, 60))),
            lambda: torch.zeros(1).as_strided((1 << 20, 1 << 20), (0, 0)),
            lambda: torch.zeros(3, dtype=torch.complex64),
            lambda: torch.eye(3).to_sparse(),
            lambda: torch.zeros(2, 2, device="meta"),
            lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8),
            lambda: torch.full((4,), float("nan")),
            lambda: torch.zeros(0, 5),
            lambda: torch.tensor([1 << 30, -5], dtype=torch.int32),
            lambda: torch.tensor(1.0),
            lambda: torch.zeros((1,) * 60),
        )
    )()


def absurd_value(rng: random.Random) -> Any:
    """An option or a count as nobody wrote it."""

    def deep(levels: int) -> Any:
        value: Any = rng.choice(([], {}, "x"))
        for _ in range(levels):
            value = rng.choice(([value], {"a": value}))
        return value

    def twice(levels: int) -> Any:
        value: Any = ["x"]
        for _ in range(levels):
            value = [value, value]
        return value

    def circle() -> Any:
        value: list[Any] = []
        value.append(value)
        return value

    return rng.choice(
        (
            *(lambda: None, lambda: "x", lambda: -1, lambda: 2.5, lambda: float("nan"), lambda: True, lambda: b"\xff"),
            *(lambda: "9" * 5000, lambda: 1 << 70, lambda: 1 << 20000, lambda: "\0\ud7ff\n", lambda: "x" * 100_000),
            *(lambda: deep(40), lambda: deep(300), lambda: twice(40), circle, lambda: absurd_tensor(rng)),
            *(
                lambda: Namespace(a=1),
                lambda: {1: 2},
                lambda: {"a": {"b": [1]}},
                lambda: [1, "x", None],
                lambda: (),
                set,
            ),
            *(lambda: "__import__('os').system('x')", lambda: "subprocess:getoutput", lambda: "../../../etc/passwd"),
        )
    )()


def archived(pickled: bytes, records: dict[str, bytes]) -> bytes:
    """A zip as torch.save writes it, with a pickle of one's own."""
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w") as target:
        target.writestr("archive/data.pkl", pickled)
        target.writestr("archive/byteorder", b"little")
        for name, content in records.items():
            target.writestr(f"archive/{name}", content)
        target.writestr("archive/version", b"3\n")
    return made.getvalue()


def claiming(sizes: tuple[int, ...], strides: tuple[int, ...], offset: int, elements: int) -> bytes:
    """The pickle of {"model": {"x": tensor}}, whose tensor claims sizes, strides and storage as it likes."""

    class Storage:
        pass

    class Pickler(pickle._Pickler):  # the one in Python, for its methods can be taken over
        def persistent_id(self, found: Any) -> Any:
            return ("storage", torch.FloatStorage, "0", "cpu", elements) if isinstance(found, Storage) else None

    class Claim:
        def __reduce__(self) -> tuple:
            return torch._utils._rebuild_tensor_v2, (Storage(), offset, sizes, strides, False, {})

    made = io.BytesIO()
    Pickler(made, protocol=2).dump({"model": {"encoder.x": Claim()}})
    return made.getvalue()


def claims(rng: random.Random) -> bytes:
    """A checkpoint of one tensor whose shape, strides, offset and storage do not go together."""
    numbers = (0, 1, 2, 5, 100, -1, 1 << 20, 1 << 31, 1 << 40, (1 << 62))
    dimensions = rng.randrange(4)
    sizes, strides = (tuple(rng.choice(numbers) for _ in range(dimensions)) for _ in range(2))
    pickled = claiming(sizes, strides, rng.choice(numbers), rng.choice(numbers))
    return archived(pickled, {"data/0": bytes(4 * rng.choice((0, 1, 5, 100)))})


def intruder_path(folder: Path) -> Path:
    """What a pickle's code would make."""
    return folder / "intruded"
