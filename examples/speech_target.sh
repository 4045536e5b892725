#!/usr/bin/env bash
# What examples/{tts,vc,se}/run.sh share: prepare the data, train, generate the test splits, score them.
# speech_target.sh JOB CONFIG [more fairseq-train flags]; JOB is t2s or s2s
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
JOB=$1 CONFIG=$2
shift 2
TEXT=()
source "$CONFIG"
prepare
fairseq-train "$DATA" ${TEXT[@]+"${TEXT[@]}"} --save-dir "$CHECKPOINTS" ${PRETRAINED:+--finetune-from-model "$PRETRAINED"} \
  --user-dir speecht5_fairseq "${FLAGS[@]}" "$@"
status=0  # utterances that fail are listed and told by the status; the others are scored
for split in $TESTS; do
  fairseq-generate "$DATA" ${TEXT[@]+"${TEXT[@]}"} --path "$CHECKPOINTS/checkpoint_best.pt" --gen-subset "$split" \
    --user-dir speecht5_fairseq --task "speecht5_$JOB" --results-path "$OUT" "${GENERATE[@]}" || status=$?
  python -m speecht5_fairseq.scoring "$OUT/$split" "${SCORE[@]}" | tee "$OUT/$split.scores.txt" || status=$?
  if declare -F beside > /dev/null; then beside "$split" || status=$?; fi
  echo "The speech lies in $OUT/$split; results.tsv there has a line an utterance."
done
exit "$status"
