"""Task of speech to text: recognition and translation."""

from dataclasses import dataclass, field
from functools import cached_property
from typing import Optional

from fairseq.dataclass import ChoiceEnum
from fairseq.tasks import register_task
from omegaconf import II

from ..data.labels import TextLabels
from ..data.piece_model import PieceModel
from ..data.s2t import S2TDataset
from ..generation.beam_search import JointBeamSearch
from ..generation.ctc_greedy import CTCGreedySearch
from ..generation.previews import Preview, recognised_text, text_alignment
from ..models.calls import check_language_model
from ..models.loading import DictionaryFiles
from ..models.options import warn_without_effect
from ..ranges import POSITIVE, SHARE, optional, ranged
from .base import SpeechT5Task
from .precision import PRECISIONS, precision_field, set_precision
from .speech_options import SpeechTaskConfig, reject_shards, warn_of_training_limits
from .vocabularies import find_pieces, find_text

DECODING = ChoiceEnum(["beam", "ctc-greedy"])
WORDS = "sentencepiece"  # how the symbols of pictures become words, as --post-process
GENERATION_OPTIONS = ("decoding", "ctc_decoding_weight", "ctc_window", "generation_precision")


@dataclass
class S2TTaskConfig(SpeechTaskConfig):
    spm_model: Optional[str] = field(
        default=None,
        metadata={
            "help": "sentencepiece model: the label lines are raw text; none: they are pieces with spaces between "
            "(default: in decoding what the checkpoint's run read, else none)"
        },
    )
    unlabelled: bool = field(default=False, metadata={"help": "decode speech that has no transcripts"})
    decoding: DECODING = field(
        default="beam", metadata={"help": "beam search with joint scores, or greedy CTC (one pass of the encoder)"}
    )
    ctc_decoding_weight: float = ranged(
        0.0, "weight w of the CTC prefix score in beam search, beside 1 - w of the decoder; 1: CTC alone", SHARE
    )
    ctc_window: Optional[float] = ranged(
        None,
        "leave out of a hypothesis's CTC prefix score the frames at which it is less than exp(-N) times as likely as "
        "at best; measured (docs/jobs.md): with 10 scores within 4e-4 nats a token, with 20 the same (default: every "
        "frame, exact)",
        optional(POSITIVE),
    )
    generation_precision: PRECISIONS = precision_field("float64 is for comparisons")
    fp16: bool = II("common.fp16")
    lm_path: Optional[str] = II("generation.lm_path")


@register_task("speecht5_s2t", dataclass=S2TTaskConfig)
class S2TTask(SpeechT5Task):
    """Speech in, text out. ``label_dir`` holds ``dict.txt`` and ``{split}.txt``, one line an utterance."""

    columns = "s2t"

    @classmethod
    def setup_task(cls, cfg: S2TTaskConfig, **kwargs) -> "S2TTask":
        task = cls(cfg, "s2t")
        if cfg.lm_path is not None:  # here, for fairseq builds it before it asks for a generator
            check_language_model(cfg.lm_path)
        task.own_options = kwargs.get("from_checkpoint", False)
        task.text_dictionary, file = find_text(task.dictionary_file, task.contents)
        task.dictionary_files = DictionaryFiles(file)
        return task

    @cached_property
    def pieces(self) -> PieceModel | None:
        return find_pieces(self.cfg.spm_model, self.contents, own_options=self.own_options)

    def build_model(self, cfg, from_checkpoint: bool = False):
        if not from_checkpoint:
            why = "training does not decode: give them to fairseq-generate"
            warn_without_effect(self.cfg, S2TTaskConfig, GENERATION_OPTIONS, why)
        return super().build_model(cfg, from_checkpoint)

    def previews(self, model, shown, meters):
        """Recognised text, and where the decoder attends."""
        dictionary = self.text_dictionary
        yield Preview("recognised text", lambda: recognised_text(model, shown, dictionary, WORDS))
        yield Preview("the alignment", lambda: text_alignment(model, shown, dictionary))

    def load_dataset(self, split: str, epoch: int = 1, combine: bool = False, task_cfg=None, **kwargs) -> None:
        """Open and verify a split.

        Raises:
            ValueError: training without transcripts.
            DataError: see ``SpeechT5Task.verify`` and ``S2TDataset``.
        """
        if self.cfg.unlabelled and self.is_training(split):
            raise ValueError(
                f"--unlabelled is for decoding, and training needs transcripts ({self.label_dir / f'{split}.txt'}): "
                "drop --unlabelled"
            )
        manifest = self.open_manifest(split)
        labels = None
        if self.cfg.unlabelled:
            warn_without_effect(self.cfg, S2TTaskConfig, ["spm_model"], "--unlabelled reads no transcripts")
        else:
            labels = TextLabels.open(self.label_dir, split, self.text_dictionary, self.pieces)
        self.verify(manifest, text=labels)
        self.datasets[split] = S2TDataset(manifest, labels, self.text_dictionary, **self.dataset_options(split))

    def build_generator(self, models, args, seq_gen_cls=None, extra_gen_cls_kwargs=None, prefix_allowed_tokens_fn=None):
        """The search that ``--decoding`` names, from fairseq's generation options.

        Raises:
            ValueError: an option or argument that would have no effect.
        """
        reject_shards(self.cfg)
        warn_of_training_limits(self.cfg)
        for model in models:
            set_precision(model, str(self.cfg.generation_precision), fp16=self.cfg.fp16)
        if seq_gen_cls is not None or prefix_allowed_tokens_fn is not None:
            raise ValueError("seq_gen_cls and prefix_allowed_tokens_fn have no effect: the search is this task's own")
        self._check_half(models)
        if self.cfg.decoding == "ctc-greedy":
            if self.cfg.ctc_decoding_weight:
                raise ValueError(
                    f"--ctc-decoding-weight {self.cfg.ctc_decoding_weight} has no effect with --decoding ctc-greedy: "
                    "drop it, or give --decoding beam"
                )
            if self.cfg.ctc_window is not None:
                raise ValueError(
                    f"--ctc-window {self.cfg.ctc_window} has no effect with --decoding ctc-greedy, which reads no "
                    "prefix scores: drop it, or give --decoding beam"
                )
            return CTCGreedySearch.from_config(args, self.text_dictionary)
        lm_model = (extra_gen_cls_kwargs or {}).get("lm_model")
        return JointBeamSearch.from_config(
            args,
            self.text_dictionary,
            ctc_weight=self.cfg.ctc_decoding_weight,
            ctc_window=self.cfg.ctc_window,
            lm_model=lm_model,
        )

    def _check_half(self, models: list) -> None:
        """Refuse half-precision weights of the decoder where no step of the decoder is run.

        Raises:
            ValueError: see above.
        """
        greedy = str(self.cfg.decoding) == "ctc-greedy"
        if str(self.cfg.generation_precision) != "float16" or not (greedy or self.cfg.ctc_decoding_weight == 1):
            return
        if any(model.products is None for model in models):
            without, mend = (
                ("--decoding ctc-greedy", "--decoding beam") if greedy
                else (f"--ctc-decoding-weight {self.cfg.ctc_decoding_weight:g}", "a --ctc-decoding-weight below 1")
            )  # fmt: skip
            raise ValueError(
                f"--generation-precision float16 has no effect with {without} on a CPU: it is that of the decoder's "
                f"weights, which no step reads; drop it, or give {mend}"
            )
