"""What a checkpoint has of the model, and what the model takes of a checkpoint."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from typing import Any

from torch import Tensor

from .checkpoint import DictionaryFiles, Start
from .errors import listed
from .freezing import Freezing
from .loading import load_nets
from .partial import BaseReference
from .released_format import from_released, is_released

logger = logging.getLogger(__name__)


class Saving:
    """The methods of ``SpeechT5Model`` that torch and fairseq save and load it with."""

    base: BaseReference | None
    dictionary_files: DictionaryFiles
    freezing: Freezing
    start: Start | None
    whole: bool  # whether a checkpoint must have every net, for decoding

    def state_dict(self, *args: Any, **kwargs: Any) -> dict[str, Tensor]:
        """What a checkpoint holds: all but the frozen tensors of a base (``partial.whole_state`` gives those too)."""
        state = super().state_dict(*args, **kwargs)
        for name in self.base.frozen if self.base is not None else ():
            del state[kwargs.get("prefix", "") + name]
        return state

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor], strict: bool = True, model_cfg: Any = None, args: Any = None
    ) -> Any:
        """Load a checkpoint of this job or of another one, ours or the published code's; see ``loading.load_nets``."""
        self.freezing.release()  # fairseq has told the updates and builds its optimizer next
        self.forget_preparation()
        if is_released(state_dict):
            translated = from_released(state_dict)
            logger.info("of the published code, and read by nothing: %s", listed(translated.unused))
            state_dict = translated.tensors
        own = load_nets(self, state_dict, self.dictionary_files, self.start, whole=self.whole)
        return super().load_state_dict(own, strict, model_cfg, args)
