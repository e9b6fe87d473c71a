//! A run: its folder, what it is made of, and how it goes on after a stop.
use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use schemas::{Attempt, DocumentId, Lock, Lockable, StoreError};
use tch::Tensor;

use crate::{
    checkpoint::{CheckpointError, Checkpoints, Identity, TrainerState},
    data::{DataError, HeldOut, Shards},
    differences::{Difference, differences},
    init::{InitError, Start, folder_of},
    lock,
    log::{HeldOutRecord, Journal, StepRecord, Talk},
    masking::{MaskMode, Masking, switch::Switch},
    optimizer::Optimizer,
    recipe::{Recipe, RecipeError},
    schedule::Schedule,
    world::{Ranks, World, WorldError},
};
use ebert_bert::BertForMaskedLm;
use ebert_kernels::{
    TorchError,
    device::{DeviceError, Machine, Wish},
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
    /// Whether there must be something to go on from.
    pub resume: bool,
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
    /// The model.
    pub model: BertForMaskedLm,
    /// The optimiser.
    pub optimizer: Optimizer,
    /// Where it is.
    pub state: TrainerState,
    /// The processes that it runs in.
    pub world: World,
    /// Steps in a row without a finite gradient.
    pub(crate) skipped_in_a_row: u32,
    /// What rank 0 alone has.
    lead: Option<Lead>,
}

/// What writes and talks.
struct Lead {
    journal: Journal,
    checkpoints: Checkpoints,
    /// Of the model that the run started from; nothing trains it.
    pooler: Vec<(String, Tensor)>,
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
    /// Reads and checks the recipe, the shards and what the run starts from. `progress` hears of bytes of shards checked.
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
        let talk = request.talk == Talk::Text && request.ranks.leads() && io::stderr().is_terminal();
        let init = request.init.as_deref().map(|init| folder_of(init, talk)).transpose()?;
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
        let start = Start::choose(&recipe, &name, init.as_deref(), &shards)?;
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
    pub fn open(mut self, request: &Request) -> Result<Opened, RunError> {
        if let Some(threads) = request.threads {
            tch::set_num_threads(i32::from(threads));
        }
        let device = Machine::look().device(request.device, request.ranks.local)?;
        let world = World::join(request.ranks.clone(), device)?;
        self.require_one_run(&world)?;
        let found = world.leads().then(|| self.look(request)).transpose()?;
        let newest = found.as_ref().and_then(|found| found.newest.as_ref());
        let said = newest.map(|(state, _)| serde_json::to_string(state).unwrap_or_default()).unwrap_or_default();
        let said = world.agree("state", said)?;
        let agreed: Option<TrainerState> = serde_json::from_str(&said).ok();
        if agreed.as_ref().is_some_and(|state| state.step >= state.steps) {
            return Ok(Opened::Finished(Checkpoints::of(&self.folder, 1).model()));
        }

        let model = self.start.model(self.recipe.seed, device, self.recipe.compute)?;
        let mut optimizer = Optimizer::new(model.parameters(), self.recipe.optimizer, device);
        if let Some((state, folder)) = newest {
            Checkpoints::restore(folder, state, &model, &mut optimizer)?;
        }
        let weights = model.parameters().iter().map(|(_, tensor)| tensor.detach());
        world.spread(&weights.chain(optimizer.tensors()).collect::<Vec<_>>(), "spread the weights")?;
        let resumed = agreed.is_some();
        let state = agreed.unwrap_or_else(|| {
            let switch = Switch::new(self.recipe.switch, self.schedule.warmup_steps);
            TrainerState::new(self.schedule.steps(), switch, self.identity.clone())
        });
        let lowest_score = self.shards.manifest().body.pool.lowest_score;
        let masking = Masking::new(self.recipe.masking, self.shards.vocabulary().clone(), lowest_score);
        let held_out = HeldOut::load(&self.shards, self.recipe.measure.segments, MEASURED_AT_ONCE)?;
        let lead = found.map(|found| self.lead(found, &state, resumed, &model, &world, request.talk)).transpose()?;
        Ok(Opened::Ready(Box::new(Run {
            folder: self.folder,
            recipe: self.recipe,
            recipe_text: self.recipe_text,
            shards: self.shards,
            masking: Arc::new(masking),
            schedule: self.schedule,
            held_out,
            model,
            optimizer,
            state,
            world,
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
        let newest = checkpoints.newest()?;
        if let Some((state, folder)) = &newest {
            self.require_same(&state.identity, folder)?;
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
        model: &BertForMaskedLm,
        world: &World,
        talk: Talk,
    ) -> Result<Lead, RunError> {
        schemas::store::write_file(&self.folder.join(RECIPE), self.recipe_text.as_bytes())?;
        let journal = Journal::open(&self.folder, state.step, state.steps, talk)?;
        if !resumed {
            self.start.notes.iter().for_each(|note| journal.say(&format!("note      {note}")));
        }
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
        Ok(Lead { journal, checkpoints: found.checkpoints, pooler: self.start.pooler()?, _lock: found.lock })
    }

    /// Checks that a checkpoint is of this run.
    fn require_same(&self, found: &Identity, checkpoint: &Path) -> Result<(), RunError> {
        let recipe = || fs::read_to_string(checkpoint.join(RECIPE)).unwrap_or_default();
        let differences: Vec<String> = self.differences(found, recipe).iter().map(ToString::to_string).collect();
        if differences.is_empty() { Ok(()) } else { Err(RunError::Changed { run: self.folder.clone(), differences }) }
    }

    /// Checks that all processes would train the same: gradients of different models, or of different batches, add up to nothing.
    fn require_one_run(&self, world: &World) -> Result<(), RunError> {
        let said = serde_json::to_string(&(&self.identity, &self.recipe_text)).unwrap_or_default();
        let judgement = world.judge("run", &said, |others| {
            let differing = others.into_iter().find_map(|(rank, said)| {
                let (identity, recipe): (Identity, String) = serde_json::from_str(&said).ok()?;
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

    /// How what another run is differs from this one.
    fn differences(&self, found: &Identity, recipe: impl FnOnce() -> String) -> Vec<Difference> {
        let mut differences = Vec::new();
        if found.recipe_blake3 != self.identity.recipe_blake3 {
            differences.extend(recipe_differences(&recipe(), &self.recipe_text));
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
    /// Saves a checkpoint, if this process leads.
    ///
    /// # Errors
    /// When it cannot be written; the checkpoints before stay as they are.
    pub fn save(&mut self) -> Result<(), RunError> {
        let Some(lead) = &mut self.lead else { return Ok(()) };
        lead.journal.flush()?;
        self.state.optimizer_steps = self.optimizer.steps();
        let recipe = &self.recipe_text;
        lead.checkpoints.save(&self.state, &self.model, &self.optimizer, &self.shards, recipe, &lead.pooler)?;
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
        self.world.finish();
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

/// Values of recipes that differ.
fn recipe_differences(before: &str, now: &str) -> Vec<Difference> {
    let [before, now] = [before, now].map(|text| {
        let mut table: toml::Table = toml::from_str(text).unwrap_or_default();
        table.remove("summary");
        serde_json::to_value(table).unwrap_or_default()
    });
    let all = differences(&before, &now).into_iter();
    all.map(|difference| Difference { key: format!("recipe, {}", difference.key), ..difference }).collect()
}
