#!/usr/bin/env bash
# Speech recognition with one of the configurations of this folder: fine-tune, then decode every test split.
# run.sh CONFIG [more fairseq-train flags]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
CONFIG=${1:?"give a configuration: examples/asr/prompts.sh or examples/asr/librispeech_100h.sh"}
source "$CONFIG"
fairseq-train "$DATA" --spm-model "$SPM" --save-dir "$CHECKPOINTS" --finetune-from-model "$PRETRAINED" \
  --user-dir speecht5_fairseq "${FLAGS[@]}" "${@:2}"
for split in $TESTS; do
  fairseq-generate "$DATA" --spm-model "$SPM" --path "$CHECKPOINTS/checkpoint_best.pt" --gen-subset "$split" \
    --user-dir speecht5_fairseq --task speecht5_s2t --post-process sentencepiece --scoring wer_cer \
    "${DECODE[@]}" | tee "$CHECKPOINTS/$split.txt" | tail -n 1
done
