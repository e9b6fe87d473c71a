//! The Python module: its batches are those of `ebert_batches`, which the trainer gets. Tests are
//! skipped, with a message, where no Python has the modules that they need.
#[path = "../../batches/tests/support/python.rs"]
mod python;
#[path = "../../batches/tests/support/shards.rs"]
#[allow(dead_code, reason = "not every test uses every helper")]
mod support;

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::Arc,
};

use ebert_batches::{
    Batch, Corpus, HeldOut, PairPlan, Position, SegmentPlan, SequenceFormat, Shards, StepSize,
    masking::{
        MaskMode, Masking, MaskingOptions, TakenAs,
        switch::{Switch, SwitchOptions},
    },
    pair_batches, segment_batches, starts,
};
use python::python;
use serde_json::{Value, json};
use support::Form;
use tempfile::TempDir;

const HELD_OUT: f64 = 0.1;

/// A folder with shards, and a Python that finds the module there.
struct Place {
    folder: TempDir,
    python: PathBuf,
}

impl Place {
    /// `None` where no Python has these modules.
    fn new(modules: &[&str]) -> Option<Self> {
        let place = Self { folder: tempfile::tempdir().unwrap(), python: python(modules)? };
        support::seal_shards(&place.folder.path().join("shards"));
        let package = place.folder.path().join("ebert");
        fs::create_dir(&package).unwrap();
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("ebert");
        for name in ["__init__.py", "torch.py"] {
            fs::copy(source.join(name), package.join(name)).unwrap();
        }
        let tests = env::current_exe().unwrap();
        let library = tests.with_file_name("libebert_python.so");
        assert!(library.is_file(), "{}", library.display());
        symlink(library, package.join("_ebert.abi3.so")).unwrap();
        Some(place)
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let mut command = Command::new(&self.python);
        command.current_dir(self.folder.path()).env("PYTHONPATH", self.folder.path()).args(arguments);
        command.output().unwrap()
    }

    /// What a program prints.
    fn printed(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    }

    /// The value of an expression of `shards`, without arrays.
    fn value(&self, expression: &str) -> Value {
        let program = format!(
            "import json, pickle, ebert\n\
             def plain(value):\n  \
               if hasattr(value, 'tolist'): return value.tolist()\n  \
               if isinstance(value, dict): return {{name: plain(item) for name, item in value.items()}}\n  \
               return [plain(item) for item in value] if isinstance(value, (list, tuple)) else value\n\
             shards = ebert.Shards('.', held_out={HELD_OUT})\n\
             print(json.dumps(plain({expression})))"
        );
        serde_json::from_str(&self.printed(&["-c", &program])).unwrap()
    }

    /// What a statement that raises prints.
    fn exception(&self, statement: &str) -> String {
        let output = self.run(&["-c", &format!("import ebert\n{statement}")]);
        assert!(!output.status.success(), "{statement}");
        String::from_utf8(output.stderr).unwrap()
    }

    fn shards(&self) -> Arc<Shards> {
        Arc::new(Shards::open(&self.folder.path().join("shards"), HELD_OUT, |_| ()).unwrap())
    }
}

/// Values in a matrix with padding.
fn matrix<T: Clone + Into<Value>>(row: &[T], lengths: &[usize], padding: T) -> Value {
    let longest = lengths.iter().copied().max().unwrap_or(0);
    let places = starts(lengths).into_iter().zip(lengths);
    let rows = places.map(|(start, &length)| {
        let mut of_sequence = row[start..start + length].to_vec();
        of_sequence.resize(longest, padding.clone());
        Value::from(of_sequence)
    });
    rows.collect()
}

/// A batch as the module should give it, with what was taken together.
fn expected(batch: &Batch, mode: MaskMode, [rank, world_size]: [usize; 2]) -> Value {
    let share = (rank..batch.lengths.len()).step_by(world_size);
    let documents: Vec<u64> = share.clone().map(|sequence| batch.documents[sequence].get()).collect();
    let parts = batch.parts(mode, share, 0);
    let [(lengths, masked)] = parts.as_slice() else { panic!("one part") };
    let tokens = masked.input_ids.len();
    let types = if masked.types.is_empty() { vec![0; tokens] } else { masked.types.clone() };
    let (mut labels, mut units, mut taken_as) = (vec![-100i64; tokens], vec![-1i64; tokens], vec![-1i64; tokens]);
    for (number, &at) in masked.selected.iter().enumerate() {
        labels[at as usize] = masked.labels[number].into();
        units[at as usize] = masked.units[number].map_or(-1, i64::from);
        let codes = [TakenAs::Unit, TakenAs::PoolPhrase, TakenAs::NounPhrase, TakenAs::Filler];
        taken_as[at as usize] = codes.iter().position(|code| *code == masked.taken_as[number]).unwrap() as i64;
    }
    json!({
        "input_ids": matrix(&masked.input_ids, lengths, 0),
        "attention_mask": matrix(&vec![1; tokens], lengths, 0),
        "token_type_ids": matrix(&types, lengths, 0),
        "labels": matrix(&labels, lengths, -100),
        "units": matrix(&units, lengths, -1),
        "taken_as": matrix(&taken_as, lengths, -1),
        "documents": documents,
        "mode": mode.as_str(),
    })
}

/// The batches of two epochs.
fn two_epochs(shards: &Arc<Shards>, plan: SegmentPlan) -> Vec<Batch> {
    let lowest_score = shards.manifest().body.pool.lowest_score;
    let masking = Masking::new(MaskingOptions::default(), shards.vocabulary().clone(), lowest_score);
    let mut batches = segment_batches(shards, &Arc::new(masking), plan, Position::default()).unwrap();
    std::iter::repeat_with(|| batches.next_batch().unwrap()).take_while(|batch| batch.epoch < 2).collect()
}

fn plan(modes: &[MaskMode]) -> SegmentPlan {
    SegmentPlan {
        corpora: vec![Corpus::Products, Corpus::Reviews],
        size: StepSize::Sequences(7),
        mix: 8,
        modes: modes.to_vec(),
        seed: 4,
        text_pairs: 0.0,
        format: SequenceFormat::Bert,
        epochs_before: 0,
    }
}

#[test]
fn batches_of_every_scheme_are_those_of_the_trainer() {
    let Some(place) = Place::new(&["numpy"]) else { return };
    let shards = place.shards();
    for mode in [MaskMode::Word, MaskMode::Phrase, MaskMode::Span, MaskMode::Noun, MaskMode::Token] {
        let wanted: Value =
            two_epochs(&shards, plan(&[mode])).iter().map(|batch| expected(batch, mode, [0, 1])).collect();
        let arguments = format!("'{}', sequences=7, seed=4, epochs=2, spans=True", mode.as_str());
        assert_eq!(place.value(&format!("list(shards.batches({arguments}))")), wanted, "{}", mode.as_str());
    }
    // Steps of tokens, two texts, part of the sequences; the mode is drawn.
    let modes = [MaskMode::Word, MaskMode::Phrase];
    let options = SwitchOptions { alpha0: 0.5, ..SwitchOptions::default() };
    let switch = Switch::new(options, u64::MAX);
    let all = two_epochs(&shards, SegmentPlan { size: StepSize::Tokens(150), text_pairs: 0.5, ..plan(&modes) });
    let drawn = (0..).zip(&all).map(|(step, batch)| expected(batch, switch.draw(4, step), [1, 2]));
    let wanted: Vec<Value> = drawn.collect();
    let arguments = "'mixed', tokens=150, seed=4, alpha=0.5, text_pairs=0.5, spans=True, rank=1, world_size=2";
    let found = place.value(&format!("list(shards.batches({arguments}, epochs=2))"));
    assert_eq!(found, json!(wanted));
    // The second epoch alone, and from a state.
    let first = all.iter().filter(|batch| batch.epoch == 0).count();
    assert_eq!(place.value(&format!("list(shards.batches({arguments}, epoch=1))")), json!(wanted[first..]));
    assert_eq!(place.value(&format!("shards.batches({arguments}).steps_per_epoch")), json!(first));
    let resumed = format!(
        "(lambda started: [next(started), next(started), \
         list(shards.batches({arguments}, epochs=2, state=started.state_dict()))])(iter(shards.batches({arguments})))[2]"
    );
    assert_eq!(place.value(&resumed), json!(wanted[2..]));
    // Models take four items.
    let names = json!(["input_ids", "attention_mask", "token_type_ids", "labels"]);
    assert_eq!(place.value("list(next(iter(shards.batches())))"), names);
}

#[test]
fn batches_of_other_vocabularies_and_models_are_those_of_the_trainer() {
    let Some(place) = Place::new(&["numpy"]) else { return };
    for (form, model, format) in
        [(Form::ByteLevel, "None", SequenceFormat::Roberta), (Form::Wide, "'modernbert'", SequenceFormat::ModernBert)]
    {
        fs::remove_dir_all(place.folder.path().join("shards")).unwrap();
        support::seal_shards_as(form, &place.folder.path().join("shards"));
        let shards = place.shards();
        let mode = MaskMode::Word;
        let plan = SegmentPlan { text_pairs: 0.5, format, ..plan(&[mode]) };
        let batches = two_epochs(&shards, plan);
        assert!(batches.iter().any(|batch| batch.text_pairs > 0));
        let without_types = |batch: &Batch| {
            let mut batch = expected(batch, mode, [0, 1]);
            batch.as_object_mut().unwrap().remove("token_type_ids");
            batch
        };
        let wanted: Value = batches.iter().map(without_types).collect();
        let options = "'word', sequences=7, seed=4, epochs=2, spans=True, text_pairs=0.5";
        let opened = format!("ebert.Shards('.', held_out={HELD_OUT}, model={model})");
        assert_eq!(place.value(&format!("list({opened}.batches({options}))")), wanted, "{form:?}");
        let pickled = place.value(&format!("pickle.loads(pickle.dumps({opened})).model"));
        assert_eq!(pickled, serde_json::to_value(format).unwrap());
        assert_eq!(place.value("'token_type_ids' in next(iter(shards.pairs()))['anchor']"), json!(form == Form::Wide));
    }
}

#[test]
fn pairs_and_held_out_segments_are_those_of_the_trainer() {
    let Some(place) = Place::new(&["numpy"]) else { return };
    let shards = place.shards();
    let plan = PairPlan { pairs: 10, group: 4, mix: 8, seed: 4 };
    let mut batches = pair_batches(&shards, plan, Position::default()).unwrap();
    let all = std::iter::repeat_with(|| batches.next_batch().unwrap()).take_while(|batch| batch.epoch < 2);
    let wanted: Value = all
        .map(|batch| {
            let starts = starts(&batch.lengths);
            let side = |side: usize| {
                let sequences: Vec<usize> = batch.pairs.iter().map(|pair| pair[side]).collect();
                let lengths: Vec<usize> = sequences.iter().map(|&at| batch.lengths[at]).collect();
                let texts = sequences.iter().map(|&at| &batch.input_ids[starts[at]..starts[at] + batch.lengths[at]]);
                let row = texts.collect::<Vec<_>>().concat();
                json!({
                    "input_ids": matrix(&row, &lengths, 0),
                    "attention_mask": matrix(&vec![1; row.len()], &lengths, 0),
                    "token_type_ids": matrix(&vec![0; row.len()], &lengths, 0),
                })
            };
            let further = &batch.further_negatives;
            json!({"anchor": side(0), "neighbor": side(1), "negative": side(2), "further_negatives": further})
        })
        .collect();
    assert_eq!(place.value("list(shards.pairs(10, group=4, seed=4, epochs=2))"), wanted);

    let held_out = HeldOut::load(&shards, 20, 8).unwrap();
    let set = held_out.sets.iter().find(|set| set.mode == MaskMode::Phrase).unwrap();
    let wanted: Vec<Value> =
        set.batches.iter().map(|(lengths, masked)| matrix(&masked.input_ids, lengths, 0)).collect();
    let found = "[batch['input_ids'] for batch in shards.held_out('phrase', segments=20, sequences=8)]";
    assert_eq!(place.value(found), json!(wanted));
}

#[test]
fn a_folder_is_described() {
    let Some(place) = Place::new(&["numpy"]) else { return };
    let shards = place.shards();
    let split = |corpus| shards.split(corpus);
    let [products, reviews] = [Corpus::Products, Corpus::Reviews].map(split);
    let counts = |split: ebert_batches::Split| json!({"trained": split.trained, "held_out": split.held_out});
    let wanted = json!({
        "len": products.trained + reviews.trained,
        "vocab_size": 64,
        "max_length": 32,
        "counts": {"products": counts(products), "reviews": counts(reviews), "pairs": counts(shards.pair_split())},
        "special_ids": {"pad": 0, "cls": 2, "sep": 3, "mask": 4},
        "tokens": support::tokens(),
        "manifest": serde_json::to_value(shards.manifest()).unwrap(),
    });
    let names = ["vocab_size", "max_length", "counts", "special_ids", "tokens", "manifest"];
    let items: String = names.map(|name| format!(", '{name}': shards.{name}")).concat();
    assert_eq!(place.value(&format!("{{'len': len(shards){items}}}")), wanted);
    let copied = place.value("pickle.loads(pickle.dumps(ebert.Shards('.', held_out=0.5))).counts");
    assert_eq!(copied, place.value("ebert.Shards('.', held_out=0.5).counts"));
    assert_ne!(copied, wanted["counts"]);
}

#[test]
fn errors_are_exceptions_with_hints() {
    let Some(place) = Place::new(&["numpy"]) else { return };
    fs::create_dir(place.folder.path().join("empty")).unwrap();
    let missing = place.exception("ebert.Shards('empty')");
    assert!(missing.contains("ebert.ShardsError: `empty/shards` has no manifest"), "{missing}");
    assert!(missing.contains("hint: run `ebert shards --out empty`"), "{missing}");
    for (call, wanted) in [
        ("batches('adaptive')", "hint: scheme=\"mixed\" draws words with the constant probability alpha"),
        ("batches('phrases')", "scheme: unknown variant `phrases`, expected one of `adaptive`"),
        ("batches(tokens=1, sequences=1)", "expected one of sequences and tokens, not both"),
        ("batches(masking={'budgets': 0.2})", "masking: unknown field `budgets`, expected one of `budget`"),
        ("batches(masking={'budget': 2})", "masking.budget: expected a ratio between 0 and 1"),
        ("batches(tensors='jax')", "tensors is \"jax\", expected \"numpy\" or \"torch\""),
        ("batches(rank=2, world_size=2)", "rank is 2, expected a number below world_size"),
        ("batches(state={})", "state has no \"epoch\", expected what `state_dict()` returned"),
        ("held_out('span')", "mode is span, expected word or phrase"),
    ] {
        let error = place.exception(&format!("ebert.Shards('.').{call}"));
        assert!(error.contains(&format!("ValueError: {wanted}")) || error.contains(wanted), "{call}: {error}");
    }
    let shard = place.folder.path().join("shards/products-00000.parquet");
    let mut bytes = fs::read(&shard).unwrap();
    bytes[100] ^= 1;
    fs::write(&shard, bytes).unwrap();
    let damaged = place.exception("ebert.Shards('.')");
    assert!(damaged.contains("products-00000.parquet") && damaged.contains("hint: delete the file"), "{damaged}");
}

#[test]
fn workers_of_a_data_loader_change_nothing() {
    let Some(place) = Place::new(&["numpy", "torch"]) else { return };
    let program = "\
from torch.utils.data import DataLoader
from ebert.torch import BatchDataset
dataset = BatchDataset('.', scheme='word', sequences=7)
dataset.set_epoch(1)
alone, three = [[batch['input_ids'].tolist() for batch in DataLoader(dataset, batch_size=None, num_workers=workers)]
                for workers in (0, 3)]
numpy = [batch['input_ids'].tolist() for batch in dataset.shards.batches('word', sequences=7, epoch=1)]
print(len(alone) == dataset.steps_per_epoch, alone == three, alone == numpy)";
    assert_eq!(place.printed(&["-c", program]), "True True True\n");
}

#[test]
fn the_trainer_of_transformers_learns() {
    let Some(place) = Place::new(&["numpy", "torch", "transformers", "accelerate"]) else { return };
    let example = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../examples/transformers_trainer.py");
    assert!(fs::read_to_string(&example).unwrap().lines().count() <= 40);
    let start = "\
from transformers import BertConfig, BertForMaskedLM
config = BertConfig(vocab_size=64, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
                    max_position_embeddings=32)
BertForMaskedLM(config).save_pretrained('start')";
    place.printed(&["-c", start]);
    let printed = place.printed(&[&example.display().to_string(), ".", "start", "trained", "60"]);
    let line = printed.lines().last().unwrap();
    let numbers: Vec<f64> = line.split([' ', ',']).filter_map(|word| word.parse().ok()).collect();
    assert!(matches!(numbers[..], [before, after] if after < before - 0.01), "{line}");
    assert!(place.folder.path().join("trained/model.safetensors").is_file());
}

/// `trainer/libtorch.txt` states the version of torch. The wheel and its page repeat it.
#[test]
fn the_wheel_asks_for_the_torch_of_the_trainer() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let text = |name: &str| fs::read_to_string(folder.join(name)).unwrap();
    let (stated, project, page) = (text("../libtorch.txt"), text("pyproject.toml"), text("../../docs/install.md"));
    let packages: Vec<&str> = stated.lines().filter(|line| line.contains("==")).collect();
    let torch = packages.iter().find(|package| package.starts_with("torch==")).unwrap();
    assert!(project.contains(&format!("train = [\"{torch}\"]")), "{torch}");
    assert!(page.contains(&format!("pip install --no-deps {}", packages.join(" "))), "{packages:?}");
}
