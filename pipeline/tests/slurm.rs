//! The scripts of `deploy/slurm`, with stand-ins for the commands of Slurm.
mod support;

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use support::{assert_same, ebert, succeed, workspace};

/// Runs a job at once, and each task of an array, with the variables that Slurm sets. It prints the id of the job.
const SBATCH: &str = r#"#!/bin/bash
set -euo pipefail
array=- folder=$(dirname "$0")
while [[ "${1:-}" == --* ]]; do
    case $1 in --array=*) array=${1#--array=} ;; esac
    shift
done
if [ $# -eq 0 ]; then cat >"$folder/job" && set -- "$folder/job"; fi
export SLURM_CPUS_PER_TASK=1 SLURM_JOB_ID=7
if [ "$array" = - ]; then
    bash "$@" >&2
else
    export SLURM_ARRAY_TASK_MIN=${array%-*} SLURM_ARRAY_TASK_MAX=${array#*-}
    export SLURM_ARRAY_TASK_COUNT=$((SLURM_ARRAY_TASK_MAX - SLURM_ARRAY_TASK_MIN + 1))
    for task in $(seq "$SLURM_ARRAY_TASK_MIN" "$SLURM_ARRAY_TASK_MAX"); do
        SLURM_ARRAY_TASK_ID=$task bash "$@" >&2
    done
fi
echo 7
"#;

/// A folder for the front of the PATH, with programs of these names.
fn programs(folder: &Path, scripts: &[(&str, &str)]) -> String {
    for (name, script) in scripts {
        fs::write(folder.join(name), script).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:/usr/bin:/bin", folder.display())
}

fn script(name: &str) -> PathBuf {
    workspace().join("deploy/slurm").join(name)
}

#[test]
fn jobs_of_shards_give_the_bytes_of_one_run() {
    let folder = tempfile::tempdir().unwrap();
    let (bin, tasks, one) = (folder.path().join("bin"), folder.path().join("tasks"), folder.path().join("one"));
    fs::create_dir(&bin).unwrap();
    let path = programs(&bin, &[("sbatch", SBATCH)]);
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ebert"), bin.join("ebert")).unwrap();
    let (corpus, tokenizer) = (workspace().join("data/sample"), workspace().join("data/sample/tokenizer.json"));
    let run = || {
        let mut command = Command::new(script("shards.sh"));
        command.args([&corpus, &tokenizer, &tasks]).arg("2").env("PATH", &path).current_dir(&bin);
        succeed(&mut command)
    };
    assert!(run().contains("jobs 7 (pool), 7 (shards), 7 (seal); the output is"));
    let mut command = ebert(["shards", "--corpus", "data/sample", "--tokenizer", "data/sample/tokenizer.json"]);
    succeed(command.arg("--out").arg(&one));
    assert_same(&tasks.join("shards"), &one.join("shards"), "Slurm");
    // Again, where all is finished.
    run();
    assert_same(&tasks.join("shards"), &one.join("shards"), "Slurm, again");
}

#[test]
fn a_stopped_training_job_is_queued_again() {
    for (status, wanted) in [(0, ""), (75, "requeue 7\n"), (1, "")] {
        let folder = tempfile::tempdir().unwrap();
        let ebert = format!(
            "#!/bin/bash\n[ $1 = doctor ] && exit 0\necho \"$@\" > {}/arguments\nexit {status}\n",
            folder.path().display()
        );
        let srun = "#!/bin/bash\nwhile [[ $1 == --* ]]; do shift; done\n\"$@\"\n";
        let scontrol = "#!/bin/bash\necho \"$@\" > \"$(dirname \"$0\")/requeued\"\n";
        let path = programs(folder.path(), &[("ebert", &ebert), ("srun", srun), ("scontrol", scontrol)]);
        let mut command = Command::new("bash");
        command.arg(script("pretrain.sbatch")).args(["shards", "init", "run", "bert", "--set", "seed=1"]);
        command.env("PATH", path).env("SLURM_JOB_ID", "7").env("SLURM_CPUS_PER_TASK", "8");
        assert_eq!(command.status().unwrap().code(), Some(status));
        let arguments = fs::read_to_string(folder.path().join("arguments")).unwrap();
        assert_eq!(
            arguments,
            "pretrain --shards shards --recipe bert --init init --out run --device cuda --threads 8 --set seed=1\n"
        );
        assert!(ebert_commands::parse_from(format!("ebert {}", arguments.trim()).split(' ')).is_ok());
        assert_eq!(fs::read_to_string(folder.path().join("requeued")).unwrap_or_default(), wanted);
    }
}
