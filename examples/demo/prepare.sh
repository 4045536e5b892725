#!/usr/bin/env bash
# Recorded prompts in English, French and Spanish: fetched, with vocabulary, text, speaker vectors and units, and checked.
# prepare.sh FOLDER
# makes FOLDER/{en,fr,es,all} (manifests and labels), text (for pre-training) and vocabulary. Run again, it goes on where it
# stood; combined.done is there because the languages cannot be combined again once en/ alone has speaker vectors.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
PROMPTS=${1:?"name the folder for the prompts"}
VOCABULARY=$PROMPTS/vocabulary
TEXT=("$PROMPTS"/en/train.txt "$PROMPTS"/fr/train.txt "$PROMPTS"/es/train.txt)
source examples/demo/settings.sh
python -m manifest_tools.prompts --out "$PROMPTS" --languages en fr es
python -m manifest_tools.vocabulary train --type char --text "${TEXT[@]}" --out "$VOCABULARY" --label-dirs "$PROMPTS/en"
python -m manifest_tools.text_corpus --train "${TEXT[@]}" --valid "${TEXT[@]//train.txt/valid.txt}" \
  --spm-model "$VOCABULARY/spm.model" --dictionary "$VOCABULARY/dict.txt" --out "$PROMPTS/text"
if [ ! -e "$PROMPTS/combined.done" ]; then
  python -m manifest_tools.combine --inputs "$PROMPTS"/en "$PROMPTS"/fr "$PROMPTS"/es --out "$PROMPTS/all"
  touch "$PROMPTS/combined.done"
fi
python -m manifest_tools.speaker_vectors --manifests "$PROMPTS"/{all,en}/{train,valid}.tsv --speaker-level 1 \
  --out "$PROMPTS/speaker_vectors"
python -m manifest_tools.units --data "$PROMPTS/all" --splits train valid --fit train --clusters "$UNITS"
python -m manifest_tools.check --job pretrain --data "$PROMPTS/all" --text-data "$PROMPTS/text" --splits train valid
python -m manifest_tools.check --job s2t --data "$PROMPTS/en" --spm-model "$VOCABULARY/spm.model"
