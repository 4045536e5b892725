# Enhancement of WHAM! (16 kHz, max, one talker in noise), base size, from a pre-trained model.
# Published: WER 8.9 after enhancement, 76.1 before. The published model predicts mel frames; a mask or a residual of the
# noisy mel (--reduction-factor 1 --speech-prediction mask, then --vocoder source) keeps the source's phases.
DATA=${DATA:-wham/se}
PRETRAINED=${PRETRAINED:-checkpoints/librispeech_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/wham_se}
OUT=${OUT:-speech/wham_se}
TESTS="test"

prepare() {
  python -m manifest_tools.wham --corpus wham --out "$DATA" --trim --extractor resemblyzer
}

FLAGS=(
  --task speecht5_s2s --criterion speecht5_speech
  --arch speecht5
  --mask-prob 0 --dropout 0.2 --attention-dropout 0.2 --activation-dropout 0.2
  --encoder-layerdrop 0.05 --decoder-layerdrop 0.0 --feature-grad-mult 1.0
  --max-tokens 1280000
  --reduction-factor 2 --guided-attention-weight 10
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 10
  --lr 0.0001 --lr-scheduler inverse_sqrt --warmup-updates 6000 --max-update 60000
  --fp16 --ddp-backend legacy_ddp --num-workers 4
  --keep-last-epochs 10 --seed 1 --log-format json --log-interval 100
)
GENERATE=(--max-tokens 1280000 --max-length-ratio 10)
SCORE=(--metrics mcd mel_l1_dtw --baseline source)   # predicted mel frames: no phases, a length of their own
