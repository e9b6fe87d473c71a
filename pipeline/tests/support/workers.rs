//! Tasks that `xargs` starts, in any number per step, some of them killed or run twice.
use std::{
    fs,
    io::Write,
    path::PathBuf,
    process::{Command, Stdio},
};

use schemas::Draws;
use serde_json::Value;

use super::{ebert, succeed, workspace};

/// Raw files, and where to put what is made.
pub(crate) struct Subject {
    pub(crate) folder: tempfile::TempDir,
    pub(crate) arguments: Vec<String>,
}

impl Subject {
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(crate) fn command(&self, name: &str, out: &str) -> Command {
        let mut command = ebert([name, "--bucket-mib", "1"]);
        command.args(&self.arguments).arg("--out").arg(self.path(out));
        command
    }

    /// The objects of `ebert plan`.
    pub(crate) fn plan(&self, out: &str, tasks: u64) -> Vec<Value> {
        let said = succeed(self.command("plan", out).args(["--log", "json", "--tasks", &tasks.to_string()]));
        let objects = said.lines().map(|line| serde_json::from_str(line).unwrap());
        objects.filter(|object: &Value| object["event"] == "task").collect()
    }

    /// Runs all tasks of a step with xargs, three at a time. `moments` gives the seconds after which each is killed.
    pub(crate) fn run(&self, step: &str, out: &str, tasks: &[String], mut moments: impl FnMut() -> Vec<f64>) {
        let mut xargs = Command::new("xargs");
        xargs.args(["-P", "3", "-L", "1", "bash", "-c", TASK, "task"]).current_dir(workspace());
        xargs.env("EBERT", ebert([]).get_program()).env("STEP", step).env("OUT", self.path(out));
        let mut child = xargs.env("LOG", self.path("kills")).stdin(Stdio::piped()).spawn().unwrap();
        let mut input = child.stdin.take().unwrap();
        for task in tasks {
            let moments: String = moments().iter().map(|moment| format!(" {moment:.3}")).collect();
            writeln!(input, "{task}{moments}").unwrap();
        }
        drop(input);
        assert!(child.wait().unwrap().success(), "{step} of {out}");
    }

    /// Runs a step in `n` tasks, some of which are killed up to `kills` times or run twice.
    pub(crate) fn run_step(&self, step: &str, out: &str, n: u64, kills: u64, longest: f64) {
        let mut draws = Draws::new(n, step, out.as_bytes());
        let mut tasks = Vec::new();
        for i in (0..n).rev() {
            // Every other task starts twice.
            tasks.extend(std::iter::repeat_n(format!("{i}/{n}"), if i % 2 == 0 { 2 } else { 1 }));
        }
        self.run(step, out, &tasks, || (0..kills).map(|_| 0.01 + longest * draws.unit()).collect());
    }

    pub(crate) fn kills(&self) -> usize {
        fs::read_to_string(self.path("kills")).unwrap_or_default().lines().count()
    }
}

/// Runs a task, and kills it at each of the moments that follow. Then it may finish.
const TASK: &str = r#"
task=$1
shift
worker() { "$@" "$EBERT" worker "$STEP" "$task" --config "$OUT/ebert.toml" --threads 2 --quiet; }
for moment; do
    status=0
    worker timeout --signal=KILL "$moment" || status=$?
    case $status in
        0) exit ;;
        137) echo "$STEP $task" >>"$LOG" ;;
        *) exit "$status" ;;
    esac
done
worker env
"#;
