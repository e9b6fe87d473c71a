//! The steps as tasks that any engine can start: [`Run::plan`] prints them, and [`Run::work`] runs one.
//!
//! A step consists of parts, which are numbered from 0: groups of raw files, or buckets. Part p belongs to task p mod n
//! of n. Which parts there are does not depend on n, and finished parts are kept. So every n gives the same bytes, also
//! if it changes in between. The last task of a step writes its manifest.
use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
};

use ebert_commands::OPTIONS_FILE;
use schemas::{
    Manifest, ManifestError, Task,
    manifest::{CorpusBody, GraphBody, Negatives, PoolBody},
    quoted,
};

use super::{Run, RunError, bytes, lock::FolderLock, options, step_settings};
use crate::{
    corpus::tasks::{CorpusTasks, Phase},
    engine::{
        ledger::Ledger,
        progress::{Facts, Format, NEW, Outcome, Stdout, count_of},
    },
    graph::associations,
    phrase::pool,
    shard::{
        ShardError,
        encode::{self, Encoded},
    },
    text::language::Language,
};
use ebert_dumps::{RawFiles, find_all};

/// A step that consists of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Raw files to groups: their records, sorted by bucket.
    Read,
    /// Groups to the tables of products and reviews.
    Documents,
    /// Groups to the tables of interactions.
    Interactions,
    /// The phrase pool.
    Pool,
    /// The associations of products.
    Graph,
    /// Documents to segments.
    Encode,
    /// Pairs, and the manifest of the shards.
    Pairs,
}

impl Step {
    /// The name on the command line.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Read => "read",
            Self::Documents => "documents",
            Self::Interactions => "interactions",
            Self::Pool => "pool",
            Self::Graph => "graph",
            Self::Encode => "encode",
            Self::Pairs => "pairs",
        }
    }

    /// Whether it has one task.
    const fn is_single(self) -> bool {
        matches!(self, Self::Pool | Self::Graph | Self::Pairs)
    }

    /// The folder of `OUT` that it writes, and that its workers lock.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Read | Self::Documents | Self::Interactions => "corpus",
            Self::Pool => "pool",
            Self::Graph => "graph",
            Self::Encode | Self::Pairs => "shards",
        }
    }

    /// The part of the corpus that it is.
    const fn phase(self) -> Option<Phase> {
        match self {
            Self::Read => Some(Phase::Read),
            Self::Documents => Some(Phase::Documents),
            Self::Interactions => Some(Phase::Interactions),
            Self::Pool | Self::Graph | Self::Encode | Self::Pairs => None,
        }
    }
}

/// A task of the plan.
struct PlannedTask {
    step: Step,
    task: Task,
    done: bool,
    inputs: Vec<PathBuf>,
    outputs: Vec<PathBuf>,
}

/// A step of the plan.
struct PlannedStep {
    step: Step,
    /// Steps that have to be finished before.
    needs: Vec<Step>,
    tasks: Vec<PlannedTask>,
    /// The folder of `OUT` that it writes.
    writes: &'static str,
    /// What it reads, for a person.
    reads: String,
}

impl PlannedStep {
    fn is_done(&self) -> bool {
        self.tasks.iter().all(|task| task.done)
    }
}

impl Run<'_> {
    /// Prints the steps as tasks, at most `most` per step, and writes the options to a file that workers read.
    pub fn plan(&mut self, most: u32) -> Result<(), RunError> {
        let files = find_all(&self.settings.corpus, &self.settings.out)?;
        options::write(self.settings)?;
        self.publish()?;
        let steps = self.steps(&files, most)?;
        let config = quoted(Path::new(&self.settings.out_name(&self.settings.out.join(OPTIONS_FILE))));
        match self.progress.format() {
            Format::Json => self.print_tasks(&steps, &config),
            Format::Text => self.print_steps(&steps, &config),
        }
    }

    fn print_tasks(&self, steps: &[PlannedStep], config: &str) -> Result<(), RunError> {
        let paths = |paths: &[PathBuf]| paths.iter().map(|path| self.settings.out_name(path)).collect::<Vec<_>>();
        for PlannedStep { needs, tasks, .. } in steps {
            let needs: Vec<&str> = needs.iter().map(|step| step.name()).collect();
            for PlannedTask { step, task, done, inputs, outputs } in tasks {
                let facts = Facts::new("task", "")
                    .with("step", step.name())
                    .with("task", task.to_string())
                    .with("needs", needs.clone())
                    .with("done", *done)
                    .with("command", format!("ebert worker {} {task} --config {config}", step.name()))
                    .with("inputs", paths(inputs))
                    .with("outputs", paths(outputs));
                writeln!(Stdout, "{}", self.progress.line("", "", &facts))?;
            }
        }
        Ok(())
    }

    fn print_steps(&self, steps: &[PlannedStep], config: &str) -> Result<(), RunError> {
        writeln!(Stdout, "{:14} {:>6} {:>6}   {:8} reads", "step", "tasks", "done", "writes")?;
        for PlannedStep { step, tasks, reads, writes, .. } in steps {
            let done = tasks.iter().filter(|task| task.done).count();
            writeln!(Stdout, "{:14} {:>6} {done:>6}   {writes:8} {reads}", step.name(), tasks.len())?;
        }
        let Some(PlannedStep { step, tasks, .. }) = steps.iter().find(|step| !step.is_done()) else {
            return Ok(self.progress.note("done", &Facts::new("done", "all tasks are done"))?);
        };
        let next = match tasks.len() {
            1 => format!("ebert worker {} --config {config}", step.name()),
            n => format!("seq -f %g/{n} 0 {} | xargs -P 2 -n 1 ebert worker {} --config {config}", n - 1, step.name()),
        };
        Ok(self.progress.next(&[next], "")?)
    }

    /// What a task reads, unless it is done.
    pub(super) fn inputs(&mut self, files: &RawFiles, step: Step, task: Task) -> Result<Vec<PathBuf>, RunError> {
        let steps = self.steps(files, task.of())?;
        let tasks = steps.into_iter().filter(|planned| planned.step == step).flat_map(|planned| planned.tasks);
        let own = (0..).zip(tasks).filter(|(number, planned)| task.has(*number) && !planned.done);
        Ok(own.flat_map(|(_, planned)| planned.inputs).collect())
    }

    fn steps(&mut self, files: &RawFiles, most: u32) -> Result<Vec<PlannedStep>, RunError> {
        let (out, with_interactions) = (self.settings.out.clone(), self.settings.interactions);
        let folder = |name: &str| out.join(name);
        let corpus_step = if with_interactions { Step::Interactions } else { Step::Documents };
        let mut steps = Vec::new();
        let (corpus, buckets) = {
            // The corpus is the same in any language.
            let settings = step_settings(self.settings, &self.tokenizer, Language::default())?;
            let tasks = CorpusTasks::new(settings, files)?;
            let raw = files.recognised.iter().map(|file| file.bytes).sum();
            let raw = format!("{}, {}", count_of(files.recognised.len() as u64, "raw file", "raw files"), bytes(raw));
            let phases = [
                (Step::Read, vec![], raw, "spill"),
                (Step::Documents, vec![Step::Read], "spill".to_owned(), "corpus"),
                (Step::Interactions, vec![Step::Documents], "spill".to_owned(), "corpus"),
            ];
            for (step, needs, reads, writes) in phases {
                let Some(phase) = step.phase().filter(|phase| tasks.parts(*phase) > 0) else { continue };
                let missing = tasks.missing(phase)?;
                let parts = tasks.parts(phase);
                let inputs = |own: &[u64]| match phase {
                    Phase::Read => own.iter().flat_map(|&part| tasks.inputs(phase, part)).collect(),
                    // Those of one part are those of all.
                    Phase::Documents | Phase::Interactions => tasks.inputs(phase, 0),
                };
                let planned = shared_out(parts, most, |task, own| PlannedTask {
                    step,
                    task,
                    done: !own.iter().any(|part| missing.contains(part)),
                    inputs: inputs(own),
                    outputs: own.iter().flat_map(|&part| tasks.outputs(phase, part)).collect(),
                });
                steps.push(PlannedStep { step, needs, tasks: planned, writes, reads });
            }
            (tasks.sealed()?, tasks.parts(Phase::Documents))
        };
        let one = |step: Step, needs: Vec<Step>, done, inputs: Vec<PathBuf>| {
            let in_out = |path: &PathBuf| path.strip_prefix(&out).unwrap_or(path).display().to_string();
            let reads = inputs.iter().map(in_out).collect::<Vec<_>>().join(", ");
            let task = PlannedTask { step, task: Task::ALL, done, inputs, outputs: vec![folder(step.folder())] };
            PlannedStep { step, needs, tasks: vec![task], writes: step.folder(), reads }
        };
        let made = self.made(corpus.as_ref())?;
        let (pool_needs, pool_input) = match &self.settings.pool {
            Some(file) => (vec![], file.clone()),
            None => (vec![corpus_step], folder("corpus")),
        };
        steps.push(one(Step::Pool, pool_needs, made.pool.is_some(), vec![pool_input]));
        let mut graph_inputs = vec![folder("corpus")];
        graph_inputs.extend(self.settings.associations.clone());
        steps.push(one(Step::Graph, vec![corpus_step], made.graph.is_some(), graph_inputs));
        let encoded = self.encoded(corpus.as_ref(), made.pool.as_ref())?;
        let names = |part: u64| ["products", "reviews"].map(|stem| format!("{stem}-{part:05}.parquet"));
        let tasks = shared_out(buckets, most, |task, own| {
            let tables = |name: &str| -> Vec<PathBuf> {
                own.iter().flat_map(|&part| names(part)).map(|table| folder(name).join(table)).collect()
            };
            let done = own.iter().all(|part| encoded.contains(part));
            let inputs = tables("corpus").into_iter().chain([folder("pool")]).collect();
            PlannedTask { step: Step::Encode, task, done, inputs, outputs: tables("shards") }
        });
        let (needs, reads) = (vec![corpus_step, Step::Pool], "corpus, pool".to_owned());
        steps.push(PlannedStep { step: Step::Encode, needs, tasks, writes: Step::Encode.folder(), reads });
        let done = match (&corpus, &made.pool, &made.graph) {
            (Some(corpus), Some(pool), Some(graph)) => self.shard_reason(corpus, pool, graph)?.is_none(),
            _ => false,
        };
        let mut inputs = vec![folder("graph"), folder("shards")];
        // They are in the tables of products.
        inputs.extend((self.settings.negatives == Negatives::Category).then(|| folder("corpus")));
        steps.push(one(Step::Pairs, vec![Step::Graph, Step::Encode], done, inputs));
        Ok(steps)
    }

    /// The pool and the graph, if they are those of this corpus and of the settings.
    fn made(&mut self, corpus: Option<&Manifest<CorpusBody>>) -> Result<Made, RunError> {
        let mut made = Made { pool: None, graph: None };
        let language = match corpus {
            Some(corpus) => self.language(corpus)?,
            None => Language::default(),
        };
        let settings = step_settings(self.settings, &self.tokenizer, language)?;
        let progress = &self.progress;
        let source = match (&self.settings.pool, corpus) {
            (Some(file), _) => Some(pool::Source::Import(file)),
            (None, Some(corpus)) => {
                Some(pool::Source::Mine(pool::Mining { corpus, settings: self.settings, language, progress }))
            }
            (None, None) => None,
        };
        if let Some(source) = source {
            made.pool = pool::current(settings, &source, &mut self.hashes)?;
        }
        if let Some(corpus) = corpus {
            let options = self.settings.association_options();
            made.graph = associations::current(&self.settings.out, corpus, options, &mut self.hashes)?;
        }
        Ok(made)
    }

    /// The buckets whose shards are encoded, by their records.
    pub(super) fn encoded(
        &mut self,
        corpus: Option<&Manifest<CorpusBody>>,
        pool: Option<&Manifest<PoolBody>>,
    ) -> Result<BTreeSet<u64>, RunError> {
        let (Some(corpus), Some(pool)) = (corpus, pool) else { return Ok(BTreeSet::new()) };
        let language = self.language(corpus)?;
        let settings = step_settings(self.settings, &self.tokenizer, language)?;
        let ledger = Ledger::open(&self.settings.out, "shards")?;
        let (mut all, mut missing) = (BTreeSet::new(), BTreeSet::new());
        for shard in encode::plan(settings, corpus, &pool.data_blake3()) {
            all.insert(u64::from(shard.bucket));
            if !ledger.recorded(&shard.name, &shard.made_from)? {
                missing.insert(u64::from(shard.bucket));
            }
        }
        Ok(&all - &missing)
    }

    /// Runs a task of a step. The last one seals the step's folder.
    ///
    /// # Errors
    /// If an earlier step is not finished: the error names its tasks.
    pub fn work(&mut self, step: Step, task: Task) -> Result<(), RunError> {
        let before = self.manifest_of(step);
        match self.work_once(step, task) {
            Err(_) if self.is_sealed_since(step, before.as_deref())? => self.work_once(step, task),
            other => other,
        }
    }

    fn work_once(&mut self, step: Step, task: Task) -> Result<(), RunError> {
        if let Some(phase) = step.phase() {
            return self.work_on_corpus(step, phase, task);
        }
        if step.is_single() && !task.has(0) {
            let text = format!("task {task}   the step is a single task, 0/{}", task.of());
            return Ok(self.progress.note(step.name(), &Facts::new("idle", text).with("step", step.name()))?);
        }
        self.bring_inputs(step, task)?;
        let lock = FolderLock::of(&self.settings.out, step.folder());
        let corpus = match (step, &self.settings.pool) {
            // An imported pool needs no corpus.
            (Step::Pool, Some(_)) => None,
            _ => {
                let made = self.corpus_made();
                Some(self.needed(made, Step::Interactions, task)?)
            }
        };
        match (step, corpus) {
            (Step::Pool, _) => {
                let alone = lock.alone(&self.progress)?;
                let pool = self.pool()?;
                lock.remove(alone)?;
                self.left_out_of_pool(&pool)?;
                self.print_next(step, &[Step::Encode])
            }
            (Step::Graph, Some(corpus)) => {
                let alone = lock.alone(&self.progress)?;
                self.graph(&corpus)?;
                lock.remove(alone)?;
                self.print_next(step, &[Step::Encode])
            }
            (Step::Encode, Some(corpus)) => {
                let pool = self.pool_made(&corpus);
                let pool = self.needed(pool, Step::Pool, task)?;
                let shared = lock.shared(&self.progress)?;
                self.encode_part(&corpus, &pool)?;
                drop(shared);
                // Nothing is left to do in sealed shards.
                if self.sealed()?.sealed().is_some()
                    && let Some(alone) = lock.try_alone()?
                {
                    lock.remove(alone)?;
                }
                self.print_next(step, &[Step::Pairs])
            }
            (_, Some(corpus)) => {
                let pool = self.pool_made(&corpus);
                let pool = self.needed(pool, Step::Pool, task)?;
                let graph = self.graph_made(&corpus);
                let graph = self.needed(graph, Step::Graph, task)?;
                let alone = lock.alone(&self.progress)?;
                self.draw_pairs(&corpus, &pool, &graph).map_err(|error| in_tasks(error, task))?;
                let (sealed, outcome) = self.seal(&corpus, &pool, &graph, None)?;
                lock.remove(alone)?;
                self.report_shards(&sealed, &Encoded::default(), &outcome)?;
                self.say_inspect(&corpus, &sealed)
            }
            (_, None) => unreachable!("only an imported pool needs no corpus"),
        }
    }

    fn work_on_corpus(&mut self, step: Step, phase: Phase, task: Task) -> Result<(), RunError> {
        let files = find_all(&self.settings.corpus, &self.settings.out)?;
        if phase == Phase::Read && task.has(0) {
            self.skipped_files(&files)?;
        }
        // The corpus is the same in any language.
        let settings = step_settings(self.settings, &self.tokenizer, Language::default())?;
        let tasks = CorpusTasks::new(settings, &files)?;
        let lock = FolderLock::of(&self.settings.out, step.folder());
        let shared = lock.shared(&self.progress)?;
        self.bring_groups(&tasks, phase, task)?;
        let (hashes, progress) = (&mut self.hashes, &self.progress);
        let done = match phase {
            Phase::Read => Some(tasks.read(task, hashes, progress)?),
            Phase::Documents | Phase::Interactions => tasks.write(phase, task, hashes, progress)?,
        };
        drop(shared);
        let Some(done) = done else { return Err(unfinished(&tasks, task)?) };
        let (what, folder) = match phase {
            Phase::Read => ("groups of raw files", "spill"),
            Phase::Documents | Phase::Interactions => ("tables", "corpus"),
        };
        let text = format!("task {task}   {} of {} {what}", done.made, done.of_task);
        let holds = Facts::new("step", text)
            .with("task", task.to_string())
            .with("made", done.made)
            .with("of_task", done.of_task);
        self.step(step.name(), &holds, folder, &done.outcome)?;
        self.publish_task(step)?;
        let since = std::time::Instant::now();
        let (is_complete, is_sealed) = (tasks.is_complete()?, tasks.sealed()?.is_some());
        if (is_complete || is_sealed)
            && let Some(alone) = lock.try_alone()?
        {
            let sealed = if is_complete {
                tasks.seal(&mut self.hashes)?
            } else {
                // A process may have been killed while it removed the groups.
                tasks.clear()?;
                None
            };
            lock.remove(alone)?;
            if let Some(corpus) = sealed {
                self.report_corpus(&corpus, &Outcome::made(since, NEW.to_owned()))?;
                self.left_out_of_corpus(&corpus)?;
            }
        }
        match step {
            Step::Read => self.print_next(step, &[Step::Documents]),
            Step::Documents if self.settings.interactions => self.print_next(step, &[Step::Interactions]),
            _ => self.print_next(step, &[Step::Pool, Step::Graph]),
        }
    }

    /// Publishes what the task has written, and prints the steps that follow.
    fn print_next(&self, step: Step, next: &[Step]) -> Result<(), RunError> {
        self.publish()?;
        let command =
            |step: &Step| format!("ebert worker {}{}", step.name(), if step.is_single() { "" } else { " i/n" });
        let commands: Vec<String> = next.iter().map(command).collect();
        let when =
            if step.is_single() { String::new() } else { format!(", when all tasks of {} are done", step.name()) };
        let condition = format!("    with the same options{when}");
        Ok(self.progress.next(&commands, &condition)?)
    }

    /// The manifest of an earlier step. If there is none, the error names the tasks that are missing.
    fn needed<T>(&self, made: Result<T, RunError>, step: Step, task: Task) -> Result<T, RunError> {
        match made {
            Err(RunError::EarlierStep { source: ManifestError::Absent { .. }, .. }) => {
                if step.phase().is_none() {
                    return Err(RunError::Unfinished { step: step.name(), tasks: BTreeSet::from([0]), of: 1 });
                }
                let files = find_all(&self.settings.corpus, &self.settings.out)?;
                let settings = step_settings(self.settings, &self.tokenizer, Language::default())?;
                Err(unfinished(&CorpusTasks::new(settings, &files)?, task)?)
            }
            other => other,
        }
    }
}

/// The pool and the graph of a plan.
struct Made {
    pool: Option<Manifest<PoolBody>>,
    graph: Option<Manifest<GraphBody>>,
}

/// Tasks for some parts: `most` at most, each with its parts.
fn shared_out(parts: u64, most: u32, planned: impl Fn(Task, &[u64]) -> PlannedTask) -> Vec<PlannedTask> {
    let of = u64::from(most).min(parts).max(1) as u32;
    let tasks = (0..of).filter_map(|index| Task::new(index, of));
    tasks
        .map(|task| {
            let own: Vec<u64> = (0..parts).filter(|&part| task.has(part)).collect();
            planned(task, &own)
        })
        .collect()
}

/// Which tasks of the corpus are missing, as an error, if there were as many as of this one's step.
fn unfinished(tasks: &CorpusTasks<'_>, task: Task) -> Result<RunError, RunError> {
    let of = task.of();
    let mut last = Step::Documents;
    for step in [Step::Read, Step::Documents, Step::Interactions] {
        let Some(phase) = step.phase().filter(|phase| tasks.parts(*phase) > 0) else { continue };
        let missing = tasks.missing(phase)?;
        if !missing.is_empty() {
            let tasks = missing.into_iter().map(|part| (part % u64::from(of)) as u32).collect();
            return Ok(RunError::Unfinished { step: step.name(), tasks, of });
        }
        last = step;
    }
    // Only the manifest is missing. Any task writes it.
    Ok(RunError::Unfinished { step: last.name(), tasks: BTreeSet::from([0]), of })
}

/// An error of the pairs in the words of workers.
fn in_tasks(error: RunError, task: Task) -> RunError {
    let RunError::Shards(ShardError::Unfinished { missing, .. }) = &error else { return error };
    let bucket = |name: &String| Path::new(name).file_stem()?.to_str()?.rsplit('-').next()?.parse::<u32>().ok();
    let tasks = missing.iter().filter_map(bucket).map(|bucket| bucket % task.of()).collect();
    RunError::Unfinished { step: Step::Encode.name(), tasks, of: task.of() }
}
