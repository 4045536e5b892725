# Every option of the demo's training and decoding, sized for two CPU cores and a quarter of an hour.
UNITS=100

COMMON=(
  --user-dir speecht5_fairseq --arch speecht5_small
  --embed-dim 144 --ffn-dim 576 --encoder-layers 4 --decoder-layers 1 --conv-channels 64
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 5
  --cpu --num-workers 0 --seed 1
  --no-epoch-checkpoints --log-format simple --log-interval 50
)

PRETRAIN=(
  --task speecht5_pretrain --criterion speecht5_pretrain
  --max-tokens 160000 --crop-samples 80000   # 10 s of speech in a batch, crops of at most 5 s
  --text-batch-ratio 0.004                   # and 640 tokens of text
  --mask-prob 0.3 --unmasked-weight 1        # so short a run learns more from the frames it hears
  --lr 0.002 --lr-scheduler polynomial_decay --warmup-updates 100 --total-num-update 1600 --max-update 1600
  --validate-interval 1000 --validate-interval-updates 800 --save-interval-updates 800 --keep-interval-updates 1
  --max-tokens-valid 400000
)

FINETUNE=(
  --task speecht5_s2t --criterion speecht5_s2t --sentence-avg
  --max-tokens 160000 --max-speech-samples 160000  # 10 s of speech in a batch; longer recordings are left out
  --freeze-encoder-updates 150                     # the new CTC head learns before the encoder does
  --mask-prob 0                                    # so short a run does not overfit
  --lr 0.001 --lr-scheduler tri_stage --phase-ratio "[0.1, 0.4, 0.5]" --final-lr-scale 0.05 --max-update 2000
  --validate-interval 1000 --validate-interval-updates 500 --save-interval-updates 500 --keep-interval-updates 1
  --max-tokens-valid 600000
  --best-checkpoint-metric uer
)

VOICE=(
  --task speecht5_t2s --criterion speecht5_speech --text-ends both
  --max-tokens 480000 --max-speech-samples 160000
  --guided-attention-weight 10
  --lr 0.001 --lr-scheduler inverse_sqrt --warmup-updates 200 --max-update 1100
  --validate-interval 1000 --validate-interval-updates 550 --save-interval-updates 550 --keep-interval-updates 1
  --max-tokens-valid 800000
)
SENTENCE="please enter the number of your mailbox and then press pound"

SAY=(
  --user-dir speecht5_fairseq --task speecht5_t2s --gen-subset test --max-tokens 800000 --cpu --num-workers 0
  --save-pictures
)

DECODE=(
  --user-dir speecht5_fairseq --task speecht5_s2t --gen-subset test
  --max-tokens 800000 --beam 5 --ctc-decoding-weight 0.6 --max-len-a 0.5 --max-len-b 5
  --post-process sentencepiece --scoring wer_cer --cpu --num-workers 0
)
