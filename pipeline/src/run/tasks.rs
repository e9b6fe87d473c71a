//! The steps as tasks that any engine can start: [`Run::work`] runs one.
//!
//! A step consists of parts, which are numbered from 0: groups of raw files, or buckets. Part p belongs to task p mod n
//! of n, and groups are shared out by size. Which parts there are does not depend on n, and finished parts are kept. So
//! every n gives the same bytes, also if it changes in between. The last task of a step writes its manifest.
use std::{collections::BTreeSet, path::Path, time::Instant};

use schemas::{
    Lock, Manifest, ManifestError, Task,
    manifest::{CorpusBody, GraphBody, PoolBody},
};

use super::{Run, RunError, lock::FolderLock, step_settings};
use crate::{
    corpus::tasks::{CorpusTasks, Phase},
    engine::progress::{Done, Facts, NEW, Outcome},
    graph::{
        associations,
        tasks::{self as graph, GraphTasks},
    },
    phrase::{mine::words::WordTasks, pool},
    shard::{ShardError, encode::Encoded, pairs::PairTasks, seal},
    text::language::Language,
};
use ebert_dumps::find_all;

/// A step that consists of tasks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Step {
    /// Raw files to groups: their records, sorted by bucket.
    Read,
    /// Groups to the tables of products and reviews.
    Documents,
    /// Groups to the tables of interactions.
    Interactions,
    /// Tables of the corpus to their words, for the pool.
    Words,
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
            Self::Words => "words",
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
            Self::Words | Self::Pool => "pool",
            Self::Edges | Self::Graph => "graph",
            Self::Encode | Self::Rows | Self::Pairs => "shards",
        }
    }

    /// The part of the corpus that it is.
    pub(super) const fn phase(self) -> Option<Phase> {
        match self {
            Self::Read => Some(Phase::Read),
            Self::Documents => Some(Phase::Documents),
            Self::Interactions => Some(Phase::Interactions),
            _ => None,
        }
    }

    /// The part of the graph that it is.
    pub(super) const fn graph_phase(self) -> Option<graph::Phase> {
        match self {
            Self::Edges => Some(graph::Phase::Edges),
            Self::Graph => Some(graph::Phase::Partitions),
            _ => None,
        }
    }
}

impl Run<'_> {
    /// The graph in tasks.
    pub(super) fn graph_tasks<'c>(&mut self, corpus: &'c Manifest<CorpusBody>) -> Result<GraphTasks<'c>, RunError>
    where
        Self: 'c,
    {
        let options = self.settings.association_options();
        let file = associations::file_hash(options, &mut self.hashes)?;
        Ok(GraphTasks::new(&self.settings.out, corpus, options, file)?)
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
        if step == Step::Pool && self.settings.pool.is_none() {
            self.words_or_refuse(task)?;
        }
        self.bring_inputs(step, task)?;
        let lock = FolderLock::of(&self.settings.out, step.folder());
        let corpus = match (step, &self.settings.pool) {
            // An imported pool needs no corpus, and a mined one has been checked for it.
            (Step::Pool, _) | (Step::Words, Some(_)) => None,
            _ => {
                let made = self.corpus_made();
                Some(self.needed(made, Step::Interactions, task)?)
            }
        };
        match (step, corpus) {
            (Step::Words, Some(corpus)) => self.work_on_words(&corpus, &lock, task),
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
            (Step::Words, None) => {
                let text = format!("task {task}   the pool is imported, so no words are read");
                Ok(self.progress.note(step.name(), &Facts::new("idle", text).with("step", step.name()))?)
            }
            (_, None) => unreachable!("only the pool needs no corpus"),
        }
    }

    /// The lock that a step needs to seal its complete folder: alone, when other tasks are done. One that runs twice
    /// may be of an earlier step, and then does not seal. In a sealed folder, the lock if no other worker has it, to
    /// remove what is left.
    fn alone_to_seal(&self, lock: &FolderLock, is_complete: bool, is_sealed: bool) -> Result<Option<Lock>, RunError> {
        Ok(match (is_sealed, is_complete) {
            (true, _) => lock.try_alone()?,
            (false, true) => Some(lock.alone(&self.progress)?),
            (false, false) => None,
        })
    }

    /// The words of the corpus in tasks.
    pub(super) fn words(&mut self, corpus: &Manifest<CorpusBody>) -> Result<WordTasks, RunError> {
        let language = self.language(corpus)?;
        Ok(WordTasks::new(&self.settings.out, corpus, language))
    }

    /// Fails if words are missing from which the pool is to be mined.
    fn words_or_refuse(&mut self, task: Task) -> Result<(), RunError> {
        let made = self.corpus_made();
        let corpus = self.needed(made, Step::Interactions, task)?;
        if self.made(Some(&corpus))?.pool.is_some() {
            return Ok(());
        }
        let missing = self.words(&corpus)?.missing()?;
        if missing.is_empty() { Ok(()) } else { Err(unfinished_parts(Step::Words, missing, task)) }
    }

    fn work_on_words(&mut self, corpus: &Manifest<CorpusBody>, lock: &FolderLock, task: Task) -> Result<(), RunError> {
        let shared = lock.shared(&self.progress)?;
        let is_made = self.made(Some(corpus))?.pool.is_some();
        let done = if is_made {
            Done::new(Instant::now(), 0, 0)
        } else {
            let language = self.language(corpus)?;
            let mining = pool::Mining { corpus, settings: self.settings, language, progress: &self.progress };
            mining.make_words(task, &mut self.hashes)?
        };
        drop(shared);
        self.task_done(Step::Words, task, &done, "buckets", "pool")?;
        self.print_next(Step::Words, &[Step::Pool])
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
        let is_complete = tasks.missing(graph::Phase::Partitions)?.is_empty();
        if let Some(alone) = self.alone_to_seal(lock, is_complete, is_made)? {
            let since = Instant::now();
            // Another task may have sealed it meanwhile.
            let is_made = associations::current(out, corpus, options, &mut self.hashes)?.is_some();
            if !is_made {
                // What other tasks have made since this one began.
                self.bring(&["corpus", "graph"])?;
            }
            let sealed = if is_made { None } else { tasks.seal(&self.progress)? };
            if is_made || sealed.is_some() {
                tasks.clear()?;
                lock.remove(alone)?;
            }
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
        if is_written && let Some(alone) = self.alone_to_seal(lock, true, is_sealed)? {
            let (sealed, outcome) = self.seal(corpus, pool, graph, None).map_err(|error| in_tasks(error, task))?;
            let settings = step_settings(self.settings, &self.tokenizer, language)?;
            PairTasks::new(settings, &shards, graph)?.clear()?;
            lock.remove(alone)?;
            self.report_shards(&sealed, &Encoded::default(), &outcome)?;
            return self.end_run(corpus, &sealed);
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
        if let Some(alone) = self.alone_to_seal(&lock, is_complete, is_sealed)? {
            let sealed = if is_complete { tasks.seal(&mut self.hashes)? } else { None };
            // Not what `is_sealed` says: another task may have written groups of other raw files meanwhile.
            if tasks.sealed()?.is_some() {
                // A process may have been killed while it removed the groups.
                tasks.clear()?;
                lock.remove(alone)?;
            }
            if let Some(corpus) = sealed {
                self.report_corpus(&corpus, &Outcome::made(since, NEW.to_owned()))?;
                self.left_out_of_corpus(&corpus)?;
            }
        }
        match step {
            Step::Read => self.print_next(step, &[Step::Documents]),
            Step::Documents if self.settings.interactions => self.print_next(step, &[Step::Interactions]),
            _ if self.settings.pool.is_some() => self.print_next(step, &[Step::Pool, Step::Edges]),
            _ => self.print_next(step, &[Step::Words, Step::Edges]),
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

/// Which tasks of the corpus are missing, as an error, if there were as many as of this one's step.
fn unfinished(tasks: &CorpusTasks<'_>, task: Task) -> Result<RunError, RunError> {
    let of = task.of();
    let mut last = Step::Documents;
    for step in [Step::Read, Step::Documents, Step::Interactions] {
        let Some(phase) = step.phase().filter(|phase| tasks.parts(*phase) > 0) else { continue };
        let missing = tasks.missing(phase)?;
        if !missing.is_empty() {
            let task_of = tasks.tasks_of(phase, of);
            let tasks = missing.into_iter().filter_map(|part| task_of.get(part as usize).copied()).collect();
            return Ok(RunError::Unfinished { step: step.name(), tasks, of });
        }
        last = step;
    }
    // Only the manifest is missing. Any task writes it.
    Ok(RunError::Unfinished { step: last.name(), tasks: BTreeSet::from([0]), of })
}

/// The tasks of missing parts, as an error, if there were as many as of this one's step.
fn unfinished_parts(step: Step, missing: BTreeSet<u64>, task: Task) -> RunError {
    let of = task.of();
    let tasks = missing.into_iter().map(|part| (part % u64::from(of)) as u32).collect();
    RunError::Unfinished { step: step.name(), tasks, of }
}

/// Which tasks of the graph are missing, as an error, if there were as many as of this one's step.
fn graph_unfinished(tasks: &GraphTasks<'_>, task: Task) -> Result<RunError, RunError> {
    for step in [Step::Edges, Step::Graph] {
        let Some(phase) = step.graph_phase() else { continue };
        let missing = tasks.missing(phase)?;
        if !missing.is_empty() {
            return Ok(unfinished_parts(step, missing, task));
        }
    }
    // Only the manifest is missing. Any task writes it.
    Ok(RunError::Unfinished { step: Step::Graph.name(), tasks: BTreeSet::from([0]), of: task.of() })
}

/// An error of the pairs in the words of workers.
fn in_tasks(error: RunError, task: Task) -> RunError {
    let RunError::Shards(ShardError::Unfinished { missing, .. }) = &error else { return error };
    let is_pairs = |name: &&String| name.starts_with("pairs-");
    let (step, of_step): (_, Vec<_>) = match missing.iter().all(|name| is_pairs(&name)) {
        true => (Step::Pairs, missing.iter().collect()),
        false => (Step::Encode, missing.iter().filter(|name| !is_pairs(name)).collect()),
    };
    let part = |name: &String| Path::new(name).file_stem()?.to_str()?.rsplit('-').next()?.parse::<u32>().ok();
    let tasks = of_step.into_iter().filter_map(part).map(|part| part % task.of()).collect();
    RunError::Unfinished { step: step.name(), tasks, of: task.of() }
}
