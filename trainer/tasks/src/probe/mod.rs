//! What a model knows without fine-tuning: its weights are frozen, and at most a linear layer is
//! fitted to its hidden states.
//!
//! | probe | reads | scores |
//! |---|---|---|
//! | [`cloze`] | held-out documents, masked | loss and accuracy of words and phrases |
//! | [`retrieval`] | mean states of products, or all of them (NPR) | MRR and recall@1/10 of a neighbor among 1,000 products |
//! | [`relations`] | mean states of two products | AUC of substitute against complement |
//! | [`titles`] | mean states of titles | scores of product classification |
//! | [`matching`] | mean states of two offers | F1 of "one product" |
//! | [`aspects`] | states of words | scores of aspect extraction |
//!
//! A probe reads its data once ([`Probe`]) and then scores one model after another. Probes that fit
//! something use five folds by document ([`folds`]), or the parts of their data set. [`record`] is
//! what is written and printed.
pub mod aspects;
pub mod catalogue;
pub mod cloze;
pub mod distance;
mod error;
pub mod features;
pub mod folds;
pub mod logistic;
pub mod matching;
mod minimize;
pub mod nearest;
pub mod record;
pub mod relations;
pub mod retrieval;
pub mod titles;

use std::{
    path::{Path, PathBuf},
    sync::Arc,
    time::Instant,
};

use ebert_batches::Shards;
use serde::Serialize;
use tch::{Device, Tensor};

use crate::grid::twice;
pub use error::ProbeError;
use features::Frozen;
use matching::MatchingFiles;
use record::{Outcome, Probed, Record};

/// What models are probed with. What is not given is not probed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct ProbeData {
    /// The folder of shards: held-out documents. The corpus and the graph are next to it.
    pub shards: Option<PathBuf>,
    /// The held-out ratio of documents.
    pub held_out: f64,
    /// A file of `ebert titles`.
    pub titles: Option<PathBuf>,
    /// Data sets of offers.
    pub matching: Vec<MatchingFiles>,
    /// Data sets of aspects.
    pub aspects: Vec<PathBuf>,
    /// Seed of folds and draws.
    pub seed: u64,
}

/// A model that is probed.
#[derive(Clone, Copy, Debug)]
pub struct Probing<'a> {
    /// Its folder.
    pub folder: &'a Path,
    /// The model.
    pub frozen: &'a Frozen,
    /// Where features and predictions are written for other programs, if they are.
    pub export: Option<&'a Path>,
    /// Gets a line for each part.
    pub say: Say<'a>,
}

/// Gets a line for each part.
#[derive(Clone, Copy)]
pub struct Say<'a>(pub &'a dyn Fn(&str));

impl std::fmt::Debug for Say<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Say")
    }
}

impl Probing<'_> {
    fn say(&self, what: &str) {
        self.say.0(what);
    }

    /// Writes tensors for other programs, if asked: `EXPORT/NAME.safetensors`.
    fn export(&self, name: &str, tensors: &[(&str, &Tensor)]) -> Result<(), ProbeError> {
        let Some(folder) = self.export else { return Ok(()) };
        let tensors: Vec<(&str, Tensor)> = tensors.iter().map(|(name, tensor)| (*name, tensor.contiguous())).collect();
        Ok(Tensor::write_safetensors(&tensors, folder.join(format!("{name}.safetensors")))?)
    }
}

/// Data that models are probed with.
pub trait Probe {
    /// Its name in files and messages, such as `titles`.
    fn name(&self) -> String;
    /// What it scores, in the order of the results of each model: ids and what is right.
    fn items(&self) -> serde_json::Value;
    /// Probes a model; the reason where a model cannot be.
    ///
    /// # Errors
    /// When libtorch or the tokenizer refuses, or an optimization fails.
    fn probe(&self, probing: &Probing<'_>) -> Result<Outcome, ProbeError>;
}

/// All probes.
pub struct Prober {
    data: ProbeData,
    probes: Vec<Box<dyn Probe>>,
}

impl std::fmt::Debug for Prober {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.probes.iter().map(|probe| probe.name())).finish()
    }
}

impl Prober {
    /// Reads what does not depend on a model. `say` receives what is read.
    ///
    /// # Errors
    /// When a file cannot be used.
    pub fn new(data: ProbeData, say: impl Fn(&str)) -> Result<Self, ProbeError> {
        let mut probes: Vec<Box<dyn Probe>> = Vec::new();
        // Small files first: an error in one comes before the shards are read.
        let titles = data.titles.as_deref().map(|file| titles::Titles::read(file, data.seed)).transpose()?;
        let matching = data.matching.iter().map(matching::Matching::read).collect::<Result<Vec<_>, _>>()?;
        let aspects = data.aspects.iter().map(|file| aspects::Aspects::read(file, data.seed));
        let aspects = aspects.collect::<Result<Vec<_>, _>>()?;
        if let Some(folder) = &data.shards {
            say("read the shards");
            let shards = Arc::new(Shards::open(folder, data.held_out, |_| ())?);
            let at = |source| ProbeError::Io { path: data.shards.clone().unwrap_or_default(), source };
            let folder = folder.canonicalize().map_err(at)?;
            let out = folder.parent().unwrap_or(Path::new("/"));
            let without = |probe: &str, why: &str| say(&format!("{probe} is left out: {why}"));
            match cloze::HeldOutCloze::load(&shards)? {
                Some(cloze) => probes.push(Box::new(cloze)),
                None => without("cloze", "no document is held out"),
            }
            say("draw products, and rank neighbors by their words");
            let catalogue = catalogue::Catalogue::read(out)?;
            match retrieval::Retrieval::draw(out, &catalogue, &shards, data.seed)? {
                Some(retrieval) => probes.push(Box::new(retrieval)),
                None => without("retrieval", "no held-out product has an association"),
            }
            match relations::Relations::draw(out, &catalogue, &shards, data.seed)? {
                Some(relations) => probes.push(Box::new(relations)),
                None => without("relations", "a fold lacks substitutes or complements of held-out products"),
            }
        }
        probes.extend(titles.map(|titles| Box::new(titles) as Box<dyn Probe>));
        probes.extend(matching.into_iter().map(|matching| Box::new(matching) as Box<dyn Probe>));
        probes.extend(aspects.into_iter().map(|aspects| Box::new(aspects) as Box<dyn Probe>));
        let names: Vec<String> = probes.iter().map(|probe| probe.name()).collect();
        if let Some(name) = twice(&names) {
            return Err(ProbeError::SameName { name: name.clone() });
        }
        Ok(Self { data, probes })
    }

    /// A record of no model.
    pub fn record(&self) -> Record {
        let items = self.probes.iter().map(|probe| (probe.name(), probe.items())).collect();
        Record { settings: self.data.clone(), items, models: Vec::new() }
    }

    /// Probes the model in a folder. `weights` is the hash of its weights.
    ///
    /// # Errors
    /// When the model cannot be used.
    pub fn probe(
        &self,
        name: &str,
        (folder, weights): (&Path, &str),
        device: Device,
        export: Option<&Path>,
        say: &dyn Fn(&str),
    ) -> Result<Probed, ProbeError> {
        let frozen = Frozen::open(folder, device)?;
        let probing = Probing { folder, frozen: &frozen, export, say: Say(say) };
        let mut probed = Probed::new(name, weights);
        for probe in &self.probes {
            let (name, started) = (probe.name(), Instant::now());
            say(&name);
            let outcome = probe.probe(&probing)?;
            if let Some(reason) = &outcome.left_out {
                say(&format!("{name} is left out: {reason}"));
            }
            probed.add(name, outcome, started.elapsed());
        }
        Ok(probed)
    }
}
