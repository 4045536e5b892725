# Synthesis of one voice from 13 minutes of recorded prompts, on one CPU core.
# Data: the "Data" lines of the README, into prompts/.
DATA=${DATA:-prompts/en}
TEXT=(--spm-model prompts/vocabulary/spm.model)
PRETRAINED=${PRETRAINED:-}                     # none: the small model of examples/pretrain has one decoder layer too few
CHECKPOINTS=${CHECKPOINTS:-checkpoints/prompts_tts}
OUT=${OUT:-speech/prompts_tts}
TESTS="test"

prepare() {  # a vector of the voice in the manifests
  python -m manifest_tools.speaker_vectors --manifests "$DATA"/{train,valid,test}.tsv --speaker-level 1 --out "$DATA/speakers"
}

beside() {  # beside SPLIT: the recordings' own mels through Griffin-Lim, what a perfect model would reach
  python examples/vocoder/resynthesise.py --manifest "$DATA/$1.tsv" --count 100000 --out "$OUT/resynthesised" | tail -n 1
  cut -f 1,12 "$OUT/$1/results.tsv" | tail -n +2 > "$OUT/texts.tsv"  # id and text
  python -m speecht5_fairseq.scoring "$OUT/resynthesised" --metrics asr --texts "$OUT/texts.tsv"
}

FLAGS=(
  --task speecht5_t2s --criterion speecht5_speech
  --arch speecht5_small --embed-dim 256 --ffn-dim 1024 --encoder-layers 3 --decoder-layers 3
  --speech-prenet-dim 256 --postnet-layers 5 --postnet-channels 128
  --text-ends eos
  --dropout 0.2                      # with 0.1 the validation's L1 rises after 2,500 updates
  --max-tokens 320000                # samples of speech in a batch: 20 s
  --max-speech-samples 160000        # longer recordings are left out of training
  --reduction-factor 2               # two mel frames a step
  --guided-attention-weight 10 --guided-attention-sigma 0.4 --guided-attention-heads 2
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 1
  --lr 0.001 --lr-scheduler inverse_sqrt --warmup-updates 300 --max-update 8000
  --validate-interval-updates 500 --save-interval-updates 500 --keep-interval-updates 1 --no-epoch-checkpoints
  --validate-interval 1000 --max-tokens-valid 800000
  --cpu --num-workers 0 --seed 1 --log-format simple --log-interval 100
)
GENERATE=(--max-tokens 800000 --cpu --num-workers 0 --save-pictures)
SCORE=(--metrics mcd mel_l1_dtw asr --asr-references)
