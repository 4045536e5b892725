# The reference's conversion recipe: CMU ARCTIC, four voices, base size, from a pre-trained model.
# Published: WER 7.8 and MCD 5.93 for bdl to slt, 6.4 and 5.87 for clb to slt.
DATA=${DATA:-arctic/vc}
PRETRAINED=${PRETRAINED:-checkpoints/librispeech_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/arctic_vc}
OUT=${OUT:-speech/arctic_vc}
TESTS="test"

prepare() {
  python -m manifest_tools.cmu_arctic --corpus cmu_arctic --out "$DATA" --extractor resemblyzer
}

FLAGS=(
  --task speecht5_s2s --criterion speecht5_speech
  --arch speecht5
  --mask-prob 0 --dropout 0.2 --attention-dropout 0.2 --activation-dropout 0.2
  --encoder-layerdrop 0.05 --decoder-layerdrop 0.0 --feature-grad-mult 1.0
  --max-tokens 1280000                                    # samples on a GPU: 80 s
  --reduction-factor 2 --guided-attention-weight 10
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 10
  --lr 0.0001 --lr-scheduler inverse_sqrt --warmup-updates 6000 --max-update 60000
  --fp16 --ddp-backend legacy_ddp --num-workers 4
  --save-interval-updates 1000 --keep-interval-updates 10 --no-epoch-checkpoints   # an epoch is some 60 updates
  --save-interval 1000 --validate-interval 1000
  --seed 1 --log-format json --log-interval 100
)
GENERATE=(--max-tokens 1280000 --max-length-ratio 10)
SCORE=(--metrics mcd asr speaker --baseline source --speaker-encoder manifest_tools.speaker_statistics:resemblyzer_vector)
