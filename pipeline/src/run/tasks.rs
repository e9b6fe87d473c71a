//! The steps as tasks that any engine can start: [`Run::plan`] prints them, and [`Run::work`] runs one.
//!
//! A step consists of parts, which are numbered from 0: groups of raw files, or buckets. Part p belongs to task p mod n
//! of n. Which parts there are does not depend on n, and finished parts are kept. So every n gives the same bytes, also
//! if it changes in between. The last task of a step writes its manifest.
use std::{
    collections::BTreeSet,
    io::Write,
    path::{Path, PathBuf},
    time::Instant,
};

use ebert_commands::OPTIONS_FILE;
use schemas::{
    Manifest, ManifestError, Task,
    manifest::{CorpusBody, GraphBody, PoolBody},
    quoted,
};

use super::{Run, RunError, bytes, lock::FolderLock, options, step_settings};
use crate::{
    corpus::tasks::{CorpusTasks, Phase},
    engine::{
        ledger::Ledger,
        progress::{Done, Facts, Format, NEW, Outcome, Stdout, count_of},
    },
    graph::{
        associations,
        tasks::{self as graph, GraphTasks},
    },
    phrase::pool,
    shard::{
        ShardError,
        encode::{self, Encoded},
        pairs::{self, PairTasks},
        seal,
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
    /// Tables of the corpus to edges by partition.
    Edges,
    /// Partitions to the associations of products.
    Graph,
    /// Documents to segments.
    Encode,
    /// The rows of the pairs with their negatives.
    Rows,
    /// Rows to files of pairs, and the manifest of the shards.
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
            Self::Edges => "edges",
            Self::Graph => "graph",
            Self::Encode => "encode",
            Self::Rows => "rows",
            Self::Pairs => "pairs",
        }
    }

    /// Whether it has one task.
    const fn is_single(self) -> bool {
        matches!(self, Self::Pool | Self::Rows)
    }

    /// The folder of `OUT` that it writes, and that its workers lock.
    pub(super) const fn folder(self) -> &'static str {
        match self {
            Self::Read | Self::Documents | Self::Interactions => "corpus",
            Self::Pool => "pool",
            Self::Edges | Self::Graph => "graph",
            Self::Encode | Self::Rows | Self::Pairs => "shards",
        }
    }

    /// The part of the corpus that it is.
    const fn phase(self) -> Option<Phase> {
        match self {
            Self::Read => Some(Phase::Read),
            Self::Documents => Some(Phase::Documents),
            Self::Interactions => Some(Phase::Interactions),
            _ => None,
        }
    }

    /// The part of the graph that it is.
    const fn graph_phase(self) -> Option<graph::Phase> {
        match self {
            Self::Edges => Some(graph::Phase::Edges),
            Self::Graph => Some(graph::Phase::Partitions),
            _ => None,
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
        let made = self.made(corpus.as_ref())?;
        let (pool_needs, pool_input) = match &self.settings.pool {
            Some(file) => (vec![], file.clone()),
            None => (vec![corpus_step], folder("corpus")),
        };
        let (inputs, outputs) = (vec![pool_input], vec![folder("pool")]);
        let reads = self.listed(&inputs);
        let pool = PlannedTask { step: Step::Pool, task: Task::ALL, done: made.pool.is_some(), inputs, outputs };
        steps.push(PlannedStep { step: Step::Pool, needs: pool_needs, tasks: vec![pool], writes: "pool", reads });
        steps.extend(self.graph_steps(corpus.as_ref(), made.graph.is_some(), corpus_step, buckets, most)?);
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
        steps.extend(self.pair_steps(corpus.as_ref(), &made, buckets, most)?);
        Ok(steps)
    }

    /// The steps of the graph. Before there is a corpus, all of its buckets are parts.
    fn graph_steps(
        &mut self,
        corpus: Option<&Manifest<CorpusBody>>,
        is_made: bool,
        corpus_step: Step,
        buckets: u64,
        most: u32,
    ) -> Result<Vec<PlannedStep>, RunError> {
        let out = self.settings.out.clone();
        let tasks = match corpus {
            Some(corpus) => Some(self.graph_tasks(corpus)?),
            None => None,
        };
        let mut steps = Vec::new();
        for (step, phase, needs) in
            [(Step::Edges, graph::Phase::Edges, corpus_step), (Step::Graph, graph::Phase::Partitions, Step::Edges)]
        {
            let parts = tasks.as_ref().map_or(buckets, |tasks| tasks.parts(phase));
            let missing = match &tasks {
                _ if is_made => BTreeSet::new(),
                Some(tasks) => tasks.missing(phase)?,
                None => (0..parts).collect(),
            };
            let mut inputs = match phase {
                graph::Phase::Edges => vec![out.join("corpus")],
                graph::Phase::Partitions => vec![out.join("graph")],
            };
            if phase == graph::Phase::Edges {
                inputs.extend(self.settings.associations.clone());
            }
            let reads = self.listed(&inputs);
            // The table appears when all are done.
            let sealing = !is_made && phase == graph::Phase::Partitions && missing.is_empty();
            let planned = shared_out(parts, most, |task, own| PlannedTask {
                step,
                task,
                done: !sealing && !own.iter().any(|part| missing.contains(part)),
                inputs: inputs.clone(),
                outputs: vec![out.join(step.folder())],
            });
            steps.push(PlannedStep { step, needs: vec![needs], tasks: planned, writes: step.folder(), reads });
        }
        Ok(steps)
    }

    /// The steps of the pairs. Before rows are chosen, there are at most as many files of pairs as they may fill.
    fn pair_steps(
        &mut self,
        corpus: Option<&Manifest<CorpusBody>>,
        made: &Made,
        buckets: u64,
        most: u32,
    ) -> Result<Vec<PlannedStep>, RunError> {
        let out = self.settings.out.clone();
        let mut parts = made.graph.as_ref().map_or(buckets, |graph| pairs::most_files(graph, self.settings.draws));
        let (mut has_rows, mut missing, mut is_sealed) = (false, None, false);
        if let (Some(corpus), Some(pool), Some(graph)) = (corpus, &made.pool, &made.graph) {
            is_sealed = self.shard_reason(corpus, pool, graph)?.is_none();
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
        let tasks = shared_out(parts, most, |task, own| PlannedTask {
            step: Step::Pairs,
            task,
            done: is_sealed || !own.iter().any(is_left),
            inputs: vec![out.join("shards")],
            outputs: vec![out.join("shards")],
        });
        let (needs, reads) = (vec![Step::Rows], "shards".to_owned());
        Ok(vec![rows, PlannedStep { step: Step::Pairs, needs, tasks, writes: Step::Pairs.folder(), reads }])
    }

    /// Paths of a plan, for a person.
    fn listed(&self, paths: &[PathBuf]) -> String {
        let in_out = |path: &PathBuf| path.strip_prefix(&self.settings.out).unwrap_or(path).display().to_string();
        paths.iter().map(in_out).collect::<Vec<_>>().join(", ")
    }

    /// The graph in tasks.
    fn graph_tasks<'c>(&mut self, corpus: &'c Manifest<CorpusBody>) -> Result<GraphTasks<'c>, RunError>
    where
        Self: 'c,
    {
        let options = self.settings.association_options();
        let file = associations::file_hash(options, &mut self.hashes)?;
        Ok(GraphTasks::new(&self.settings.out, corpus, options, file)?)
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
            (Step::Edges | Step::Graph, Some(corpus)) => self.work_on_graph(step, &corpus, &lock, task),
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
                self.print_next(step, &[Step::Rows])
            }
            (_, Some(corpus)) => {
                let pool = self.pool_made(&corpus);
                let pool = self.needed(pool, Step::Pool, task)?;
                let graph = self.graph_made(&corpus);
                let graph = self.needed(graph, Step::Graph, task)?;
                self.work_on_pairs(step, Inputs { corpus: &corpus, pool: &pool, graph: &graph }, &lock, task)
            }
            (_, None) => unreachable!("only an imported pool needs no corpus"),
        }
    }

    fn work_on_graph(
        &mut self,
        step: Step,
        corpus: &Manifest<CorpusBody>,
        lock: &FolderLock,
        task: Task,
    ) -> Result<(), RunError> {
        let (out, options) = (&self.settings.out, self.settings.association_options());
        let shared = lock.shared(&self.progress)?;
        let tasks = self.graph_tasks(corpus)?;
        let is_made = associations::current(out, corpus, options, &mut self.hashes)?.is_some();
        if step == Step::Graph && !is_made {
            self.bring(&["corpus", "graph"])?;
        }
        let (hashes, progress) = (&mut self.hashes, &self.progress);
        let done = match step {
            _ if is_made => Some(Done::new(Instant::now(), 0, 0)),
            Step::Edges => Some(tasks.edges(task, hashes, progress)?),
            _ => tasks.graph(task, hashes, progress)?,
        };
        drop(shared);
        let Some(done) = done else {
            return Err(graph_unfinished(&tasks, task)?);
        };
        let what = if step == Step::Edges { "buckets" } else { "partitions" };
        self.task_done(step, task, &done, what, "graph")?;
        if step == Step::Edges && !is_made {
            return self.print_next(step, &[Step::Graph]);
        }
        if (is_made || tasks.missing(graph::Phase::Partitions)?.is_empty())
            && let Some(alone) = lock.try_alone()?
        {
            let since = Instant::now();
            // Another task may have sealed it meanwhile.
            let is_made = associations::current(out, corpus, options, &mut self.hashes)?.is_some();
            if !is_made {
                // What other tasks have made since this one began.
                self.bring(&["corpus", "graph"])?;
            }
            let sealed = if is_made { None } else { tasks.seal(&self.progress)? };
            tasks.clear()?;
            lock.remove(alone)?;
            if let Some(graph) = sealed {
                self.report_graph(corpus, &graph, &Outcome::made(since, NEW.to_owned()))?;
            }
        }
        self.print_next(step, &[Step::Encode])
    }

    fn work_on_pairs(&mut self, step: Step, inputs: Inputs<'_>, lock: &FolderLock, task: Task) -> Result<(), RunError> {
        let Inputs { corpus, pool, graph } = inputs;
        let is_sealed = self.shard_reason(corpus, pool, graph)?.is_none();
        let language = self.language(corpus)?;
        let settings = step_settings(self.settings, &self.tokenizer, language)?;
        let seal::Plan { shards, .. } = seal::plan(settings, corpus, pool, graph);
        let tasks = PairTasks::new(settings, &shards, graph)?;
        if step == Step::Rows {
            let alone = lock.alone(&self.progress)?;
            let is_written = tasks.is_written(is_sealed, &mut self.hashes)?;
            let mut outcome = Outcome::UpToDate;
            if !is_written && !tasks.has_rows()? {
                self.encoded_or_refuse(&shards).map_err(|error| in_tasks(error, task))?;
                self.bring_categories()?;
                let settings = step_settings(self.settings, &self.tokenizer, language)?;
                outcome = PairTasks::new(settings, &shards, graph)?.choose(&mut self.hashes, &self.progress)?;
            }
            if is_written && is_sealed {
                lock.remove(alone)?;
            }
            let settings = step_settings(self.settings, &self.tokenizer, language)?;
            if let Some(counts) = PairTasks::new(settings, &shards, graph)?.counts()? {
                self.report_pairs(step, &counts, &outcome)?;
            }
            return self.print_next(step, &[Step::Pairs]);
        }
        let shared = lock.shared(&self.progress)?;
        let is_written = tasks.is_written(is_sealed, &mut self.hashes)?;
        let nothing = || Done::new(Instant::now(), 0, 0);
        let done = if is_written { Some(nothing()) } else { tasks.write(task, &mut self.hashes, &self.progress)? };
        drop(shared);
        self.publish_task(step)?;
        let is_written = is_written || tasks.is_written(false, &mut self.hashes)?;
        // The rows go when the shards are sealed.
        let Some(done) = done.or_else(|| is_written.then(nothing)) else {
            return Err(RunError::Unfinished { step: Step::Rows.name(), tasks: BTreeSet::from([0]), of: 1 });
        };
        self.task_done(step, task, &done, "files", "shards")?;
        if is_written && let Some(alone) = lock.try_alone()? {
            let (sealed, outcome) = self.seal(corpus, pool, graph, None).map_err(|error| in_tasks(error, task))?;
            let settings = step_settings(self.settings, &self.tokenizer, language)?;
            PairTasks::new(settings, &shards, graph)?.clear()?;
            lock.remove(alone)?;
            self.report_shards(&sealed, &Encoded::default(), &outcome)?;
            return self.say_inspect(corpus, &sealed);
        }
        Ok(())
    }

    /// Prints what a task of several has done, and publishes it.
    fn task_done(&self, step: Step, task: Task, done: &Done, what: &str, folder: &str) -> Result<(), RunError> {
        let text = format!("task {task}   {} of {} {what}", done.made, done.of_task);
        let holds = Facts::new("step", text)
            .with("task", task.to_string())
            .with("made", done.made)
            .with("of_task", done.of_task);
        self.step(step.name(), &holds, folder, &done.outcome)?;
        self.publish_task(step)
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
        self.task_done(step, task, &done, what, folder)?;
        let since = Instant::now();
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
            _ => self.print_next(step, &[Step::Pool, Step::Edges]),
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
    fn needed<T>(&mut self, made: Result<T, RunError>, step: Step, task: Task) -> Result<T, RunError> {
        match made {
            Err(RunError::EarlierStep { source: ManifestError::Absent { .. }, .. }) => {
                if step == Step::Graph {
                    let corpus = self.corpus_made()?;
                    return Err(graph_unfinished(&self.graph_tasks(&corpus)?, task)?);
                }
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

/// What shards are made from.
#[derive(Clone, Copy)]
struct Inputs<'a> {
    corpus: &'a Manifest<CorpusBody>,
    pool: &'a Manifest<PoolBody>,
    graph: &'a Manifest<GraphBody>,
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

/// Which tasks of the graph are missing, as an error, if there were as many as of this one's step.
fn graph_unfinished(tasks: &GraphTasks<'_>, task: Task) -> Result<RunError, RunError> {
    for step in [Step::Edges, Step::Graph] {
        let Some(phase) = step.graph_phase() else { continue };
        let missing = tasks.missing(phase)?;
        if !missing.is_empty() {
            let of = task.of();
            let tasks = missing.into_iter().map(|part| (part % u64::from(of)) as u32).collect();
            return Ok(RunError::Unfinished { step: step.name(), tasks, of });
        }
    }
    // Only the manifest is missing. Any task writes it.
    Ok(RunError::Unfinished { step: Step::Graph.name(), tasks: BTreeSet::from([0]), of: task.of() })
}

/// An error of the pairs in the words of workers.
fn in_tasks(error: RunError, task: Task) -> RunError {
    let RunError::Shards(ShardError::Unfinished { missing, .. }) = &error else { return error };
    let bucket = |name: &String| Path::new(name).file_stem()?.to_str()?.rsplit('-').next()?.parse::<u32>().ok();
    let tasks = missing.iter().filter_map(bucket).map(|bucket| bucket % task.of()).collect();
    RunError::Unfinished { step: Step::Encode.name(), tasks, of: task.of() }
}
