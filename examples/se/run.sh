#!/usr/bin/env bash
# Enhancement with one of the configurations of this folder: train, generate the held-out sentences, score them.
# run.sh CONFIG [more fairseq-train flags]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
CONFIG=${1:?"give a configuration: examples/se/prompts.sh or examples/se/wham.sh"}
JOB=s2s
TEXT=()
source "$CONFIG"
shift
source examples/speech_target.sh
