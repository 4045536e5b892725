#!/usr/bin/env bash
# Joint pre-training on several machines under Slurm: one torchrun on each, one process on each of its GPUs.
# sbatch --nodes 4 --gpus-per-node 8 examples/pretrain/slurm.sh CONFIG [more fairseq-train flags], from the project's
# folder with the environment activated; the data, this folder and --save-dir must be the same on every machine, under the
# same paths. Slurm ends a job at its --time; with less time than the training takes, send it again: it goes on.
# CONFIG's --update-freq is for its own number of GPUs: more of them, less of it.
#SBATCH --job-name speecht5
#SBATCH --ntasks-per-node 1
#SBATCH --cpus-per-task 32
#SBATCH --time 48:00:00
#SBATCH --requeue
set -euo pipefail
CONFIG=${1:?"give a configuration: examples/pretrain/librispeech_960h.sh"}
source "$CONFIG"
GPUS=${SLURM_GPUS_ON_NODE:-8}
HOST=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
PORT=$((20000 + SLURM_JOB_ID % 20000))  # of this job alone, on its first machine
export OMP_NUM_THREADS=1
# A job that is started again goes on from checkpoint_last.pt, on as many GPUs as it then has.
srun --cpus-per-task "$SLURM_CPUS_PER_TASK" torchrun --nnodes "$SLURM_NNODES" --nproc-per-node "$GPUS" --rdzv-id "$SLURM_JOB_ID" --rdzv-backend c10d \
  --rdzv-endpoint "$HOST:$PORT" --no-python fairseq-train "$SPEECH" --save-dir "$CHECKPOINTS" \
  --distributed-world-size $((SLURM_NNODES * GPUS)) --user-dir speecht5_fairseq "${FLAGS[@]}" "${@:2}"
