"""Beam search over text with joint scores: decoder, CTC prefix probabilities and language model.

Source: Watanabe et al., "Hybrid CTC/Attention Architecture for End-to-End Speech Recognition", 2017; the rules of
the search (which hypotheses end, when an utterance stops) are those of fairseq's SequenceGenerator.
Shapes: B utterances still searched, A all utterances of the batch, K beam, L output tokens so far, V vocabulary,
T encoder frames.
"""

import logging
from typing import Any

import torch
from fairseq.data import Dictionary
from torch import Tensor

from ..outputs import EncoderOutput
from ..ranges import FINITE, POSITIVE, SHARE, SIZE, Rule, number, read_value, whole
from .ctc_prefix import CTCPrefixScorer
from .ctc_window import WindowedCTCPrefixScorer
from .hypotheses import Candidates, FinishedHypotheses, LiveHypotheses, hypothesis
from .language_model import FusedLanguageModel
from .options import ctc_log_probs, encoder_inputs, only_model, reject_forced_output, reject_unsupported
from .score_sources import CTCPrefixScores, DecoderScores, LanguageModelScores, ScoreSources
from .symbols import text_symbols

logger = logging.getLogger(__name__)

LONGEST = 1_000_000  # tokens of an output
# Ranges of the options, fairseq's own among them.
RANGES = {
    "beam": SIZE,
    "ctc_decoding_weight": Rule(SHARE.read, "0 (decoder only) to 1 (CTC only)"),
    "lm_weight": FINITE,
    "max_len_a": Rule(number(lambda found: 0 <= found <= 1000), "tokens for each frame of 20 ms, from 0 to 1,000"),
    "max_len_b": Rule(whole(0, LONGEST), f"a number of tokens from 0 to {LONGEST:,}"),
    "min_len": Rule(whole(0, LONGEST), f"a number of tokens from 0 to {LONGEST:,}"),
    "lenpen": FINITE,
    "unkpen": FINITE,
    "temperature": POSITIVE,
}


class JointBeamSearch:
    """A generator for fairseq-generate.

    The score of a hypothesis is (1 - w) decoder + w CTC prefix + v language model, natural logarithms, summed over
    its tokens. With w = 1 the decoder does not run at all; with w = 0 the CTC head does not. The result of an
    utterance does not depend on the batch it is in.

    Args:
        dictionary: of the output text.
        beam: K.
        ctc_weight: w, 0 to 1.
        ctc_window: of the CTC prefix scores, see `ctc_window.WindowedCTCPrefixScorer`; None: every frame, exact.
        language_model, lm_weight: a fairseq language model over the same symbols, and v.
        max_len_a, max_len_b: an output of an utterance with T encoder frames (50 a second) has at most
            max_len_a * T + max_len_b tokens before </s>, and never a lower limit than min_len. A hypothesis that
            reaches the limit ends there, </s> scored as any other. Positions of the language model limit it too.
        min_len: fewest tokens before </s>.
        normalize_scores, len_penalty: hypotheses are ranked by score / tokens ** len_penalty, or by score.
        unk_penalty: taken from the score at each <unk>.
        temperature: divides the decoder's log-probabilities, which are then normalised again.

    Raises:
        ValueError: an option out of range or without effect, or a language model over other symbols.
    """

    def __init__(
        self,
        dictionary: Dictionary,
        *,
        beam: int = 5,
        ctc_weight: float = 0.0,
        ctc_window: float | None = None,
        language_model: Any = None,
        lm_weight: float = 0.0,
        max_len_a: float = 0.0,
        max_len_b: int = 200,
        min_len: int = 1,
        normalize_scores: bool = True,
        len_penalty: float = 1.0,
        unk_penalty: float = 0.0,
        temperature: float = 1.0,
    ) -> None:
        _check_window(ctc_window, ctc_weight)
        given = {
            "beam": beam, "ctc_decoding_weight": ctc_weight, "lm_weight": lm_weight, "max_len_a": max_len_a,
            "max_len_b": max_len_b, "min_len": min_len, "lenpen": len_penalty, "unkpen": unk_penalty,
            "temperature": temperature,
        }  # fmt: skip
        for name, value in given.items():
            read_value(name, value, RANGES[name])
        _check_temperature(ctc_weight, temperature)
        _check_fusion(language_model, lm_weight)
        self.symbols = text_symbols(dictionary)
        self.symbols_to_strip_from_output = {self.symbols.eos, *self.symbols.never}
        self.beam = beam
        self.ctc_weight = ctc_weight
        self.ctc_window = ctc_window
        self.language_model = FusedLanguageModel(language_model, dictionary) if language_model is not None else None
        if self.language_model is not None and self.language_model.max_output < min_len:
            raise ValueError(
                f"--min-len {min_len} is more than the language model's positions allow: at most "
                f"{self.language_model.max_output}"
            )
        self.lm_weight = lm_weight
        self.max_len_a = max_len_a
        self.max_len_b = max_len_b
        self.min_len = min_len
        self.len_penalty = len_penalty if normalize_scores else 0.0
        self.unk_penalty = unk_penalty
        self.temperature = temperature
        self._warned_of_positions = False
        self._warned_of_limit = False

    @classmethod
    def from_config(
        cls,
        cfg: Any,
        dictionary: Dictionary,
        *,
        ctc_weight: float,
        ctc_window: float | None = None,
        lm_model: Any = None,
    ) -> "JointBeamSearch":
        """Build from fairseq's generation options.

        Raises:
            ValueError: an option that has no effect is set, or one is out of range.
        """
        reject_unsupported(cfg, "joint beam")
        return cls(
            dictionary,
            beam=cfg.beam,
            ctc_weight=ctc_weight,
            ctc_window=ctc_window,
            language_model=lm_model,
            lm_weight=cfg.lm_weight,
            max_len_a=cfg.max_len_a,
            max_len_b=cfg.max_len_b,
            min_len=cfg.min_len,
            normalize_scores=not cfg.unnormalized,
            len_penalty=cfg.lenpen,
            unk_penalty=cfg.unkpen,
            temperature=cfg.temperature,
        )

    @torch.no_grad()
    def generate(
        self, models: list, sample: dict, prefix_tokens: Tensor | None = None, constraints: Tensor | None = None
    ) -> list[list[dict]]:
        """Decode a batch.

        Args:
            models: a list of one model.
            sample: a batch with `net_input`.
            prefix_tokens, constraints: fairseq passes them; must be None.

        Returns: for each utterance, up to K hypotheses, best first (see `hypotheses.hypothesis`), on the CPU.

        Raises:
            ValueError: several models, forced output, or a CTC weight for a model without CTC head.
        """
        reject_forced_output(prefix_tokens, constraints)
        model = only_model(models)
        encoded = model.encode(**encoder_inputs(sample))
        limits = self._length_limits(encoded.lengths)
        results = self._search(self._sources(model, encoded), limits)
        self._warn_of_limit(results, limits.tolist())
        return [found or [self._nothing_found(sample, place)] for place, found in enumerate(results)]

    def _search(self, sources: ScoreSources, limits: Tensor) -> list[list[dict]]:
        """The step loop. `limits` (A,) int64: most tokens of each utterance before </s>."""
        eos, beam = self.symbols.eos, self.beam
        shortest, longest = (int(limit) for limit in limits.aminmax())
        never = torch.tensor(self.symbols.never, device=limits.device)
        live = LiveHypotheses.start(len(limits), beam, eos, limits.device)
        finished = FinishedHypotheses(len(limits), beam, longest + 1, self.symbols.pad, eos, limits.device)
        for step in range(longest + 1):
            at_limit = limits[live.utterance] <= step
            partial, joint = sources.score(live)
            joint.index_fill_(2, never, -torch.inf)
            self._forbid_by_length(joint, step, at_limit if step >= shortest else None)
            best = Candidates.best_of(joint, 2 * beam)
            finished.add(live, best)
            growing = best.growing(eos, beam)
            full = finished.count[live.utterance] >= beam
            kept = (~full & ~at_limit & growing.joint.isfinite().any(1)).nonzero().squeeze(1)
            if len(kept) == 0:
                break
            growing = growing.keep_utterances(kept)
            sources.follow(kept, growing.parent, growing.token, utterances=len(live.utterance))
            live = live.grow(kept, growing, partial)
        return finished.results(self.len_penalty)

    def _forbid_by_length(self, joint: Tensor, step: int, at_limit: Tensor | None) -> None:
        """Rule out, in place, what the length forbids; joint (B, K, V), at_limit (B,) or None where none is."""
        if step < self.min_len:
            joint[:, :, self.symbols.eos] = -torch.inf
        if at_limit is not None:
            ends = joint[:, :, self.symbols.eos].clone()
            joint.masked_fill_(at_limit[:, None, None], -torch.inf)
            joint[:, :, self.symbols.eos] = ends

    def _sources(self, model: Any, encoded: EncoderOutput) -> ScoreSources:
        """Start the sources that have a weight; the others do not run."""
        stepwise: list[tuple[float, DecoderScores | LanguageModelScores]] = []
        prefix = None
        if self.ctc_weight < 1:
            stepwise.append((1 - self.ctc_weight, DecoderScores(model, encoded, self.temperature)))
        if self.language_model is not None:
            stepwise.append((self.lm_weight, LanguageModelScores(self.language_model)))
        if self.ctc_weight > 0:
            scorer = self._prefix_scorer(ctc_log_probs(model, encoded), encoded.lengths)
            prefix = (self.ctc_weight, CTCPrefixScores(scorer, self.beam))
        return ScoreSources(self.symbols.size, stepwise, prefix, self.symbols.unk, self.unk_penalty)

    def _prefix_scorer(self, log_probs: Tensor, lengths: Tensor) -> CTCPrefixScorer:
        """Of log_probs (B, T, V) and lengths (B,)."""
        places, never = (self.symbols.require_blank(), self.symbols.eos), self.symbols.never
        if self.ctc_window is None:
            return CTCPrefixScorer(log_probs, lengths, *places, forbidden=never)
        return WindowedCTCPrefixScorer(log_probs, lengths, *places, window=self.ctc_window, forbidden=never)

    def _length_limits(self, frames: Tensor) -> Tensor:
        """Most tokens before </s> of utterances with `frames` (A,) encoder frames: (A,) int64."""
        limits = (self.max_len_a * frames.double() + self.max_len_b).long().clamp(min=self.min_len)
        if self.language_model is None:
            return limits
        positions = self.language_model.max_output
        if not self._warned_of_positions and bool((limits > positions).any()):
            self._warned_of_positions = True
            logger.warning(
                f"outputs are limited to {positions} tokens, the positions of the language model, where --max-len-a "
                f"{self.max_len_a} and --max-len-b {self.max_len_b} allow up to {int(limits.max())}"
            )
        return limits.clamp(max=positions)

    def _warn_of_limit(self, results: list[list[dict]], limits: list[int]) -> None:
        """Tell once that best hypotheses ended because they had to; limits by positions have a warning of their own."""
        positions = None if self.language_model is None else self.language_model.max_output
        reached = sum(
            bool(found) and len(found[0]["tokens"]) > limit and limit != positions
            for found, limit in zip(results, limits, strict=True)
        )
        if reached and not self._warned_of_limit:
            self._warned_of_limit = True
            logger.warning(
                f"the outputs of {reached} of the {len(results)} utterances of this batch were ended by their length "
                f"limit, --max-len-a {self.max_len_a} x encoder frames + --max-len-b {self.max_len_b} tokens, and may "
                "be cut off: raise it; later batches are not reported"
            )

    def _nothing_found(self, sample: dict, place: int) -> dict:
        """An empty hypothesis for an utterance of which every hypothesis had probability zero."""
        name = sample["id"][place].item() if "id" in sample else place
        logger.warning(
            f"utterance {name} has no possible hypothesis: --min-len {self.min_len} is more than its frames can "
            "spell, or the model's scores are not numbers (NaN); its output is empty"
        )
        return hypothesis(torch.tensor([self.symbols.eos]), torch.tensor(-torch.inf), torch.tensor([-torch.inf]))


def _check_temperature(ctc_weight: float, temperature: float) -> None:
    if ctc_weight == 1 and temperature != 1:
        raise ValueError(
            f"--temperature {temperature} has no effect with --ctc-decoding-weight 1, which runs no decoder: leave it "
            "at 1, or lower the CTC weight"
        )


def _check_window(window: float | None, ctc_weight: float) -> None:
    if window is None:
        return
    if not window > 0:
        raise ValueError(f"--ctc-window is {window}, it must be above 0: leave it out for exact scores")
    if ctc_weight == 0:
        raise ValueError(
            f"--ctc-window {window} has no effect with --ctc-decoding-weight 0, which reads no CTC scores: drop it, "
            "or raise the CTC weight"
        )


def _check_fusion(language_model: Any, lm_weight: float) -> None:
    if (language_model is None) != (lm_weight == 0):
        given = "without" if language_model is None else "with"
        raise ValueError(
            f"--lm-weight {lm_weight} {given} a language model has no effect: give --lm-path and a weight other than "
            "0, or neither"
        )
