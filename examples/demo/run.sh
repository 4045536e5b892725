#!/usr/bin/env bash
# From nothing to a recogniser of real speech and a voice on two CPU cores: recorded prompts in three languages, joint
# pre-training on their speech and text, fine-tuning on English, decoding with joint CTC; on the other core the same
# fine-tuning without pre-training, then synthesis from the pre-trained model. Every step is skipped when it has been
# done; WORK names the folder for everything.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
HERE=examples/demo
WORK=${WORK:-$HERE/work}
PROMPTS=$WORK/prompts
VOCABULARY=$PROMPTS/vocabulary
STARTED=$SECONDS
export PYTHONWARNINGS=ignore OMP_NUM_THREADS=1  # models this small gain nothing from a second thread
trap 'kill $(jobs -p) 2>/dev/null' EXIT
source "$HERE/settings.sh"
mkdir -p "$WORK"

done_before() {  # done_before NAME TITLE
  [ -e "$WORK/$1.done" ] && echo "[done ] $2"
}

ended() {  # ended NAME TITLE STATUS SECONDS: remember a success; show the end of the log of a failure
  if [ "$3" != 0 ]; then
    echo "[fail ] $2: the end of $WORK/$1.log says" >&2
    tail -n 15 "$WORK/$1.log" >&2
    exit 1
  fi
  touch "$WORK/$1.done"
  echo "[ok   ] $2: $4 s"
}

step() {  # step NAME TITLE COMMAND...: run once, with its output in WORK/NAME.log
  local before=$SECONDS status=0
  done_before "$@" && return
  echo "[start] $2"
  ("${@:3}") > "$WORK/$1.log" 2>&1 || status=$?
  ended "$1" "$2" "$status" $((SECONDS - before))
}

on_other_core() {  # on_other_core NAME TITLE COMMAND...: as step, beside the steps that follow; await_other ends it
  OTHER=("$1" "$2")
  done_before "$@" && OTHER=() && return
  echo "[start] $2, on the other core"
  (
    before=$SECONDS status=0
    "${@:3}" > "$WORK/$1.log" 2>&1 & child=$!
    trap 'kill $child' TERM
    wait "$child" || status=$?
    echo "$status $((SECONDS - before))" > "$WORK/$1.ended"
  ) & OTHER+=($!)
}

await_other() {
  [ ${#OTHER[@]} = 0 ] && return
  wait "${OTHER[2]}"
  ended "${OTHER[0]}" "${OTHER[1]}" $(cat "$WORK/${OTHER[0]}.ended")
}

watch() {  # watch NAME: show the progress lines of its log
  tail -n +1 -F "$WORK/$1.log" 2>/dev/null | python "$HERE/progress.py" "$1" &
}

pretrain() {
  exec fairseq-train "$PROMPTS/all" --text-data "$PROMPTS/text" --save-dir "$WORK/pretrain" \
    "${COMMON[@]}" "${PRETRAIN[@]}"
}

finetune() {  # finetune NAME FLAGS...
  exec fairseq-train "$PROMPTS/en" --spm-model "$VOCABULARY/spm.model" --save-dir "$WORK/$1" \
    "${COMMON[@]}" "${FINETUNE[@]}" "${@:2}"
}

synthesise() {  # train a voice, then let it say the sentence
  fairseq-train "$PROMPTS/en" --spm-model "$VOCABULARY/spm.model" --save-dir "$WORK/voice" \
    --finetune-from-model "$WORK/pretrain/checkpoint_last.pt" "${COMMON[@]}" "${VOICE[@]}" || return
  mkdir -p "$WORK/sentence" && cp "$VOCABULARY/dict.txt" "$WORK/sentence/"
  echo "$SENTENCE" > "$WORK/sentence/sentence.txt"
  python -m manifest_tools.sentences --text "$WORK/sentence/sentence.txt" --out "$WORK/sentence" \
    --speaker "$PROMPTS/speaker_vectors/speakers/en.npy" || return
  fairseq-generate "$WORK/sentence" --spm-model "$VOCABULARY/spm.model" \
    --path "$WORK/voice/checkpoint_last.pt" --results-path "$WORK/speech" "${SAY[@]}"
}

decode() {  # decode NAME
  fairseq-generate "$PROMPTS/en" --spm-model "$VOCABULARY/spm.model" --path "$WORK/$1/checkpoint_best.pt" \
    "${DECODE[@]}"
}

step prepare "recordings, vocabulary, units, speaker vectors" bash "$HERE/prepare.sh" "$PROMPTS"
for name in scratch pretrain finetuned voice; do
  [ -e "$WORK/$name.done" ] || watch "$name"
done
on_other_core scratch "fine-tuning without pre-training" finetune scratch
step pretrain "joint pre-training on English, French and Spanish speech and text" pretrain
await_other
on_other_core voice "synthesis, from the pre-trained model" synthesise
step finetuned "fine-tuning on English, from the pre-trained model" \
  finetune finetuned --finetune-from-model "$WORK/pretrain/checkpoint_last.pt"
await_other
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
echo "A sentence in the voice of the prompts: $WORK/speech/test/line-00001.wav"
echo "  $SENTENCE"
echo
echo "This run took $((SECONDS - STARTED)) s; logs and checkpoints are in $WORK."
