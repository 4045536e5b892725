"""Command lines of the published README, as typed there but for folders, ``--fp16`` and the names of splits.

``examples/published/README.md`` has them whole; a test compares it with these.
"""

from __future__ import annotations

import shlex

_FINE_TUNING = "--share-input-output-embed --find-unused-parameters --bert-init --relative-position-embedding"
_RUN = "--distributed-world-size 8 --distributed-port 0 --ddp-backend legacy_ddp --log-format json --seed 1"
_LENGTHS = "--min-speech-sample-size 1056 --max-speech-sample-size 480256 --max-speech-positions 1876"
TRAINING = {
    "pretrain": """--train-subset speech_train|text_train --valid-subset speech_valid|text_valid
        --distributed-world-size 32 --distributed-port 0 --ddp-backend legacy_ddp --log-format json --seed 1337
        --task speecht5 --t5-task pretrain --label-rates 50 --sample-rate 16000 --random-crop --num-workers 0
        --max-tokens 1400000 --max-speech-sample-size 250000 --update-freq 2 --batch-ratio '[1,0.0086]'
        --criterion speecht5 --optimizer adam --reset-optimizer --adam-betas '(0.9, 0.98)' --adam-eps 1e-06
        --weight-decay 0.01 --power 1 --clip-norm 5.0 --lr 0.0002 --lr-scheduler polynomial_decay --max-update 800000
        --warmup-updates 64000 --total-num-update 800000 --save-interval-updates 3000
        --skip-invalid-size-inputs-valid-test --required-batch-size-multiple 1 --arch t5_transformer_base
        --share-input-output-embed --find-unused-parameters --bert-init --relative-position-embedding --use-codebook
        --codebook-prob 0.1 --loss-weights='[10,0.1]' --max-text-positions 600""",
    "s2t": f"""{_RUN} --task speecht5 --t5-task s2t --sample-rate 16000 --num-workers 0 --max-tokens 1600000
        --update-freq 2 --criterion speecht5 --report-accuracy --zero-infinity --ce-weight 0.5 --ctc-weight 0.5
        --sentence-avg --optimizer adam --adam-betas '(0.9, 0.98)' --adam-eps 1e-08 --weight-decay 0.1 --clip-norm 25.0
        --lr 0.00006 --lr-scheduler tri_stage --phase-ratio '[0.1, 0.4, 0.5]' --final-lr-scale 0.05 --max-update 80000
        --max-text-positions 600 --required-batch-size-multiple 1 --save-interval-updates 3000
        --skip-invalid-size-inputs-valid-test --arch t5_transformer_base_asr {_FINE_TUNING}
        --freeze-encoder-updates 13000 --keep-last-epochs 10 --feature-grad-mult 1.0
        --best-checkpoint-metric s2t_accuracy --maximize-best-checkpoint-metric""",
    "st": f"""{_RUN} --task speecht5 --t5-task s2t --sample-rate 16000 --num-workers 6 --max-tokens 480256
        --update-freq 4 --max-tokens-valid 3200000 --criterion speecht5 --label-smoothing 0.1 --report-accuracy
        --sentence-avg --optimizer adam --adam-betas '(0.9, 0.98)' --weight-decay 0.0 --clip-norm 10.0 --lr 0.0002
        --lr-scheduler inverse_sqrt --warmup-updates 25000 --feature-grad-mult 1.0 --max-update 80000
        --max-text-positions 600 {_LENGTHS} --required-batch-size-multiple 1 --skip-invalid-size-inputs-valid-test
        --keep-last-epochs 10 --arch t5_transformer_base_asr {_FINE_TUNING} --freeze-encoder-updates 0 --mask-prob 0.5
        --mask-channel-prob 0.5""",
    "t2s": f"""{_RUN} --task speecht5 --t5-task t2s --sample-rate 16000 --num-workers 4 --max-tokens 3200000
        --update-freq 1 --max-tokens-valid 3200000 --criterion speecht5 --use-guided-attn-loss --report-accuracy
        --sentence-avg --optimizer adam --adam-betas '(0.9, 0.98)' --dropout 0.15 --activation-dropout 0.15
        --attention-dropout 0.15 --encoder-layerdrop 0.0 --decoder-layerdrop 0.0 --weight-decay 0.0 --clip-norm 25.0
        --lr 0.0001 --lr-scheduler inverse_sqrt --warmup-updates 10000 --feature-grad-mult 1.0 --max-update 120000
        --max-text-positions 600 {_LENGTHS} --required-batch-size-multiple 1 --skip-invalid-size-inputs-valid-test
        --keep-last-epochs 10 --validate-after-updates 20000 --validate-interval 50 --log-interval 10
        --arch t5_transformer_base_asr {_FINE_TUNING} --freeze-encoder-updates 20000""",
    "s2s": f"""{_RUN} --task speecht5 --t5-task s2s --sample-rate 16000 --num-workers 4 --max-tokens 1280000
        --update-freq 3 --max-tokens-valid 1280000 --criterion speecht5 --use-guided-attn-loss --report-accuracy
        --sentence-avg --optimizer adam --dropout 0.2 --activation-dropout 0.2 --attention-dropout 0.2
        --encoder-layerdrop 0.05 --decoder-layerdrop 0.0 --clip-norm 1.0 --lr 0.0001 --lr-scheduler inverse_sqrt
        --warmup-updates 6000 --feature-grad-mult 1.0 --max-update 60000 --max-text-positions 600 {_LENGTHS}
        --required-batch-size-multiple 1 --skip-invalid-size-inputs-valid-test --keep-last-epochs 10
        --save-interval-updates 10000 --disable-validation --log-interval 10 --arch t5_transformer_base_asr
        {_FINE_TUNING} --mask-prob 0.0 --mask-channel-prob 0.0""",
    "s2c": f"""{_RUN} --task speecht5 --t5-task s2c --sample-rate 16000 --num-workers 4 --batch-size 8 --update-freq 2
        --data-buffer-size 0 --criterion speecht5 --report-accuracy --best-checkpoint-metric s2c_accuracy
        --maximize-best-checkpoint-metric --optimizer adam --dropout 0.1 --activation-dropout 0.1
        --attention-dropout 0.1 --encoder-layerdrop 0.05 --lr-scheduler triangular --max-lr 2e-4
        --lr-period-updates 60000 --lr-shrink 0.5 --lr 1e-8 --feature-grad-mult 1.0 --weight-decay 0.1
        --max-update 60000 --max-text-positions 600 --max-speech-positions 8000 --required-batch-size-multiple 1
        --skip-invalid-size-inputs-valid-test --save-interval-updates 10000 --validate-after-updates 20000
        --no-epoch-checkpoints --log-interval 10 --arch t5_transformer_base_asr {_FINE_TUNING} --mask-prob 0.0
        --mask-channel-prob 0.0 --sid-no-pooling-bn --sid-no-embed-postnet""",
}


_MADE = "--batch-size 1 --sample-rate 16000"
GENERATION = {
    "s2t": """--task speecht5 --t5-task s2t --ctc-weight 0.5 --max-tokens 1600000 --beam 5 --scoring wer --max-len-a 0
        --max-len-b 620 --sample-rate 16000""",
    "st": """--task speecht5 --t5-task s2t --max-tokens 1600000 --min-speech-sample-size 1056 --beam 5
        --scoring sacrebleu --max-len-a 0 --max-len-b 620 --sample-rate 16000""",
    "t2s": f"--task speecht5 --t5-task t2s {_MADE}",
    "s2s": f"--task speecht5 --t5-task s2s {_MADE}",
    "s2c": "--log-format json --task speecht5 --t5-task s2c --batch-size 1 --max-speech-positions 8000 "
    "--sample-rate 16000",
}
JOBS = {"st": "s2t"}  # lines whose name is not that of their job
# Folders and files as the document names them.
_LABELS, _PIECES = ["--hubert-label-dir", "LABELS"], ["--bpe-tokenizer", "SPM.model"]
_READ = {
    "pretrain": _LABELS,
    "s2t": [*_LABELS, *_PIECES],
    "st": [*_LABELS, *_PIECES],
    "t2s": [*_LABELS, *_PIECES],
    "s2s": _LABELS,
    "s2c": [],
}


def training_line(job: str) -> list[str]:
    """The arguments of fairseq-train for a job, without its data."""
    return shlex.split(TRAINING[job])


def generation_line(job: str) -> list[str]:
    """The arguments of fairseq-generate for a job, without its data and its checkpoint."""
    return shlex.split(GENERATION[job])


def whole_lines(job: str) -> list[list[str]]:
    """The commands of a job as the document has them."""
    user_dir, out = ["--user-dir", "speecht5_fairseq"], ["--save-dir", "OUT", "--tensorboard-logdir", "OUT"]
    start = [] if job == "pretrain" else ["--finetune-from-model", "PRETRAINED.pt"]
    lines = [["fairseq-train", "DATA", *user_dir, *out, *_READ[job], *start, "--fp16", *training_line(job)]]
    if job in GENERATION:
        made = ["--results-path", "RESULTS"] if job in ("t2s", "s2s", "s2c") else []
        path = "OUT/average.pt" if job == "st" else "OUT/checkpoint_best.pt"
        read = ["--path", path, "--gen-subset", "test", *_READ[job], *made]
        lines.append(["fairseq-generate", "DATA", *user_dir, *read, *generation_line(job)])
    return lines
