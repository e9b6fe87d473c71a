//! `ebert fill-mask`, `embed` and `similar`: a finished model applied to texts.
use std::{
    io::{self, BufRead, IsTerminal, Write},
    process::ExitCode,
    time::{Duration, Instant},
};

use ebert_commands::{self as commands, EmbedArgs, FillMaskArgs, SimilarArgs};
use ebert_tasks::{
    apply::{
        ApplyError,
        embed::{EmbedOptions, EmbeddingFile},
        fill_mask::{Entry, MaskFiller},
        similar::{Neighbor, Similar, similar},
        title_file::TitleFile,
    },
    probe::{
        distance::NeighborDistance,
        features::{Frozen, TextPooling},
    },
};
use indicatif::{HumanCount, ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::json;
use trainer::{init::folder_of, session};

use crate::arguments;

/// Fills in the masks of texts.
pub(crate) fn fill_mask(options: &FillMaskArgs) -> anyhow::Result<ExitCode> {
    let FillMaskArgs { texts, model, top, compute, log } = options;
    let json = arguments::is_json(*log);
    let folder = folder_of(model, true)?;
    let device = session::prepare(arguments::device(compute.device), 0, compute.threads)?;
    let filler = MaskFiller::open(&folder, device)?;
    let print = |text: &str| -> anyhow::Result<Result<(), ApplyError>> {
        let masks = match filler.fill(text, *top as usize) {
            Ok(masks) => masks,
            Err(error) => return Ok(Err(error)),
        };
        if json {
            arguments::event(json, &json!({"event": "fill_mask", "text": text, "masks": masks}))?;
        } else {
            write!(io::stdout(), "{}", filled(text, &masks))?;
        }
        Ok(Ok(()))
    };
    for text in texts {
        print(text)??;
    }
    if texts.is_empty() {
        if io::stdin().is_terminal() && !json {
            writeln!(io::stderr(), "texts     type a text with [MASK] and Enter; Ctrl-D ends")?;
        }
        for (line, text) in (1..).zip(io::stdin().lock().lines()) {
            let text = text?;
            if !text.trim().is_empty() {
                print(&text)?.map_err(|source| ApplyError::Line { line, source: Box::new(source) })?;
            }
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// A text and the entries of its masks, for a person.
fn filled(text: &str, masks: &[Vec<Entry>]) -> String {
    let mut out = format!("text      {text}\n");
    for (number, entries) in (1..).zip(masks) {
        for (rank, Entry { entry, probability, .. }) in entries.iter().enumerate() {
            let label = if rank == 0 { format!("mask {number}") } else { String::new() };
            out += &format!("{label:10}{:5.1}%  {entry}\n", 100.0 * probability);
        }
    }
    out
}

/// Writes embeddings of titles.
pub(crate) fn embed(options: &EmbedArgs) -> anyhow::Result<ExitCode> {
    let EmbedArgs { input, model, out, pooling, normalize, compute, log } = options;
    let json = arguments::is_json(*log);
    let file = EmbeddingFile::at(out)?;
    let titles = TitleFile::open(input)?;
    let folder = folder_of(model, true)?;
    let device = session::prepare(arguments::device(compute.device), 0, compute.threads)?;
    let frozen = Frozen::open(&folder, device)?;
    let pooling = match pooling {
        commands::TextPooling::Mean => TextPooling::Mean,
        commands::TextPooling::Cls => TextPooling::Cls,
    };
    let options = EmbedOptions { pooling, normalize: *normalize };
    tell_titles(json, &titles)?;
    let (started, mut progress) = (Instant::now(), Progress::new(titles.titles(), json));
    let embedded = file.write(&frozen, &titles, options, |done| progress.report(done))?;
    progress.finish();
    let seconds = started.elapsed().as_secs_f64();
    let next = format!("ebert similar --model {} --catalog {} TITLE", schemas::quoted(model), schemas::quoted(input));
    if json {
        let mut facts = json!(embedded);
        facts["event"] = "embedded".into();
        facts["place"] = json!(out);
        facts["options"] = json!(options);
        facts["seconds"] = seconds.into();
        arguments::event(json, &facts)?;
        arguments::event(json, &json!({"event": "next", "commands": [next]}))?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut console = io::stdout().lock();
    writeln!(
        console,
        "embedded  {} rows of {} floats   {}   {seconds:.1} s   {} titles/s",
        HumanCount(embedded.rows),
        embedded.width,
        out.display(),
        HumanCount((embedded.rows as f64 / seconds.max(1e-3)) as u64)
    )?;
    for (count, what) in [
        (embedded.cut, format!("longer than {} tokens, the rest is left out", frozen.most_content_tokens())),
        (embedded.empty, "without tokens, whose embeddings are 0".to_owned()),
    ] {
        if count > 0 {
            writeln!(console, "note      {} titles are {what}", HumanCount(count))?;
        }
    }
    let read = if out.extension().is_some_and(|ending| ending == "npy") { "numpy.load" } else { "polars.read_parquet" };
    writeln!(console, "next      {next}\n          in Python: {read}(\"{}\")", out.display())?;
    Ok(ExitCode::SUCCESS)
}

/// Finds the products that are nearest to titles.
pub(crate) fn nearest(options: &SimilarArgs) -> anyhow::Result<ExitCode> {
    let SimilarArgs { titles, model, catalog, top, compute, log } = options;
    let json = arguments::is_json(*log);
    let products = TitleFile::open(catalog)?;
    let folder = folder_of(model, true)?;
    let device = session::prepare(arguments::device(compute.device), 0, compute.threads)?;
    let frozen = Frozen::open(&folder, device)?;
    tell_titles(json, &products)?;
    let distance = NeighborDistance::read(&folder, device)?;
    if !distance.is_trained() {
        let warning = format!("`{}` was not trained by NPR, so its distances have not been learned", model.display());
        arguments::event(json, &json!({"event": "warning", "message": warning}))?;
        if !json {
            writeln!(io::stdout(), "note      {warning}")?;
        }
    }
    let mut progress = Progress::new(products.titles(), json);
    let all = similar((&frozen, &distance), &products, titles, *top as usize, |done| progress.report(done))?;
    progress.finish();
    for similar in &all {
        if json {
            let mut facts = json!(similar);
            facts["event"] = "similar".into();
            arguments::event(json, &facts)?;
        } else {
            write!(io::stdout(), "{}", table(similar))?;
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// The two lists next to each other, in 100 columns.
fn table(similar: &Similar) -> String {
    const TITLE: usize = 40;
    let cell = |neighbors: &[Neighbor], place: usize| {
        let Some(Neighbor { product, value }) = neighbors.get(place) else { return String::new() };
        let value = if *value < 100.0 { format!("{value:7.3}") } else { format!("{value:7.1}") };
        let title = &product.title;
        let cut = title.chars().count() > TITLE;
        let title: String = title.chars().take(if cut { TITLE - 1 } else { TITLE }).collect();
        format!("{value}  {title}{}", if cut { "…" } else { "" })
    };
    let width = TITLE + 9;
    let mut out = format!("\ntitle     {}\n{:width$}  by NPR distance\n", similar.title, "by cosine");
    for place in 0..similar.cosine.len() {
        let line = format!("{:width$}  {}", cell(&similar.cosine, place), cell(&similar.npr_distance, place));
        out += &format!("{}\n", line.trim_end());
    }
    if similar.same > 0 {
        out += &format!("left out  {} with the same tokens as the title\n", HumanCount(similar.same));
    }
    out
}

/// Reports what is read.
fn tell_titles(json: bool, file: &TitleFile) -> io::Result<()> {
    arguments::event(json, &json!({"event": "titles", "titles": file.titles(), "place": file.path()}))?;
    if json {
        return Ok(());
    }
    writeln!(io::stdout(), "titles    {}   {}", HumanCount(file.titles()), file.path().display())
}

/// A bar on a terminal, and elsewhere a line or an event every 20 seconds.
struct Progress {
    bar: ProgressBar,
    json: bool,
    titles: u64,
    reported: Instant,
}

impl Progress {
    const EVERY: Duration = Duration::from_secs(20);

    fn new(titles: u64, json: bool) -> Self {
        let bar = if json {
            ProgressBar::hidden()
        } else {
            ProgressBar::with_draw_target(Some(titles), ProgressDrawTarget::stderr_with_hz(4))
        };
        if let Ok(style) =
            ProgressStyle::with_template("titles    {wide_bar} {human_pos} of {human_len}   {per_sec}   {eta} left")
        {
            bar.set_style(style);
        }
        Self { bar, json, titles, reported: Instant::now() }
    }

    fn report(&mut self, done: u64) {
        self.bar.set_position(done);
        if !self.bar.is_hidden() || self.reported.elapsed() < Self::EVERY {
            return;
        }
        self.reported = Instant::now();
        let titles = self.titles;
        // Continue if nobody reads the output anymore.
        let _ = if self.json {
            arguments::event(true, &json!({"event": "progress", "titles": done, "of": titles}))
        } else {
            writeln!(io::stderr(), "titles    {} of {}", HumanCount(done), HumanCount(titles))
        };
    }

    fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
