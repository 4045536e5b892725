#!/usr/bin/env bash
# Speaker identification with one of the configurations of this folder: prepare, train, classify, verify.
# run.sh CONFIG [more fairseq-train flags]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
CONFIG=${1:?"give a configuration: examples/sid/prompts.sh or examples/sid/voxceleb1.sh"}
source "$CONFIG"
prepare
fairseq-train "$DATA" --save-dir "$CHECKPOINTS" ${PRETRAINED:+--finetune-from-model "$PRETRAINED"} \
  --user-dir speecht5_fairseq "${FLAGS[@]}" "${@:2}"

generate() {  # generate SUBSET [more flags]: classes and embeddings to OUT/SUBSET
  fairseq-generate "$DATA" --path "$CHECKPOINTS/checkpoint_best.pt" --gen-subset "$1" --results-path "$OUT" \
    --user-dir speecht5_fairseq --task speecht5_s2c --save-embeddings --quiet "${GENERATE[@]}" "${@:2}"
}

generate test
for verified in "${TRIALS[@]}"; do  # SUBSET:FILE; speakers that the model was not trained on have no class
  subset=${verified%%:*}
  [ "$subset" = test ] || generate "$subset" --unlabelled
  echo "${verified#*:}:"
  python -m speecht5_fairseq.scoring.verification --trials "$DATA/${verified#*:}" --embeddings "$OUT/$subset" \
    --scores "$OUT/$subset.scores.tsv"
done
