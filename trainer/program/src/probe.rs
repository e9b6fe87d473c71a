//! `trainer probe`: what models know without fine-tuning.
use std::{
    io::{self, Write},
    path::PathBuf,
    process::ExitCode,
    time::Instant,
};

use clap::ArgGroup;
use ebert_kernels::device::Wish;
use ebert_tasks::{
    identity,
    probe::{ProbeData, Prober, matching::MatchingFiles},
    trained::Trained,
};
use trainer::{init::folder_of, session};

/// The options.
#[derive(clap::Args)]
#[command(group(ArgGroup::new("data").required(true).multiple(true)))]
pub(crate) struct Probe {
    /// Models: Hugging Face folders, folders of runs, or ids on the hub. Each is a column of the table
    #[arg(required = true, value_name = "MODEL")]
    models: Vec<PathBuf>,
    /// The folder that `make shards` made: its held-out documents for cloze, retrieval of neighbors, and relations
    #[arg(long, group = "data")]
    out: Option<PathBuf>,
    /// The ratio of documents that the models were not trained on: data.held_out of their recipe
    #[arg(long, default_value_t = 0.01, value_name = "RATIO")]
    held_out: f64,
    /// Titles with their categories, a file of `pipeline titles`
    #[arg(long, value_name = "FILE", group = "data")]
    titles: Option<PathBuf>,
    /// Pairs of offers in Ditto's form: to fit, to validate and to test. May be given several times
    #[arg(long, num_args = 3, value_names = ["TRAIN", "VALID", "TEST"], group = "data")]
    matching: Vec<PathBuf>,
    /// Sentences with their aspects, SemEval 2014 XML. Each FILE is a data set
    #[arg(long, num_args = 1.., value_name = "FILE", group = "data")]
    aspects: Vec<PathBuf>,
    /// Seed of folds and draws
    #[arg(long, default_value_t = 0)]
    seed: u64,
    /// Where scores and the result of each item are written
    #[arg(long, short, default_value = "probe.json")]
    output: PathBuf,
    /// Write features and predictions to this folder, one model's at a time, to check scores with other programs
    #[arg(long, value_name = "FOLDER")]
    export: Option<PathBuf>,
    /// Where to compute
    #[arg(long, value_enum, default_value_t)]
    device: Wish,
    /// Threads of the CPU [default: one for each core]
    #[arg(long, value_parser = clap::value_parser!(u16).range(1..=1024))]
    threads: Option<u16>,
}

/// Probes the models, prints the table and writes the record.
pub(crate) fn probe(options: Probe) -> anyhow::Result<ExitCode> {
    let Probe { models, out, held_out, titles, matching, aspects, seed, output, export, device, threads } = options;
    let files = matching.chunks_exact(3).map(|files| MatchingFiles {
        train: files[0].clone(),
        validation: files[1].clone(),
        test: files[2].clone(),
    });
    let data = ProbeData { out, held_out, titles, matching: files.collect(), aspects, seed };
    let folders = models.iter().map(|model| folder_of(model, true)).collect::<Result<Vec<_>, _>>()?;
    let file = schemas::store::Output::at(&output)?;
    let device = session::prepare(device, 0, threads)?;
    let started = Instant::now();
    let say = |what: &str| {
        // A reader that has gone is no reason to stop.
        let _ = writeln!(io::stderr(), "probe     {:6.1} s   {what}", started.elapsed().as_secs_f64());
    };
    let reads_shards = data.out.is_some();
    let prober = Prober::new(data, say)?;
    let mut record = prober.record();
    for (number, (model, folder)) in models.iter().zip(&folders).enumerate() {
        let name = model.display().to_string();
        say(&format!("model {} of {}: {name}", number + 1, models.len()));
        if let Some(trained) = Trained::read(folder).held_out().filter(|ratio| reads_shards && *ratio < held_out) {
            say(&format!(
                "note: `{name}` held out {trained} of the documents, so it was trained on some that are probed"
            ));
        }
        let export = export
            .as_ref()
            .map(|export| if models.len() == 1 { export.clone() } else { export.join(number.to_string()) });
        if let Some(export) = &export {
            std::fs::create_dir_all(export).map_err(schemas::StoreError::io("create", export))?;
        }
        let hash = identity::hash_of_model(folder)?;
        record.models.push(prober.probe(&name, (folder, &hash), device, export.as_deref(), &say)?);
    }
    file.write(serde_json::to_string(&record)?.as_bytes())?;
    writeln!(io::stdout(), "{}record    {}", record.table(), output.display())?;
    Ok(ExitCode::SUCCESS)
}
