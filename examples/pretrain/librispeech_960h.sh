# The reference's pre-training: LibriSpeech, 960 h of speech, and its language-model text; base size.
# Reference batch: 32 GPUs x 2 updates x 1.4 M samples (87.5 s), about 93 minutes of speech an update. On G GPUs set
# --update-freq to 64 / G; the effective batch is what counts.
SPEECH=${SPEECH:-librispeech/960h}   # {train,valid}.tsv with speaker vectors, {train,valid}.km, dict.km.txt
TEXT=${TEXT:-librispeech/lm_text}    # binary of librispeech-lm-norm.txt in pieces, dict.txt
CHECKPOINTS=${CHECKPOINTS:-checkpoints/librispeech_pretrain}

FLAGS=(
  --task speecht5_pretrain --criterion speecht5_pretrain --text-data "$TEXT"
  --arch speecht5                    # base: 12 + 6 layers, width 768, 12 heads
  --max-tokens 1400000               # samples of speech on a GPU
  --update-freq 8                    # on 8 GPUs
  --text-batch-ratio 0.0086          # 12,040 tokens of text on a GPU
  --crop-samples 250000              # crops of at most 15.6 s
  --min-speech-samples 32000         # clips under 2 s are left out
  --text-break complete --tokens-per-text-sample 512
  --mask-prob 0.8 --mask-length 10   # span masks over 20 ms frames
  --feature-grad-mult 0.1            # the extractor learns slowly
  --codebook-prob 0.1                # share of the frames that reach the decoder as codes
  --feature-penalty-weight 10 --diversity-weight 0.1
  --dropout 0.1 --attention-dropout 0.1 --activation-dropout 0.0 --encoder-layerdrop 0.05 --decoder-layerdrop 0.05
  --optimizer adam --adam-betas "(0.9, 0.98)" --adam-eps 1e-06 --weight-decay 0.01 --clip-norm 5
  --lr 0.0002 --lr-scheduler polynomial_decay --warmup-updates 64000 --total-num-update 800000 --max-update 800000
  --fp16 --ddp-backend legacy_ddp    # speech and text use different nets
  --num-workers 4
  --save-interval-updates 5000 --keep-interval-updates 5 --no-epoch-checkpoints   # an epoch is about 620 updates
  --validate-interval 1000           # saves by updates validate; checkpoint_last.pt is written every epoch too
  --seed 1337 --log-format json --log-interval 200
)
