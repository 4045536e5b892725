#!/usr/bin/env bash
# A small HiFi-GAN on the recorded prompts on two CPU cores, and what it does to held-out ones, Griffin-Lim beside it.
# run.sh [more flags of train.py, which win]; DATA and OUT name the folders of the manifests and of the vocoder.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
DATA=${DATA:-prompts/en}            # {train,valid,test}.tsv, as the "Data" lines of the README make them
OUT=${OUT:-checkpoints/prompts_vocoder}
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}

FLAGS=(
  --size small
  --batch-size 8 --segment-frames 32   # 4 s of speech in a batch
  --updates 8000
  --adversarial-from 2000              # the mel loss alone first: an update takes a quarter of the time
  --learning-rate 0.001 --half-life 5000
  --save-every 1000 --log-every 100
)
python examples/vocoder/train.py --data "$DATA" --out "$OUT" "${FLAGS[@]}" "$@"
for vocoder in griffin-lim "$OUT/vocoder"; do
  echo "$vocoder:"
  python examples/vocoder/resynthesise.py --manifest "$DATA/test.tsv" --vocoder "$vocoder" \
    --out "$OUT/resynthesised/$(basename "$vocoder")" | tail -n 1
done
