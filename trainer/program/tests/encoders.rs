//! Pre-training of other encoders than BERT, and on shards with other vocabularies.
#[path = "../../batches/tests/support/python.rs"]
mod python;
mod support;

use std::{
    fs,
    path::Path,
    process::{Command, Output},
};

use ebert_bert::{
    BertConfig, BertForMaskedLm, Decision, Family, ModernBert, Packed, Phase, tokens::tokenizer, weights,
};
use ebert_tasks::{
    Task,
    heads::{HeadShape, TaskModel},
    options::Pooling,
    sequence::{Sequence, Target},
};
use python::python;
use serde_json::{Value, json};
use support::{
    Form, Place, seal_shards_as, seal_shards_of, tasks, text_of,
    trained::{self, Like},
};
use tch::Device;

/// Some steps of both stages, some segments as two texts.
fn run(place: &Place, more: &[&str]) -> Output {
    let all = ["--recipe", "tiny.toml", "--set", "data.text_pairs=0.3", "--set", "stage.0.steps=20"];
    place.run(&[&all[..], &["--set", "stage.1.steps=10", "--set", "checkpoint.every=15"], more].concat())
}

fn succeed(place: &Place, more: &[&str]) -> String {
    let output = run(place, more);
    assert!(output.status.success(), "{}", text_of(&output));
    text_of(&output)
}

/// Shards with a trained tokenizer.
fn place_of(like: Like) -> Place {
    place_with(trained::byte_level(like))
}

/// Shards with a tokenizer of byte-level BPE.
fn place_with(tokenizer: &str) -> Place {
    let file: Value = serde_json::from_str(tokenizer).unwrap();
    let of_model = file["model"]["vocab"].as_object().unwrap().values();
    let added = file["added_tokens"].as_array().unwrap().iter().map(|token| &token["id"]);
    let last = of_model.chain(added).filter_map(Value::as_u64).max().unwrap();
    Place::with(|folder| seal_shards_of(tokenizer, last as usize + 1, folder))
}

#[test]
fn every_family_trains_and_resumes_on_every_vocabulary() {
    for (form, family) in [
        (Form::ByteLevel, "roberta"),
        (Form::ByteLevel, "modernbert"),
        (Form::ByteLevel, "bert"),
        (Form::Wide, "modernbert"),
        (Form::Wide, "roberta"),
    ] {
        let place = Place::with(|folder| seal_shards_as(form, folder));
        let family_set = format!("model.family={family}");
        let set = ["--set", &family_set, "--out"];
        assert!(succeed(&place, &[&set[..2], &["--dry-run"]].concat()).contains("expect "));
        succeed(&place, &[&set[..], &["whole"]].concat());
        succeed(&place, &[&set[..], &["resumed"]].concat());
        // As if it had been stopped after the first checkpoint.
        fs::remove_dir_all(place.path("resumed/checkpoints/step-00000030")).unwrap();
        let text = succeed(&place, &[&set[..], &["resumed"]].concat());
        assert!(text.contains("resume    from step 15 of 30"), "{text}");
        assert!(place.weights("resumed") == place.weights("whole"), "{form:?} {family}");
        assert_eq!(place.metrics("resumed"), place.metrics("whole"), "{form:?} {family}");

        let model = place.path("whole/model");
        let config: Value = serde_json::from_slice(&fs::read(model.join("config.json")).unwrap()).unwrap();
        assert_eq!((&config["model_type"], &config["vocab_size"]), (&json!(family), &json!(form.tokens().len())));
        assert_eq!(model.join("vocab.txt").is_file(), form == Form::Wide);
        let card = fs::read_to_string(model.join("README.md")).unwrap();
        assert!(card.contains(&format!("tags: [{family}, e-bert, e-commerce]")), "{card}");
        // A run starts from it.
        succeed(&place, &["--init", "whole", "--out", "again"]);
    }
}

#[test]
fn a_start_model_with_another_tokenizer_is_refused() {
    let place = place_of(Like::RoBerta);
    succeed(&place, &["--set", "model.family=roberta", "--out", "start"]);
    let refused = |change: &dyn Fn(&mut Value)| {
        let path = place.path("start/model/tokenizer.json");
        let bytes = fs::read(&path).unwrap();
        let mut file = serde_json::from_slice(&bytes).unwrap();
        change(&mut file);
        fs::write(&path, file.to_string()).unwrap();
        let output = run(&place, &["--init", "start", "--dry-run"]);
        fs::write(&path, bytes).unwrap();
        assert_eq!(output.status.code(), Some(1));
        text_of(&output)
    };
    // Other ids, other pieces, and other words.
    let text = refused(&|file| {
        let vocabulary = file["model"]["vocab"].as_object_mut().unwrap();
        let [a, b] = ["a", "b"].map(|token| vocabulary[token].clone());
        vocabulary.extend([("a".to_owned(), b), ("b".to_owned(), a)]);
    });
    assert!(text.contains("does not fit the shards: token") && text.contains("is `b`, in the shards `a`"), "{text}");
    assert!(text.contains("hint: build shards with the model's own tokenizer: `ebert shards --tokenizer "), "{text}");
    let text = refused(&|file| drop(file["model"]["merges"].as_array_mut().unwrap().drain(500..)));
    assert!(text.contains("reads `The caf") && text.contains("that of the shards as `The "), "{text}");
    let text = refused(&|file| file["pre_tokenizer"]["add_prefix_space"] = true.into());
    assert!(text.contains("` as `\u{120}The "), "{text}");
    let text = refused(&|file| file["normalizer"] = json!({"type": "Lowercase"}));
    assert!(text.contains("reads `Café 東京` as `café 東京`, that of the shards as `Café 東京`"), "{text}");
}

#[test]
fn a_tokenizer_that_pads_and_cuts_fits_its_model() {
    let mut file: Value = serde_json::from_str(trained::byte_level(Like::RoBerta)).unwrap();
    file["padding"] = json!({
        "strategy": {"Fixed": 128}, "direction": "Right", "pad_to_multiple_of": null,
        "pad_id": 1, "pad_type_id": 0, "pad_token": "<pad>",
    });
    file["truncation"] = json!({"direction": "Right", "max_length": 8, "strategy": "LongestFirst", "stride": 0});
    let place = place_with(&file.to_string());
    succeed(&place, &["--set", "model.family=roberta", "--out", "start"]);
    succeed(&place, &["--init", "start", "--dry-run"]);
}

#[test]
fn a_folder_writes_two_texts_as_its_model_was_trained() {
    let place = place_of(Like::RoBerta);
    for (family, separators) in [("roberta", 2), ("modernbert", 1), ("bert", 1)] {
        succeed(&place, &["--set", &format!("model.family={family}"), "--out", family]);
        let tokenizer = tokenizer(&place.path(&format!("{family}/model"))).unwrap();
        let ids = tokenizer.encode(("a", "b"), true).unwrap().get_ids().to_vec();
        let sep = tokenizer.token_to_id("</s>").unwrap();
        assert_eq!(ids.iter().filter(|&&id| id == sep).count(), separators + 1, "{family}: {ids:?}");
    }
}

/// Loads a checkpoint, and prints tokens and what the model makes of them.
const LOAD: &str = "
import json, sys
import torch
from transformers import AutoModelForMaskedLM, AutoTokenizer
tokenizer, model = [c.from_pretrained(sys.argv[1]) for c in (AutoTokenizer, AutoModelForMaskedLM)]
mask = tokenizer.mask_token
texts = ['Stainless steel kettle', f'Stainless {mask} kettle', ['A cup', 'for tea']]
printed = []
for text in texts:
    inputs = tokenizer(*text, return_tensors='pt') if isinstance(text, list) else tokenizer(text, return_tensors='pt')
    with torch.no_grad():
        logits = model(**inputs).logits[0]
    printed.append({'keys': sorted(inputs), 'ids': inputs['input_ids'][0].tolist(), 'last': logits[-1].tolist()[:50]})
batch = tokenizer(['a', 'a longer text'], padding=True, return_tensors='pt')
assert model(**batch).logits.shape[0] == 2
print(json.dumps({'class': type(model).__name__, 'texts': printed, 'mask': tokenizer.mask_token_id}))
";

/// What the folder's own tokenizer makes of a text, without special tokens.
fn encoded(model: &Path, text: &str) -> Vec<u32> {
    let mut tokenizer = tokenizer(model).unwrap();
    tokenizer.set_encode_special_tokens(true);
    tokenizer.encode(text, false).unwrap().get_ids().to_vec()
}

/// Our logits for the last token, the first 50 of them.
fn logits(folder: &Path, ids: &[u32]) -> Vec<f64> {
    let config = BertConfig::read(folder).unwrap();
    let model = BertForMaskedLm::new(&config, 0, Device::Cpu, Decision::on_cpu());
    weights::load(folder, &config.family, model.parameters()).unwrap();
    let packed = Packed::new(ids, &[ids.len()], Device::Cpu);
    let last = [ids.len() as u32 - 1];
    let logits = tch::no_grad(|| model.predict_at(&packed, &last, Phase::Evaluate));
    let all: Vec<f64> = Vec::try_from(logits.view([-1])).unwrap();
    all[..50].to_vec()
}

#[test]
fn transformers_loads_what_was_trained() {
    let Some(python) = python(&["torch", "transformers"]) else { return };
    for (like, family, class, [cls, sep], separators) in [
        (Like::RoBerta, "roberta", "RobertaForMaskedLM", ["<s>", "</s>"], 2),
        (Like::ModernBert, "modernbert", "ModernBertForMaskedLM", ["[CLS]", "[SEP]"], 1),
    ] {
        let place = place_of(like);
        succeed(&place, &["--set", &format!("model.family={family}"), "--out", "run"]);
        let model = place.path("run/model");
        let output = Command::new(&python).args(["-c", LOAD]).arg(&model).output().unwrap();
        assert!(output.status.success(), "{}", text_of(&output));
        let told: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(told["class"], class);
        let [cls, sep] = [cls, sep].map(|token| tokenizer(&model).unwrap().token_to_id(token).unwrap());
        let ids = |text: &str| encoded(&model, text);
        let mask = told["mask"].as_u64().unwrap() as u32;
        // The mask takes the space before it.
        let wanted = [
            [&[cls], &ids("Stainless steel kettle")[..], &[sep]].concat(),
            [&[cls], &ids("Stainless")[..], &[mask], &ids(" kettle"), &[sep]].concat(),
            [&[cls], &ids("A cup")[..], &vec![sep; separators], &ids("for tea"), &[sep]].concat(),
        ];
        for (told, wanted) in told["texts"].as_array().unwrap().iter().zip(&wanted) {
            assert_eq!(told["ids"], json!(wanted), "{family}");
            assert_eq!(told["keys"], json!(["attention_mask", "input_ids"]), "{family}");
            let theirs: Vec<f64> = serde_json::from_value(told["last"].clone()).unwrap();
            for (ours, theirs) in logits(&model, wanted).iter().zip(&theirs) {
                assert!((ours - theirs).abs() < 1e-4, "{family}: {ours} {theirs}");
            }
        }
    }
}

/// Prints, for each folder, its class of `transformers` and that one's scores for a sequence.
const SCORE: &str = "
import json, sys
import torch, transformers
ids = json.loads(sys.argv[1])
for folder in sys.argv[2:]:
    name = json.load(open(f'{folder}/config.json'))['architectures'][0]
    model, loading = getattr(transformers, name).from_pretrained(folder, output_loading_info=True)
    assert not any(loading.values()), loading
    with torch.no_grad():
        found = model(input_ids=torch.tensor([ids]))
    scores = found.logits[0] if 'logits' in found else torch.stack([found.start_logits[0], found.end_logits[0]], 1)
    print(json.dumps([name, scores.flatten().tolist()]))
";

#[test]
fn transformers_loads_what_was_fine_tuned() {
    let Some(python) = python(&["torch", "transformers"]) else { return };
    let place = tasks::Place::new();
    let mut runs = Vec::new();
    for family in [Family::Bert, Family::Roberta { pad: 0 }, Family::ModernBert(ModernBert::default())] {
        let config = BertConfig { family: family.clone(), ..BertConfig::read(&place.path("bert")).unwrap() };
        let start = family.model_type().to_owned() + "-start";
        tasks::make_model_of(&place.path(&start), &config, 2);
        let titles = ["--data", "titles.jsonl", "--min-titles", "2"];
        for (task, more) in [
            ("rqa", vec!["--data", "rqa.json"]),
            ("ae", vec!["--data", "aspects.xml"]),
            ("asc", vec!["--data", "aspects.xml"]),
            ("pc", titles.to_vec()),
            ("pc", [&titles[..], &["--pooling", "mean"]].concat()),
        ] {
            let pooling = if more.contains(&"mean") { Pooling::Mean } else { Pooling::Cls };
            if pooling == Pooling::Mean && !matches!(family, Family::ModernBert(_)) {
                continue;
            }
            let run = format!("{start}-{task}-{}", more.len());
            let all = ["finetune", "--model", &start, "--task", task, "--out", &run, "--epochs", "1"];
            let rest = ["--learning-rate", "5e-3", "--limit", "40", "--threads", "1", "--device", "cpu"];
            let output = place.run(&[&all[..], &rest, &more].concat());
            assert!(output.status.success(), "{}", text_of(&output));
            runs.push((place.path(&run).join("model"), serde_json::from_value(json!(task)).unwrap(), pooling));
        }
    }
    let ids = vec![2, 12, 9, 20, 33, 3];
    let folders = runs.iter().map(|(folder, ..)| folder);
    let output = Command::new(&python).args(["-c", SCORE, &json!(ids).to_string()]).args(folders).output().unwrap();
    assert!(output.status.success(), "{}", text_of(&output));
    let told: Vec<(String, Vec<f32>)> =
        serde_json::Deserializer::from_slice(&output.stdout).into_iter().map(Result::unwrap).collect();
    assert_eq!(told.len(), runs.len());
    let (types, spans, words) = (vec![0; ids.len()], Vec::new(), Vec::new());
    let sequence = Sequence { example: 0, ids, types, target: Target::None, first: 1, spans, words };
    for ((folder, task, pooling), (class, theirs)) in runs.into_iter().zip(told) {
        // Everything of the folder is loaded, so nothing of it depends on the seed.
        let classes = if task == Task::Rqa { 2 } else { theirs.len() };
        let shape = HeadShape { task, classes, pooling, fresh_pooler: false };
        let config = BertConfig::read(&folder).unwrap();
        let (model, _) = TaskModel::load(&folder, &config, shape, 9, (Device::Cpu, Decision::on_cpu())).unwrap();
        assert_eq!(class, TaskModel::class(task, &config.family, pooling));
        let ours = model.predict(&[&sequence]).remove(0);
        assert_eq!(ours.len(), theirs.len(), "{class}");
        for (ours, theirs) in ours.iter().zip(&theirs) {
            assert!((ours - theirs).abs() < 1e-4, "{class}: {ours} {theirs}");
        }
    }
}
