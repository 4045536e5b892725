#!/usr/bin/env bash
# Joint pre-training with one of the configurations of this folder: run.sh CONFIG [more fairseq-train flags]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
CONFIG=${1:?"give a configuration: examples/pretrain/prompts.sh or examples/pretrain/librispeech_960h.sh"}
source "$CONFIG"
fairseq-train "$SPEECH" --save-dir "$CHECKPOINTS" --user-dir speecht5_fairseq \
  "${FLAGS[@]}" "${@:2}"
