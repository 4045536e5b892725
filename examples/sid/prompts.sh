# 14 voices told apart, on one CPU core: the recorded prompts (one voice in each of three languages) and synthetic voices
# that say the same sentences. Six more voices, which training never hears, are verified.
# Data: the "Data" lines of the README, into prompts/, and a pre-trained model (examples/pretrain).
DATA=${DATA:-prompts/speakers}
PRETRAINED=${PRETRAINED:-checkpoints/prompts_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/prompts_sid}
OUT=${OUT:-speakers/prompts}
TRIALS=(test:test.trials.txt unseen:unseen.trials.txt)    # SUBSET:FILE

# LANGUAGE:ENGINE:VOICE of manifest_tools.synthetic_voice
SEEN=(en:flite:slt en:flite:rms en:flite:kal en:espeak-ng:en-us en:espeak-ng:en-us+f2 en:espeak-ng:en-us+m3
  en:espeak-ng:en-us+m4 fr:espeak-ng:fr fr:espeak-ng:fr+f3 es:espeak-ng:es es:espeak-ng:es+m2)
UNSEEN=(en:flite:awb en:espeak-ng:en-us+f4 en:espeak-ng:en-us+m7 fr:espeak-ng:fr+f5 fr:espeak-ng:fr+m1
  es:espeak-ng:es+f1)

named() {  # named VOICE...: NAME=FOLDER of each
  local voice
  for voice in "$@"; do echo "${voice##*:}=prompts/synthetic/${voice##*:}"; done
}

speak() {  # speak LANGUAGE:ENGINE:VOICE SPLIT...
  local language engine name
  IFS=: read -r language engine name <<< "$1"
  python -m manifest_tools.synthetic_voice --manifest $(printf "prompts/$language/%s.tsv " "${@:2}") --engine "$engine" \
    --voice "$name" --cache prompts/engines --out "prompts/synthetic/$name"
}

prepare() {  # flite and espeak-ng come as Debian packages, without root, where they are not installed
  local voice
  for voice in "${SEEN[@]}"; do speak "$voice" train valid test; done
  for voice in "${UNSEEN[@]}"; do speak "$voice" test; done
  python -m manifest_tools.speakers --voices recorded-en=prompts/en recorded-fr=prompts/fr recorded-es=prompts/es \
    $(named "${SEEN[@]}") --unseen $(named "${UNSEEN[@]}") --out "$DATA"
  python -m manifest_tools.check --job s2c --data "$DATA"
}

FLAGS=(
  --task speecht5_s2c --criterion speecht5_s2c
  --arch speecht5_small
  --mask-prob 0
  --speaker-pooling attentive --speaker-embedding-dim 64    # no decoder is built
  --speaker-loss aam --speaker-margin 0.2 --speaker-scale 20
  --crop-samples 64000               # 4 s; evaluation hears whole utterances
  --batch-size 16 --max-speech-samples 160000
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 5
  --lr 0.0005 --lr-scheduler polynomial_decay --warmup-updates 50 --total-num-update 1000 --max-update 1000
  --validate-interval-updates 100 --save-interval-updates 100 --keep-interval-updates 1 --no-epoch-checkpoints
  --validate-interval 1000 --batch-size-valid 16
  --best-checkpoint-metric accuracy --maximize-best-checkpoint-metric
  --cpu --num-workers 0 --seed 1 --log-format simple --log-interval 20
)
GENERATE=(--batch-size 16 --cpu --num-workers 0)
