# The reference's identification recipe: VoxCeleb1, 1,251 speakers, base size, from a pre-trained model. Published: 96.49%.
# The trials' speakers are among the 1,251: for verification of speakers that the model never heard, give
# --without-trial-speakers to the preparer and a DATA and CHECKPOINTS of its own.
DATA=${DATA:-voxceleb1}
PRETRAINED=${PRETRAINED:-checkpoints/librispeech_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/voxceleb1_sid}
OUT=${OUT:-speakers/voxceleb1}
TRIALS=(verification:trials.txt)

prepare() {
  python -m manifest_tools.voxceleb --corpus VoxCeleb1 --out "$DATA"
}

FLAGS=(
  --task speecht5_s2c --criterion speecht5_s2c
  --arch speecht5
  --speaker-pooling decoder          # one step of the decoder on a zero vector
  --speaker-loss softmax             # or: aam --speaker-embedding-dim 192, for verification
  --mask-prob 0 --crop-samples 51200 # 3.2 s
  --dropout 0.1 --attention-dropout 0.1 --activation-dropout 0.1 --encoder-layerdrop 0.05 --decoder-layerdrop 0.05
  --feature-grad-mult 1.0
  --batch-size 8                     # on a GPU
  --optimizer adam --adam-betas "(0.9, 0.98)"
  --lr 1e-8 --max-lr 0.0002 --lr-scheduler triangular --lr-period-updates 60000 --lr-shrink 0.5 --max-update 60000
  --best-checkpoint-metric accuracy --maximize-best-checkpoint-metric
  --fp16 --ddp-backend legacy_ddp --num-workers 4
  --batch-size-valid 8 --keep-last-epochs 10 --seed 1 --log-format json --log-interval 100
)
GENERATE=(--batch-size 8)
