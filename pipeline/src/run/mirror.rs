//! Runs whose `OUT` is in an object store: they work on a mirror of it, an ordinary folder.
//!
//! Files of the mirror that are not fetched yet have the right size, and no data. So a step finds out what is done
//! without them, and each step first brings what it will read. What it has written is published before the next
//! command is printed, or the next step begins.
use std::{
    cell::RefCell,
    fs,
    ops::Range,
    path::{Path, PathBuf},
};

use ebert_dumps::find_all;
use schemas::{
    Manifest, Task,
    manifest::{CorpusBody, MANIFEST, Negatives, PoolBody},
};

use super::{Run, RunError, step_settings, tasks::Step};
use crate::{
    corpus::{
        tables,
        tasks::{CorpusTasks, FileRange, Phase},
    },
    engine::sections,
    text::language::Language,
};

/// A file or folder that a step reads, or a range of a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Needed {
    /// Where it is in the mirror.
    pub path: PathBuf,
    /// Bytes of a file, if not all.
    pub range: Option<Range<u64>>,
}

/// A folder that mirrors an `OUT` elsewhere.
pub trait Mirror {
    /// Learns what the store has.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn refresh(&mut self) -> Result<(), RunError>;

    /// Fetches what is needed and not here.
    ///
    /// # Errors
    /// If the store cannot be read.
    fn fetch(&mut self, needed: &[Needed]) -> Result<(), RunError>;

    /// Stores what was written, and learns what others have stored. If another task has completed the folder `task_of`
    /// meanwhile, a task has nothing to add.
    ///
    /// # Errors
    /// If the store cannot be written, or a run with other options writes to it.
    fn publish(&mut self, task_of: Option<&str>) -> Result<(), RunError>;

    /// Files that tasks read in ranges, of which the end is here, or some bytes of it.
    fn ranged(&self) -> Vec<PathBuf>;

    /// Finds out whether a file of the mirror is not fetched, or not all of it.
    fn stands_in(&self) -> fn(&Path) -> bool;
}

/// The mirror of a run, if it has one. Without it, nothing here does anything.
pub(super) type AnyMirror = RefCell<Option<Box<dyn Mirror>>>;

/// Brings the ends of files that tasks read in ranges. They have the places of the ranges.
fn bring_ends(mirror: &mut dyn Mirror) -> Result<(), RunError> {
    let mut ends = Vec::new();
    for path in mirror.ranged() {
        ends.extend(sections::end(&path)?.map(|range| Needed { path, range: Some(range) }));
    }
    mirror.fetch(&ends)
}

impl Run<'_> {
    /// Works on the mirror of an `OUT` elsewhere. The folder of the settings is the mirror's.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn on(mut self, mirror: Option<Box<dyn Mirror>>) -> Result<Self, RunError> {
        if let Some(mut mirror) = mirror {
            mirror.refresh()?;
            bring_ends(&mut *mirror)?;
            self.hashes.accept(mirror.stands_in());
            self.mirror = RefCell::new(Some(mirror));
        }
        Ok(self)
    }

    fn has_mirror(&self) -> bool {
        self.mirror.borrow().is_some()
    }

    fn fetch(&self, needed: impl IntoIterator<Item = Needed>) -> Result<(), RunError> {
        let needed: Vec<Needed> = needed.into_iter().collect();
        self.mirror.borrow_mut().as_mut().map_or(Ok(()), |mirror| mirror.fetch(&needed))
    }

    /// Brings folders of `OUT`.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn bring(&self, folders: &[&str]) -> Result<(), RunError> {
        self.fetch(folders.iter().map(|name| Needed { path: self.settings.out.join(name), range: None }))
    }

    /// Brings what a task reads, as the plan has it, unless the task is done.
    pub(super) fn bring_inputs(&mut self, step: Step, task: Task) -> Result<(), RunError> {
        if !self.has_mirror() {
            return Ok(());
        }
        let files = find_all(&self.settings.corpus, &self.settings.out)?;
        let inputs = self.inputs(&files, step, task)?;
        self.fetch(inputs.into_iter().map(|path| Needed { path, range: None }))
    }

    /// Brings what a task of the corpus reads.
    pub(super) fn bring_groups(&self, tasks: &CorpusTasks<'_>, phase: Phase, task: Task) -> Result<(), RunError> {
        if !self.has_mirror() {
            return Ok(());
        }
        let reads = tasks.reads(phase, task)?.into_iter();
        self.fetch(reads.map(|FileRange { path, range }| Needed { path, range }))
    }

    /// Brings the tables of the corpus, unless it is up to date.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn bring_corpus(&self) -> Result<(), RunError> {
        if !self.has_mirror() {
            return Ok(());
        }
        let files = find_all(&self.settings.corpus, &self.settings.out)?;
        // The corpus is the same in any language.
        let settings = step_settings(self.settings, &self.tokenizer, Language::default())?;
        let is_sealed = CorpusTasks::new(settings, &files)?.sealed()?.is_some();
        if is_sealed { Ok(()) } else { self.bring(&["corpus"]) }
    }

    /// Brings the pool, and the tables of those shards of this run's task that are missing.
    ///
    /// # Errors
    /// If the store cannot be read.
    pub fn bring_documents(
        &mut self,
        corpus: &Manifest<CorpusBody>,
        pool: &Manifest<PoolBody>,
    ) -> Result<(), RunError> {
        if !self.has_mirror() {
            return Ok(());
        }
        let (done, task) = (self.encoded(Some(corpus), Some(pool))?, self.task.unwrap_or(Task::ALL));
        let is_needed = |bucket: u64| task.has(bucket) && !done.contains(&bucket);
        let tables = tables::tables(corpus).into_iter().filter(|table| is_needed(u64::from(table.bucket)));
        let folder = self.settings.out.join("corpus");
        let paths = tables.map(|table| folder.join(table.entry.name)).chain([self.settings.out.join("pool")]);
        self.fetch(paths.map(|path| Needed { path, range: None }))
    }

    /// Brings what the graph is made from, unless it is up to date.
    pub(super) fn bring_graph(&mut self) -> Result<(), RunError> {
        if !self.has_mirror() {
            return Ok(());
        }
        let files = find_all(&self.settings.corpus, &self.settings.out)?;
        let is_made = self.inputs(&files, Step::Graph, Task::ALL)?.is_empty();
        if is_made { Ok(()) } else { self.bring(&["corpus", "graph"]) }
    }

    /// Brings the categories of products, if negatives are drawn from them.
    pub(super) fn bring_categories(&self) -> Result<(), RunError> {
        if self.settings.negatives == Negatives::Category { self.bring(&["corpus"]) } else { Ok(()) }
    }

    /// Brings the tables that the language is detected from.
    pub(super) fn bring_sample(&self, corpus: &Manifest<CorpusBody>) -> Result<(), RunError> {
        let folder = self.settings.out.join("corpus");
        let tables = tables::tables(corpus);
        let paths = tables::sampled(&tables).map(|table| folder.join(&table.entry.name));
        self.fetch(paths.map(|path| Needed { path, range: None }))
    }

    /// The manifest of a step's folder, if it has one.
    pub(super) fn manifest_of(&self, step: Step) -> Option<Vec<u8>> {
        fs::read(self.settings.out.join(step.folder()).join(MANIFEST)).ok()
    }

    /// Whether another task has sealed the folder since it had that manifest. It has then removed what the tasks of the
    /// step read. On one machine it waits for tasks that have the folder's lock, but not for one that is about to ask
    /// for it.
    pub(super) fn is_sealed_since(&self, step: Step, before: Option<&[u8]>) -> Result<bool, RunError> {
        if let Some(mirror) = self.mirror.borrow_mut().as_mut() {
            mirror.refresh()?;
        }
        let now = self.manifest_of(step);
        Ok(now.is_some() && now.as_deref() != before)
    }

    /// Publishes what was written.
    pub(super) fn publish(&self) -> Result<(), RunError> {
        self.publish_as(None)
    }

    /// Publishes what a task has written, so that the last task of a step finds out that it is the last.
    pub(super) fn publish_task(&self, step: Step) -> Result<(), RunError> {
        self.publish_as(Some(step.folder()))
    }

    fn publish_as(&self, task_of: Option<&str>) -> Result<(), RunError> {
        let mut mirror = self.mirror.borrow_mut();
        let Some(mirror) = mirror.as_mut() else { return Ok(()) };
        mirror.publish(task_of)?;
        bring_ends(&mut **mirror)
    }
}
