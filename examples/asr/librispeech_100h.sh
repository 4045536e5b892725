# The reference's recognition recipe: LibriSpeech's 100 h, base size, from a pre-trained model.
# Published WER (dev-clean / dev-other / test-clean / test-other): 4.3 / 10.3 / 4.4 / 10.4 without a language model,
# 2.1 / 5.5 / 2.4 / 5.8 with a Transformer language model.
DATA=${DATA:-librispeech/100h}       # train.tsv/.txt, dev-clean ... test-other .tsv/.txt, dict.txt of the pre-training
SPM=${SPM:-librispeech/lm_text/vocabulary/spm.model}
PRETRAINED=${PRETRAINED:-checkpoints/librispeech_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/librispeech_asr}
TESTS="dev-clean dev-other test-clean test-other"

FLAGS=(
  --task speecht5_s2t --criterion speecht5_s2t
  --arch speecht5
  --valid-subset dev-clean
  --max-tokens 1600000               # samples on a GPU: 100 s; on 8 GPUs about 13 minutes of speech an update
  --mask-prob 0.75 --mask-length 10  # span masks over frames
  --mask-channel-prob 0.5 --mask-channel-length 64
  --dropout 0.1 --attention-dropout 0.1 --activation-dropout 0.1 --encoder-layerdrop 0.1 --decoder-layerdrop 0.1
  --feature-grad-mult 0              # the extractor keeps what pre-training taught it
  --freeze-encoder-updates 13000     # the new CTC head and the decoder learn first
  --ce-weight 0.5 --ctc-weight 0.5 --label-smoothing 0.1 --sentence-avg
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 25
  --lr 6e-05 --lr-scheduler tri_stage --phase-ratio "[0.1, 0.4, 0.5]" --final-lr-scale 0.05 --max-update 80000
  --fp16 --fp16-no-flatten-grads     # frozen parameters need a gradient of their own
  --ddp-backend legacy_ddp --num-workers 4
  --best-checkpoint-metric wer --keep-last-epochs 10 --seed 1337 --log-format json --log-interval 200
)
# With a language model over the same dictionary add: --lm-path lm/checkpoint_best.pt --lm-weight 0.3
DECODE=(--max-tokens 1600000 --beam 10 --ctc-decoding-weight 0.5 --max-len-a 1 --max-len-b 0)
