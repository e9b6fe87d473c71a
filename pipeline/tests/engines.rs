//! The scripts of `deploy` that start tasks, with stand-ins for the commands of Slurm and Kubernetes.
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;
use support::{assert_same, ebert, succeed, workspace};

/// Runs a job at once, and each task of an array, with the variables that Slurm sets. It prints the id of the job.
/// `jobs` gets a line for each: id, name and the jobs that it waits for.
const SBATCH: &str = r#"#!/bin/bash
set -euo pipefail
array=- name=- after= folder=$(dirname "$0")
while [[ "${1:-}" == --* ]]; do
    case $1 in
        --array=*) array=${1#--array=} ;;
        --job-name=*) name=${1#--job-name=} ;;
        --dependency=afterok:*) after=${1#--dependency=afterok:} ;;
    esac
    shift
done
touch "$folder/jobs"
id=$((70 + $(wc -l <"$folder/jobs")))
echo "$id $name ${after//:/ }" >>"$folder/jobs"
if [ $# -eq 0 ]; then cat >"$folder/job" && set -- "$folder/job"; fi
export SLURM_CPUS_PER_TASK=1 SLURM_JOB_ID=$id
if [ "$array" = - ]; then
    bash "$@" >&2
else
    export SLURM_ARRAY_TASK_MIN=${array%-*} SLURM_ARRAY_TASK_MAX=${array#*-}
    export SLURM_ARRAY_TASK_COUNT=$((SLURM_ARRAY_TASK_MAX - SLURM_ARRAY_TASK_MIN + 1))
    for task in $(seq "$SLURM_ARRAY_TASK_MIN" "$SLURM_ARRAY_TASK_MAX"); do
        SLURM_ARRAY_TASK_ID=$task bash "$@" >&2
    done
fi
echo "$id"
"#;

/// A folder for the front of the PATH, with programs of these names.
fn programs(folder: &Path, scripts: &[(&str, &str)]) -> String {
    for (name, script) in scripts {
        fs::write(folder.join(name), script).unwrap();
        fs::set_permissions(folder.join(name), fs::Permissions::from_mode(0o755)).unwrap();
    }
    format!("{}:/usr/bin:/bin", folder.display())
}

/// Keeps Jobs by their names. Runs the pods of an indexed Job one after another when it is created.
const KUBECTL: &str = r#"#!/bin/bash
set -euo pipefail
jobs=$(dirname "$0")/jobs
mkdir -p "$jobs"
case $1 in
    create)
        manifest=$(cat)
        job=$jobs/$(sed -n '0,/^  name: /s/^  name: //p' <<<"$manifest")
        [ ! -e "$job" ] || { echo "Error: it exists already" >&2 && exit 1; }
        command=$(sed -n 's/^ *command: \[\(.*\)\]$/\1/p' <<<"$manifest" | tr -d '",')
        echo complete >"$job"
        for index in $(seq 0 $(($(sed -n 's/^ *completions: //p' <<<"$manifest") - 1))); do
            JOB_COMPLETION_INDEX=$index $command >&2 || echo failed >"$job"
        done
        ;;
    delete) rm -f "$jobs/$3" ;;
    wait) [ "$(cat "$jobs/$(basename "${@: -1:1}")")" = complete ] ;;
    get) sed -n 's/failed/too many pods failed/p' "$jobs/$3" ;;
esac
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
    assert!(said.contains("(encode), 88 (rows), 89 (pairs); the output is"), "{said}");
    // Each job waits for those that the plan names, perhaps by way of another.
    let mut ids: BTreeMap<String, String> = BTreeMap::new();
    let mut before: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for job in fs::read_to_string(sample.folder.path().join("bin/jobs")).unwrap().lines().skip(10) {
        let mut words = job.split(' ').map(str::to_owned).filter(|word| !word.is_empty());
        let (id, name) = (words.next().unwrap(), words.next().unwrap());
        let mut all = BTreeSet::new();
        for earlier in words.map(|id| ids[&id].clone()) {
            all.extend(before[&earlier].iter().cloned());
            all.insert(earlier);
        }
        before.insert(name.clone(), all);
        ids.insert(id, name);
    }
    let plan = ["plan", "--log", "json", "--out"];
    for line in succeed(ebert(plan).arg(sample.out()).args(Sample::raw()).args(["--bucket-mib", "1"])).lines() {
        let object: Value = serde_json::from_str(line).unwrap();
        let needs = object["needs"].as_array().into_iter().flatten().filter_map(Value::as_str);
        for needed in needs.filter(|_| object["event"] == "task") {
            let step = object["step"].as_str().unwrap();
            assert!(before[step].contains(needed), "{step} needs {needed}, and waits for {:?}", before[step]);
        }
    }
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
    let script = || {
        let mut command = Command::new(script("kubernetes/shards.sh"));
        command.args(["image", "claim"]).arg(sample.out()).arg("3");
        command
    };
    sample.run("Kubernetes", script);
    // Another plan of the same folder: its Jobs take the place of the earlier ones.
    succeed(ebert(["plan", "--seed", "7"]).args(Sample::raw()).args(options).arg("--out").arg(sample.out()));
    let one = sample.folder.path().join("one");
    succeed(ebert(["shards", "--seed", "7"]).args(Sample::raw()).args(options).arg("--out").arg(&one));
    sample.run("Kubernetes with another seed", script);
    // A Job that fails ends the script.
    fs::remove_file(sample.out().join("ebert.toml")).unwrap();
    let output = script().env("PATH", &sample.path).output().unwrap();
    let text = String::from_utf8_lossy(&output.stderr);
    let run = text.contains("error: ebert-read-") && text.contains("failed: too many pods failed");
    assert!(output.status.code() == Some(1) && run, "{text}");
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
