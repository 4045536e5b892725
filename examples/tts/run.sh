#!/usr/bin/env bash
# Synthesis with one of the configurations of this folder: train, generate the held-out sentences, score them.
# run.sh CONFIG [more fairseq-train flags]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
CONFIG=${1:?"give a configuration: examples/tts/prompts.sh or examples/tts/libritts.sh"}
JOB=t2s
TEXT=()
source "$CONFIG"
shift
source examples/speech_target.sh
