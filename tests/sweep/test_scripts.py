"""Scripts for other people's engines: quoted, complete, and of the form that the engine reads."""

import json
import re
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest

from cidesign.errors import InputError
from cidesign.sweep.folder import place
from cidesign.sweep.points import points_of
from cidesign.sweep.slurm.scripts import (
    MOST_IN_ARRAY,
    Place,
    ToDo,
    kubernetes_job,
    listed,
    slurm_script,
    to_do,
)
from cidesign.sweep.spec import Slurm, spec_of
from cidesign.sweep.work import work

NASTY = 'a b\'c "d" $(touch here) `touch here` ;touch here&'
PLACE = Place("cidesign:cpu", "runs")


def _todo(folder: Path, first: int = 1, then: int = 2) -> ToDo:
    return ToDo("my sweep", folder, [f"t{n}" for n in range(first)], [f"p{n}" for n in range(then)])


def test_what_is_to_do_has_what_others_need_first(tmp_path: Path, base: dict[str, Any]) -> None:
    spec = spec_of({"base": base, "grid": {"seed": [1, 2]}, "teacher": {"seed": 9}})
    sweep = place(tmp_path / "s", spec, points_of(spec).points)
    teacher, *runs = (point.name for point in sweep.points)
    assert to_do(sweep) == ToDo("s", sweep.path.resolve(), [teacher], runs)
    value = listed(sweep, "/opt/python")
    needs = {one["name"]: one["needs"] for one in value["points"]}
    assert needs == {teacher: [], runs[0]: [teacher], runs[1]: [teacher]}
    command = ["/opt/python", "-m", "cidesign", "sweep", "work", str(sweep.path.resolve()), teacher]
    assert value["points"][0]["command"] == command
    work(sweep.path, teacher)
    work(sweep.path, runs[0])
    assert to_do(sweep) == ToDo("s", sweep.path.resolve(), [], runs[1:])


def _run(script: str, folder: Path, environment: dict[str, str]) -> list[list[str]]:
    """Run a script with programs that write down what they are called with."""
    programs = folder / "programs"
    programs.mkdir(exist_ok=True)
    for name in ("sbatch", "python", "scontrol"):
        (programs / name).write_text(
            '#!/bin/sh\nfor word; do printf "%s\\0" "$word"; done >> "$CALLS"; echo >> "$CALLS"; echo 41\\;cluster\n'
        )
        (programs / name).chmod(0o755)
    (folder / "file.sh").write_text(script)
    subprocess.run(["bash", "-n", folder / "file.sh"], check=True)
    calls = folder / "calls"
    calls.unlink(missing_ok=True)
    calls.touch()
    path = {"PATH": f"{programs}:/usr/bin:/bin", "CALLS": str(calls)}
    subprocess.run(["bash", folder / "file.sh", "1"], env={**path, **environment}, check=True, timeout=60, cwd=folder)
    return [line.split("\0")[:-1] for line in calls.read_text().splitlines()]


def test_the_script_submits_what_is_needed_first(tmp_path: Path) -> None:
    folder = tmp_path / NASTY
    script = slurm_script(_todo(folder), Slurm(minutes=90, throttle=4), "python", tmp_path)
    file = str(tmp_path / "file.sh")
    assert _run(script, tmp_path, {}) == [
        ["--parsable", "--array=0-0%4", file, "0"],
        ["--parsable", "--array=0-1%4", "--dependency=afterany:41", file, "1"],
    ]
    assert (folder / "slurm").is_dir()
    script = slurm_script(_todo(folder, 0, MOST_IN_ARRAY + 1), Slurm(minutes=90), "python", tmp_path)
    last = MOST_IN_ARRAY - 1
    assert _run(script, tmp_path, {}) == [
        ["--parsable", f"--array=0-{last}", file, "0"], ["--parsable", "--array=0-0", file, str(MOST_IN_ARRAY)],
    ]  # fmt: skip
    assert not list(tmp_path.rglob("here"))


def test_the_script_works_on_the_point_of_its_task(tmp_path: Path) -> None:
    started = tmp_path / "from $(touch here)"
    started.mkdir()
    script = slurm_script(_todo(tmp_path / NASTY), Slurm(minutes=90), str(tmp_path / "programs" / "python"), started)
    # The second array begins at 1, which the script is called with.
    calls = _run(script, tmp_path, {"SLURM_ARRAY_TASK_ID": "1", "SLURM_ARRAY_JOB_ID": "41"})
    assert calls == [["-m", "cidesign", "sweep", "work", str(tmp_path / NASTY), "p1"]]
    assert not list(tmp_path.rglob("here"))


def test_options_are_lines_of_their_own(tmp_path: Path) -> None:
    slurm = Slurm(
        minutes=2, partition="gpu big", account="o'neill", cpus=4, memory_gb=1.5, gpus=2,
        extra={"exclusive": "", "mail_user": "a b", "signal": "B:USR2@30"},
    )  # fmt: skip
    script = slurm_script(_todo(tmp_path), slurm, "python", tmp_path)
    head = script.partition("\n\n")[0].splitlines()
    options = [shlex.split(line.removeprefix("#SBATCH "))[0] for line in head[1:]]
    assert head[0] == "#!/bin/bash"
    assert options == [
        "--job-name=cidesign-my-sweep", "--time=2", "--signal=B:USR2@30", "--cpus-per-task=4", "--partition=gpu big",
        "--account=o'neill", "--mem=1536M", "--gpus-per-node=2", "--exclusive", "--mail-user=a b",
        f"--output={tmp_path}/slurm/%A_%a.log", "--open-mode=append", "--requeue",
    ]  # fmt: skip


@pytest.mark.parametrize(
    "extra", [{"comment": "a\nrm -rf /"}, {"comment": "a\rb"}, {"a b": "c"}, {"a\nrm": "c"}, {"--comment": "c"}]
)
def test_an_option_that_is_more_than_one_is_refused(tmp_path: Path, extra: dict[str, str | int]) -> None:
    with pytest.raises(InputError, match="is no option of sbatch in one line"):
        slurm_script(_todo(tmp_path), Slurm(minutes=1, extra=extra), "python", tmp_path)


@pytest.mark.parametrize("name", ["100%", "a\nb", "a\\b", "a\tb"])
def test_a_folder_that_slurm_reads_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="give the sweep a folder without them"):
        slurm_script(_todo(tmp_path / name), Slurm(minutes=1), "python", tmp_path)


# Of batch/v1 Job, what an indexed one may have: names with their types, those that are needed with a star.
# https://kubernetes.io/docs/reference/kubernetes-api/workload-resources/job-v1/
QUANTITIES = {"cpu": str, "memory": str, "nvidia.com/gpu": str}
CONTAINER = {
    "*name": str, "*image": str, "workingDir": str, "command": [str], "args": [str],
    "resources": {"requests": QUANTITIES, "limits": QUANTITIES},
    "volumeMounts": [{"*name": str, "*mountPath": str}],
}  # fmt: skip
POD = {
    "*restartPolicy": str, "terminationGracePeriodSeconds": int, "*containers": [CONTAINER],
    "volumes": [{"*name": str, "persistentVolumeClaim": {"*claimName": str}}],
}  # fmt: skip
RULE = {"*action": str, "onPodConditions": [{"*type": str, "*status": str}]}
JOB: dict[str, Any] = {
    "*apiVersion": str, "*kind": str, "*metadata": {"generateName": str},
    "*spec": {
        "completionMode": str, "completions": int, "parallelism": int, "backoffLimitPerIndex": int,
        "podFailurePolicy": {"*rules": [RULE]}, "*template": {"*spec": POD},
    },
}  # fmt: skip


def _fits(value: Any, schema: Any, where: str = "") -> None:
    if isinstance(schema, type):
        assert type(value) is schema, where
    elif isinstance(schema, list):
        for number, one in enumerate(value):
            _fits(one, schema[0], f"{where}[{number}]")
    else:
        known = {name.lstrip("*"): kind for name, kind in schema.items()}
        assert set(value) <= set(known), where
        assert {name[1:] for name in schema if name[0] == "*"} <= set(value), where
        for name, one in value.items():
            _fits(one, known[name], f"{where}.{name}")


@pytest.mark.parametrize("slurm", [None, Slurm(minutes=9, throttle=1, cpus=2, memory_gb=4.5, gpus=1)])
def test_the_job_is_one_that_kubernetes_reads(tmp_path: Path, slurm: Slurm | None) -> None:
    job = json.loads(kubernetes_job(_todo(tmp_path / "runs" / "s", 0, 3), slurm, 2, PLACE, tmp_path))
    _fits(job, JOB)
    assert (job["apiVersion"], job["kind"], job["spec"]["completionMode"]) == ("batch/v1", "Job", "Indexed")
    # With the five letters that Kubernetes adds, a hyphen and an index, the name of a pod has at most 63.
    assert re.fullmatch(r"[a-z]([a-z0-9-]{0,50})-", job["metadata"]["generateName"])
    spec, pod = job["spec"], job["spec"]["template"]["spec"]
    assert (spec["completions"], spec["parallelism"]) == (3, 3 if slurm is None else 1)
    # A limit per index and a policy of failures are for pods that are not restarted in place.
    assert (spec["backoffLimitPerIndex"], pod["restartPolicy"]) == (2, "Never")
    (container,) = pod["containers"]
    names = {volume["name"] for volume in pod["volumes"]}
    assert {mounted["name"] for mounted in container["volumeMounts"]} <= names
    wanted = {"cpu": "2", "memory": "4608Mi", "nvidia.com/gpu": "1"}
    assert container["resources"].get("requests") == (None if slurm is None else wanted)
    if slurm is not None:  # of GPUs both are needed, and equal
        assert container["resources"]["limits"] == {name: wanted[name] for name in ("memory", "nvidia.com/gpu")}


def test_each_index_works_on_its_point(tmp_path: Path) -> None:
    folder = tmp_path / f"{NASTY} $(HOME)"
    job = json.loads(kubernetes_job(_todo(folder, 0, 3), None, 1, PLACE, tmp_path))
    (container,) = job["spec"]["template"]["spec"]["containers"]
    # Kubernetes makes $$( a $( and replaces $(NAME).
    words = [word.replace("$$(", "$(") for word in (*container["command"], *container["args"])]
    assert not re.search(r"(?<!\$)\$\(", "".join(container["args"]))
    (tmp_path / "cidesign").write_text('#!/bin/sh\nprintf "%s\\n" "$@"\n')
    (tmp_path / "cidesign").chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "JOB_COMPLETION_INDEX": "2"}
    done = subprocess.run(words, env=environment, cwd=tmp_path, capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.splitlines() == ["sweep", "work", "--to-the-end", str(folder), "p2"]
    assert not list(tmp_path.rglob("here"))


def test_a_job_is_of_what_can_start_now(tmp_path: Path) -> None:
    def args(todo: ToDo) -> list[str]:
        job = json.loads(kubernetes_job(todo, None, 1, PLACE, tmp_path))
        found: list[str] = job["spec"]["template"]["spec"]["containers"][0]["args"][1:]
        return found

    assert args(_todo(tmp_path, 2, 2)) == ["t0", "t1"]
    assert args(_todo(tmp_path, 0, 2)) == ["p0", "p1"]
    with pytest.raises(InputError, match="where the volume will be mounted"):
        kubernetes_job(_todo(Path("/elsewhere")), None, 1, PLACE, tmp_path)
