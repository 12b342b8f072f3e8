"""Launch files for a cluster: what they start where, with programs that write down what they were asked."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

FILES = Path(__file__).parents[2] / "examples" / "cluster"
pytestmark = pytest.mark.skipif(shutil.which("bash") is None, reason="asks bash")

SRUN = """#!/bin/bash
echo "srun $*" >>"$ASKED"
while [ "${1#-}" != "$1" ]; do [ "$1" = -w ] && shift; shift; done
exec "$@"
"""
PROGRAMS = {
    "srun": SRUN,
    "scontrol": "#!/bin/sh\nprintf 'a1\\na2\\na3\\n'\n",
    "hostname": "#!/bin/sh\necho 10.0.0.1\n",
    # `ray start --block` stays until it is told to end; `ray status` answers when all three have begun
    "ray": (
        '#!/bin/sh\n[ "$1" = start ] && { echo "ray $*" >>"$ASKED"; exec sleep 600; }\n'
        '[ "$(grep -c "^ray start" "$ASKED")" -ge 3 ]\n'
    ),
    "worldsim": '#!/bin/sh\necho "worldsim $* at $RAY_ADDRESS" >>"$ASKED"\nexit ${FAILS:-0}\n',
    "torchrun": '#!/bin/sh\necho "torchrun $*" >>"$ASKED"\n',
}


def _run(tmp_path: Path, script: str, *words: str, **more: str) -> tuple[int, list[str]]:
    programs = tmp_path / "bin"
    programs.mkdir()
    for name, text in PROGRAMS.items():
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    asked = tmp_path / "asked"
    asked.touch()
    job = {"SLURM_JOB_NODELIST": "a[1-3]", "SLURM_JOB_ID": "7", "SLURM_CPUS_PER_TASK": "16", "RAY_WAIT": "60"}
    env = {**os.environ, **job, "ASKED": str(asked), "PATH": f"{programs}:{os.environ['PATH']}", **more}
    done = subprocess.run([shutil.which("bash") or "bash", FILES / script, *words], env=env, timeout=120)
    return done.returncode, asked.read_text().splitlines()


def test_a_slurm_job_is_a_ray_cluster_with_a_command_on_it_and_both_end_together(tmp_path: Path) -> None:
    code, asked = _run(tmp_path, "slurm_ray.sh", "collect", "env=blocks", "cluster=auto")
    assert code == 0
    head = [line for line in asked if line.startswith("ray start --head")]
    assert len(head) == 1 and "--node-ip-address=10.0.0.1 --port=6379 --num-cpus=16" in head[0]
    assert "--include-dashboard=false --disable-usage-stats" in head[0]
    assert sum(line.startswith("ray start --address=10.0.0.1:6379") for line in asked) == 2
    assert {n for n in ("a1", "a2", "a3") for line in asked if f"-w {n} ray start --address" in line} == {
        "a2",
        "a3",
    }
    assert asked[-1] == "worldsim collect env=blocks cluster=auto at 10.0.0.1:6379"


def test_its_exit_code_is_the_command_s(tmp_path: Path) -> None:
    assert _run(tmp_path, "slurm_ray.sh", "collect", FAILS="3")[0] == 3


def test_a_slurm_job_trains_with_a_process_a_gpu_on_every_machine(tmp_path: Path) -> None:
    code, asked = _run(tmp_path, "slurm_train.sh", "training.train_denoiser", "out=a", SLURM_GPUS_ON_NODE="8")
    assert code == 0
    assert asked[-1] == (
        "torchrun --nnodes=3 --nproc-per-node=8 --rdzv-id=7 --rdzv-backend=c10d --rdzv-endpoint=a1:29500 "
        "-m training.train_denoiser out=a"
    )


@pytest.mark.parametrize("script", ["slurm_ray.sh", "slurm_train.sh"])
def test_without_a_command_it_is_one_sentence(tmp_path: Path, script: str) -> None:
    code, asked = _run(tmp_path, script)
    assert code == 2 and not asked


def test_the_machines_of_ray_have_neither_dashboard_nor_usage_statistics() -> None:
    words = yaml.safe_load((FILES / "ray.yaml").read_text())
    head, worker = words["head_start_ray_commands"][-1], words["worker_start_ray_commands"][-1]
    assert "--include-dashboard=false" in head
    assert all("RAY_USAGE_STATS_ENABLED=0" in line for line in (head, worker))
    assert {"cluster_name", "provider", "auth"} <= words.keys() and words["provider"]["type"] == "local"
