# Conversion of a synthetic voice (flite's slt) to the recorded voice of the prompts, by pairs of the same sentences, on
# one CPU core. Data: the "Data" lines of the README, into prompts/, and a pre-trained model (examples/pretrain).
DATA=${DATA:-prompts/pairs}
PRETRAINED=${PRETRAINED:-checkpoints/prompts_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/prompts_vc}
OUT=${OUT:-speech/prompts_vc}
TESTS="test"

prepare() {  # flite comes as a Debian package, without root, where it is not installed
  python -m manifest_tools.synthetic_voice --manifest prompts/en/{train,valid,test}.tsv --engine flite --voice slt --out prompts/flite
  python -m manifest_tools.pairs --source prompts/flite --target prompts/en --speaker-vectors --speaker-level 1 --out "$DATA"
}

FLAGS=(
  --task speecht5_s2s --criterion speecht5_speech
  --arch speecht5_small
  --mask-prob 0
  --max-tokens 320000                # samples of the longer side of each pair: 20 s in a batch
  --max-speech-samples 160000
  --reduction-factor 2
  --guided-attention-weight 10 --guided-attention-sigma 0.2   # both voices speak at nearly one pace
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 1
  --lr 0.001 --lr-scheduler inverse_sqrt --warmup-updates 200 --max-update 3000
  --validate-interval-updates 250 --save-interval-updates 250 --keep-interval-updates 1 --no-epoch-checkpoints
  --validate-interval 1000 --max-tokens-valid 800000
  --cpu --num-workers 0 --seed 1 --log-format simple --log-interval 100
)
GENERATE=(--max-tokens 800000 --max-length-ratio 3 --cpu --num-workers 0 --save-pictures)
SCORE=(--metrics mcd mel_l1_dtw asr --baseline source)
