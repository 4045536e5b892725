#!/usr/bin/env bash
# The demo's recogniser and voice as a page in the browser; WORK names the demo's folder. Options go on to
# `python -m speecht5_fairseq.web`.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
WORK=${WORK:-examples/demo/work}
ASR=$WORK/finetuned/checkpoint_best.pt
VOICE=$WORK/voice/checkpoint_last.pt
VOICES=$WORK/prompts/speaker_vectors/speakers/en.npy  # the voice that it learnt

tabs=()
[ -e "$ASR" ] && tabs+=(--recognise "$ASR")
[ -e "$VOICE" ] && [ -e "$VOICES" ] && tabs+=(--say "$VOICE" --voices "$VOICES" --text-normaliser en)
if [ ${#tabs[@]} = 0 ]; then
  echo "no checkpoint of the demo in $WORK: run \`make demo\` first, or serve your own checkpoints:" \
    "python -m speecht5_fairseq.web --recognise CHECKPOINT" >&2
  exit 1
fi
exec python -m speecht5_fairseq.web "${tabs[@]}" "$@"
