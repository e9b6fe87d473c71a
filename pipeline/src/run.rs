//! The steps from raw dumps to sealed shards.
//!
//! Each step compares the key of its output with the key that the current inputs, options and rules give. A finished
//! step is skipped, a stopped run resumes, and a changed input or option rebuilds the steps that depend on it.
mod error;
mod left_out;
mod links;
mod lock;
mod made;
mod mirror;
mod options;
mod plan;
mod reason;
mod tasks;

use std::{
    path::{Path, PathBuf},
    time::Instant,
};

use schemas::{
    Attempt, Lock, Lockable, Manifest, StoreError, Task,
    manifest::{AssociationSource, CorpusBody, GraphBody, PoolBody, SegmentCounts, ShardsBody},
    quoted,
};

use crate::{
    corpus,
    engine::{
        hashes::Hashes,
        ledger::Ledger,
        progress::{Facts, NEW, Outcome, Progress, count_of, short, thousands},
    },
    graph::{GraphError, associations, given},
    phrase::pool::{self, PoolError},
    settings::{Settings, StepSettings},
    shard::{
        ShardError,
        encode::{self, Encoded},
        pairs, seal,
    },
    text::{Tokenizer, language::Language},
};
use ebert_dumps::find_all;

pub use error::RunError;
pub(crate) use left_out::{hint as hint_of, skipped_lines};
pub use mirror::{Mirror, Needed};
pub use tasks::Step;

/// One run over an `OUT` folder: settings, tokenizer, and the known hashes of its files.
pub struct Run<'a> {
    settings: &'a Settings,
    /// Absent if the settings name none.
    tokenizer: Option<Tokenizer>,
    /// Of the corpus, once it is known.
    language: Option<Language>,
    hashes: Hashes,
    progress: Progress,
    /// If `OUT` is in an object store.
    mirror: mirror::AnyMirror,
    /// Held during the run: exclusive, or shared by the tasks of one step.
    _lock: Lock,
    task: Option<Task>,
}

impl Drop for Run<'_> {
    fn drop(&mut self) {
        // Tasks run at the same time; only a run that is alone writes the cache.
        if self.task.is_none() {
            self.hashes.save();
        }
    }
}

impl<'a> Run<'a> {
    /// Loads the tokenizer and locks the folder. Tasks share the lock.
    ///
    /// # Errors
    /// If the tokenizer cannot be loaded, options or folders do not fit together, or another run
    /// works in the folder.
    pub fn new(settings: &'a Settings, progress: Progress, task: Option<Task>) -> Result<Self, RunError> {
        let tokenizer = settings.tokenizer.as_deref().map(Tokenizer::load).transpose()?;
        if let Some(least) = tokenizer.as_ref().and_then(Tokenizer::longest_word)
            && usize::from(settings.max_tokens) < least
        {
            return Err(RunError::ShortSegments { max_tokens: settings.max_tokens, least });
        }
        let source = settings.association_options().source;
        if settings.associations.is_some() && source != AssociationSource::Auto {
            return Err(RunError::Associations { wanted: source });
        }
        // First, so that no file is created among raw files.
        for source in &settings.corpus {
            refuse_overlap(&source.path, &settings.out)?;
        }
        let lock = lock(&settings.out, task, &progress)?;
        let hashes = Hashes::load(&settings.out);
        Ok(Self {
            settings,
            tokenizer,
            language: None,
            hashes,
            progress,
            mirror: mirror::AnyMirror::default(),
            _lock: lock,
            task,
        })
    }

    /// All steps.
    ///
    /// # Errors
    /// If an input cannot be used or a step fails. Finished work is kept for the next run.
    pub fn all(&mut self) -> Result<(), RunError> {
        // A missing file is reported before hours of work, not after.
        if let Some(file) = &self.settings.pool {
            pool::check_readable(file)?;
        }
        let mining = &self.settings.mining;
        for list in [&mining.quality_list, &mining.entity_list, &mining.stop_words].into_iter().flatten() {
            crate::phrase::mine::check_list(list).map_err(PoolError::from)?;
        }
        if let Some(file) = &self.settings.associations {
            given::check_readable(file).map_err(GraphError::from)?;
        }
        self.sealed()?;
        options::sweep(self.settings)?;
        options::write(self.settings)?;
        self.bring_corpus()?;
        let corpus = self.corpus()?;
        self.publish()?;
        // Its limits are stated first.
        self.language(&corpus)?;
        self.bring_inputs(Step::Pool, Task::ALL)?;
        let pool = self.pool()?;
        self.publish()?;
        self.bring_graph()?;
        let graph = self.graph(&corpus)?;
        self.publish()?;
        let before = self.shard_reason(&corpus, &pool, &graph)?;
        self.bring_inputs(Step::Encode, Task::ALL)?;
        let since = Instant::now();
        let encoded = self.encode(&corpus, &pool)?;
        self.publish()?;
        self.bring_inputs(Step::Rows, Task::ALL)?;
        self.bring_inputs(Step::Pairs, Task::ALL)?;
        if before.is_some() {
            self.bring_categories()?;
        }
        self.draw_pairs(&corpus, &pool, &graph)?;
        let (sealed, _) = self.seal(&corpus, &pool, &graph, None)?;
        let outcome = match (encoded.shards, before) {
            (0, None) => Outcome::UpToDate,
            (_, why) => Outcome::made(since, why.unwrap_or_else(|| "a shard was missing".to_owned())),
        };
        self.report_shards(&sealed, &encoded, &outcome)?;
        self.summary(&corpus, &pool, &sealed)
    }

    /// Writes `OUT/corpus`.
    ///
    /// # Errors
    /// If the raw files cannot be used, the settings name no tokenizer, or the corpus cannot be
    /// written.
    pub fn corpus(&mut self) -> Result<Manifest<CorpusBody>, RunError> {
        let files = find_all(&self.settings.corpus, &self.settings.out)?;
        self.skipped_files(&files)?;
        // The corpus is the same in any language.
        let settings = step_settings(self.settings, &self.tokenizer, Language::default())?;
        let (manifest, outcome) = corpus::make(settings, &files, &mut self.hashes, &self.progress)?;
        self.report_corpus(&manifest, &outcome)?;
        Ok(manifest)
    }

    /// Prints what the corpus holds.
    fn report_corpus(&self, corpus: &Manifest<CorpusBody>, outcome: &Outcome) -> Result<(), RunError> {
        let counts = &corpus.body.counts;
        let text = bytes(counts.text_bytes);
        let (products, reviews) = (thousands(counts.products), thousands(counts.reviews));
        let ratings =
            if counts.ratings > 0 { format!("   ratings {}", thousands(counts.ratings)) } else { String::new() };
        let holds = Facts::new("step", format!("products {products}   reviews {reviews}{ratings}   {text} of text"))
            .with("products", counts.products)
            .with("reviews", counts.reviews)
            .with("ratings", counts.ratings)
            .with("text_bytes", counts.text_bytes);
        self.step("corpus", &holds, "corpus", outcome)
    }

    /// Writes `OUT/pool`: imported from a file or mined from the corpus.
    ///
    /// # Errors
    /// If the corpus, the pool file or a list cannot be used, the settings name no tokenizer, or
    /// the pool cannot be written.
    pub fn pool(&mut self) -> Result<Manifest<PoolBody>, RunError> {
        let corpus;
        // An imported pool is the same in any language.
        let mut language = Language::default();
        let source = match &self.settings.pool {
            Some(file) => pool::Source::Import(file),
            None => {
                corpus = self.corpus_made()?;
                self.same_tokenizer("corpus", &corpus.body.tokenizer.blake3)?;
                language = self.language(&corpus)?;
                let (settings, progress) = (self.settings, &self.progress);
                pool::Source::Mine(pool::Mining { corpus: &corpus, settings, language, progress })
            }
        };
        let settings = step_settings(self.settings, &self.tokenizer, language)?;
        let pool::Made { manifest, outcome, summary, warning } = pool::make(settings, &source, &mut self.hashes)?;
        let body = &manifest.body;
        let text = match body.phrases {
            0 => "no phrases".to_owned(),
            phrases => format!("{} phrases, lowest score {:.4}", thousands(phrases), body.lowest_score),
        };
        let holds = Facts::new("step", text).with("phrases", body.phrases).with("lowest_score", body.lowest_score);
        self.step("pool", &holds, "pool", &outcome)?;
        for (heading, facts) in summary {
            self.progress.detail(heading, &facts)?;
        }
        if let Some(warning) = warning {
            self.progress.warn(&warning)?;
        }
        Ok(manifest)
    }

    /// Writes `OUT/graph`.
    ///
    /// # Errors
    /// If the corpus or the user's file cannot be used, or the graph cannot be written.
    pub fn graph(&mut self, corpus: &Manifest<CorpusBody>) -> Result<Manifest<GraphBody>, RunError> {
        let (manifest, outcome) = associations::make(
            &self.settings.out,
            corpus,
            self.settings.association_options(),
            &mut self.hashes,
            &self.progress,
        )?;
        self.report_graph(corpus, &manifest, &outcome)?;
        Ok(manifest)
    }

    /// Prints what the graph holds.
    fn report_graph(
        &self,
        corpus: &Manifest<CorpusBody>,
        graph: &Manifest<GraphBody>,
        outcome: &Outcome,
    ) -> Result<(), RunError> {
        let body = &graph.body;
        let edges: u64 = body.edges.values().sum();
        let (products, associations) =
            (count_of(body.products, "product", "products"), count_of(edges, "association", "associations"));
        let holds = Facts::new("step", format!("{products}   {associations}"))
            .with("products", body.products)
            .with("associations", edges);
        self.step("graph", &holds, "graph", outcome)?;
        self.note_sources(body)?;
        self.note_links(corpus, body)
    }

    /// Encodes the shards, or those of this run's task.
    ///
    /// # Errors
    /// If the corpus or the pool cannot be read or is of another tokenizer, or a shard cannot be
    /// written.
    pub fn encode(&mut self, corpus: &Manifest<CorpusBody>, pool: &Manifest<PoolBody>) -> Result<Encoded, RunError> {
        self.same_tokenizer("corpus", &corpus.body.tokenizer.blake3)?;
        self.same_tokenizer("pool", &pool.body.tokenizer.blake3)?;
        self.sealed()?;
        let language = self.language(corpus)?;
        let settings = step_settings(self.settings, &self.tokenizer, language)?;
        let task = self.task.unwrap_or(Task::ALL);
        Ok(encode::encode(settings, task, corpus, pool, &mut self.hashes, &self.progress)?)
    }

    /// Encodes the shards of this run's task, and prints that.
    ///
    /// # Errors
    /// As [`Run::encode`], or if standard output cannot be written.
    pub fn encode_part(&mut self, corpus: &Manifest<CorpusBody>, pool: &Manifest<PoolBody>) -> Result<(), RunError> {
        let since = Instant::now();
        let encoded = self.encode(corpus, pool)?;
        let outcome = if encoded.shards == 0 { Outcome::UpToDate } else { Outcome::made(since, NEW.to_owned()) };
        let (shards, tokens) = (encoded.shards, encoded.counts.tokens);
        let text = format!("{}   {} tokens", count_of(shards as u64, "file", "files"), short(tokens));
        let holds = Facts::new("step", text).with("files", shards).with("tokens", tokens);
        self.step("encode", &holds, "shards", &outcome)
    }

    /// Draws the pairs.
    ///
    /// # Errors
    /// If a shard is missing, a stored file cannot be read, or the pairs cannot be written.
    pub fn draw_pairs(
        &mut self,
        corpus: &Manifest<CorpusBody>,
        pool: &Manifest<PoolBody>,
        graph: &Manifest<GraphBody>,
    ) -> Result<(), RunError> {
        let language = self.language(corpus)?;
        let settings = step_settings(self.settings, &self.tokenizer, language)?;
        let seal::Plan { shards, .. } = seal::plan(settings, corpus, pool, graph);
        self.encoded_or_refuse(&shards)?;
        let settings = step_settings(self.settings, &self.tokenizer, language)?;
        let (counts, outcome) = pairs::make(settings, &shards, graph, &mut self.hashes, &self.progress)?;
        self.report_pairs(Step::Pairs, &counts, &outcome)
    }

    /// Fails if a shard is missing.
    fn encoded_or_refuse(&mut self, shards: &[encode::PlannedShard]) -> Result<(), RunError> {
        let out = &self.settings.out;
        self.sealed()?;
        let ledger = Ledger::open(out, "shards")?;
        let mut missing = Vec::new();
        for shard in shards {
            if shard.finished(&ledger, &mut self.hashes)?.is_none() {
                missing.push(shard.name.clone());
            }
        }
        if missing.is_empty() {
            return Ok(());
        }
        Err(ShardError::unfinished(missing, shards.len(), out, None).into())
    }

    /// Prints what the pairs hold.
    fn report_pairs(&self, step: Step, counts: &pairs::PairCounts, outcome: &Outcome) -> Result<(), RunError> {
        self.step(step.name(), &counts.described(), "shards", outcome)?;
        let relations = counts.relations.iter().map(|(relation, &pairs)| format!("{relation} {}", thousands(pairs)));
        if counts.rows > 0 {
            let text = relations.collect::<Vec<_>>().join(", ");
            self.progress.detail("relations", &Facts::new("pair_relations", text).with_counts(&counts.relations))?;
        }
        Ok(())
    }

    /// Seals the shards. With `tasks`, an error names the tasks that did not finish.
    ///
    /// # Errors
    /// If shards or pairs are missing or of other options, a stored file cannot be read, or the
    /// manifest cannot be written.
    pub fn seal(
        &mut self,
        corpus: &Manifest<CorpusBody>,
        pool: &Manifest<PoolBody>,
        graph: &Manifest<GraphBody>,
        tasks: Option<u32>,
    ) -> Result<(Manifest<ShardsBody>, Outcome), RunError> {
        let language = self.language(corpus)?;
        let settings = step_settings(self.settings, &self.tokenizer, language)?;
        Ok(seal::make(settings, corpus, pool, graph, tasks, &mut self.hashes)?)
    }

    /// Prints what the shards hold, and the rate if some were encoded.
    ///
    /// # Errors
    /// If standard output cannot be written.
    pub fn report_shards(
        &self,
        sealed: &Manifest<ShardsBody>,
        encoded: &Encoded,
        outcome: &Outcome,
    ) -> Result<(), RunError> {
        let counts = &sealed.body.counts.of_segments;
        let mut text = format!(
            "{}   {} tokens   {} phrase spans",
            count_of(sealed.files.len() as u64, "file", "files"),
            short(counts.tokens),
            short(counts.phrase_spans)
        );
        let mut rate = None;
        if let (Outcome::Made { seconds, .. }, true) = (outcome, encoded.shards > 0) {
            let tokens_per_second = (encoded.counts.tokens as f64 / seconds.max(1e-3)) as u64;
            text += &format!("   {} tokens/s", short(tokens_per_second));
            rate = Some(tokens_per_second);
        }
        let holds = Facts::new("step", text)
            .with("files", sealed.files.len())
            .with("tokens", counts.tokens)
            .with("phrase_spans", counts.phrase_spans)
            .with("tokens_per_second", rate);
        self.step("shards", &holds, "shards", outcome)?;
        self.crossing_tokens(counts)
    }

    /// Prints what tokens that cross words, and words longer than a segment, have cost.
    fn crossing_tokens(&self, counts: &SegmentCounts) -> Result<(), RunError> {
        let parts = [
            (
                counts.spans_sharing_tokens,
                "phrase span shares a token with another word and is left out",
                "phrase spans share a token with another word and are left out",
            ),
            (
                counts.noun_phrases_sharing_tokens,
                "noun phrase shares a token with another word and is left out",
                "noun phrases share a token with another word and are left out",
            ),
            (counts.cut_words, "word is longer than a segment and cut", "words are longer than a segment and cut"),
        ];
        let parts = parts.into_iter().filter(|(count, ..)| *count > 0);
        let text: Vec<String> = parts.map(|(count, one, many)| count_of(count, one, many)).collect();
        if text.is_empty() {
            return Ok(());
        }
        let facts = Facts::new("crossing_tokens", text.join(", "))
            .with("spans_sharing_tokens", counts.spans_sharing_tokens)
            .with("noun_phrases_sharing_tokens", counts.noun_phrases_sharing_tokens)
            .with("cut_words", counts.cut_words);
        Ok(self.progress.detail("tokens", &facts)?)
    }

    fn step(&self, step: &str, holds: &Facts, folder: &str, outcome: &Outcome) -> Result<(), RunError> {
        let place = self.settings.out_name(&self.settings.out.join(folder));
        Ok(self.progress.step(step, holds, &place, outcome)?)
    }

    /// Ends a single step: publishes it, and prints the commands that follow.
    ///
    /// # Errors
    /// If the object store or standard output cannot be written.
    pub fn end_step(&self, commands: &[&str], condition: &str) -> Result<(), RunError> {
        self.publish()?;
        let out = self.out_option();
        let commands: Vec<String> = commands.iter().map(|command| format!("ebert {command}{out}")).collect();
        Ok(self.progress.next(&commands, &format!("    with the same options{condition}"))?)
    }

    /// The option for the output folder, after a space, unless it is the default.
    fn out_option(&self) -> String {
        if self.settings.out == Path::new(WORK) { String::new() } else { format!(" --out {}", self.quoted_out()) }
    }

    /// The output folder as its user names it, for a command.
    fn quoted_out(&self) -> String {
        quoted(Path::new(&self.settings.out_name(&self.settings.out)))
    }

    /// Prints the records that were left out, and ends the run.
    fn summary(
        &self,
        corpus: &Manifest<CorpusBody>,
        pool: &Manifest<PoolBody>,
        sealed: &Manifest<ShardsBody>,
    ) -> Result<(), RunError> {
        self.left_out_of_corpus(corpus)?;
        self.left_out_of_pool(pool)?;
        self.end_run(corpus, sealed)
    }

    /// Ends the last step: publishes it, and prints the commands that follow.
    ///
    /// # Errors
    /// If the object store or standard output cannot be written.
    pub fn end_run(&self, corpus: &Manifest<CorpusBody>, sealed: &Manifest<ShardsBody>) -> Result<(), RunError> {
        self.publish()?;
        let [folder, shards] = if self.settings.out == Path::new(WORK) {
            [String::new(), String::new()]
        } else {
            [format!(" {}", self.quoted_out()), format!(" --shards {}", self.quoted_out())]
        };
        let counts = &sealed.body.counts;
        let is_sample = ebert_commands::is_sample(corpus.body.inputs.iter().map(|file| file.path.as_str()));
        let recipe = match (counts.of_segments.phrase_spans, counts.pairs) {
            // The trainer's default recipe is for the sample.
            (1.., 1..) if is_sample => String::new(),
            (1.., 1..) => " --recipe e-bert".to_owned(),
            (1.., 0) => " --recipe e-bert-ahm".to_owned(),
            (0, _) => " --recipe bert".to_owned(),
        };
        // A start model of the settings is that of the trainer, too.
        let init = if is_sample || self.settings.init.is_some() { "" } else { " --init bert-base-uncased" };
        let commands = [format!("ebert inspect{folder}"), format!("ebert pretrain{shards}{recipe}{init}")];
        Ok(self.progress.next(&commands, "")?)
    }
}

fn step_settings<'a>(
    settings: &'a Settings,
    tokenizer: &'a Option<Tokenizer>,
    language: Language,
) -> Result<StepSettings<'a>, RunError> {
    Ok(StepSettings { settings, tokenizer: loaded(settings, tokenizer)?, language })
}

fn loaded<'a>(settings: &Settings, tokenizer: &'a Option<Tokenizer>) -> Result<&'a Tokenizer, RunError> {
    tokenizer.as_ref().ok_or_else(|| RunError::NoTokenizer { corpus: settings.corpus_names() })
}

/// The default output folder.
const WORK: &str = "data/work";

/// The folders that steps create in `OUT`.
const FOLDERS: [&str; 6] = ["corpus", "spill", "pool", "graph", "shards", ".made"];

/// Fails if raw files lie in an output folder, or an output folder among raw files. Symbolic links are followed.
fn refuse_overlap(corpus: &Path, out: &Path) -> Result<(), RunError> {
    let real = |path: &Path| std::fs::canonicalize(path).ok();
    let (Some(raw), Some(whole)) = (real(corpus), real(out)) else { return Ok(()) };
    if raw == whole {
        return Err(RunError::SameFolder { folder: corpus.to_owned() });
    }
    for folder in FOLDERS.map(|name| out.join(name)) {
        // All of `OUT` is excluded from the raw files, so a folder below both is fine.
        let clash = |made: PathBuf| raw.starts_with(&made) || made.starts_with(&raw) && !made.starts_with(&whole);
        if real(&folder).is_some_and(clash) {
            return Err(RunError::InsideOut { corpus: corpus.to_owned(), folder });
        }
    }
    Ok(())
}

/// Locks the folder: exclusively for a run, shared for a task.
fn lock(out: &Path, task: Option<Task>, progress: &Progress) -> Result<Lock, RunError> {
    std::fs::create_dir_all(out).map_err(StoreError::io("create", out))?;
    let folder = Lockable::within(out)?;
    let Attempt::Locked(lock) = (if task.is_none() { folder.alone() } else { folder.shared() })? else {
        return Err(RunError::Busy { out: out.to_owned() });
    };
    if let Some(why) = lock.unsupported() {
        let what = format!("cannot lock `{}` ({why})", out.display());
        progress.warn(&format!("{what}: do not run another command on it at the same time"))?;
    }
    Ok(lock)
}

/// A size with three or four digits and a unit.
fn bytes(n: u64) -> String {
    match n {
        0..1_000 => format!("{n} bytes"),
        // What would print as 1000.0 of one unit is 1.0 of the next.
        1_000..999_950 => format!("{:.1} kB", n as f64 / 1e3),
        999_950..999_950_000 => format!("{:.1} MB", n as f64 / 1e6),
        _ => format!("{:.1} GB", n as f64 / 1e9),
    }
}
