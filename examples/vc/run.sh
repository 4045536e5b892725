#!/usr/bin/env bash
# Voice conversion with one of the configurations of this folder: train, generate the held-out sentences, score them.
# run.sh CONFIG [more fairseq-train flags]
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
CONFIG=${1:?"give a configuration: examples/vc/prompts.sh or examples/vc/cmu_arctic.sh"}
JOB=s2s
TEXT=()
source "$CONFIG"
shift
source examples/speech_target.sh
