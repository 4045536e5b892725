#!/usr/bin/env bash
# Voice conversion with one of the configurations of this folder: run.sh CONFIG [more fairseq-train flags]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../speech_target.sh" s2s \
  "${1:?"give a configuration: examples/vc/prompts.sh or examples/vc/cmu_arctic.sh"}" "${@:2}"
