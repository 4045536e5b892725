"""The frozen base of a model that trains additions: read once, named by its content, held once in a process.

A model over a base saves what the base does not hold. Its checkpoint is whole again over the same base, which it names
by path (the option) and by a digest of the base's tensors (a buffer, so that it survives averaging).
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from weakref import WeakValueDictionary

import torch
from torch import Tensor, nn

from .checkpoint import DictionaryFiles, read_checkpoint, trained_prediction
from .dictionary_change import TIED_EMBEDDINGS
from .errors import CheckpointError, listed
from .loading import check_finite, check_nets, fresh_tensors
from .new_nets import NO_NETS
from .partial import DIGEST, BaseReference, whole_state
from .parts import net_of, nets_of


class Base(NamedTuple):
    """A base checkpoint that was read.

    Attributes:
        path: where it was found.
        digest: of its tensors, hexadecimal.
        tensors: by name, mapped from the file.
        prediction: ``--speech-prediction`` of the run that wrote it.
        shared: the parameters that models over this base already hold, by name.
    """

    path: Path
    digest: str
    tensors: dict[str, Tensor]
    prediction: str
    shared: WeakValueDictionary[str, nn.Parameter]


class Bases:
    """Base checkpoints, and the frozen parameters that models over them have in common.

    Models whose bases come from one ``Bases`` hold each frozen tensor of a base once, as one parameter: what moves one
    model to a device or another precision moves the base of all. The parameters live as long as a model holds them.
    """

    def __init__(self) -> None:
        self._digests: dict[tuple[Path, int, int], str] = {}  # by file, size and time
        self._shared: dict[str, WeakValueDictionary[str, nn.Parameter]] = {}  # by digest

    def read(self, given: str, beside: Iterable[Path] = ()) -> Base:
        """The base checkpoint ``given``, as it stands or in one of the folders ``beside``.

        Raises:
            CheckpointError: there is none, it cannot be read, or it is an adapter's checkpoint itself.
        """
        path = find(given, beside)
        state = read_checkpoint(path)
        tensors = state["model"]
        if DIGEST in tensors:
            raise CheckpointError(
                f"--base-checkpoint {path} holds additions to a base of its own: make one checkpoint of both with "
                f"`python -m speecht5_fairseq.convert.merge {path} --out MERGED.pt`, and give that"
            )
        stat = path.stat()
        file = (path.resolve(), stat.st_size, stat.st_mtime_ns)
        if file not in self._digests:
            self._digests[file] = digest_of(tensors)
        digest = self._digests[file]
        shared = self._shared.setdefault(digest, WeakValueDictionary())
        return Base(path, digest, tensors, trained_prediction(state), shared)


def find(given: str, beside: Iterable[Path] = ()) -> Path:
    """The file ``given``, from the working folder or from the folders ``beside``, where its name alone may stand too.

    In those folders stand the checkpoints over it, which may have its name: what holds additions is passed over.

    Raises:
        CheckpointError: no such file; says where it was looked for.
    """
    near = [folder / name for folder in beside for name in (given, Path(given).name)]
    places = [Path(given), *near]
    found = Path(given) if Path(given).is_file() else next((place for place in near if _is_whole(place)), None)
    if found is None:
        looked = ", ".join(dict.fromkeys(map(str, places)))
        raise CheckpointError(
            f"--base-checkpoint {given}: no such file (looked for {looked}). Put the base there, or name it: "
            "fairseq-train and the command speecht5 take --base-checkpoint, from_pretrained takes base_checkpoint=, "
            "fairseq-generate and merge take --model-overrides \"{'base_checkpoint': 'PATH'}\""
        )
    return found


def _is_whole(file: Path) -> bool:
    """Whether a file is there and holds no additions; of one that cannot be read its reader will tell."""
    try:
        return file.is_file() and DIGEST not in read_checkpoint(file)["model"]
    except CheckpointError:
        return True


def digest_of(tensors: dict[str, Tensor]) -> str:
    """SHA-256 of names, types, shapes and values: the same for a file that was copied or stripped of its optimizer."""
    total = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].detach().cpu().contiguous()
        total.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        total.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return total.hexdigest()


def lay_beneath(model: nn.Module, base: Base, *, train: Collection[str], files: DictionaryFiles) -> BaseReference:
    """Give ``model`` the tensors of ``base``, and freeze them but for those of the nets ``train``.

    Frozen parameters become those that other models over the base hold. What the base lacks keeps its initial values
    and is trained.

    Raises:
        CheckpointError: the base does not fit, see ``check_nets``, or holds NaN or infinity.
        ValueError: ``train`` names a net that the model does not have.
    """
    own = whole_state(model)
    _check_names(train, own)
    name = f"the base checkpoint {base.path}"
    fitting = check_nets(model, base.tensors, files, name, prediction=base.prediction)
    check_finite(fitting, name)
    nn.Module.load_state_dict(model, {**own, **fitting})
    trained = {
        id(p) for name, p in _parameters(model) if p.requires_grad and (name not in fitting or net_of(name) in train)
    }
    frozen = {name: p for name, p in _parameters(model) if name in fitting and id(p) not in trained}
    for name, parameter in frozen.items():
        parameter.requires_grad_(False)
        _put(model, name, base.shared.setdefault(_shared_name(name), parameter))
    new = nets_of(name for name, _ in _parameters(model) if name not in fitting)
    lacking = own.keys() - fitting.keys() - fresh_tensors(model, base.tensors, own, base.prediction)
    left = nets_of(base.tensors) - nets_of(own) - NO_NETS
    return BaseReference(base.digest, path=base.path, frozen=frozenset(frozen), new=new, lacking=lacking, left=left)


def _check_names(train: Collection[str], own: dict[str, Tensor]) -> None:
    nets = nets_of(own) - NO_NETS
    unknown = set(train) - nets
    if unknown:
        raise ValueError(
            f"--train-nets {listed(unknown)}: no such net in this job; choose from {', '.join(sorted(nets))}"
        )


def _parameters(model: nn.Module) -> Iterator[tuple[str, nn.Parameter]]:
    """With every name of a tied parameter."""
    return model.named_parameters(remove_duplicate=False)


def _shared_name(name: str) -> str:
    """Jobs hold the tied embedding in different nets."""
    return TIED_EMBEDDINGS[0] if name in TIED_EMBEDDINGS else name


def _put(model: nn.Module, name: str, parameter: nn.Parameter) -> None:
    holder, _, attribute = name.rpartition(".")
    setattr(model.get_submodule(holder), attribute, parameter)
