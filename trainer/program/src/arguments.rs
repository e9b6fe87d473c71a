//! Options of the command line as types of the trainer.
use std::{
    collections::BTreeSet,
    fs,
    io::{self, Write},
    path::{Path, PathBuf},
};

use ebert_commands::{self as commands, Console, FinetuneOptions, LogFormat, LogOption, NlpTask, SAMPLE_RECIPE};
use ebert_kernels::device::Wish;
use ebert_tasks::{
    Task,
    options::{Options, Pooling},
};
use schemas::{
    Manifest,
    manifest::{CorpusBody, MANIFEST},
};
use serde_json::Value;
use trainer::{log::Talk, neighbor::Scale};

/// The device.
pub(crate) fn device(device: commands::Device) -> Wish {
    match device {
        commands::Device::Auto => Wish::Auto,
        commands::Device::Cpu => Wish::Cpu,
        commands::Device::Cuda => Wish::Cuda,
    }
}

/// Who reads what is printed.
pub(crate) fn talk(console: Console) -> Talk {
    match console {
        Console { quiet: true, .. } => Talk::Quiet,
        Console { log: LogFormat::Json, .. } => Talk::Json,
        Console { verbose: true, .. } => Talk::Verbose,
        Console { .. } => Talk::Text,
    }
}

/// Whether a program reads what is printed.
pub(crate) fn is_json(log: LogOption) -> bool {
    log.log == LogFormat::Json
}

/// Prints an event, if a program reads what is printed.
pub(crate) fn event(json: bool, event: &Value) -> io::Result<()> {
    if json { writeln!(io::stdout(), "{event}") } else { Ok(()) }
}

/// The task.
pub(crate) fn task(task: NlpTask) -> Task {
    match task {
        NlpTask::Rqa => Task::Rqa,
        NlpTask::Pc => Task::Pc,
        NlpTask::Ae => Task::Ae,
        NlpTask::Asc => Task::Asc,
    }
}

/// What logits are divided by.
pub(crate) fn scale(scale: commands::Scale) -> Scale {
    match scale {
        commands::Scale::None => Scale::None,
        commands::Scale::SqrtD => Scale::SqrtD,
    }
}

/// The recipe's values for a shape.
pub(crate) fn shape(shape: commands::Shape) -> Vec<String> {
    let [layers, hidden, heads] = match shape {
        commands::Shape::BertBase => [12, 768, 12],
        commands::Shape::MiniLm => [6, 384, 12],
        commands::Shape::Sample => [2, 128, 2],
    };
    let values = [("layers", layers), ("hidden_size", hidden), ("heads", heads), ("intermediate_size", 4 * hidden)];
    values.map(|(key, value)| format!("model.{key}={value}")).into()
}

/// How to fine-tune.
pub(crate) fn finetune(options: &FinetuneOptions) -> Options {
    let FinetuneOptions { learning_rates, epochs, search, sequences, limit, validation_limit, test_limit, .. } =
        options.clone();
    let FinetuneOptions { seed, split_seed, max_tokens, stride, max_answer, min_titles, threshold, .. } = *options;
    let FinetuneOptions { pooling, fresh_pooler, weight_decay, warmup, clip, .. } = *options;
    let pooling = match pooling {
        commands::Pooling::Cls => Pooling::Cls,
        commands::Pooling::Mean => Pooling::Mean,
    };
    Options {
        learning_rates,
        epochs,
        search,
        sequences,
        limit,
        validation_limit,
        test_limit,
        seed,
        split_seed,
        max_tokens,
        stride,
        max_answer,
        min_titles,
        threshold,
        pooling,
        fresh_pooler,
        weight_decay,
        warmup,
        clip,
        compute: Options::default().compute,
    }
}

/// The options of `ebert shards` next to shards.
fn options_of(shards: &Path) -> Option<toml::Table> {
    let text = fs::read_to_string(shards.parent()?.join(commands::OPTIONS_FILE)).ok()?;
    toml::from_str(&text).ok()
}

/// The model that shards were made for.
pub(crate) fn made_for(shards: &Path) -> Option<PathBuf> {
    Some(PathBuf::from(options_of(shards)?.get("init")?.as_str()?))
}

/// The data sets on the hub that shards were made from, as `owner/name`.
pub(crate) fn hub_datasets(shards: &Path) -> Vec<String> {
    fn collect(value: &toml::Value, into: &mut BTreeSet<String>) {
        match value {
            toml::Value::String(text) => {
                let mut parts = text.strip_prefix("hf://datasets/").unwrap_or_default().splitn(3, '/');
                if let (Some(owner), Some(name), Some(_)) = (parts.next(), parts.next(), parts.next()) {
                    into.insert(format!("{owner}/{name}"));
                }
            }
            toml::Value::Array(values) => values.iter().for_each(|value| collect(value, into)),
            toml::Value::Table(table) => table.values().for_each(|value| collect(value, into)),
            _ => {}
        }
    }
    let mut found = BTreeSet::new();
    collect(&toml::Value::Table(options_of(shards).unwrap_or_default()), &mut found);
    found.into_iter().collect()
}

/// Shards need a recipe by name.
#[derive(Debug)]
pub(crate) struct NoRecipe {
    shards: PathBuf,
}

impl std::fmt::Display for NoRecipe {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let shards = self.shards.display();
        write!(
            f,
            "no recipe is named for `{shards}`, which are not the shards of the sample\n\
             hint: `--recipe e-bert --init bert-base-uncased` is the paper's; `ebert pretrain --help` lists all recipes"
        )
    }
}

impl std::error::Error for NoRecipe {}

/// The recipe: as named, or the default if the shards are the sample's.
pub(crate) fn recipe(named: Option<String>, shards: &Path) -> Result<String, NoRecipe> {
    if let Some(named) = named {
        return Ok(named);
    }
    let corpus = shards.parent().unwrap_or(Path::new(".")).join("corpus");
    let is_sample = Manifest::<CorpusBody>::read(&corpus)
        .is_ok_and(|corpus| commands::is_sample(corpus.body.inputs.iter().map(|file| file.path.as_str())));
    // Shards that are not there are another error, which comes later.
    if is_sample || !shards.join(MANIFEST).is_file() {
        return Ok(SAMPLE_RECIPE.to_owned());
    }
    Err(NoRecipe { shards: shards.to_owned() })
}

#[cfg(test)]
mod tests {
    use ebert_commands::{Command, TrainCommand, parse_from};

    use super::*;

    #[test]
    fn defaults_of_the_command_line_are_those_of_the_library() {
        let line = ["ebert", "finetune", "--model", "m", "--task", "pc", "--data", "d"];
        let Ok(Command::Train(TrainCommand::Finetune(args))) = parse_from(line) else { panic!() };
        assert_eq!(finetune(&args.options), Options::default());
        let line = ["ebert", "evaluate", "--task", "pc", "--data", "d", "--predictions", "p"];
        let Ok(Command::Train(TrainCommand::Evaluate(args))) = parse_from(line) else { panic!() };
        assert_eq!(args.min_titles, Options::default().min_titles);
    }

    #[test]
    fn data_sets_of_the_hub_are_found_wherever_options_name_them() {
        let out = tempfile::tempdir().unwrap();
        let shards = out.path().join("shards");
        assert!(hub_datasets(&shards).is_empty());
        let options = "corpus = [\"hf://datasets/shop/reviews/a.jsonl\", \"hf://datasets/shop/reviews/b.jsonl\", \"data\"]\n\
                       init = \"owner/model\"\n[[products]]\npath = \"hf://datasets/shop/catalog/x/y.csv\"\n";
        std::fs::write(out.path().join(commands::OPTIONS_FILE), options).unwrap();
        assert_eq!(hub_datasets(&shards), ["shop/catalog", "shop/reviews"]);
        assert_eq!(made_for(&shards), Some("owner/model".into()));
    }

    #[test]
    fn other_shards_need_a_recipe_by_name() {
        let out = tempfile::tempdir().unwrap();
        let shards = out.path().join("shards");
        std::fs::create_dir(&shards).unwrap();
        std::fs::write(shards.join(MANIFEST), "{}").unwrap();
        assert!(recipe(None, &shards).is_err());
        assert_eq!(recipe(Some("e-bert".into()), &shards).unwrap(), "e-bert");
    }
}
