#!/usr/bin/env bash
# Enhancement with one of the configurations of this folder: run.sh CONFIG [more fairseq-train flags]
exec bash "$(dirname "${BASH_SOURCE[0]}")/../speech_target.sh" s2s \
  "${1:?"give a configuration: examples/se/prompts.sh or examples/se/wham.sh"}" "${@:2}"
