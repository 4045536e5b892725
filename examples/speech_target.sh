# The common part of examples/{tts,vc,se}/run.sh: train, generate the test splits, score them. Sourced, with JOB, CONFIG
# and the configuration's variables set; more flags of fairseq-train follow.
prepare
fairseq-train "$DATA" "${TEXT[@]}" --save-dir "$CHECKPOINTS" ${PRETRAINED:+--finetune-from-model "$PRETRAINED"} \
  --user-dir speecht5_fairseq --task "speecht5_$JOB" --criterion speecht5_speech "${FLAGS[@]}" "$@"
for split in $TESTS; do
  fairseq-generate "$DATA" "${TEXT[@]}" --path "$CHECKPOINTS/${BEST:-checkpoint_best.pt}" --gen-subset "$split" \
    --user-dir speecht5_fairseq --task "speecht5_$JOB" --results-path "$OUT" "${GENERATE[@]}"
  python -m speecht5_fairseq.scoring "$OUT/$split" "${SCORE[@]}" | tee "$OUT/$split.scores.txt"
done
echo "The speech lies in $OUT; $OUT/$split/results.tsv has a line an utterance."
