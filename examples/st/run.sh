#!/usr/bin/env bash
# Speech translation with one of the configurations of this folder: prepare, fine-tune, average the last checkpoints,
# decode every test split. run.sh CONFIG [more fairseq-train flags]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
CONFIG=${1:?"give a configuration: examples/st/prompts.sh or examples/st/mustc.sh"}
source "$CONFIG"
prepare
fairseq-train "$DATA" --spm-model "$SPM" --save-dir "$CHECKPOINTS" --finetune-from-model "$PRETRAINED" \
  --user-dir speecht5_fairseq "${FLAGS[@]}" "${@:2}"
python -m speecht5_fairseq.average --inputs "$CHECKPOINTS" "${AVERAGE[@]}" --output "$CHECKPOINTS/average.pt"
for split in $TESTS; do
  fairseq-generate "$DATA" --spm-model "$SPM" --path "$CHECKPOINTS/average.pt" --gen-subset "$split" \
    --user-dir speecht5_fairseq --task speecht5_s2t --post-process sentencepiece --scoring bleu_chrf \
    "${DECODE[@]}" | tee "$CHECKPOINTS/$split.txt" | tail -n 1
  sed -n 's/^D-//p' "$CHECKPOINTS/$split.txt" | sort -n | cut -f 3 > "$CHECKPOINTS/$split.hypotheses.txt"
  # against the references as they are, not as the vocabulary holds them
  sacrebleu "$DATA/$split.txt" -i "$CHECKPOINTS/$split.hypotheses.txt" -m bleu chrf -f text
done
