# Pre-training on the recorded prompts (52 minutes of English, French and Spanish): half an hour on one CPU core.
# Data: the "Data" lines of the README, into prompts/.
SPEECH=${SPEECH:-prompts/all}        # {train,valid}.tsv with speaker vectors, {train,valid}.km, dict.km.txt
TEXT=${TEXT:-prompts/text}           # binary text and dict.txt
CHECKPOINTS=${CHECKPOINTS:-checkpoints/prompts_pretrain}

FLAGS=(
  --task speecht5_pretrain --criterion speecht5_pretrain --text-data "$TEXT"
  --arch speecht5_small
  --max-tokens 160000                # samples of speech in a batch: 10 s
  --text-batch-ratio 0.004           # and 640 tokens of text
  --crop-samples 80000               # crops of at most 5 s
  --mask-prob 0.3                    # fewer masked frames than the reference, and
  --unmasked-weight 1                # the units of the others count too: so short a run learns more from what it hears
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 5
  --lr 0.0015 --lr-scheduler polynomial_decay --warmup-updates 300 --total-num-update 4000 --max-update 4000
  --validate-interval 5 --save-interval 5 --max-tokens-valid 400000 --no-epoch-checkpoints
  --cpu --num-workers 0 --seed 1 --log-format simple --log-interval 100
)
