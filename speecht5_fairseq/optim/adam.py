"""fairseq's Adam with a learning rate of its own for each part of the model, which every scheduler moves."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import zip_longest
from typing import Any, NamedTuple

from fairseq.optim import register_optimizer
from fairseq.optim.adam import FairseqAdam, FairseqAdamConfig
from torch import nn

FACTOR = "lr_scale"  # in a parameter's ``param_group`` and in a group of the optimizer
SHOWN = 4  # names of a group in a message


@register_optimizer("speecht5_adam", dataclass=FairseqAdamConfig)
class SpeechT5Adam(FairseqAdam):
    """Adam whose groups are the parts of the model; each learns at the schedule's rate times its factor.

    A parameter that has a ``param_group`` gives its name, part and factor; without any, this is fairseq's Adam. A run
    may be resumed with other factors as long as they divide no part otherwise: moments go to groups by their order.
    """

    def __init__(self, cfg: FairseqAdamConfig, params: Iterable[nn.Parameter]) -> None:
        super().__init__(cfg, grouped(params))
        self.set_lr(self.optimizer_config["lr"])

    def get_lr(self) -> float:
        """The schedule's rate: that of a group without its factor."""
        group = self.param_groups[0]
        return group["lr"] / group.get(FACTOR, 1.0)

    def set_lr(self, lr: float) -> None:
        for group in self.param_groups:
            group["lr"] = lr * group.get(FACTOR, 1.0)

    def load_state_dict(self, state_dict: dict[str, Any], optimizer_overrides: dict[str, Any] | None = None) -> None:
        """Load moments and the rate; the factors are this run's.

        Raises:
            ValueError: the state is of other parts, or of other parameters of them.
        """
        own, given = (list(map(_members, groups)) for groups in (self.param_groups, state_dict["param_groups"]))
        if given != own:
            places = zip_longest(given, own, fillvalue=_Members(None, ()))
            there, here = next((there, here) for there, here in places if there != here)
            raise ValueError(
                f"the optimizer's state in the checkpoint is of the parts {_listed(given)}, this run's of "
                f"{_listed(own)}; the first difference: {there}, here {here}. Resume with the --layer-lr-decay, "
                "--lr-factors and --freeze ...:forever that it was trained with (other values for the same parts are "
                "fine), or add --reset-optimizer"
            )
        factors = [group.get(FACTOR) for group in self.param_groups]
        first = state_dict["param_groups"][0]
        overrides = dict(optimizer_overrides or {})
        lr = overrides.pop("lr", first["lr"] / first.get(FACTOR, 1.0))
        super().load_state_dict(state_dict, overrides)
        for group, factor in zip(self.param_groups, factors, strict=True):
            if factor is not None:
                group[FACTOR] = factor
        self.set_lr(lr)


class _Members(NamedTuple):
    """What a group holds, by name; fairseq's single group has no names."""

    part: str | None
    names: tuple[str, ...]

    def __str__(self) -> str:
        more = f" and {len(self.names) - SHOWN} more" if len(self.names) > SHOWN else ""
        return f"{self.part} ({', '.join(self.names[:SHOWN])}{more})" if self.part else "no part"


def _members(group: dict[str, Any]) -> _Members:
    return _Members(group.get("part"), tuple(group.get("names", ())))


def _place(parameter: nn.Parameter) -> dict[str, Any] | None:
    """What the model says of a parameter; fairseq's float32 copies have it too, and its composite optimizer a name."""
    place = getattr(parameter, "param_group", None)
    return place if isinstance(place, dict) else None


def grouped(parameters: Iterable[nn.Parameter]) -> list[nn.Parameter] | list[dict[str, Any]]:
    """One group for each part and factor, in the order of the first parameter of each; as they are without any."""
    params = list(parameters)
    if not any(map(_place, params)):
        return params
    groups: dict[tuple[str, float], list[nn.Parameter]] = {}
    for parameter in params:
        place = _place(parameter)
        key = (place["part"], place[FACTOR]) if place else ("", 1.0)
        groups.setdefault(key, []).append(parameter)
    return [
        {"params": members, "part": part, FACTOR: factor, "names": [_name(member) for member in members]}
        for (part, factor), members in groups.items()
    ]


def _name(parameter: nn.Parameter) -> str:
    return (_place(parameter) or {}).get("name", "")


def _listed(groups: list[_Members]) -> str:
    return ", ".join(str(group.part) for group in groups) if any(group.part for group in groups) else "one group"
