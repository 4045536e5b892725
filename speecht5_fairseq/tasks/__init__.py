"""The registered tasks, one a job family; importing this package registers them."""

from .pretrain import PretrainTask
from .released import ReleasedTask
from .s2c import S2CTask
from .s2s import S2STask
from .s2t import S2TTask
from .t2s import T2STask

__all__ = ["PretrainTask", "ReleasedTask", "S2CTask", "S2STask", "S2TTask", "T2STask"]
