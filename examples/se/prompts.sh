# Enhancement of recorded prompts in music, pink and brown noise and babble at -5 to 15 dB, on one CPU core: the model
# predicts a mask of the noisy mel, frame by frame, and the noisy recording is turned down by it.
# Data: the "Data" lines of the README, into prompts/, and a pre-trained model (examples/pretrain).
DATA=${DATA:-prompts/noisy}
PRETRAINED=${PRETRAINED:-checkpoints/prompts_pretrain/checkpoint_last.pt}
CHECKPOINTS=${CHECKPOINTS:-checkpoints/prompts_se}
OUT=${OUT:-speech/prompts_se}
TESTS="test"

prepare() {  # training hears every sentence in four noises; the splits never share noise
  local seed
  for seed in 1 2 3 4; do
    python -m manifest_tools.mix_noise --manifest prompts/en/{train,valid,test}.tsv --babble prompts/fr --snr -5 15 \
      --noise music synthetic:pink synthetic:brown synthetic:babble --speaker-vectors --speaker-level 1 --seed "$seed" \
      --cache prompts/music --out "$DATA/$seed"
  done
  python -m manifest_tools.combine --job s2s --inputs "$DATA"/{1,2,3,4} --splits train --out "$DATA"
  python -m manifest_tools.combine --job s2s --inputs "$DATA/1" --splits valid test --out "$DATA"
}

FLAGS=(
  --task speecht5_s2s --criterion speecht5_speech
  --arch speecht5_small
  --reduction-factor 1 --speech-prediction mask
  --speech-prenet-dropout 0.1        # the pre-net hears the noisy frames, not its own
  --mask-prob 0
  --max-tokens 320000 --max-speech-samples 160000
  --guided-attention-weight 10 --guided-attention-sigma 0.1    # source and target are aligned
  --optimizer adam --adam-betas "(0.9, 0.98)" --clip-norm 1
  --lr 0.001 --lr-scheduler inverse_sqrt --warmup-updates 200 --max-update 4000
  --validate-interval-updates 250 --save-interval-updates 250 --keep-interval-updates 1 --no-epoch-checkpoints
  --validate-interval 1000 --max-tokens-valid 800000
  --cpu --num-workers 0 --seed 1 --log-format simple --log-interval 100
)
GENERATE=(--max-tokens 800000 --vocoder source --generation-prenet-dropout off --cpu --num-workers 0)
SCORE=(--metrics stoi estoi pesq si_sdr mel_l1 --baseline source)
