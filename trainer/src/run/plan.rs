//! What is decided and checked before a run starts or resumes.
use std::{
    fs,
    io::{self, IsTerminal},
    path::{Path, PathBuf},
    sync::Arc,
};

use ebert_kernels::device::Wish;
use schemas::{Attempt, Lock, Lockable, StoreError};

use super::{Lead, RECIPE, Run, RunError};
use crate::{
    card::{Names, StartName},
    checkpoint::{Checkpoint, Checkpoints},
    init::{Candidate, InitError, Start, folder_of},
    lock,
    log::{Journal, Talk},
    model::PretrainingModel,
    provenance::{Made, Provenance, brief_path},
    recipe::Recipe,
    schedule::Schedule,
    session::{self, Session, Trainable},
    state::{Identity, TrainerState},
    world::{Ranks, World},
};
use ebert_batches::{
    HeldOut, HeldOutPairs, Shards,
    masking::{MaskMode, Masking, Scheme, switch::Switch},
};

/// Held-out segments that go through the model at once.
const MEASURED_AT_ONCE: usize = 32;
/// Held-out pairs in a batch.
const PAIRS_AT_ONCE: usize = 16;

/// What a user asks for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The folder of the shards.
    pub shards: PathBuf,
    /// Name or path of a recipe.
    pub recipe: String,
    /// Overrides of it.
    pub overrides: Vec<String>,
    /// A Hugging Face folder to start from, or an id on the hub.
    pub init: Option<PathBuf>,
    /// The model that the shards were made for. A recipe that needs a start takes it if no other is named.
    pub made_for: Option<PathBuf>,
    /// The data sets on the hub that the shards were made from, as far as it is known.
    pub datasets: Vec<String>,
    /// The address in an object store from which the shards were fetched.
    pub address: Option<String>,
    /// The run's folder, if not `runs/<recipe>` next to the shards, or in the current folder if they were fetched.
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

/// What is decided before anything is made.
pub struct Plan {
    /// The recipe, and its name.
    pub recipe: Recipe,
    name: String,
    pub(super) recipe_text: String,
    /// The run's folder.
    pub folder: PathBuf,
    /// The data.
    pub shards: Arc<Shards>,
    /// The model that it starts from, as it is named. `None` for a fresh one.
    init: Option<PathBuf>,
    /// What it starts from.
    pub start: Start,
    /// The stages.
    pub schedule: Schedule,
    pub(super) identity: Identity,
}

/// A run that can be worked on, or one that needs no work.
pub enum Opened {
    /// There are steps to do.
    Ready(Box<Run>),
    /// All steps are done.
    Finished(PathBuf),
}

impl Plan {
    /// Reads and checks the recipe, what the run starts from, and the shards, whose files are
    /// hashed last. `progress` receives the number of bytes of shards checked.
    ///
    /// # Errors
    /// When one of them cannot be used, or they do not fit one another.
    pub fn make(request: &Request, progress: impl Fn(u64)) -> Result<Self, RunError> {
        let recipe = Recipe::load(&request.recipe, &request.overrides)?;
        let name = Recipe::name_of(&request.recipe);
        let made_for = request.made_for.as_ref().filter(|_| recipe.model.is_none());
        let init = request.init.as_deref().or(made_for.map(PathBuf::as_path));
        // Before the shards are read, which may take long.
        if recipe.model.is_none() && init.is_none() {
            return Err(InitError::Wanted { recipe: name }.into());
        }
        let talk = request.talk.is_for_person() && request.ranks.is_main() && io::stderr().is_terminal();
        let candidate = init.map(|init| Candidate::read(&folder_of(init, talk)?)).transpose()?;
        let data = recipe.data;
        let shards = Arc::new(Shards::open_with_relations(&request.shards, data.held_out, data.relations, progress)?);
        for stage in &recipe.stage {
            shards.require_segments(&stage.corpora)?;
            if stage.neighbor {
                shards.require_pairs()?;
            }
        }
        let body = &shards.manifest().body;
        let modes = recipe.scheme.modes();
        if modes.contains(&MaskMode::Noun) && !body.options.nouns {
            return Err(RunError::NoSpans {
                what: "noun phrases",
                hint: "build shards with `ebert shards --nouns on`",
            });
        }
        if modes.contains(&MaskMode::Phrase) && body.counts.of_segments.phrase_spans == 0 {
            return Err(RunError::NoSpans {
                what: "phrases",
                hint: "build shards with a phrase pool of this corpus: `ebert shards --pool FILE`",
            });
        }
        let start = Start::choose(&recipe, &name, candidate, &shards)?;
        let init = init.map(Path::to_owned);
        let schedule = Schedule::new(&recipe, &shards, start.head)?;
        let next_to = match &request.address {
            Some(_) => Path::new(""),
            None => request.shards.parent().unwrap_or(Path::new(".")),
        };
        let folder = request.run.clone().unwrap_or_else(|| next_to.join("runs").join(&name));
        let recipe_text = recipe.to_toml();
        let identity = Identity {
            // The summary decides nothing.
            recipe_blake3: hash(&Recipe { summary: String::new(), ..recipe.clone() }.to_toml()),
            shards_blake3: shards.manifest().self_blake3.clone(),
            init_blake3: start.from.as_ref().map(|(_, hash)| hash.clone()),
        };
        Ok(Self { recipe, name, recipe_text, folder, shards, init, start, schedule, identity })
    }

    /// The recipe's name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Opens the run's folder: a new run, or one that resumes. Every process of the run calls it.
    /// Rank 0 looks into the folder, and sends the position of the run to the others.
    ///
    /// # Errors
    /// When the folder holds another run or is in use, or it holds nothing to resume and `--resume`
    /// was given. Also when the device, the weights or a checkpoint cannot be used, or the
    /// processes do not meet.
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

        let bert = self.start.model(self.recipe.seed, device, self.recipe.compute)?;
        let model = PretrainingModel::new(bert, &self.recipe);
        let mut session = Session::new(model, self.recipe.optimizer, world);
        if let Some((state, checkpoint)) = newest {
            Checkpoints::restore(checkpoint, state, &session.model, &mut session.optimizer)?;
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
        let held_out_pairs = HeldOutPairs::load(&self.shards, self.recipe.measure.pairs, PAIRS_AT_ONCE)?;
        let lead = found.map(|found| self.lead(found, &state, resumed, &session, request)).transpose()?;
        Ok(Opened::Ready(Box::new(Run {
            folder: self.folder,
            recipe: self.recipe,
            recipe_text: self.recipe_text,
            shards: self.shards,
            masking: Arc::new(masking),
            schedule: self.schedule,
            held_out,
            held_out_pairs,
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
        if let Some((state, checkpoint)) = &mut newest {
            self.require_same(state, checkpoint, request.extend)?;
            state.steps = self.schedule.steps();
            state.identity = self.identity.clone();
            if state.best.is_some_and(|best| !checkpoints.has(best.step)) {
                // The user has removed it.
                state.best = None;
            }
            checkpoints.link(state, checkpoint)?;
        }
        Ok(Found { checkpoints, lock, newest })
    }

    /// Begins to write and to talk.
    fn lead(
        &self,
        found: Found,
        state: &TrainerState,
        resumed: bool,
        session: &Session<PretrainingModel>,
        request: &Request,
    ) -> Result<Lead, RunError> {
        schemas::store::write_file(&self.folder.join(RECIPE), self.recipe_text.as_bytes())?;
        let provenance = Provenance {
            recipe: self.name.clone(),
            model: self.init.as_deref().map(brief_path),
            data: request.address.clone().unwrap_or_else(|| brief_path(&request.shards)),
            identity: self.identity.clone(),
            starts: Vec::new(),
        };
        let mut made = Made::now(session.model.device());
        if session.world.size() > 1 {
            made.device = format!("{} processes, {}", session.world.size(), made.device);
        }
        provenance.start(&self.folder, state.step, made)?;
        let journal = Journal::open(&self.folder, state.step, state.steps, request.talk)?;
        if !resumed {
            self.start.notes.iter().for_each(|note| journal.say(&format!("note      {note}")));
        }
        let (model, world) = (&session.model, &session.world);
        let config = model.bert.encoder().config();
        let device = match (model.device().is_cuda(), world.size()) {
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
        journal.say(&format!("compute   {}", model.bert.encoder().decision()));
        if resumed {
            journal.say(&format!("resume    from step {} of {}", state.step, state.steps));
            let t1 = state.switch.warmup_steps();
            if self.recipe.scheme == Scheme::Adaptive && t1 != self.schedule.warmup_steps {
                journal.say(&format!("switch    T1 stays at {t1} steps, as the run began"));
            }
        }
        let names = Names {
            family: self.start.config.family.clone(),
            recipe: self.name.clone(),
            start: self.init.as_deref().map(StartName::of),
            datasets: request.datasets.clone(),
        };
        Ok(Lead { journal, checkpoints: found.checkpoints, carried: self.start.carried()?, names, _lock: found.lock })
    }
}

/// What a run's folder holds, and the right to write there.
struct Found {
    checkpoints: Checkpoints,
    lock: Lock,
    newest: Option<(TrainerState, Checkpoint)>,
}

fn hash(text: &str) -> String {
    blake3::hash(text.as_bytes()).to_hex().to_string()
}
