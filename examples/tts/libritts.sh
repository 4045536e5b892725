# The reference's synthesis recipe: LibriTTS, base size, from a pre-trained model. Published: MOS 3.65, naturalness 2.91.
DATA=${DATA:-libritts/tts}
TEXT=(--spm-model librispeech/lm_text/vocabulary/spm.model)      # of the pre-training
PRETRAINED=${PRETRAINED:-checkpoints/librispeech_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/libritts_tts}
OUT=${OUT:-speech/libritts}
TESTS="test"

prepare() {
  python -m manifest_tools.libritts --corpus LibriTTS --out "$DATA" --normalise en --extractor resemblyzer \
    --vocabulary librispeech/lm_text/vocabulary
}

FLAGS=(
  --task speecht5_t2s --criterion speecht5_speech
  --arch speecht5
  --max-tokens 3200000 --max-speech-samples 480000       # samples on a GPU: 200 s
  --mask-prob 0 --dropout 0.15 --attention-dropout 0.15 --activation-dropout 0.15
  --encoder-layerdrop 0.0 --decoder-layerdrop 0.0
  --freeze-encoder-updates 20000
  --reduction-factor 2 --guided-attention-weight 10      # released checkpoints were trained with 1
  --optimizer adam --adam-betas "(0.9, 0.98)" --weight-decay 0 --clip-norm 25
  --lr 0.0001 --lr-scheduler inverse_sqrt --warmup-updates 10000 --max-update 120000
  --fp16 --fp16-no-flatten-grads --ddp-backend legacy_ddp --num-workers 4
  --keep-last-epochs 10 --seed 1 --log-format json --log-interval 200
)
# The public vocoder: hf download microsoft/speecht5_hifigan --local-dir vocoder; then --vocoder vocoder
GENERATE=(--max-tokens 3200000 --vocoder griffin-lim)
SCORE=(--metrics mcd mel_l1_dtw asr speaker --asr-references --speaker-encoder manifest_tools.speaker_statistics:resemblyzer_vector)
