"""The registered criterions, one a job family; importing this package registers them."""

from .pretrain import PretrainCriterion
from .released import ReleasedCriterion
from .s2c import S2CCriterion
from .s2t import S2TCriterion
from .speech import SpeechCriterion

__all__ = ["PretrainCriterion", "ReleasedCriterion", "S2CCriterion", "S2TCriterion", "SpeechCriterion"]
