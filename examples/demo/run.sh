#!/usr/bin/env bash
# From nothing to a recogniser of real speech on two CPU cores: recorded prompts in three languages, joint
# pre-training on their speech and text, fine-tuning on English, decoding with joint CTC, and the same fine-tuning
# without pre-training beside it. Every step is skipped when it has been done; WORK names the folder for everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
HERE=examples/demo
WORK=${WORK:-$HERE/work}
PROMPTS=$WORK/prompts
VOCABULARY=$PROMPTS/vocabulary
STARTED=$SECONDS
export PYTHONWARNINGS=ignore OMP_NUM_THREADS=${OMP_NUM_THREADS:-2}
source "$HERE/settings.sh"
mkdir -p "$WORK"

step() {  # step NAME TITLE COMMAND...: run once, with its output in WORK/NAME.log
  local name=$1 title=$2 before=$SECONDS
  shift 2
  if [ -e "$WORK/$name.done" ]; then
    echo "[done ] $title"
    return
  fi
  echo "[start] $title"
  if ! "$@" > "$WORK/$name.log" 2>&1; then
    echo "[fail ] $title: the end of $WORK/$name.log says" >&2
    tail -n 15 "$WORK/$name.log" >&2
    exit 1
  fi
  touch "$WORK/$name.done"
  echo "[ok   ] $title: $((SECONDS - before)) s"
}

watched() {  # the same, showing the training log's progress lines
  local name=$1 pid
  (sleep 1; tail -n +1 -F "$WORK/$name.log" 2>/dev/null | python "$HERE/progress.py") & pid=$!
  step "$@" || { kill "$pid" 2>/dev/null; exit 1; }
  kill "$pid" 2>/dev/null || true
  wait "$pid" 2>/dev/null || true
}

prepare() {
  local text=("$PROMPTS"/en/train.txt "$PROMPTS"/fr/train.txt "$PROMPTS"/es/train.txt)
  python -m manifest_tools.prompts --out "$PROMPTS" --languages en fr es
  python -m manifest_tools.vocabulary train --type char --text "${text[@]}" --out "$VOCABULARY" --label-dirs "$PROMPTS/en"
  python -m manifest_tools.text_corpus --train "${text[@]}" --valid "${text[@]//train.txt/valid.txt}" \
    --spm-model "$VOCABULARY/spm.model" --dictionary "$VOCABULARY/dict.txt" --out "$PROMPTS/text"
  python -m manifest_tools.combine --inputs "$PROMPTS"/en "$PROMPTS"/fr "$PROMPTS"/es --out "$PROMPTS/all"
  python -m manifest_tools.speaker_vectors --manifests "$PROMPTS"/all/{train,valid}.tsv --speaker-level 1 \
    --out "$PROMPTS/speaker_vectors"
  python -m manifest_tools.units --data "$PROMPTS/all" --splits train valid --fit train --clusters "$UNITS"
  python -m manifest_tools.check --job pretrain --data "$PROMPTS/all" --text-data "$PROMPTS/text" --splits train valid
  python -m manifest_tools.check --job s2t --data "$PROMPTS/en" --spm-model "$VOCABULARY/spm.model"
}

pretrain() {
  fairseq-train "$PROMPTS/all" --text-data "$PROMPTS/text" --save-dir "$WORK/pretrain" \
    "${COMMON[@]}" "${PRETRAIN[@]}"
}

finetune() {  # finetune NAME FLAGS...
  fairseq-train "$PROMPTS/en" --spm-model "$VOCABULARY/spm.model" --save-dir "$WORK/$1" \
    "${COMMON[@]}" "${FINETUNE[@]}" "${@:2}"
}

decode() {  # decode NAME
  fairseq-generate "$PROMPTS/en" --spm-model "$VOCABULARY/spm.model" --path "$WORK/$1/checkpoint_best.pt" \
    "${DECODE[@]}"
}

step prepare "recordings, vocabulary, units, speaker vectors" prepare
watched pretrain "joint pre-training on English, French and Spanish speech and text" pretrain
watched finetuned "fine-tuning on English, from the pre-trained model" \
  finetune finetuned --finetune-from-model "$WORK/pretrain/checkpoint_last.pt"
watched scratch "the same fine-tuning without pre-training" finetune scratch
step decode_finetuned "decoding the held-out sentences, with pre-training" decode finetuned
step decode_scratch "decoding the held-out sentences, without pre-training" decode scratch

echo
echo "English, $(($(wc -l < "$PROMPTS/en/test.tsv") - 1)) held-out sentences, beam search with joint CTC:"
for name in finetuned scratch; do
  label=$([ "$name" = finetuned ] && echo "with pre-training" || echo "without pre-training")
  printf '  %-22s%s\n' "$label" "$(grep -o 'WER: .*' "$WORK/decode_$name.log" | tail -n 1)"
done
echo
echo "Some of them (T: what was said, D: what was recognised after pre-training):"
python "$HERE/examples.py" "$WORK/decode_finetuned.log"
echo
echo "This run took $((SECONDS - STARTED)) s; logs and checkpoints are in $WORK."
