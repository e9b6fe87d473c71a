//! Options of the command line as settings of the pipeline.
use std::path::PathBuf;

use ebert_commands::{
    AssociationSource, Console, Copies, CorpusArgs, CorpusOptions, EncodeArgs, EncodeOptions, GraphArgs, GraphOptions,
    InputOptions, Language, LanguageOption, LogFormat, MiningOptions, Negatives, Nouns, PairOptions, PairsArgs,
    PoolArgs, PoolOptions, ShardsArgs, TokenizerOption, Work, WorkerStep,
};
use pipeline::{
    engine::progress::{Format, Progress, Verbosity},
    run::{RunError, Step},
    settings::{self, MiningSettings, Settings},
};
use schemas::manifest;

use super::{config, remote::Needed};

/// The settings of `ebert shards`.
pub(crate) fn of_shards(args: &ShardsArgs) -> Result<Settings, RunError> {
    let mut settings = of_work(&args.work);
    input(&mut settings, &args.input, &args.tokenizer, &args.work)?;
    settings.language = language(args.language);
    corpus(&mut settings, &args.corpus);
    pool(&mut settings, &args.pool);
    graph(&mut settings, &args.graph);
    encode(&mut settings, &args.encode);
    pairs(&mut settings, &args.pairs);
    (settings.max_unreadable, settings.seed) = (args.limits.max_unreadable, args.seed.seed);
    Ok(settings)
}

/// The settings of `ebert corpus`.
pub(crate) fn of_corpus(args: &CorpusArgs) -> Result<Settings, RunError> {
    let mut settings = of_work(&args.work);
    input(&mut settings, &args.input, &args.tokenizer, &args.work)?;
    corpus(&mut settings, &args.corpus);
    settings.max_unreadable = args.limits.max_unreadable;
    Ok(settings)
}

/// The settings of `ebert pool`.
pub(crate) fn of_pool(args: &PoolArgs) -> Result<Settings, RunError> {
    let mut settings = Settings { tokenizer: tokenizer(&args.tokenizer)?, ..of_work(&args.work) };
    settings.language = language(args.language);
    pool(&mut settings, &args.pool);
    (settings.max_unreadable, settings.seed) = (args.limits.max_unreadable, args.seed.seed);
    Ok(settings)
}

/// The settings of `ebert graph`.
pub(crate) fn of_graph(args: &GraphArgs) -> Settings {
    let mut settings = Settings { tokenizer: None, ..of_work(&args.work) };
    graph(&mut settings, &args.graph);
    settings.max_unreadable = args.limits.max_unreadable;
    settings
}

/// The settings of `ebert encode`.
pub(crate) fn of_encode(args: &EncodeArgs) -> Result<Settings, RunError> {
    let mut settings = Settings { tokenizer: tokenizer(&args.tokenizer)?, ..of_work(&args.work) };
    settings.language = language(args.language);
    encode(&mut settings, &args.encode);
    Ok(settings)
}

/// The settings of `ebert pairs` and `ebert seal`.
pub(crate) fn of_pairs(args: &PairsArgs) -> Result<Settings, RunError> {
    let mut settings = Settings { tokenizer: tokenizer(&args.tokenizer)?, ..of_work(&args.work) };
    settings.language = language(args.language);
    encode(&mut settings, &args.encode);
    pairs(&mut settings, &args.pairs);
    settings.seed = args.seed.seed;
    Ok(settings)
}

/// The settings of phrase mining.
pub(crate) fn of_mining(options: &MiningOptions) -> MiningSettings {
    let MiningOptions { quality_list, entity_list, stop_words, min_support, max_words, mining_mib } = options.clone();
    MiningSettings { quality_list, entity_list, stop_words, min_support, max_words, mining_mib }
}

/// The step of a worker.
pub(crate) fn step(step: WorkerStep) -> Step {
    match step {
        WorkerStep::Read => Step::Read,
        WorkerStep::Documents => Step::Documents,
        WorkerStep::Interactions => Step::Interactions,
        WorkerStep::Words => Step::Words,
        WorkerStep::Pool => Step::Pool,
        WorkerStep::Edges => Step::Edges,
        WorkerStep::Graph => Step::Graph,
        WorkerStep::Encode => Step::Encode,
        WorkerStep::Rows => Step::Rows,
        WorkerStep::Pairs => Step::Pairs,
    }
}

/// The language of the text, if it is not to be detected.
pub(crate) fn language(option: LanguageOption) -> settings::LanguageOption {
    match option.language {
        Language::Auto => settings::LanguageOption::Auto,
        Language::En => settings::LanguageOption::En,
        Language::Other => settings::LanguageOption::Other,
    }
}

/// For whom output is.
pub(crate) fn format(log: LogFormat) -> Format {
    match log {
        LogFormat::Text => Format::Text,
        LogFormat::Json => Format::Json,
    }
}

/// How progress is reported.
pub(crate) fn progress(console: Console) -> Progress {
    let format = format(console.log);
    let verbosity = match console {
        Console { quiet: true, .. } => Verbosity::Quiet,
        Console { verbose: true, .. } => Verbosity::Verbose,
        Console { .. } => Verbosity::Normal,
    };
    Progress::new(format, verbosity).with_words(super::words)
}

fn of_work(work: &Work) -> Settings {
    Settings { out: work.out.clone(), threads: work.threads, ..Settings::default() }
}

/// The corpus and its tokenizer. Only the sample has a default tokenizer.
fn input(settings: &mut Settings, input: &InputOptions, option: &TokenizerOption, work: &Work) -> Result<(), RunError> {
    settings.corpus = config::sources(&input.corpus, work.config.as_deref(), Needed::Whole)?;
    settings.force = input.force;
    settings.init.clone_from(&option.init);
    settings.tokenizer = config::tokenizer(option, Some(&settings.corpus))?;
    match settings.tokenizer {
        Some(_) => Ok(()),
        None => Err(RunError::NoTokenizer { corpus: settings.corpus_names() }),
    }
}

/// The tokenizer of a later step. The step checks that it equals the tokenizer of the corpus.
fn tokenizer(option: &TokenizerOption) -> Result<Option<PathBuf>, RunError> {
    config::tokenizer(option, None)
}

fn corpus(settings: &mut Settings, options: &CorpusOptions) {
    settings.bucket_mib = options.bucket_mib;
    settings.copies = match options.copies {
        Copies::Remove => manifest::Copies::Remove,
        Copies::Keep => manifest::Copies::Keep,
    };
    settings.interactions = !options.no_interactions;
    settings.allow_damaged = options.allow_damaged;
    settings.checkpoint_mib = options.checkpoint_mib;
}

fn pool(settings: &mut Settings, options: &PoolOptions) {
    settings.pool.clone_from(&options.pool);
    settings.mining = of_mining(&options.mining);
    (settings.min_score, settings.min_score_single) = (options.min_score, options.min_score_single);
}

fn graph(settings: &mut Settings, options: &GraphOptions) {
    settings.association_source = match options.association_source {
        AssociationSource::Auto => manifest::AssociationSource::Auto,
        AssociationSource::Dump => manifest::AssociationSource::Dump,
        AssociationSource::Reviews => manifest::AssociationSource::Reviews,
        AssociationSource::Both => manifest::AssociationSource::Both,
    };
    settings.associations.clone_from(&options.associations);
}

fn encode(settings: &mut Settings, options: &EncodeOptions) {
    (settings.max_tokens, settings.nouns) = (options.max_tokens, options.nouns == Nouns::On);
}

fn pairs(settings: &mut Settings, options: &PairOptions) {
    (settings.max_per_product, settings.draws) = (options.max_per_product, options.draws);
    settings.negatives = match options.negatives {
        Negatives::Random => manifest::Negatives::Random,
        Negatives::Category => manifest::Negatives::Category,
    };
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use ebert_commands::{Command, DataCommand, TextCommand, parse_from};
    use ebert_dumps::Source;
    use ebert_english::train::Epochs;

    use super::*;

    fn data(arguments: &[&str]) -> DataCommand {
        match parse_from(std::iter::once(&"ebert").chain(arguments)) {
            Ok(Command::Data(command)) => command,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn defaults_of_the_command_line_are_those_of_the_library() {
        // Tests run in the folder of the package.
        let sample = ["shards", "--corpus", "../data/sample", "--tokenizer", "data/sample/tokenizer.json"];
        let DataCommand::Shards(args) = data(&sample) else { panic!() };
        assert_eq!(
            of_shards(&args).unwrap(),
            Settings { corpus: vec![Source::from(Path::new(sample[2]))], ..Settings::default() }
        );
        let DataCommand::Shards(args) = data(&["shards"]) else { panic!() };
        assert!(args.input.corpus.is_empty());
        let DataCommand::Pool(args) = data(&["pool"]) else { panic!() };
        assert_eq!(of_pool(&args).unwrap(), Settings::default());
        let DataCommand::Encode(args) = data(&["encode"]) else { panic!() };
        assert_eq!(of_encode(&args).unwrap(), Settings::default());
        let DataCommand::Seal(args) = data(&["seal"]) else { panic!() };
        assert_eq!(of_pairs(&args.pairs).unwrap(), Settings::default());
        let Ok(Command::Text(TextCommand::TrainTagger(args))) = parse_from(["ebert", "train-tagger", "bank"]) else {
            panic!()
        };
        let Epochs { tagger, chunker } = Epochs::default();
        assert_eq!((args.tagger_epochs, args.chunker_epochs), (tagger, chunker));
    }

    #[test]
    fn steps_that_mine_or_encode_take_a_language() {
        for (value, wanted) in [
            ("auto", settings::LanguageOption::Auto),
            ("en", settings::LanguageOption::En),
            ("other", settings::LanguageOption::Other),
        ] {
            let of = |command: &str| match data(&[command, "--language", value]) {
                DataCommand::Shards(args) => of_shards(&ShardsArgs {
                    tokenizer: TokenizerOption { tokenizer: Some("vocab.txt".into()), init: None },
                    input: InputOptions { corpus: vec!["src".into()], ..args.input.clone() },
                    ..*args
                })
                .unwrap(),
                DataCommand::Pool(args) => of_pool(&args).unwrap(),
                DataCommand::Encode(args) => of_encode(&args).unwrap(),
                DataCommand::Pairs(args) => of_pairs(&args).unwrap(),
                DataCommand::Seal(args) => of_pairs(&args.pairs).unwrap(),
                other => panic!("{other:?}"),
            };
            for command in ["shards", "pool", "encode", "pairs", "seal"] {
                assert_eq!(of(command).language, wanted, "{command} {value}");
            }
        }
        for command in ["corpus", "graph"] {
            assert!(parse_from(["ebert", command, "--language", "en"]).is_err(), "{command}");
        }
    }

    #[test]
    fn only_the_sample_has_a_tokenizer_of_its_own() {
        let DataCommand::Shards(args) = data(&["shards", "--corpus", "src"]) else { panic!() };
        assert!(matches!(of_shards(&args), Err(RunError::NoTokenizer { .. })));
        let DataCommand::Shards(args) = data(&["shards", "--corpus", "none"]) else { panic!() };
        assert!(matches!(of_shards(&args), Err(RunError::Find { .. })));
        let DataCommand::Corpus(args) = data(&["corpus", "--corpus", "src", "--tokenizer", "vocab.txt"]) else {
            panic!()
        };
        assert_eq!(of_corpus(&args).unwrap().tokenizer, Some("vocab.txt".into()));
        let DataCommand::Graph(args) = data(&["graph"]) else { panic!() };
        assert_eq!(of_graph(&args).tokenizer, None);
    }
}
