//! The plan: which tasks the steps have, what each reads and writes, and which are done.
use std::{
    collections::BTreeSet,
    fs,
    io::Write,
    path::{Path, PathBuf},
};

use ebert_commands::OPTIONS_FILE;
use ebert_dumps::{RawFiles, find_all};
use schemas::{
    FileEntry, Manifest, Previous, Task,
    manifest::{CorpusBody, GraphBody, PoolBody},
    quoted,
};

use super::{Run, RunError, bytes, options, step_settings, tasks::Step};
use crate::{
    corpus::tasks::{CorpusTasks, Phase},
    engine::{
        ledger::Ledger,
        progress::{Facts, Format, Stdout, count_of},
        sections::PartFolder,
    },
    graph::{associations, tasks as graph},
    phrase::{mine::words::WordTasks, pool},
    shard::{
        encode,
        pairs::{self, PairTasks},
        seal,
    },
    text::language::Language,
};

/// A task of the plan.
struct PlannedTask {
    step: Step,
    task: Task,
    done: bool,
    /// If they are [needed](Scope). A range of a raw file has its bytes behind its path.
    inputs: Vec<PathBuf>,
    /// Likewise.
    outputs: Vec<PathBuf>,
}

/// What a plan is made for.
struct Scope<'p> {
    /// The most tasks per step.
    most: u32,
    /// Whether the paths of a task are needed. Those of all tasks can be millions.
    lists: &'p dyn Fn(Step, Task) -> bool,
}

impl Scope<'_> {
    /// The paths of a task, if they are needed.
    fn paths_of(&self, step: Step, task: Task, paths: impl FnOnce() -> Vec<PathBuf>) -> Vec<PathBuf> {
        if (self.lists)(step, task) { paths() } else { Vec::new() }
    }
}

/// What the steps after the corpus are planned from.
struct PlannedCorpus {
    /// `None` before there is one.
    sealed: Option<Manifest<CorpusBody>>,
    /// Its last step.
    step: Step,
    buckets: u64,
    /// Whether records of groups of raw files are left.
    has_groups: bool,
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
    ///
    /// # Errors
    /// If the raw files or a stored file cannot be read, or the file of options or standard output
    /// cannot be written.
    pub fn plan(&mut self, most: u32) -> Result<(), RunError> {
        let files = find_all(&self.settings.corpus, &self.settings.out)?;
        options::write(self.settings)?;
        self.publish()?;
        let is_json = self.progress.format() == Format::Json;
        let steps = self.steps(&files, &Scope { most, lists: &|_, _| is_json })?;
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
        let lists = |of: Step, planned: Task| of == step && task.has(u64::from(planned.index()));
        let steps = self.steps(files, &Scope { most: task.of(), lists: &lists })?;
        let tasks = steps.into_iter().filter(|planned| planned.step == step).flat_map(|planned| planned.tasks);
        let own = (0..).zip(tasks).filter(|(number, planned)| task.has(*number) && !planned.done);
        Ok(own.flat_map(|(_, planned)| planned.inputs).collect())
    }

    fn steps(&mut self, files: &RawFiles, scope: &Scope<'_>) -> Result<Vec<PlannedStep>, RunError> {
        let (mut steps, corpus) = self.corpus_steps(files, scope)?;
        let made = self.made(corpus.sealed.as_ref())?;
        steps.extend(self.pool_steps(&corpus, made.pool.is_some(), scope)?);
        steps.extend(self.graph_steps(&corpus, made.graph.is_some(), scope)?);
        steps.push(self.encode_step(&corpus, &made, scope)?);
        steps.extend(self.pair_steps(&corpus, &made, scope)?);
        let has_parts = |name: &str| PartFolder::within(&self.settings.out.join(name)).has_parts();
        let left = [
            (corpus.step, corpus.has_groups),
            (Step::Pool, has_parts("pool")?),
            (Step::Graph, has_parts("graph")?),
            (Step::Pairs, has_parts("shards")?),
        ];
        for (step, is_left) in left {
            // A process was killed after it sealed a folder, and before it removed what tasks had left there.
            if let Some(planned) = steps.iter_mut().find(|planned| planned.step == step && planned.is_done() && is_left)
                && let Some(first) = planned.tasks.first_mut()
            {
                first.done = false;
            }
        }
        Ok(steps)
    }

    /// The steps of the corpus, and what they leave for the others.
    fn corpus_steps(
        &mut self,
        files: &RawFiles,
        scope: &Scope<'_>,
    ) -> Result<(Vec<PlannedStep>, PlannedCorpus), RunError> {
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
        let mut steps = Vec::new();
        for (step, needs, reads, writes) in phases {
            let Some(phase) = step.phase().filter(|phase| tasks.parts(*phase) > 0) else { continue };
            let missing = tasks.missing(phase)?;
            let parts = tasks.parts(phase);
            // Those of one table are those of all.
            let of_parts = |own: &[u64]| if phase == Phase::Read { own.to_vec() } else { vec![0] };
            let inputs = |own: &[u64]| -> Vec<PathBuf> {
                let inputs = of_parts(own).into_iter().flat_map(|part| tasks.inputs(phase, part));
                inputs.map(|input| PathBuf::from(input.to_string())).collect()
            };
            let parts_of = |task| tasks.parts_of(phase, task);
            let outputs = |own: &[u64]| own.iter().flat_map(|&part| tasks.outputs(phase, part)).collect();
            let planned = shared_out_as(parts, scope, parts_of, |task, own| PlannedTask {
                step,
                task,
                done: !own.iter().any(|part| missing.contains(part)),
                inputs: scope.paths_of(step, task, || inputs(own)),
                outputs: scope.paths_of(step, task, || outputs(own)),
            });
            steps.push(PlannedStep { step, needs, tasks: planned, writes, reads });
        }
        let corpus = PlannedCorpus {
            sealed: tasks.sealed()?,
            step: if self.settings.interactions { Step::Interactions } else { Step::Documents },
            buckets: tasks.parts(Phase::Documents),
            has_groups: tasks.has_groups(),
        };
        Ok((steps, corpus))
    }

    /// The step of the segments.
    fn encode_step(&mut self, corpus: &PlannedCorpus, made: &Made, scope: &Scope<'_>) -> Result<PlannedStep, RunError> {
        let out = self.settings.out.clone();
        let encoded = self.encoded(corpus.sealed.as_ref(), made.pool.as_ref())?;
        let names = |part: u64| ["products", "reviews"].map(|stem| format!("{stem}-{part:05}.parquet"));
        let tables = |name: &str, own: &[u64]| -> Vec<PathBuf> {
            own.iter().flat_map(|&part| names(part)).map(|table| out.join(name).join(table)).collect()
        };
        let step = Step::Encode;
        let tasks = shared_out(corpus.buckets, scope, |task, own| PlannedTask {
            step,
            task,
            done: own.iter().all(|part| encoded.contains(part)),
            inputs: scope.paths_of(step, task, || [tables("corpus", own), vec![out.join("pool")]].concat()),
            outputs: scope.paths_of(step, task, || tables("shards", own)),
        });
        let (needs, reads) = (vec![corpus.step, Step::Pool], "corpus, pool".to_owned());
        Ok(PlannedStep { step, needs, tasks, writes: step.folder(), reads })
    }

    /// The steps of the pool. Before there is a corpus, all of its buckets are parts.
    fn pool_steps(
        &mut self,
        corpus: &PlannedCorpus,
        is_made: bool,
        scope: &Scope<'_>,
    ) -> Result<Vec<PlannedStep>, RunError> {
        let (out, outputs) = (self.settings.out.clone(), vec![self.settings.out.join("pool")]);
        let mut steps = Vec::new();
        let (mut needs, mut inputs) = (vec![], self.settings.pool.iter().cloned().collect::<Vec<_>>());
        if inputs.is_empty() {
            let words = match &corpus.sealed {
                Some(corpus) => Some(self.words(corpus)?),
                None => None,
            };
            let parts = words.as_ref().map_or(corpus.buckets, WordTasks::parts);
            let missing = match &words {
                _ if is_made => BTreeSet::new(),
                Some(words) => words.missing()?,
                None => (0..parts).collect(),
            };
            let step = Step::Words;
            let inputs_of = |own: &[u64]| match &words {
                Some(words) => words.inputs(own),
                None => vec![out.join("corpus")],
            };
            let tasks = shared_out(parts, scope, |task, own| PlannedTask {
                step,
                task,
                done: !own.iter().any(|part| missing.contains(part)),
                inputs: scope.paths_of(step, task, || inputs_of(own)),
                outputs: scope.paths_of(step, task, || outputs.clone()),
            });
            // One process that mines alone reads the corpus.
            inputs.extend((!missing.is_empty()).then(|| out.join("corpus")));
            inputs.push(out.join("pool"));
            needs.push(Step::Words);
            let (needs, reads) = (vec![corpus.step], "corpus".to_owned());
            steps.push(PlannedStep { step, needs, tasks, writes: step.folder(), reads });
        }
        let reads = if needs.is_empty() { self.listed(&inputs) } else { "pool".to_owned() };
        let pool = PlannedTask { step: Step::Pool, task: Task::ALL, done: is_made, inputs, outputs };
        steps.push(PlannedStep { step: Step::Pool, needs, tasks: vec![pool], writes: Step::Pool.folder(), reads });
        Ok(steps)
    }

    /// The steps of the graph. Before there is a corpus, all of its buckets are parts.
    fn graph_steps(
        &mut self,
        corpus: &PlannedCorpus,
        is_made: bool,
        scope: &Scope<'_>,
    ) -> Result<Vec<PlannedStep>, RunError> {
        let out = self.settings.out.clone();
        let tasks = match &corpus.sealed {
            Some(corpus) => Some(self.graph_tasks(corpus)?),
            None => None,
        };
        let mut steps = Vec::new();
        for (step, phase, needs) in
            [(Step::Edges, graph::Phase::Edges, corpus.step), (Step::Graph, graph::Phase::Partitions, Step::Edges)]
        {
            let parts = tasks.as_ref().map_or(corpus.buckets, |tasks| tasks.parts(phase));
            let missing = match &tasks {
                _ if is_made => BTreeSet::new(),
                Some(tasks) => tasks.missing(phase)?,
                None => (0..parts).collect(),
            };
            let reads = match (phase, &self.settings.associations) {
                (graph::Phase::Partitions, _) => "graph".to_owned(),
                (graph::Phase::Edges, None) => "corpus".to_owned(),
                (graph::Phase::Edges, Some(file)) => format!("corpus, {}", file.display()),
            };
            let inputs = |own: &[u64]| match phase {
                graph::Phase::Edges => {
                    let tables = tasks.as_ref().map_or_else(|| vec![out.join("corpus")], |tasks| tasks.tables(own));
                    // Each task reads the file, at least to hash it.
                    tables.into_iter().chain(self.settings.associations.clone()).collect()
                }
                graph::Phase::Partitions => vec![out.join("graph")],
            };
            // The table appears when all are done.
            let sealing = !is_made && phase == graph::Phase::Partitions && missing.is_empty();
            let planned = shared_out(parts, scope, |task, own| PlannedTask {
                step,
                task,
                done: !sealing && !own.iter().any(|part| missing.contains(part)),
                inputs: scope.paths_of(step, task, || inputs(own)),
                outputs: scope.paths_of(step, task, || vec![out.join(step.folder())]),
            });
            steps.push(PlannedStep { step, needs: vec![needs], tasks: planned, writes: step.folder(), reads });
        }
        Ok(steps)
    }

    /// The steps of the pairs. Before rows are chosen, there are at most as many files of pairs as they may fill.
    fn pair_steps(
        &mut self,
        corpus: &PlannedCorpus,
        made: &Made,
        scope: &Scope<'_>,
    ) -> Result<Vec<PlannedStep>, RunError> {
        let out = self.settings.out.clone();
        let mut parts =
            made.graph.as_ref().map_or(corpus.buckets, |graph| pairs::most_files(graph, self.settings.draws));
        let (mut has_rows, mut missing, mut is_sealed) = (false, None, false);
        if let (Some(corpus), Some(pool), Some(graph)) = (&corpus.sealed, &made.pool, &made.graph) {
            is_sealed = self.shard_reason(corpus, pool, graph)?.is_none() && self.has_sealed_pairs();
            let language = self.language(corpus)?;
            let settings = step_settings(self.settings, &self.tokenizer, language)?;
            let seal::Plan { shards, .. } = seal::plan(settings, corpus, pool, graph);
            let tasks = PairTasks::new(settings, &shards, graph)?;
            parts = tasks.parts()?;
            missing = Some(tasks.missing()?);
            has_rows = tasks.has_rows()? || tasks.is_written(false, &mut self.hashes)?;
        }
        let single = PlannedTask {
            step: Step::Rows,
            task: Task::ALL,
            done: has_rows || is_sealed,
            inputs: vec![out.join("graph"), out.join("shards")],
            outputs: vec![out.join("shards")],
        };
        let reads = self.listed(&single.inputs);
        let needs = vec![Step::Graph, Step::Encode];
        let rows = PlannedStep { step: Step::Rows, needs, tasks: vec![single], writes: Step::Rows.folder(), reads };
        // The manifest appears when all are done.
        let is_left = |part: &u64| missing.as_ref().is_none_or(|missing| missing.is_empty() || missing.contains(part));
        let tasks = shared_out(parts, scope, |task, own| PlannedTask {
            step: Step::Pairs,
            task,
            done: is_sealed || !own.iter().any(is_left),
            inputs: vec![out.join("shards")],
            outputs: vec![out.join("shards")],
        });
        let (needs, reads) = (vec![Step::Rows], "shards".to_owned());
        Ok(vec![rows, PlannedStep { step: Step::Pairs, needs, tasks, writes: Step::Pairs.folder(), reads }])
    }

    /// Whether the files of pairs that the manifest of shards names are there, by their sizes.
    fn has_sealed_pairs(&self) -> bool {
        let Ok(Previous::Sealed(shards)) = self.sealed() else { return false };
        let size =
            |file: &FileEntry| fs::metadata(self.settings.out.join("shards").join(&file.name)).map(|it| it.len());
        let mut pairs = shards.files.iter().filter(|file| file.name.starts_with("pairs-"));
        pairs.all(|file| size(file).is_ok_and(|bytes| bytes == file.bytes))
    }

    /// Paths of a plan, for a person.
    fn listed(&self, paths: &[PathBuf]) -> String {
        let in_out = |path: &PathBuf| path.strip_prefix(&self.settings.out).unwrap_or(path).display().to_string();
        paths.iter().map(in_out).collect::<Vec<_>>().join(", ")
    }

    /// The pool and the graph, if they are those of this corpus and of the settings.
    pub(super) fn made(&mut self, corpus: Option<&Manifest<CorpusBody>>) -> Result<Made, RunError> {
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
}

/// The pool and the graph of a plan.
pub(super) struct Made {
    pub(super) pool: Option<Manifest<PoolBody>>,
    pub(super) graph: Option<Manifest<GraphBody>>,
}

/// Tasks for some parts, each with its own.
fn shared_out(parts: u64, scope: &Scope<'_>, planned: impl Fn(Task, &[u64]) -> PlannedTask) -> Vec<PlannedTask> {
    let parts_of = |task: Task| (0..parts).filter(|&part| task.has(part)).collect();
    shared_out_as(parts, scope, parts_of, planned)
}

/// As [`shared_out`]. `parts_of` gives the parts of a task.
fn shared_out_as(
    parts: u64,
    scope: &Scope<'_>,
    parts_of: impl Fn(Task) -> Vec<u64>,
    planned: impl Fn(Task, &[u64]) -> PlannedTask,
) -> Vec<PlannedTask> {
    let of = u64::from(scope.most).min(parts).max(1) as u32;
    let tasks = (0..of).filter_map(|index| Task::new(index, of));
    tasks.map(|task| planned(task, &parts_of(task))).collect()
}
