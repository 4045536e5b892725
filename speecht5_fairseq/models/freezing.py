"""Freezing by updates, as a property of parameters: a frozen parameter has ``requires_grad`` off and no gradient."""

from __future__ import annotations

from torch import nn

ENCODER_NETS = ("encoder", "speech_encoder_prenet", "text_encoder_prenet")
DECODER_NETS = (
    "decoder",
    "speech_decoder_prenet",
    "text_decoder_prenet",
    "speech_decoder_postnet",
    "text_decoder_postnet",
)


class Freezing:
    """Keeps each side's parameters from learning for its first updates.

    Parameters that never learn (the extractor at ``feature_grad_mult`` 0) stay off whatever the update. What both
    sides share, the tied embedding, learns when both do.
    """

    def __init__(self, model: nn.Module, *, encoder: int, decoder: int) -> None:
        """``encoder`` and ``decoder`` are updates for which that side does not learn."""
        thaws: dict[nn.Parameter, int] = {}
        for nets, updates in ((ENCODER_NETS, encoder), (DECODER_NETS, decoder)):
            for parameter in _learning_parameters(model, nets):
                thaws[parameter] = max(updates, thaws.get(parameter, 0))
        self.schedule = [(parameter, updates) for parameter, updates in thaws.items() if updates > 0]

    @property
    def used(self) -> bool:
        return bool(self.schedule)

    def apply(self, num_updates: int) -> None:
        for parameter, until in self.schedule:
            parameter.requires_grad_(num_updates >= until)


def _learning_parameters(model: nn.Module, nets: tuple[str, ...]) -> list[nn.Parameter]:
    modules = [getattr(model, net) for net in nets]
    return [p for module in modules if module is not None for p in module.parameters() if p.requires_grad]
