//! `ebert probe`: what models know without fine-tuning.
use std::{
    io::{self, Write},
    process::ExitCode,
    time::Instant,
};

use ebert_batches::Shards;
use ebert_commands::ProbeArgs;
use ebert_tasks::{
    identity,
    probe::{ProbeData, Prober, matching::MatchingFiles},
    trained::Trained,
};
use serde_json::json;
use trainer::{init::folder_of, session};

use crate::arguments;

/// Probes the models, prints the table and writes the record.
pub(crate) fn probe(options: ProbeArgs) -> anyhow::Result<ExitCode> {
    let ProbeArgs { models, shards, held_out, titles, matching, aspects, seed, out: output, export, compute, log } =
        options;
    let json = arguments::is_json(log);
    let shards = shards.map(|folder| Shards::folder_of(&ebert_commands::fetched_shards(&folder)));
    let files = matching.chunks_exact(3).map(|files| MatchingFiles {
        train: files[0].clone(),
        validation: files[1].clone(),
        test: files[2].clone(),
    });
    let data = ProbeData { shards, held_out, titles, matching: files.collect(), aspects, seed };
    let folders = models.iter().map(|model| folder_of(model, true)).collect::<Result<Vec<_>, _>>()?;
    // All that can be wrong is found before the first model is probed.
    for folder in &folders {
        identity::check_model(folder)?;
        Trained::read(folder)?;
    }
    let file = schemas::store::Output::at(&output)?;
    let device = session::prepare(arguments::device(compute.device), 0, compute.threads)?;
    let started = Instant::now();
    let say = |what: &str| {
        if json {
            return;
        }
        // Continue if nobody reads the output anymore.
        let _ = writeln!(io::stderr(), "probe     {:6.1} s   {what}", started.elapsed().as_secs_f64());
    };
    let reads_shards = data.shards.is_some();
    let prober = Prober::new(data, say)?;
    let mut record = prober.record();
    for (number, (model, folder)) in models.iter().zip(&folders).enumerate() {
        let name = model.display().to_string();
        say(&format!("model {} of {}: {name}", number + 1, models.len()));
        if let Some(trained) = Trained::read(folder)?.held_out().filter(|ratio| reads_shards && *ratio < held_out) {
            let warning =
                format!("`{name}` held out {trained} of the documents, so it was trained on some that are probed");
            say(&format!("note: {warning}"));
            arguments::event(json, &json!({"event": "warning", "message": warning}))?;
        }
        let export = export
            .as_ref()
            .map(|export| if models.len() == 1 { export.clone() } else { export.join(number.to_string()) });
        if let Some(export) = &export {
            std::fs::create_dir_all(export).map_err(schemas::StoreError::io("create", export))?;
        }
        let hash = identity::hash_of_model(folder)?;
        let probed = prober.probe(&name, (folder, &hash), device, export.as_deref(), &say)?;
        probed.facts().iter().try_for_each(|facts| arguments::event(json, facts))?;
        record.models.push(probed);
    }
    file.write(serde_json::to_string(&record)?.as_bytes())?;
    arguments::event(json, &json!({"event": "record", "place": output}))?;
    if !json {
        writeln!(io::stdout(), "{}record    {}", record.table(), output.display())?;
    }
    Ok(ExitCode::SUCCESS)
}
