#!/usr/bin/env bash
# One training run over the machines of a Slurm job, a process a GPU (or a core group), by torchrun:
#   sbatch --nodes=2 --gpus-per-node=8 examples/cluster/slurm_train.sh training.train_denoiser data=/shared/data out=/shared/runs/a
# The same command goes on where it stopped. The folders it names have to be on a disk that all machines share.
#SBATCH --job-name=worldsim-train
#SBATCH --ntasks-per-node=1
#SBATCH --exclusive
#SBATCH --requeue
set -euo pipefail

[ $# -gt 0 ] || { echo "expected a trainer and its words: sbatch $0 training.train_denoiser data=... out=..." >&2; exit 2; }
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
# Every task counts its own machine from SLURM_NODEID; the first machine is where they meet.
exec srun --ntasks-per-node=1 torchrun \
    --nnodes="${#nodes[@]}" --nproc-per-node="${PROCESSES:-${SLURM_GPUS_ON_NODE:-1}}" \
    --rdzv-id="$SLURM_JOB_ID" --rdzv-backend=c10d --rdzv-endpoint="${nodes[0]}:${PORT:-29500}" \
    -m "$@"
