//! One fine-tuning as a folder: a model, a task, a seed.
//!
//! `RUN/metrics.json` has scores, sizes, options and the hashes of the inputs. It is written last:
//! with it the cell is finished. `RUN/predictions.jsonl` has the predictions of the test part.
//! `RUN/model` is a Hugging Face folder that `transformers` loads. A file in it lists its inputs,
//! so that a model that a stopped process left is recognized.
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
    time::Instant,
};

use schemas::{
    Attempt, Lock, Lockable, StoreError,
    store::{TEMPORARY, sync_folder, write_file},
};
use serde_json::{Value, json};

use super::{
    Example, Tally, Task, differing,
    finetune::{Data, Part, Voice, finetune, predict},
    heads::{HeadShape, Pooler, TaskModel},
    identity::Identity,
    metrics::score,
    options::{Options, Pooling},
    predictions,
    products::{self, Labels, labels_of},
    read, rename_numbered,
    request::{CellError, Keep, Other, Request},
    semeval,
    sequence::{Lengths, Purpose, Sequence, TAGS, Target, sequences},
    split::{limited, split},
    squad,
};
use ebert_bert::{BertConfig, Decision, Family, tokens::Tokens, weights};
use trainer::{log::brief, provenance::Made, session};

mod outcome;

pub use outcome::{Metrics, Outcome, Sizes};

/// The name of the scores.
pub const METRICS: &str = "metrics.json";
/// The name of the predictions.
pub const PREDICTIONS: &str = "predictions.jsonl";
const MODEL: &str = "model";
/// In the folder of a fine-tuned model: what it was made from.
const MADE_FROM: &str = "fine_tuning.json";

/// Makes a cell, unless it is there. `model` is the folder and hash of its model.
///
/// # Errors
/// When the data, the model, an option or the device cannot be used, training fails, or the folder
/// holds something else.
pub fn run(request: &Request, (folder, model_blake3): (&Path, &str)) -> Result<Outcome, CellError> {
    let started = Instant::now();
    let Request { task, options, run, voice, .. } = request;
    options.check()?;
    if request.data.is_empty() {
        return Err(CellError::NoData { task: *task });
    }
    let identity = Identity::of(request, model_blake3.to_owned())?;
    if let Some(metrics) = up_to_date(request, &identity)? {
        return Ok(Outcome::UpToDate(metrics));
    }

    if request.weights == Keep::Model {
        vacant(run, folder)?;
    }

    let config = BertConfig::read(folder)?;
    let tokens = Tokens::of(folder, &config)?;
    let mut notes = Tally::default();
    let data = prepare(request, (folder, &config, &tokens), &mut notes)?;
    for (number, (reason, count, place)) in notes.iter().enumerate() {
        voice.say(&format!("{:10}{count} {reason} (first {place})", if number == 0 { "notes" } else { "" }));
    }
    if let Some(longest) = config.trained_sequence_length {
        note_long(&data, longest, *voice, &mut notes);
    }
    let learnable = data.train.sequences.iter().filter(|s| s.target != Target::None).count();
    let sizes = Sizes {
        train: data.train.examples.len(),
        validation: data.validation.examples.len(),
        test: data.test.examples.len(),
        train_sequences: learnable,
        classes: data.classes.len(),
    };
    let [train, validation, test] = [&data.train, &data.validation, &data.test].map(|part| documents(&part.examples));
    let of_classes = if matches!(task, Task::Pc) { format!("   {} labels", sizes.classes) } else { String::new() };
    voice.say(&format!(
        "split     train {} {} ({train} {}; {learnable} sequences)   validation {} ({validation})   test {} ({test}){of_classes}",
        sizes.train, task.examples(), task.documents(), sizes.validation, sizes.test,
    ));
    voice.event(&json!({"event": "split", "task": task, "sizes": sizes, "notes": notes.counts()}));
    if learnable == 0 {
        return Err(CellError::NothingToLearn { task: *task, examples: sizes.train, notes });
    }

    let device = session::prepare(request.device, 0, request.threads)?;
    let decision = Decision::on(options.compute, device, &config)?;
    fs::create_dir_all(run).map_err(StoreError::io("create", run))?;
    let _lock = lock(run, *voice)?;
    // Another process may have made it while this one waited.
    if let Some(metrics) = up_to_date(request, &identity)? {
        return Ok(Outcome::UpToDate(metrics));
    }
    let Options { pooling, fresh_pooler, .. } = *options;
    let shape = HeadShape { task: *task, classes: data.classes.len(), pooling, fresh_pooler };
    let (model, pooler) = TaskModel::load(folder, &config, shape, options.seed, (device, decision))?;
    voice.say(&format!(
        "model     {}: {} layers of {}, {} weights, on the {}; its head starts fresh{}{}",
        TaskModel::class(*task, &config.family, pooling),
        config.num_hidden_layers,
        config.hidden_size,
        brief(model.parameters().count() as f64),
        if device.is_cuda() { "GPU" } else { "CPU" },
        if model.pooling() == Pooling::Mean { " and reads the mean of all tokens" } else { "" },
        match pooler {
            Pooler::Fresh => ", and so does the pooler, which the model does not have",
            Pooler::Redrawn => ", and so does the pooler, as requested",
            Pooler::None | Pooler::Loaded => "",
        },
    ));

    voice.say(&format!("compute   {}", model.encoder().decision()));
    if *task == Task::Pc {
        model.start_labels(&data.train.sequences);
    }
    let tuned = finetune(&model, &data, options, *voice)?;
    let judged = predict(&model, &data.test, &data.classes, options);
    let best = &tuned.trials[tuned.best];
    if tuned.skipped > 0 {
        voice.say(&format!("skipped   {} steps whose gradient was not finite", tuned.skipped));
        voice.event(&json!({"event": "skipped_steps", "steps": tuned.skipped}));
    }

    // The old result is none from here on.
    schemas::store::remove(&run.join(METRICS))?;
    let place = run.join(MODEL);
    match request.weights {
        Keep::Model => save(&place, &model, (folder, &tokens), &data.classes, &identity)?,
        // One of an earlier result is none of this.
        Keep::Scores if made_from(&place).is_some_and(|earlier| earlier != identity) => {
            fs::remove_dir_all(&place).map_err(StoreError::io("remove", &place))?;
        }
        Keep::Scores => {}
    }
    let predictions_blake3 = predictions::write(&run.join(PREDICTIONS), &judged)?;
    let metrics = Metrics {
        format: outcome::FORMAT,
        identity,
        sizes,
        notes: notes.counts(),
        learning_rate: best.learning_rate,
        epochs: best.epoch,
        validation: best.scores.clone(),
        test: score(*task, &judged),
        predictions_blake3,
        seconds: started.elapsed().as_secs_f64(),
        made: Some(Made::now(device)),
        trials: tuned.trials,
    };
    let text = serde_json::to_string_pretty(&metrics).unwrap_or_default() + "\n";
    write_file(&run.join(METRICS), text.as_bytes())?;
    Ok(Outcome::Made(metrics))
}

/// What came of the cell that is requested, by a model with this hash; `None` if it is not finished.
///
/// # Errors
/// When a file cannot be read.
pub fn finished(request: &Request, model_blake3: &str) -> Result<Option<Metrics>, CellError> {
    up_to_date(request, &Identity::of(request, model_blake3.to_owned())?)
}

/// The result that is asked for, if it is there and whole.
fn up_to_date(request: &Request, identity: &Identity) -> Result<Option<Metrics>, CellError> {
    let run = &request.run;
    let Some(metrics) = Metrics::read(run) else { return Ok(None) };
    if metrics.identity == *identity {
        let there = request.weights == Keep::Scores || made_from(&run.join(MODEL)).as_ref() == Some(identity);
        return Ok(there.then_some(metrics));
    }
    match request.other {
        Other::Replace => Ok(None),
        Other::Refuse => {
            let differences = metrics.identity.differences(identity);
            Err(CellError::Changed { run: run.clone(), differences })
        }
    }
}

/// What a fine-tuned model was made from; `None` of any other folder.
fn made_from(model: &Path) -> Option<Identity> {
    serde_json::from_slice(&fs::read(model.join(MADE_FROM)).ok()?).ok()
}

/// Whether a result may take the place of what stands there: nothing, or an earlier result, which
/// is not the start itself.
fn vacant(run: &Path, start: &Path) -> Result<(), CellError> {
    let path = run.join(MODEL);
    let Ok(there) = fs::symlink_metadata(&path) else { return Ok(()) };
    let same = fs::canonicalize(&path).ok() == fs::canonicalize(start).ok();
    let earlier = run.join(METRICS).is_file() || made_from(&path).is_some();
    if there.is_dir() && !same && earlier { Ok(()) } else { Err(CellError::Occupied { path }) }
}

/// The folder for this process alone; waits for another one that makes the same cell.
fn lock(run: &Path, voice: Voice) -> Result<Lock, CellError> {
    let lock = match Lockable::within(run)?.alone()? {
        Attempt::Locked(lock) => lock,
        Attempt::Taken(busy) => {
            voice.event(&json!({"event": "waits", "place": run}));
            if voice != Voice::Json {
                // Continue if nobody reads the output anymore.
                let _ = writeln!(io::stdout(), "waits     for another process, which computes {}", run.display());
            }
            busy.wait()?
        }
    };
    trainer::lock::warn(&lock, run);
    Ok(lock)
}

fn documents(examples: &[Example]) -> usize {
    examples.iter().map(|e| &e.document).collect::<BTreeSet<_>>().len()
}

/// Reads the files of a task and makes sequences of them.
fn prepare(
    request: &Request,
    (folder, config, tokens): (&Path, &BertConfig, &Tokens),
    notes: &mut Tally,
) -> Result<Data, CellError> {
    let (task, options, voice) = (request.task, &request.options, request.voice);
    let max_tokens = options.max_tokens.min(config.longest_sequence());
    const LEAST: usize = 16;
    if max_tokens < LEAST {
        let (folder, found) = (folder.to_owned(), config.longest_sequence());
        return Err(CellError::Positions { folder, found, least: LEAST });
    }
    let mut load = |path: &PathBuf, what: &str| {
        let mut read = read(task, path)?;
        let count = read.examples.len();
        voice.say(&format!("{what:10}{count} {} in {}", task.examples(), path.display()));
        notes.join(std::mem::take(&mut read.tally));
        Ok::<_, CellError>(read)
    };
    let mut reads = request.data.iter().map(|path| load(path, "data")).collect::<Result<Vec<_>, _>>()?;
    rename_numbered(&request.data, &mut reads);
    let mut files: Vec<Vec<Example>> = reads.into_iter().map(|read| read.examples).collect();
    differing(task, &request.data, &files)?;
    let with_test = request.test.is_some();
    files.extend(request.test.as_ref().map(|path| load(path, "test")).transpose()?.map(|read| read.examples));
    if task == Task::Rqa {
        squad::join_documents(&mut files);
    }
    let mut test = if with_test { files.pop() } else { None };
    let mut examples: Vec<Example> = files.into_iter().flatten().collect();
    let classes: Vec<String> = match task {
        Task::Rqa => Vec::new(),
        Task::Ae => TAGS.map(str::to_owned).to_vec(),
        Task::Asc => semeval::POLARITIES.map(str::to_owned).to_vec(),
        Task::Pc => {
            let labels = Labels::of(&examples, options.min_titles);
            labels.count_rare(notes);
            examples = labels.restrict(examples, notes);
            test = test.map(|test| labels.restrict(test, notes));
            labels.names().map(str::to_owned).collect()
        }
    };
    if task == Task::Pc && classes.is_empty() {
        return Err(CellError::NoLabels { least: options.min_titles });
    }
    let parts = split(task, options.split_seed, examples, test, notes)?;
    let limit = |limit, examples| limited(options.split_seed, limit, examples);
    let train = limit(options.limit, parts.train);
    let (validation, test) = (limit(options.validation_limit, parts.validation), limit(options.test_limit, parts.test));
    let learnt: BTreeSet<&String> = train.iter().flat_map(labels_of).collect();
    let wanted: BTreeSet<&String> = test.iter().flat_map(labels_of).collect();
    wanted.difference(&learnt).for_each(|label| notes.add(products::UNSEEN, &format!("`{label}`")));
    let lengths = Lengths { max_tokens, stride: options.stride, second_type: config.type_vocab_size > 1 };
    let mut part = |examples: Vec<Example>, purpose| {
        let sequences: Vec<Sequence> = sequences(task, &examples, tokens, lengths, (&classes, purpose), notes)?;
        Ok::<_, CellError>(Part { examples, sequences })
    };
    Ok(Data {
        train: part(train, Purpose::Train)?,
        validation: part(validation, Purpose::Predict)?,
        test: part(test, Purpose::Predict)?,
        classes,
    })
}

/// Prints sequences with positions that the model was not trained on.
fn note_long(data: &Data, longest: usize, voice: Voice, notes: &mut Tally) {
    let parts = [&data.train, &data.validation, &data.test];
    let sequences = parts.iter().flat_map(|part| part.sequences.iter().map(|s| (&part.examples[s.example].id, s)));
    let (mut long, mut all, mut most) = (0, 0, 0);
    for (id, sequence) in sequences {
        all += 1;
        most = most.max(sequence.ids.len());
        if sequence.ids.len() > longest {
            long += 1;
            notes.add("sequences longer than those that the model was trained on", id);
        }
    }
    if long > 0 {
        voice.say(&format!(
            "note      {long} of {all} sequences are longer than the {longest} tokens of the model's training sequences, up to {most}\n\
             hint: `--max-tokens {longest}`, or train the model on longer segments: `ebert shards --max-tokens {}`",
            most - 2
        ));
    }
}

/// Files of a tokenizer, which go with the weights.
const TOKENIZER_FILES: [&str; 5] =
    ["tokenizer.json", "tokenizer_config.json", "vocab.txt", "special_tokens_map.json", "added_tokens.json"];

/// Writes a Hugging Face folder, complete or not at all.
fn save(
    path: &Path,
    model: &TaskModel,
    (start, tokens): (&Path, &Tokens),
    classes: &[String],
    identity: &Identity,
) -> Result<(), CellError> {
    let temporary = path.with_file_name(format!("{MODEL}{TEMPORARY}"));
    // Another process may have been stopped here.
    if temporary.exists() {
        fs::remove_dir_all(&temporary).map_err(StoreError::io("remove", &temporary))?;
    }
    fs::create_dir_all(&temporary).map_err(StoreError::io("create", &temporary))?;
    let named = model.parameters().iter().map(|(name, tensor)| (name.to_owned(), tensor));
    weights::write(&temporary.join(weights::WEIGHTS), named)?;
    let config = config_of(model, tokens.pad(), classes);
    write_file(&temporary.join("config.json"), format!("{config:#}\n").as_bytes())?;
    let made_from = serde_json::to_string_pretty(identity).unwrap_or_default() + "\n";
    write_file(&temporary.join(MADE_FROM), made_from.as_bytes())?;
    for name in TOKENIZER_FILES {
        let from = start.join(name);
        if from.is_file() {
            let bytes = fs::read(&from).map_err(StoreError::io("read", &from))?;
            write_file(&temporary.join(name), &bytes)?;
        }
    }
    if path.exists() {
        fs::remove_dir_all(path).map_err(StoreError::io("remove", path))?;
    }
    fs::rename(&temporary, path).map_err(StoreError::io("rename to", path))?;
    Ok(sync_folder(path.parent().unwrap_or(Path::new(".")))?)
}

/// `config.json`, with the names of classes.
fn config_of(model: &TaskModel, pad: u32, classes: &[String]) -> Value {
    let text = model.encoder().config().to_json(pad).unwrap_or_default();
    let mut config: Value = serde_json::from_str(&text).unwrap_or_default();
    let (family, pooling) = (&model.encoder().config().family, model.pooling());
    config["architectures"] = json!([TaskModel::class(model.task(), family, pooling)]);
    if matches!(family, Family::ModernBert(_)) {
        config["classifier_pooling"] = json!(pooling);
    }
    if !classes.is_empty() {
        let by_id: serde_json::Map<String, Value> =
            classes.iter().enumerate().map(|(id, name)| (id.to_string(), json!(name))).collect();
        let by_name: serde_json::Map<String, Value> =
            classes.iter().enumerate().map(|(id, name)| (name.clone(), json!(id))).collect();
        (config["id2label"], config["label2id"]) = (by_id.into(), by_name.into());
    }
    match model.task() {
        Task::Pc => config["problem_type"] = json!("multi_label_classification"),
        Task::Asc => config["problem_type"] = json!("single_label_classification"),
        Task::Rqa | Task::Ae => {}
    }
    config
}
