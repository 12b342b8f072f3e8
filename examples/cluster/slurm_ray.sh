#!/usr/bin/env bash
# A Ray cluster over the machines of one Slurm job, and a command on it:
#   sbatch --nodes=4 examples/cluster/slurm_ray.sh collect env=blocks episodes=100000 out=/shared/data cluster=auto
# The words are those of `worldsim`. The folder that it is submitted from, the Python environment
# that is active there, and the folders it names, have to be on a disk that all machines share.
#SBATCH --job-name=worldsim
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --exclusive
set -euo pipefail

[ $# -gt 0 ] || { echo "expected the words of a worldsim command: sbatch $0 collect env=blocks out=..." >&2; exit 2; }
port=${RAY_PORT:-6379}
cores=${SLURM_CPUS_PER_TASK:-1}
mapfile -t nodes < <(scontrol show hostnames "$SLURM_JOB_NODELIST")
head=$(srun --nodes=1 --ntasks=1 -w "${nodes[0]}" hostname --ip-address | awk '{print $1}')
export RAY_ADDRESS="$head:$port" RAY_USAGE_STATS_ENABLED=0 OMP_NUM_THREADS=1

started=()
stop() { # every machine's Ray ends with the job, however it ends
    [ ${#started[@]} -eq 0 ] || kill "${started[@]}" 2>/dev/null || true
    wait || true
}
trap stop EXIT

# --block: Ray ends with its srun, and Slurm sees it when a machine is lost.
srun --overlap --nodes=1 --ntasks=1 -w "${nodes[0]}" env -u RAY_ADDRESS \
    ray start --head --node-ip-address="$head" --port="$port" --num-cpus="$cores" \
    --include-dashboard=false --disable-usage-stats --block &
started+=($!)
for node in "${nodes[@]:1}"; do
    srun --overlap --nodes=1 --ntasks=1 -w "$node" \
        ray start --address="$RAY_ADDRESS" --num-cpus="$cores" --disable-usage-stats --block &
    started+=($!)
done

for _ in $(seq "${RAY_WAIT:-120}"); do # Ray says on the first machine when it answers
    if srun --overlap --nodes=1 --ntasks=1 -w "${nodes[0]}" ray status >/dev/null 2>&1; then break; fi
    sleep 1
done
srun --overlap --nodes=1 --ntasks=1 -w "${nodes[0]}" worldsim "$@"
