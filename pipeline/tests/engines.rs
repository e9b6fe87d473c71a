//! The scripts of `deploy` that start tasks, with stand-ins for the commands of Slurm and Kubernetes.
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

/// Runs the pods of an indexed Job, one after another.
const KUBECTL: &str = r#"#!/bin/bash
set -euo pipefail
[ "$1" = apply ] || exit 0
manifest=$(cat)
command=$(sed -n 's/^ *command: \[\(.*\)\]$/\1/p' <<<"$manifest" | tr -d '",')
for index in $(seq 0 $(($(sed -n 's/^ *completions: //p' <<<"$manifest") - 1))); do
    JOB_COMPLETION_INDEX=$index $command >&2
done
"#;

fn script(name: &str) -> PathBuf {
    workspace().join("deploy").join(name)
}

/// The sample in one run, and a folder for the same in tasks.
struct Sample {
    folder: tempfile::TempDir,
    path: String,
}

impl Sample {
    fn new(stand_ins: &[(&str, &str)], options: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bin = folder.path().join("bin");
        fs::create_dir(&bin).unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_ebert"), bin.join("ebert")).unwrap();
        let path = programs(&bin, stand_ins);
        let mut command = ebert(["shards"]);
        command.args(Self::raw()).args(options).arg("--out").arg(folder.path().join("one"));
        succeed(&mut command);
        Self { folder, path }
    }

    fn raw() -> [String; 4] {
        let sample = workspace().join("data/sample").display().to_string();
        let tokenizer = format!("{sample}/tokenizer.json");
        ["--corpus".to_owned(), sample, "--tokenizer".to_owned(), tokenizer]
    }

    fn out(&self) -> PathBuf {
        self.folder.path().join("tasks")
    }

    /// Runs a command twice. The second time all is finished.
    fn run(&self, what: &str, mut command: impl FnMut() -> Command) -> String {
        let mut said = String::new();
        for time in ["first", "second"] {
            said = succeed(command().env("PATH", &self.path).current_dir(self.folder.path()));
            assert_same(&self.folder.path().join("one"), &self.out(), &format!("{what}, the {time} time"));
        }
        said
    }
}

#[test]
fn tasks_of_slurm_give_the_bytes_of_one_run() {
    let sample = Sample::new(&[("sbatch", SBATCH)], &["--bucket-mib", "1"]);
    let [_, corpus, _, tokenizer] = Sample::raw();
    let said = sample.run("Slurm", || {
        let mut command = Command::new(script("slurm/shards.sh"));
        command.args([&corpus, &tokenizer]).arg(sample.out()).args(["2", "--bucket-mib", "1"]);
        command
    });
    assert!(said.contains("7 (encode), 7 (rows), 7 (pairs); the output is"), "{said}");
}

#[test]
fn tasks_of_xargs_give_the_bytes_of_one_run() {
    let sample = Sample::new(&[], &["--nouns", "off", "--bucket-mib", "1"]);
    sample.run("xargs", || {
        let mut command = Command::new(script("xargs/shards.sh"));
        command.arg(sample.out()).args(["5", "3", "--nouns", "off", "--bucket-mib", "1"]).args(Sample::raw());
        command
    });
}

#[test]
fn tasks_of_kubernetes_give_the_bytes_of_one_run() {
    let options = ["--nouns", "off", "--bucket-mib", "2"];
    let sample = Sample::new(&[("kubectl", KUBECTL)], &options);
    succeed(ebert(["plan"]).args(Sample::raw()).args(options).arg("--out").arg(sample.out()));
    sample.run("Kubernetes", || {
        let mut command = Command::new(script("kubernetes/shards.sh"));
        command.args(["image", "claim"]).arg(sample.out()).arg("3");
        command
    });
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
        command.arg(script("slurm/pretrain.sbatch")).args(["shards", "init", "run", "bert", "--set", "seed=1"]);
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
