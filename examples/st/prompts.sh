# French speech to English text, or the other way round, on the recorded prompts (12 minutes of speech): ten minutes
# of one CPU core. DIRECTION=en-fr (es-en, ...) chooses; two directions run beside each other on two cores.
# Data: the "Data" lines of the README, into prompts/; before it: bash examples/pretrain/run.sh examples/pretrain/prompts.sh
DIRECTION=${DIRECTION:-fr-en}
DATA=${DATA:-prompts/$DIRECTION}
SPM=${SPM:-prompts/vocabulary/spm.model}   # characters of all three languages, as in the pre-training
PRETRAINED=${PRETRAINED:-checkpoints/prompts_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/prompts_st_$DIRECTION}
TESTS="test"

prepare() {
  python -m manifest_tools.translations --source "prompts/${DIRECTION%-*}" --target "prompts/${DIRECTION#*-}" --out "$DATA"
  cp "$(dirname "$SPM")/dict.txt" "$DATA/"
  python -m manifest_tools.check --job s2t --data "$DATA" --spm-model "$SPM"
}

FLAGS=(
  --task speecht5_s2t --criterion speecht5_s2t
  --arch speecht5_small
  --max-tokens 160000                # samples in a batch: 10 s
  --max-speech-samples 160000        # longer recordings are left out of training
  --ce-weight 1 --ctc-weight 0 --no-ctc-head --label-smoothing 0.1 --sentence-avg   # CTC would want the source's order
  --mask-prob 0.2 --mask-length 5 --dropout 0.2
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 5
  --lr 0.001 --lr-scheduler inverse_sqrt --warmup-updates 200 --max-update 3500
  --save-interval-updates 250 --keep-interval-updates 4 --no-epoch-checkpoints
  --validate-interval 1000 --validate-interval-updates 500 --max-tokens-valid 600000
  --cpu --num-workers 0 --seed 1 --log-format simple --log-interval 100
)
AVERAGE=(--last-updates 4)
DECODE=(--max-tokens 800000 --beam 5 --max-len-a 0.5 --max-len-b 5 --cpu --num-workers 0)
