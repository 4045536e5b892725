#!/usr/bin/env bash
# Synthesis with one of the configurations of this folder: run.sh CONFIG [more fairseq-train flags]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../speech_target.sh" t2s \
  "${1:?"give a configuration: examples/tts/prompts.sh or examples/tts/libritts.sh"}" "${@:2}"
