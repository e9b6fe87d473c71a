//! The program `ebert`.
use std::{
    io::{self, IsTerminal, Write},
    path::Path,
    process::ExitCode,
};

use ebert_commands::{
    Categories, Color, Command, Console, DataCommand, EncodeArgs, Figure, InspectArgs, LookCommand, SealArgs,
    TextCommand, TrainCommand, Wording, Work,
};
use ebert_english::train::Epochs;
use pipeline::{
    engine::progress::{Progress, Stdout},
    look::{
        associations,
        check::check,
        inspect::{InspectOptions, inspect},
        leaks::leaks,
        overlap, phrases, titles,
        verify::verify,
    },
    phrase::mine::summary::Thresholds,
    run::RunError,
    settings,
    shard::{ShardError, encode::Encoded, task},
};
use schemas::{Task, quoted};

mod program;

use program::{
    arguments, config, mine, pages,
    remote::Needed,
    stored::{self, settled},
    tagger as tag, trainer,
};

/// Exit status of a step that a signal stopped.
const STOPPED: libc::c_int = 75;

fn main() -> ExitCode {
    let command = match stored::arguments() {
        Ok(arguments) => ebert_commands::parse_from(arguments).unwrap_or_else(|error| error.exit()),
        Err(error) => return failed(&error.into()),
    };
    // The command whose options messages name.
    let name = match &command {
        Command::Train(command) => command.name(),
        Command::Look(LookCommand::Inspect(_)) => "inspect",
        _ => "shards",
    };
    program::WORDING.get_or_init(|| Wording::of(name));
    match execute(command) {
        Ok(()) => ExitCode::SUCCESS,
        // The reader of `inspect`, or of `mine` without a file, has seen enough.
        Err(error) if is_broken_pipe(&error) => ExitCode::SUCCESS,
        Err(error) => failed(&error),
    }
}

/// Prints an error, and gives its exit status.
fn failed(error: &anyhow::Error) -> ExitCode {
    let _ = write!(io::stderr(), "{}", program::words(&schemas::explain(error.as_ref())));
    let usage = error.downcast_ref().is_some_and(RunError::is_usage)
        || error.downcast_ref().is_some_and(mine::CommandError::is_usage);
    if usage { ExitCode::from(2) } else { ExitCode::FAILURE }
}

/// Sets the thread count and creates the progress output.
fn prepare(work: &Work) -> Progress {
    // polars starts its own threads, as many as this sets when it is first used.
    // SAFETY: the only other thread there may be showed how a configuration was fetched. It reads no variables.
    unsafe { std::env::set_var("POLARS_MAX_THREADS", settings::threads(work.threads).get().to_string()) };
    for signal in [libc::SIGINT, libc::SIGTERM] {
        // SAFETY: the handler makes only calls that are allowed in one.
        unsafe { libc::signal(signal, stop as extern "C" fn(libc::c_int) as libc::sighandler_t) };
    }
    arguments::progress(work.console)
}

/// Ends a step that a signal stops. What is finished of it is on the disk at any moment.
extern "C" fn stop(_: libc::c_int) {
    const TEXT: &[u8] = b"\nstopped; the same command resumes\n";
    // SAFETY: both calls are allowed in a handler of signals, and the text is valid.
    unsafe {
        libc::write(libc::STDERR_FILENO, TEXT.as_ptr().cast(), TEXT.len());
        libc::_exit(STOPPED);
    }
}

/// Sets limits and the allocator of this process.
fn prepare_process() {
    // Exceeding a file-size limit becomes a write error, as for a full disk, instead of ending the process.
    // SAFETY: ignoring a signal runs no code.
    unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
    raise_open_files();
    keep_memory();
}

/// Raises the limit of open files to the most that this user may have. The usual default is 1,024.
fn raise_open_files() {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls read or fill the struct that they are given.
    unsafe {
        if libc::getrlimit(libc::RLIMIT_NOFILE, &raw mut limit) == 0 {
            limit.rlim_cur = limit.rlim_max;
            libc::setrlimit(libc::RLIMIT_NOFILE, &raw const limit);
        }
    }
}

/// Lets the allocator keep freed memory for the next batch. Returning it costs a page fault and a cleared page for
/// each reuse: 5% of all CPU time of the default command.
fn keep_memory() {
    #[cfg(all(target_os = "linux", target_env = "gnu"))]
    // SAFETY: the calls set numbers of the allocator, under its lock.
    unsafe {
        libc::mallopt(libc::M_MMAP_THRESHOLD, 1 << 30);
        libc::mallopt(libc::M_TRIM_THRESHOLD, 256 << 20);
        libc::mallopt(libc::M_TOP_PAD, 4 << 20);
    }
}

fn execute(command: Command) -> anyhow::Result<()> {
    // The trainer inherits what is changed about this process, so nothing is.
    if let Command::Train(command) = &command {
        return Err(train(command)?.into());
    }
    prepare_process();
    match command {
        Command::Data(command) => data(command),
        Command::Look(command) => look(command),
        Command::Text(command) => text(command),
        Command::Completions { shell } => Ok(pages::completions(shell)?),
        Command::Man { folder } => Ok(pages::man(folder.as_deref())?),
        Command::Train(command) => Err(train(&command)?.into()),
    }
}

/// Becomes the trainer; returns why it did not. Shards in an object store are fetched before.
fn train(command: &TrainCommand) -> Result<trainer::TrainerError, RunError> {
    let shards = command.shards().filter(|shards| ebert_commands::is_address(shards));
    // Probes look up titles, and neighbors in the graph.
    let folders: &[&str] =
        if matches!(command, TrainCommand::Probe(_)) { &["shards", "corpus", "graph"] } else { &["shards"] };
    let fetched = shards.map(|shards| stored::looked_at(shards, folders, Progress::default())).transpose()?;
    Ok(trainer::become_trainer(command.name(), fetched.as_deref()))
}

fn data(command: DataCommand) -> anyhow::Result<()> {
    match command {
        DataCommand::Check(args) => {
            let sources = config::sources(&args.corpus, args.config.as_deref(), Needed::Start)?;
            check(&sources, args.records, &mut Stdout)?;
            let file = args.config.iter().map(|file| format!(" --config {}", quoted(file)));
            let paths = args.corpus.iter().map(|path| format!(" --corpus {}", quoted(path)));
            let start = config::start_option(&sources, args.config.as_deref());
            let how: String = file.chain(paths).chain(start.map(str::to_owned)).collect();
            Ok(Progress::default().with_words(program::words).next(&[format!("ebert shards{how}")], "")?)
        }
        DataCommand::Shards(args) => {
            let progress = prepare(&args.work);
            Ok(stored::run(&settled(arguments::of_shards(&args)?)?, progress, None)?.all()?)
        }
        DataCommand::Corpus(args) => {
            let (progress, settings) = (prepare(&args.work), settled(arguments::of_corpus(&args)?)?);
            let mut run = stored::run(&settings, progress, None)?;
            run.bring_corpus()?;
            let corpus = run.corpus()?;
            run.left_out_of_corpus(&corpus)?;
            Ok(run.end_step(&["pool", "graph"], "")?)
        }
        DataCommand::Pool(args) => {
            let (progress, settings) = (prepare(&args.work), settled(arguments::of_pool(&args)?)?);
            let mut run = stored::run(&settings, progress, None)?;
            // The pool folder may have the words that tasks left.
            run.bring(&["corpus", "pool"])?;
            let pool = run.pool()?;
            run.left_out_of_pool(&pool)?;
            Ok(run.end_step(&["graph", "encode"], "")?)
        }
        DataCommand::Graph(args) => {
            let (progress, settings) = (prepare(&args.work), settled(arguments::of_graph(&args))?);
            let mut run = stored::run(&settings, progress, None)?;
            run.bring(&["corpus", "graph"])?;
            let corpus = run.corpus_made()?;
            run.graph(&corpus)?;
            Ok(run.end_step(&["encode"], "")?)
        }
        DataCommand::Encode(args) => encode(&args),
        DataCommand::Pairs(args) => {
            let (progress, settings) = (prepare(&args.work), settled(arguments::of_pairs(&args)?)?);
            let mut run = stored::run(&settings, progress, None)?;
            let corpus = run.corpus_made()?;
            let (pool, graph) = (run.pool_made(&corpus)?, run.graph_made(&corpus)?);
            run.bring(&["corpus", "graph", "shards"])?;
            run.draw_pairs(&corpus, &pool, &graph)?;
            Ok(run.end_step(&["seal"], "")?)
        }
        DataCommand::Seal(SealArgs { pairs, parts }) => {
            let (progress, settings) = (prepare(&pairs.work), settled(arguments::of_pairs(&pairs)?)?);
            let mut run = stored::run(&settings, progress, None)?;
            let corpus = run.corpus_made()?;
            let (pool, graph) = (run.pool_made(&corpus)?, run.graph_made(&corpus)?);
            let (sealed, outcome) = run.seal(&corpus, &pool, &graph, parts)?;
            run.report_shards(&sealed, &Encoded::default(), &outcome)?;
            Ok(run.end_run(&corpus, &sealed)?)
        }
        DataCommand::Plan(args) => {
            let (progress, settings) = (prepare(&args.options.work), settled(arguments::of_shards(&args.options)?)?);
            Ok(stored::run(&settings, progress, Some(Task::ALL))?.plan(args.tasks)?)
        }
        DataCommand::Worker(args) => {
            let (progress, settings) = (prepare(&args.options.work), settled(arguments::of_shards(&args.options)?)?);
            let task = part(args.task, args.parts)?.unwrap_or(Task::ALL);
            Ok(stored::run(&settings, progress, Some(task))?.work(arguments::step(args.step), task)?)
        }
        DataCommand::Titles { folder, out } => {
            let name = Path::new("titles.jsonl");
            let next_to = if ebert_commands::is_address(&folder) { name.to_owned() } else { folder.join(name) };
            let file = out.unwrap_or(next_to);
            let folder = stored::looked_at(&folder, &["corpus"], Progress::default())?;
            titles::titles(&folder, &file, &mut Stdout)?;
            let next = format!("ebert finetune --task pc --data {} --model bert-base-uncased", quoted(&file));
            Ok(Progress::default().with_words(program::words).next(&[next], "")?)
        }
    }
}

/// The task of this process: the given one, or the scheduler's.
fn part(given: Option<Task>, parts: Option<u32>) -> Result<Option<Task>, RunError> {
    match given {
        Some(task) => Ok(Some(task)),
        None => task::of_scheduler(parts, |name| std::env::var(name).ok())
            .map_err(|error| RunError::Shards(ShardError::Task(error))),
    }
}

fn encode(args: &EncodeArgs) -> anyhow::Result<()> {
    let (progress, settings) = (prepare(&args.work), settled(arguments::of_encode(args)?)?);
    let task = part(args.part, args.parts)?;
    let mut run = stored::run(&settings, progress, task)?;
    let corpus = run.corpus_made()?;
    let pool = run.pool_made(&corpus)?;
    run.bring_documents(&corpus, &pool)?;
    run.encode_part(&corpus, &pool)?;
    let of = task.map(Task::of);
    let seal = of.map_or_else(|| "seal".to_owned(), |of| format!("seal --parts {of}"));
    let condition = of.map(|of| format!(", when all {of} parts are done")).unwrap_or_default();
    Ok(run.end_step(&["pairs", &seal], &condition)?)
}

fn look(command: LookCommand) -> anyhow::Result<()> {
    match command {
        LookCommand::Verify { folder, log } => {
            let progress = arguments::progress(Console { log: log.log, ..Console::default() });
            let folder = stored::looked_at(&folder, &["corpus", "pool", "graph", "shards"], progress)?;
            Ok(verify(&folder, arguments::format(log.log), &mut Stdout)?)
        }
        LookCommand::Inspect(InspectArgs { folder, leaks: true, held_out, log, .. }) => {
            let progress = arguments::progress(Console { log: log.log, ..Console::default() });
            let folder = stored::looked_at(&folder, &["corpus", "shards"], progress)?;
            leaks(&folder, held_out, arguments::format(log.log), &progress, &mut Stdout)?;
            Ok(())
        }
        LookCommand::Inspect(InspectArgs { folder, rows, shards, color, log, .. }) => {
            let colour = match color {
                Color::Always => true,
                Color::Never => false,
                Color::Auto => io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none(),
            };
            let progress = arguments::progress(Console { log: log.log, ..Console::default() });
            let folder = stored::looked_at(&folder, &["corpus", "pool", "shards"], progress)?;
            let mut report = io::BufWriter::new(io::stdout().lock());
            inspect(&folder, InspectOptions { rows, shards, format: arguments::format(log.log), colour }, &mut report)?;
            Ok(report.flush()?)
        }
        LookCommand::Report(Figure::Associations(Categories { folder, categories })) => {
            stored::only_local("report", &folder)?;
            Ok(associations::associations(&folder, categories as usize, &mut Stdout)?)
        }
        LookCommand::Report(Figure::Phrases { categories: Categories { folder, categories }, phrases: most }) => {
            stored::only_local("report", &folder)?;
            Ok(phrases::phrases(&folder, categories as usize, most, &mut Stdout)?)
        }
        LookCommand::Report(Figure::Overlap(Categories { folder, categories })) => {
            stored::only_local("report", &folder)?;
            Ok(overlap::overlap(&folder, categories as usize, &mut Stdout)?)
        }
    }
}

fn text(command: TextCommand) -> anyhow::Result<()> {
    match command {
        TextCommand::Mine(args) => {
            let mining = arguments::of_mining(&args.mining);
            let command = mine::MineCommand {
                text: &args.text,
                language: arguments::language(args.language),
                options: mining.options(args.seed.seed),
                quality_list: mining.quality_list,
                entity_list: mining.entity_list,
                stop_words: mining.stop_words,
                mining_mib: mining.mining_mib,
                thresholds: Thresholds { phrases: args.min_score, words: args.min_score_single },
                threads: settings::threads(args.threads),
                output: args.out.as_deref(),
                quiet: args.console.quiet,
            };
            Ok(mine::run(&command, &arguments::progress(args.console))?)
        }
        TextCommand::TrainTagger(args) => {
            let epochs = Epochs { tagger: args.tagger_epochs, chunker: args.chunker_epochs };
            Ok(tag::train(&args.treebanks, &args.out, epochs, &mut Stdout)?)
        }
        TextCommand::EvaluateTagger(args) => Ok(tag::evaluate(&args.treebanks, args.model.as_deref(), &mut Stdout)?),
    }
}

fn is_broken_pipe(error: &anyhow::Error) -> bool {
    error.chain().any(|e| e.downcast_ref::<io::Error>().is_some_and(|e| e.kind() == io::ErrorKind::BrokenPipe))
}
