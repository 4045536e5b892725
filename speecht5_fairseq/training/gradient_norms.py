"""Gradient norms of the nets, whose squares add up to that of the norm which fairseq logs as ``gnorm``."""

from __future__ import annotations

from collections import defaultdict

import torch
from fairseq.logging import metrics
from torch import Tensor, nn

from ..models.parts import net_of


class GradientNorms:
    """The norms before clipping, as ``gnorm_encoder`` and so on; what several nets share counts for the first.

    Before the optimizer's step gradients are clipped already, and in half precision scaled, all by one factor. It does
    not change the nets' shares of the whole norm, and fairseq has logged the whole norm when an update is reduced.
    """

    def __init__(self) -> None:
        self.shares: dict[str, float] = {}

    def measure(self, model: nn.Module) -> None:
        """Called before the optimizer's step with the model, in its wrappers for several processes or not."""
        while "module" in dict(model.named_children()):
            model = model.module
        gradients = defaultdict(list)
        for name, parameter in model.named_parameters():
            if parameter.grad is not None:
                gradients[net_of(name)].append(torch.linalg.vector_norm(parameter.grad, dtype=torch.float32))
        self.shares = {}
        if gradients:
            norms = torch.stack([_joined(parts) for parts in gradients.values()])
            shares = norms / _joined([*norms]).clamp(min=torch.finfo(torch.float32).tiny)
            self.shares = dict(zip(gradients, shares.tolist(), strict=True))

    def log(self) -> None:
        """Called when the update's metrics are logged."""
        whole = metrics.get_meter("default", "gnorm")
        if whole is not None and whole.val is not None:
            for net, share in self.shares.items():
                metrics.log_scalar(f"gnorm_{net}", share * float(whole.val), priority=410, round=3)
        self.shares = {}


def _joined(norms: list[Tensor]) -> Tensor:
    """The norm of all that these are the norms of."""
    return torch.linalg.vector_norm(torch.stack(norms))
