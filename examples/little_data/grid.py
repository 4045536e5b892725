"""What is trained on what: the sizes, starts and methods of the experiment, and the runs that they make."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

MAX_SAMPLES = 320_000  # 20 s: longer recordings count for nothing here and are never trained on


class Size(NamedTuple):
    """What --size stands for. An update is one batch of at most four recordings and 20 s."""

    seeds: tuple[int, ...]
    pretrain_updates: int
    updates: dict[float, int]  # minutes of labelled speech -> updates of fine-tuning
    model: tuple[str, ...]
    masks: tuple[str, ...] = ("--mask-prob", "0")  # of the speech that is fine-tuned on


class Start(NamedTuple):
    """Where fine-tuning starts: a pre-training with these options, on text besides speech or not; or none."""

    title: str
    pretrained: bool = True
    text: bool = True
    options: tuple[str, ...] = ()


class Method(NamedTuple):
    """How a pre-trained model is fine-tuned."""

    title: str
    learning_rate: float
    over_base: bool  # over --base-checkpoint, which stays as it is
    options: tuple[str, ...] = ()


class Run(NamedTuple):
    """Programs that run one after the other, with a folder of their own below WORK/runs."""

    name: str
    start: str
    method: str  # "pretrain", or a name in METHODS
    minutes: float  # of labelled speech; 0 in pre-training
    seed: int
    steps: tuple[tuple[str, tuple[str, ...]], ...]  # (name, program and arguments)
    inputs: tuple[Path, ...]  # files whose content decides the result too
    needs: str | None = None  # the run that must have ended well


class Place(NamedTuple):
    """Where things are, and what computes."""

    data: Path  # folder of all/, text/, en/ and vocabulary/, as examples/demo/prepare.sh makes it
    work: Path
    device: tuple[str, ...]  # options of the training programs

    def folder(self, name: str) -> Path:
        """Of a run."""
        return self.work / "runs" / name


TINY_MODEL = (  # the demo's
    "--arch", "speecht5_small", "--embed-dim", "144", "--ffn-dim", "576", "--encoder-layers", "4",
    "--decoder-layers", "1", "--conv-channels", "64",
)  # fmt: skip
SIZES = {
    "short": Size((1,), 1600, {1: 800, 5: 1600, 15: 2600}, TINY_MODEL),
    "long": Size(
        (1, 2, 3),
        6400,
        {1: 1500, 5: 3500, 15: 7000},
        TINY_MODEL,
        masks=("--mask-prob", "0.1", "--mask-length", "5"),
    ),
}
TEXT_NETS = (
    "text_decoder_prenet",
    "text_decoder_postnet",
)  # which recognition has and pre-training without text has not
STARTS = {
    "joint": Start("joint pre-training"),
    "speech": Start("without text", text=False),
    "no-quantizer": Start("without the quantizer", options=("--codebook-prob", "0")),
    "none": Start("no pre-training", pretrained=False),
}
HOLD = ("--freeze-encoder-updates", "150")  # the new CTC head learns before the encoder, or what is added to it, does
METHODS = {
    "full": Method("full fine-tuning", 0.001, False, HOLD),
    "frozen": Method("frozen encoder", 0.001, True, ("--train-nets", "decoder,text_decoder_prenet")),
    "adapters": Method("adapters, width 32", 0.005, True, ("--adapter-dim", "32", *HOLD)),
    "lora": Method("LoRA, rank 8", 0.005, True, ("--lora-rank", "8", "--lora-targets", "q,k,v,out,fc1,fc2", *HOLD)),
}
ABLATED = "full"  # the method that starts are compared with
FULL_START = "joint"  # the start that methods are compared from

OPTIMIZATION = ("--optimizer", "adam", "--adam-betas", "(0.9, 0.98)", "--clip-norm", "5")
LOG = ("--num-workers", "0", "--no-epoch-checkpoints", "--log-format", "json", "--log-interval", "50")
PRETRAIN = (
    "--task", "speecht5_pretrain", "--criterion", "speecht5_pretrain", "--max-tokens", "160000",
    "--crop-samples", "80000", "--mask-prob", "0.3", "--unmasked-weight", "1",
    "--lr", "0.002", "--lr-scheduler", "polynomial_decay", "--warmup-updates", "100", "--max-tokens-valid", "400000",
)  # fmt: skip
FINETUNE = (
    "--task", "speecht5_s2t", "--criterion", "speecht5_s2t", "--sentence-avg",
    "--max-tokens", str(MAX_SAMPLES), "--batch-size", "4", "--max-speech-samples", str(MAX_SAMPLES),
    "--lr-scheduler", "tri_stage", "--phase-ratio", "[0.1, 0.4, 0.5]", "--final-lr-scale", "0.05",
    "--max-tokens-valid", "600000", "--best-checkpoint-metric", "uer", "--no-last-checkpoints",
)  # fmt: skip
DECODE = (
    "--task", "speecht5_s2t", "--gen-subset", "test", "--max-tokens", "800000", "--num-workers", "0",
    "--beam", "5", "--ctc-decoding-weight", "0.6", "--max-len-a", "0.5", "--max-len-b", "5",
    "--post-process", "sentencepiece", "--scoring", "wer_cer",
)  # fmt: skip
VALIDATIONS = 10  # points of a fine-tuning's curve


def subset_name(minutes: float, seed: int) -> str:
    """Of the training split that holds so many minutes."""
    return f"train-{minutes:g}min-seed{seed}"


def grid(
    place: Place,
    size: Size,
    *,
    minutes: Sequence[float],
    starts: Sequence[str],
    methods: Sequence[str],
    seeds: Sequence[int],
) -> list[Run]:
    """Every method from joint pre-training, and full fine-tuning from every start, on every amount of speech.

    Pre-trainings come first, then the longest fine-tunings: side by side they end at about the same time.
    """
    pairs = [(FULL_START, method) for method in methods if FULL_START in starts]
    pairs += [(start, ABLATED) for start in starts if start != FULL_START and ABLATED in methods]
    runs = [
        pretraining(place, size, start, seed)
        for seed in seeds
        for start in dict.fromkeys(start for start, _ in pairs)
        if STARTS[start].pretrained
    ]
    for amount in sorted(minutes, reverse=True):
        runs += [finetuning(place, size, start, method, amount, seed) for seed in seeds for start, method in pairs]
    return runs


def pretraining(place: Place, size: Size, start: str, seed: int) -> Run:
    """Pre-training on the speech of all languages, and on their text where the start has it."""
    name, updates, speech = f"pretrain-{start}-seed{seed}", str(size.pretrain_updates), place.data / "all"
    text = place.data / "text"
    options = ("--text-data", str(text), "--text-batch-ratio", "0.004") if STARTS[start].text else ()
    command = (
        "fairseq-train", str(speech), "--save-dir", str(place.folder(name)), *place.device, *size.model, *OPTIMIZATION,
        *LOG, *PRETRAIN, *options, *STARTS[start].options, "--total-num-update", updates,
        "--max-update", updates, "--validate-interval", "100000", "--validate-interval-updates", updates,
        "--save-interval", "100000", "--seed", str(seed),
    )  # fmt: skip
    inputs = [speech / f"{split}.{ending}" for split in ("train", "valid") for ending in ("tsv", "km")]
    inputs += [text / f"{split}.bin" for split in ("train", "valid")] if STARTS[start].text else []
    return Run(name, start, "pretrain", 0, seed, (("train", command),), (*inputs, speech / "dict.km.txt"))


def finetuning(place: Place, size: Size, start: str, method: str, minutes: float, seed: int) -> Run:
    """Fine-tuning on so many minutes of labelled English, and decoding the held-out sentences with the best update."""
    name = f"{start}-{method}-{minutes:g}min-seed{seed}"
    needs = f"pretrain-{start}-seed{seed}" if STARTS[start].pretrained else None
    folder, labelled, subset = place.folder(name), place.data / "en", subset_name(minutes, seed)
    data = (str(labelled), "--spm-model", str(place.data / "vocabulary" / "spm.model"))
    updates, rate = size.updates[minutes], METHODS[method].learning_rate
    interval = str(max(1, updates // VALIDATIONS))
    train = (
        "fairseq-train", *data, "--train-subset", subset, "--save-dir", str(folder), *place.device, *size.model,
        *OPTIMIZATION, *LOG, *FINETUNE, *size.masks, "--lr", str(rate), "--max-update", str(updates),
        "--validate-interval", "100000", "--validate-interval-updates", interval, "--save-interval", "100000",
        "--save-interval-updates", interval, "--keep-interval-updates", "1", "--seed", str(seed),
        *_start_options(place, start, method, needs),
    )  # fmt: skip
    cpu = ("--cpu",) if "--cpu" in place.device else ()
    decode = ("fairseq-generate", *data, "--path", str(folder / "checkpoint_best.pt"), *DECODE, *cpu)
    inputs = [labelled / f"{split}.{ending}" for split in (subset, "valid", "test") for ending in ("tsv", "txt")]
    inputs += [labelled / "dict.txt", place.data / "vocabulary" / "spm.model"]
    return Run(name, start, method, minutes, seed, (("train", train), ("decode", decode)), tuple(inputs), needs)


def _start_options(place: Place, start: str, method: str, needs: str | None) -> tuple[str, ...]:
    """What the model starts from; without pre-training there is nothing to hold, without text no net of it."""
    if needs is None:
        return ()
    option = "--base-checkpoint" if METHODS[method].over_base else "--finetune-from-model"
    new = () if STARTS[start].text else ("--new-nets", ",".join(TEXT_NETS))
    return (option, str(place.folder(needs) / "checkpoint_last.pt"), *METHODS[method].options, *new)
