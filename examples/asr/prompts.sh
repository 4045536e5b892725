# English recognition on the recorded prompts (15 minutes of labelled speech): a quarter of an hour on one CPU core.
# Data: the "Data" lines of the README; before it: bash examples/pretrain/run.sh examples/pretrain/prompts.sh
DATA=${DATA:-prompts/en}             # {train,valid,test}.tsv and .txt, dict.txt
SPM=${SPM:-prompts/vocabulary/spm.model}
PRETRAINED=${PRETRAINED:-checkpoints/prompts_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/prompts_asr}
TESTS="test"

FLAGS=(
  --task speecht5_s2t --criterion speecht5_s2t
  --arch speecht5_small
  --max-tokens 160000                # samples in a batch: 10 s
  --max-speech-samples 160000        # longer recordings are left out of training
  --freeze-encoder-updates 200       # the new CTC head learns first; without it the first gradients undo the pre-training
  --mask-prob 0.2 --mask-length 5    # light span masking
  --ce-weight 0.5 --ctc-weight 0.5 --label-smoothing 0.1 --sentence-avg
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 5
  --lr 0.001 --lr-scheduler tri_stage --phase-ratio "[0.1, 0.4, 0.5]" --final-lr-scale 0.05 --max-update 4000
  --validate-interval 10 --save-interval 10 --max-tokens-valid 600000 --best-checkpoint-metric uer --no-epoch-checkpoints
  --cpu --num-workers 0 --seed 1 --log-format simple --log-interval 100
)
DECODE=(--max-tokens 800000 --beam 5 --ctc-decoding-weight 0.5 --max-len-a 0.5 --max-len-b 5 --cpu)
