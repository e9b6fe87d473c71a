//! A run: its folder, what it is made of, and how it goes on after a stop.
use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use schemas::{Attempt, DocumentId, Lock, Lockable, StoreError};

use crate::{
    checkpoint::{CheckpointError, Checkpoints},
    data::{DataError, HeldOut, Shards},
    differences::{Difference, differences},
    init::{Candidate, Carried, InitError, Start, folder_of},
    lock,
    log::{HeldOutRecord, Journal, StepRecord, Talk},
    masking::{MaskMode, Masking, switch::Switch},
    recipe::{Recipe, RecipeError},
    schedule::Schedule,
    session::{self, Session, StepError, Trainable},
    state::{Identity, TrainerState},
    world::{RankText, Ranks, World, WorldError},
};
use ebert_bert::BertForMaskedLm;
use ebert_kernels::{
    TorchError,
    device::{DeviceError, Wish},
};

/// What a user asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The folder that `make shards` made.
    pub out: PathBuf,
    /// Name or path of a recipe.
    pub recipe: String,
    /// Overrides of it.
    pub overrides: Vec<String>,
    /// A Hugging Face folder to start from, or an id on the hub.
    pub init: Option<PathBuf>,
    /// The run's folder, if not `OUT/runs/<recipe>`.
    pub run: Option<PathBuf>,
    /// Whether there must be something to resume.
    pub resume: bool,
    /// Whether a run may get more or fewer steps than it began with.
    pub extend: bool,
    /// Where to compute.
    pub device: Wish,
    /// Threads of the CPU.
    pub threads: Option<u16>,
    /// For whom to talk.
    pub talk: Talk,
    /// Which of the run's processes this is.
    pub ranks: Ranks,
}

/// A run cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum RunError {
    /// The recipe.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// The shards.
    #[error(transparent)]
    Data(#[from] DataError),
    /// What it starts from.
    #[error(transparent)]
    Init(#[from] InitError),
    /// The device.
    #[error(transparent)]
    Device(#[from] DeviceError),
    /// A checkpoint.
    #[error(transparent)]
    Checkpoint(#[from] CheckpointError),
    /// A file of the run.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// libtorch.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// A recipe without steps.
    #[error("the recipe has no step to measure\nhint: any other recipe than bert-raw")]
    NothingToMeasure,
    /// The other processes.
    #[error(transparent)]
    World(#[from] WorldError),
    /// A step.
    #[error(transparent)]
    Step(#[from] StepError),
    /// The folder holds another run.
    #[error(
        "`{}` holds a run that is not this one\n{}\n\
         hint: ask for what it was, name another folder with RUN=, or delete this one",
        run.display(),
        differences.iter().map(|d| format!("  {d}")).collect::<Vec<_>>().join("\n")
    )]
    Changed {
        /// The folder.
        run: PathBuf,
        /// What differs.
        differences: Vec<String>,
    },
    /// The run has another number of steps now.
    #[error(
        "`{}` holds a run with another number of steps\n{}\n\
         hint: --extend continues it with the new number; the learning rate of the steps to come follows the new schedule",
        run.display(),
        differences.iter().map(|d| format!("  {d}")).collect::<Vec<_>>().join("\n")
    )]
    Lengths {
        /// The folder.
        run: PathBuf,
        /// What differs.
        differences: Vec<String>,
    },
    /// The steps done do not fit into the new schedule.
    #[error(
        "--extend cannot change stage {stage}: step {step} of the run is done, and the stage ended with step {before}, now with step {now}\n\
         hint: change only stages that are not finished, to at least the steps that are done"
    )]
    Extend {
        /// The stage, from 1.
        stage: usize,
        /// Steps done.
        step: u64,
        /// The last step of the stage when the run began.
        before: u64,
        /// The last step of the stage now.
        now: u64,
    },
    /// The processes would train different things.
    #[error(
        "rank {rank} would train something else than rank 0\n{}\n\
         hint: start all processes with the same recipe, shards and INIT",
        differences.iter().map(|d| format!("  {d}")).collect::<Vec<_>>().join("\n")
    )]
    Ranks {
        /// The first rank that differs.
        rank: usize,
        /// In what.
        differences: Vec<String>,
    },
    /// Its result would take the place of what is no result of a run.
    #[error(
        "`{}` is there, and no pre-training made it: the result would take its place\nhint: name another folder with RUN=",
        path.display()
    )]
    Occupied {
        /// What stands where the result would.
        path: PathBuf,
    },
    /// `--resume`, and there is no run.
    #[error("`{}` holds no run to resume\nhint: without --resume a new one starts", run.display())]
    NothingToResume {
        /// The folder.
        run: PathBuf,
    },
    /// Another process trains there.
    #[error("another process is training in `{}`\nhint: wait for it, or name another folder with RUN=", run.display())]
    Busy {
        /// The folder.
        run: PathBuf,
    },
    /// The scheme masks what the shards do not have.
    #[error("the recipe masks {what}, and the shards hold none\nhint: {hint}")]
    NoSpans {
        /// What.
        what: &'static str,
        /// What to do.
        hint: &'static str,
    },
    /// Gradients stay infinite.
    #[error(
        "no finite gradient in the last steps up to {step}; the last batch held the documents {}\n\
         hint: a smaller optimizer.learning_rate or neighbor.weight, or compute = \"float32\"",
        list(documents)
    )]
    NotFinite {
        /// The step.
        step: u64,
        /// Documents of its batch.
        documents: Vec<DocumentId>,
    },
}

impl RunError {
    /// Whether another command line would do.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Recipe(_) | Self::Init(InitError::Wanted { .. }))
    }
}

/// Everything that a run works with.
pub struct Run {
    /// Its folder.
    pub folder: PathBuf,
    /// Its recipe.
    pub recipe: Recipe,
    /// The recipe's text, every value given.
    recipe_text: String,
    /// Its data.
    pub shards: Arc<Shards>,
    /// How masks are drawn.
    pub masking: Arc<Masking>,
    /// Its stages.
    pub schedule: Schedule,
    /// The documents to measure on.
    pub held_out: HeldOut,
    /// The model in training, and the processes that train it.
    pub session: Session<BertForMaskedLm>,
    /// Where it is.
    pub state: TrainerState,
    /// Steps in a row without a finite gradient.
    pub(crate) skipped_in_a_row: u32,
    /// What rank 0 alone has.
    lead: Option<Lead>,
}

/// What writes and talks.
struct Lead {
    journal: Journal,
    checkpoints: Checkpoints,
    carried: Carried,
    /// Kept open: its lock ends with the process.
    _lock: Lock,
}

/// What is decided before anything is made.
pub struct Plan {
    /// The recipe, and its name.
    pub recipe: Recipe,
    name: String,
    recipe_text: String,
    /// The run's folder.
    pub folder: PathBuf,
    /// The data.
    pub shards: Arc<Shards>,
    /// What it starts from.
    pub start: Start,
    /// The stages.
    pub schedule: Schedule,
    identity: Identity,
}

/// A run that can be worked on, or one that needs no work.
pub enum Opened {
    /// There are steps to do.
    Ready(Box<Run>),
    /// All steps are done.
    Finished(PathBuf),
}

impl Plan {
    /// Reads and checks the recipe, what the run starts from, and the shards, whose files are hashed last. `progress` hears of bytes of shards checked.
    ///
    /// # Errors
    /// When one of them cannot be used, or they do not fit one another.
    pub fn make(request: &Request, progress: impl Fn(u64)) -> Result<Self, RunError> {
        let recipe = Recipe::load(&request.recipe, &request.overrides)?;
        let name = Recipe::name_of(&request.recipe);
        // Before the shards are read, which may take long.
        if recipe.model.is_none() && request.init.is_none() {
            return Err(InitError::Wanted { recipe: name }.into());
        }
        let talk = request.talk == Talk::Text && request.ranks.is_main() && io::stderr().is_terminal();
        let init = request.init.as_deref().map(|init| Candidate::read(&folder_of(init, talk)?)).transpose()?;
        let shards = Arc::new(Shards::open(&request.out.join("shards"), recipe.data.held_out, progress)?);
        for stage in &recipe.stage {
            shards.require_segments(&stage.corpora)?;
            if stage.neighbor {
                shards.require_pairs()?;
            }
        }
        let body = &shards.manifest().body;
        let modes = recipe.scheme.modes();
        if modes.contains(&MaskMode::Noun) && !body.options.nouns {
            return Err(RunError::NoSpans { what: "noun phrases", hint: "make shards NOUNS=on" });
        }
        if modes.contains(&MaskMode::Phrase) && body.counts.of_segments.phrase_spans == 0 {
            return Err(RunError::NoSpans {
                what: "phrases",
                hint: "make shards with a phrase pool of this corpus: POOL=file",
            });
        }
        let start = Start::choose(&recipe, &name, init, &shards)?;
        let schedule = Schedule::new(&recipe, &shards)?;
        let folder = request.run.clone().unwrap_or_else(|| request.out.join("runs").join(&name));
        let recipe_text = recipe.to_toml();
        let identity = Identity {
            // The summary decides nothing.
            recipe_blake3: hash(&Recipe { summary: String::new(), ..recipe.clone() }.to_toml()),
            shards_blake3: shards.manifest().self_blake3.clone(),
            init_blake3: start.from.as_ref().map(|(_, hash)| hash.clone()),
        };
        Ok(Self { recipe, name, recipe_text, folder, shards, start, schedule, identity })
    }

    /// The recipe's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens the run's folder: a new run, or one that goes on. Every process of the run does; rank 0 looks into the folder, and the others hear
    /// from it where the run is.
    ///
    /// # Errors
    /// When the folder holds another run or is in use, there is nothing to resume and that was asked for, the device, the
    /// weights or a checkpoint cannot be used, or the processes do not meet.
    pub fn open(self, request: &Request) -> Result<Opened, RunError> {
        let device = session::prepare(request.device, request.ranks.local_rank, request.threads)?;
        let world = World::join(request.ranks.clone(), device)?;
        self.require_one_run(&world)?;
        let found = world.is_main().then(|| self.look(request)).transpose()?;
        let newest = found.as_ref().and_then(|found| found.newest.as_ref());
        let said = newest.map(|(state, _)| serde_json::to_string(state).unwrap_or_default()).unwrap_or_default();
        let said = world.broadcast_text("state", said)?;
        let agreed: Option<TrainerState> = serde_json::from_str(&said).ok();
        if agreed.as_ref().is_some_and(|state| state.step >= state.steps) {
            return Ok(Opened::Finished(Checkpoints::of(&self.folder, 1).model()));
        }

        let model = self.start.model(self.recipe.seed, device, self.recipe.compute)?;
        let mut session = Session::new(model, self.recipe.optimizer, world);
        if let Some((state, folder)) = newest {
            Checkpoints::restore(folder, state, &session.model, &mut session.optimizer)?;
        }
        let weights = session.model.parameters().iter().map(|(_, tensor)| tensor.detach());
        session
            .world
            .broadcast(&weights.chain(session.optimizer.tensors()).collect::<Vec<_>>(), "spread the weights")?;
        let resumed = agreed.is_some();
        let state = agreed.unwrap_or_else(|| {
            let switch = Switch::new(self.recipe.switch, self.schedule.warmup_steps);
            TrainerState::new(self.schedule.steps(), switch, self.identity.clone())
        });
        let lowest_score = self.shards.manifest().body.pool.lowest_score;
        let masking = Masking::new(self.recipe.masking, self.shards.vocabulary().clone(), lowest_score);
        let held_out = HeldOut::load(&self.shards, self.recipe.measure.segments, MEASURED_AT_ONCE)?;
        let lead = found.map(|found| self.lead(found, &state, resumed, &session, request.talk)).transpose()?;
        Ok(Opened::Ready(Box::new(Run {
            folder: self.folder,
            recipe: self.recipe,
            recipe_text: self.recipe_text,
            shards: self.shards,
            masking: Arc::new(masking),
            schedule: self.schedule,
            held_out,
            session,
            state,
            skipped_in_a_row: 0,
            lead,
        })))
    }

    /// What the run's folder holds.
    fn look(&self, request: &Request) -> Result<Found, RunError> {
        let checkpoints = Checkpoints::of(&self.folder, self.recipe.checkpoint.keep);
        if request.resume && checkpoints.newest()?.is_none() {
            return Err(RunError::NothingToResume { run: self.folder.clone() });
        }
        // A run's result is a link to a checkpoint.
        let result = checkpoints.model();
        if fs::symlink_metadata(&result).is_ok_and(|there| !there.is_symlink()) {
            return Err(RunError::Occupied { path: result });
        }
        fs::create_dir_all(&self.folder).map_err(StoreError::io("create", &self.folder))?;
        let Attempt::Locked(lock) = Lockable::within(&self.folder)?.alone()? else {
            return Err(RunError::Busy { run: self.folder.clone() });
        };
        lock::warn(&lock, &self.folder);
        let mut newest = checkpoints.newest()?;
        if let Some((state, folder)) = &mut newest {
            self.require_same(state, folder, request.extend)?;
            state.steps = self.schedule.steps();
            checkpoints.link(state, folder)?;
        }
        Ok(Found { checkpoints, lock, newest })
    }

    /// Begins to write and to talk.
    fn lead(
        &self,
        found: Found,
        state: &TrainerState,
        resumed: bool,
        session: &Session<BertForMaskedLm>,
        talk: Talk,
    ) -> Result<Lead, RunError> {
        schemas::store::write_file(&self.folder.join(RECIPE), self.recipe_text.as_bytes())?;
        let journal = Journal::open(&self.folder, state.step, state.steps, talk)?;
        if !resumed {
            self.start.notes.iter().for_each(|note| journal.say(&format!("note      {note}")));
        }
        let (model, world) = (&session.model, &session.world);
        let config = model.encoder().config();
        let device = match (model.encoder().device().is_cuda(), world.size()) {
            (true, 1) => "the GPU".to_owned(),
            (false, 1) => "the CPU".to_owned(),
            (true, many) => format!("{many} GPUs"),
            (false, many) => format!("{many} processes"),
        };
        journal.say(&format!(
            "model     {} layers of {}, {} weights, {}, on {device}",
            config.num_hidden_layers,
            config.hidden_size,
            crate::log::brief(model.parameters().count() as f64),
            if self.start.from.is_some() { "from INIT" } else { "fresh" },
        ));
        journal.say(&format!("compute   {}", model.encoder().decision()));
        if resumed {
            journal.say(&format!("resume    from step {} of {}", state.step, state.steps));
        }
        Ok(Lead { journal, checkpoints: found.checkpoints, carried: self.start.carried()?, _lock: found.lock })
    }

    /// Checks that a checkpoint is of this run: everything that decided the steps done is the same.
    fn require_same(&self, state: &TrainerState, checkpoint: &Path, extend: bool) -> Result<(), RunError> {
        let text = fs::read_to_string(checkpoint.join(RECIPE)).unwrap_or_default();
        let (lengths, others): (Vec<Difference>, Vec<Difference>) =
            self.differences(&state.identity, || text.clone()).into_iter().partition(is_length);
        let told = |differences: &[Difference]| differences.iter().map(ToString::to_string).collect();
        let run = self.folder.clone();
        if !others.is_empty() {
            return Err(RunError::Changed { run, differences: told(&[others, lengths].concat()) });
        }
        match (lengths.is_empty(), extend) {
            (true, _) => Ok(()),
            (false, true) => self.require_extension(state.step, checkpoint),
            (false, false) => Err(RunError::Lengths { run, differences: told(&lengths) }),
        }
    }

    /// Checks that a schedule with other lengths has the steps that are done where they were.
    fn require_extension(&self, step: u64, checkpoint: &Path) -> Result<(), RunError> {
        let recipe = Recipe::load(&checkpoint.join(RECIPE).to_string_lossy(), &[])?;
        let before = Schedule::new(&recipe, &self.shards)?;
        for (before, now) in before.stages.iter().zip(&self.schedule.stages) {
            let (number, before, now) = (now.number, before.steps.end, now.steps.end);
            if before != now && (now < step || before < step) {
                return Err(RunError::Extend { stage: number, step, before, now });
            }
        }
        Ok(())
    }

    /// Checks that all processes would train the same: gradients of different models, or of different batches, add up to nothing.
    fn require_one_run(&self, world: &World) -> Result<(), RunError> {
        let said = serde_json::to_string(&(&self.identity, &self.recipe_text)).unwrap_or_default();
        let judgement = world.decide_on_main("run", &said, |others| {
            let differing = others.into_iter().find_map(|RankText { rank, text }| {
                let (identity, recipe): (Identity, String) = serde_json::from_str(&text).ok()?;
                let found = self.differences(&identity, || recipe);
                let found = found.iter().map(|d| format!("{}: {} there, {} on rank 0", d.key, d.before, d.now));
                Some((rank, found.collect::<Vec<_>>())).filter(|(_, found)| !found.is_empty())
            });
            differing.and_then(|differing| serde_json::to_string(&differing).ok()).unwrap_or_default()
        })?;
        match serde_json::from_str(&judgement) {
            Ok((rank, differences)) => Err(RunError::Ranks { rank, differences }),
            Err(_) => Ok(()),
        }
    }

    /// What decides the numbers of another run and is not as in this one.
    fn differences(&self, found: &Identity, recipe: impl FnOnce() -> String) -> Vec<Difference> {
        let mut differences = Vec::new();
        if found.recipe_blake3 != self.identity.recipe_blake3 {
            differences.extend(recipe_differences(&recipe(), &self.recipe_text).into_iter().filter(decides));
        }
        let shards = |of: &Identity| format!("manifest {}…", brief_hash(&of.shards_blake3));
        let init = |of: &Identity| {
            let hash = of.init_blake3.as_ref();
            hash.map_or("a fresh model".to_owned(), |hash| format!("weights {}…", brief_hash(hash)))
        };
        for (key, before, now) in
            [("shards", shards(found), shards(&self.identity)), ("INIT", init(found), init(&self.identity))]
        {
            if before != now {
                differences.push(Difference { key: key.to_owned(), before, now });
            }
        }
        differences
    }
}

const RECIPE: &str = "recipe.toml";
/// Held-out segments that go through the model at once.
const MEASURED_AT_ONCE: usize = 32;

/// What a run's folder holds, and the right to write there.
struct Found {
    checkpoints: Checkpoints,
    lock: Lock,
    newest: Option<(TrainerState, PathBuf)>,
}

impl Run {
    /// Saves a checkpoint on rank 0, while the other ranks wait.
    ///
    /// # Errors
    /// If it cannot be written, or another rank is lost. The checkpoints before stay as they are.
    pub fn save(&mut self) -> Result<(), RunError> {
        if let Some(lead) = &mut self.lead {
            lead.journal.flush()?;
            self.state.optimizer_steps = self.session.optimizer.steps();
            let Session { model, optimizer, .. } = &self.session;
            lead.checkpoints.save(&self.state, model, optimizer, &self.shards, &self.recipe_text, &lead.carried)?;
        }
        self.session.world.barrier(self.session.model.device(), "waited for rank 0 to save a checkpoint")?;
        Ok(())
    }

    /// Notes a step of so many tokens.
    pub fn note(&mut self, record: &StepRecord, tokens: u64) -> Result<(), StoreError> {
        self.lead.as_mut().map_or(Ok(()), |lead| lead.journal.step(record, tokens))
    }

    /// Notes a measurement.
    pub fn note_held_out(&mut self, record: &HeldOutRecord) -> Result<(), StoreError> {
        self.lead.as_mut().map_or(Ok(()), |lead| lead.journal.held_out(record))
    }

    /// Ends what it tells, here and to other ranks.
    pub fn finish(&mut self) -> Result<(), StoreError> {
        let finished = self.lead.as_mut().map_or(Ok(()), |lead| lead.journal.finish());
        self.session.world.finish();
        finished
    }

    /// The link to the newest checkpoint.
    pub fn result(&self) -> PathBuf {
        Checkpoints::of(&self.folder, 1).model()
    }
}

/// Documents by id, as a message lists them.
fn list(documents: &[DocumentId]) -> String {
    documents.iter().map(DocumentId::to_string).collect::<Vec<_>>().join(", ")
}

fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}

fn brief_hash(hash: &str) -> String {
    hash.chars().take(12).collect()
}

/// Whether a value of the recipe decides the numbers of a run. The others say when to measure and to save.
fn decides(difference: &Difference) -> bool {
    !["measure.every", "checkpoint.every", "checkpoint.keep"]
        .iter()
        .any(|key| difference.key.strip_prefix(RECIPE_KEY) == Some(*key))
}

/// Whether it is the length of a stage.
fn is_length(difference: &Difference) -> bool {
    let key = difference.key.strip_prefix(RECIPE_KEY).and_then(|key| key.strip_prefix("stage."));
    key.is_some_and(|key| key.ends_with(".epochs") || key.ends_with(".steps"))
}

/// What stands before a key of the recipe in a difference.
const RECIPE_KEY: &str = "recipe, ";

/// Values of recipes that differ.
fn recipe_differences(before: &str, now: &str) -> Vec<Difference> {
    let [before, now] = [before, now].map(|text| {
        let mut table: toml::Table = toml::from_str(text).unwrap_or_default();
        table.remove("summary");
        serde_json::to_value(table).unwrap_or_default()
    });
    let all = differences(&before, &now).into_iter();
    all.map(|difference| Difference { key: format!("{RECIPE_KEY}{}", difference.key), ..difference }).collect()
}
