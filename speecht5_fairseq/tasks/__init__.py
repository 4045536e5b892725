"""The registered tasks, one a job family; importing this package registers them."""

from .pretrain import PretrainTask
from .s2t import S2TTask

__all__ = ["PretrainTask", "S2TTask"]
