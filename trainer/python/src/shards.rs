//! A sealed folder of shards.
use std::{path::PathBuf, sync::Arc};

use ebert_batches::{
    Corpus, DataOptions, HeldOut, PairPlan, Position, RelationRatios, SegmentPlan, SequenceFormat, StepSize,
    masking::{MaskMode, Masking, MaskingOptions, Scheme},
};
use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyDict, PyTuple},
};

use crate::{
    arrays::InputFormat,
    batches::{Batches, Modes, Padded, Rank, steps_per_epoch},
    options::{Tensors, end, named, require, table},
    pairs::Pairs,
    shards_error,
};

/// Sequences of a step if no size is given, as in the recipes.
const SEQUENCES: usize = 32;

/// A sealed folder of shards, or the output folder of `ebert shards` that has one.
///
/// Opening compares every file with its hash. `held_out` is the ratio of texts that are never in a batch (0.01),
/// `relations` the ratio of pairs that are used, by relation, such as {"substitute": 0.5}. `model` is what the batches
/// are for, "bert", "roberta" or "modernbert", if the vocabulary is another one's.
#[pyclass(module = "ebert", frozen)]
#[derive(Debug)]
pub(crate) struct Shards {
    shards: Arc<ebert_batches::Shards>,
    held_out: f64,
    relations: RelationRatios,
    format: SequenceFormat,
}

#[pymethods]
impl Shards {
    #[new]
    #[pyo3(signature = (folder, *, held_out = None, relations = None, model = None))]
    fn open(
        py: Python<'_>,
        folder: PathBuf,
        held_out: Option<f64>,
        relations: Option<&Bound<'_, PyDict>>,
        model: Option<&str>,
    ) -> PyResult<Self> {
        let held_out = held_out.unwrap_or(DataOptions::default().held_out);
        require((0.0..1.0).contains(&held_out), "held_out", held_out, "a ratio from 0 to below 1")?;
        let relations: RelationRatios = table("data.relations", relations)?;
        relations.check().map_err(|(key, expected)| PyValueError::new_err(format!("{key}: expected {expected}")))?;
        let model = model.map(|model| named("model", model)).transpose()?;
        require(!folder.to_string_lossy().contains("://"), "folder", folder.display(), "a folder on this machine")?;
        let folder = ebert_batches::Shards::folder_of(&folder);
        let open = || ebert_batches::Shards::open_with_relations(&folder, held_out, relations, |_| ());
        let shards = py.detach(open).map_err(|error| shards_error(&error))?;
        let format = model.unwrap_or_else(|| shards.vocabulary().format());
        Ok(Self { shards: Arc::new(shards), held_out, relations, format })
    }

    /// Pickled by its folder and options: another process opens it again.
    fn __getnewargs_ex__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        let options = PyDict::new(py);
        options.set_item("held_out", self.held_out)?;
        options.set_item("relations", parsed(py, &self.relations)?)?;
        options.set_item("model", parsed(py, &self.format)?)?;
        (PyTuple::new(py, [self.shards.folder()])?, options).into_pyobject(py)
    }

    fn __repr__(&self) -> String {
        let folder = self.shards.folder().display();
        format!("Shards('{folder}': {} segments, {} pairs)", self.__len__(), self.shards.pair_split().trained)
    }

    /// The number of segments that are trained on, of products and reviews.
    fn __len__(&self) -> usize {
        let trained = [Corpus::Products, Corpus::Reviews].map(|corpus| self.shards.split(corpus).trained);
        trained.iter().sum::<u64>() as usize
    }

    /// The folder.
    #[getter]
    fn folder(&self) -> PathBuf {
        self.shards.folder().to_owned()
    }

    /// What the batches are for: "bert", "roberta" or "modernbert".
    #[getter]
    fn model<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        parsed(py, &self.format)
    }

    /// Tokens of the vocabulary.
    #[getter]
    fn vocab_size(&self) -> usize {
        self.shards.vocabulary().len()
    }

    /// Tokens of the longest sequence, special tokens counted.
    #[getter]
    fn max_length(&self) -> usize {
        usize::from(self.shards.manifest().body.max_tokens) + 2
    }

    /// The vocabulary, by id.
    #[getter]
    fn tokens(&self) -> Vec<String> {
        self.shards.vocabulary().tokens().to_vec()
    }

    /// The ids of `pad`, `cls`, `sep` and `mask`.
    #[getter]
    fn special_ids<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let ids = self.shards.vocabulary().special;
        let dict = PyDict::new(py);
        for (name, id) in [("pad", ids.pad), ("cls", ids.cls), ("sep", ids.sep), ("mask", ids.mask)] {
            dict.set_item(name, id)?;
        }
        Ok(dict)
    }

    /// `manifest.json`: what the shards were made from, with counts and options.
    #[getter]
    fn manifest<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        parsed(py, self.shards.manifest())
    }

    /// How many segments of `products` and `reviews`, and how many `pairs`, are trained on and held out.
    #[getter]
    fn counts<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let counts = PyDict::new(py);
        let [products, reviews] = [Corpus::Products, Corpus::Reviews].map(|corpus| self.shards.split(corpus));
        for (name, split) in [("products", products), ("reviews", reviews), ("pairs", self.shards.pair_split())] {
            let of_name = PyDict::new(py);
            of_name.set_item("trained", split.trained)?;
            of_name.set_item("held_out", split.held_out)?;
            counts.set_item(name, of_name)?;
        }
        Ok(counts)
    }

    /// Masked batches, made on a thread of their own without the GIL.
    ///
    /// * scheme: "word", "phrase", "span", "noun", "token", or "mixed": words with probability `alpha`, else phrases.
    /// * tokens, sequences: the size of a batch: about so many tokens, or so many sequences (32).
    /// * corpora: whose segments, such as ["products"]; both if not given.
    /// * seed: the key of order and masks, as `seed` of a recipe.
    /// * epoch, epochs: the first epoch, and how many; None for no end.
    /// * alpha: the probability of words in scheme "mixed" (0.75).
    /// * masking: keys of a recipe's [masking], such as {"budget": 0.2}.
    /// * text_pairs: the fraction of segments that are cut into two texts (0).
    /// * mix: row groups that are shuffled together (8).
    /// * spans: also give mode, documents, units and taken_as.
    /// * tensors: "numpy", or "torch" for tensors that share the arrays' memory.
    /// * rank, world_size: of several processes, the sequences of this one.
    /// * state: where to continue, from `state_dict()` of an iterator.
    #[pyo3(
        signature = (
            scheme = "phrase", *, tokens = None, sequences = None, corpora = None, seed = 0, epoch = 0,
            epochs = Some(1), alpha = None, masking = None, text_pairs = None, mix = None, spans = false,
            tensors = "numpy", rank = 0, world_size = 1, state = None
        ),
        text_signature = "($self, scheme='phrase', *, tokens=None, sequences=None, corpora=None, seed=0, epoch=0, \
                          epochs=1, alpha=None, masking=None, text_pairs=None, mix=None, spans=False, \
                          tensors='numpy', rank=0, world_size=1, state=None)"
    )]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn batches(
        &self,
        py: Python<'_>,
        scheme: &str,
        tokens: Option<usize>,
        sequences: Option<usize>,
        corpora: Option<Vec<String>>,
        seed: u64,
        epoch: u32,
        epochs: Option<u32>,
        alpha: Option<f64>,
        masking: Option<&Bound<'_, PyDict>>,
        text_pairs: Option<f64>,
        mix: Option<usize>,
        spans: bool,
        tensors: &str,
        rank: usize,
        world_size: usize,
        state: Option<&Bound<'_, PyDict>>,
    ) -> PyResult<Batches> {
        let defaults = DataOptions::default();
        let scheme: Scheme = named("scheme", scheme)?;
        let alpha = alpha.unwrap_or(ebert_batches::masking::switch::SwitchOptions::default().alpha0);
        require((0.0..=1.0).contains(&alpha), "alpha", alpha, "a probability")?;
        let size = match (sequences, tokens) {
            (Some(_), Some(_)) => return Err(PyValueError::new_err("expected one of sequences and tokens, not both")),
            (_, Some(tokens)) => StepSize::Tokens(tokens),
            (sequences, None) => StepSize::Sequences(sequences.unwrap_or(SEQUENCES)),
        };
        let (StepSize::Tokens(amount) | StepSize::Sequences(amount)) = size;
        require(amount > 0, "the size of a batch", amount, "at least 1")?;
        if let StepSize::Tokens(tokens) = size {
            require(tokens >= self.max_length(), "tokens", tokens, "at least max_length, the longest sequence")?;
        }
        require(rank < world_size, "rank", rank, "a number below world_size")?;
        let text_pairs = text_pairs.unwrap_or(defaults.text_pairs);
        require((0.0..=1.0).contains(&text_pairs), "text_pairs", text_pairs, "a ratio from 0 to 1")?;
        let corpora: Vec<Corpus> = match corpora {
            Some(names) => names.iter().map(|name| named("corpora", name)).collect::<PyResult<_>>()?,
            None => vec![Corpus::Products, Corpus::Reviews],
        };
        let modes = match (scheme, scheme.modes().as_slice()) {
            (Scheme::Mixed, _) => Modes::mixed(alpha),
            (_, [mode]) => Modes::One(*mode),
            (Scheme::Adaptive, _) => {
                return Err(PyValueError::new_err(
                    "scheme \"adaptive\" follows the losses of training\n\
                     hint: scheme=\"mixed\" draws words with the constant probability alpha, else phrases",
                ));
            }
            _ => return Err(PyValueError::new_err("scheme \"none\" masks nothing")),
        };
        let plan = SegmentPlan {
            corpora,
            size,
            mix: mix.unwrap_or(defaults.mix),
            modes: scheme.modes(),
            seed,
            text_pairs,
            format: self.format,
            epochs_before: 0,
        };
        let (from, step) = match state {
            Some(state) => (position(state)?, item(state, "step")?),
            // Only these draw by the number of the step.
            None if epoch > 0 && scheme == Scheme::Mixed => {
                let steps = py.detach(|| steps_per_epoch(&self.shards, &plan)).map_err(|error| shards_error(&error))?;
                (Position { epoch, ..Position::default() }, u64::from(epoch) * steps)
            }
            None => (Position { epoch, ..Position::default() }, 0),
        };
        Ok(Batches {
            shards: self.shards.clone(),
            masking: Arc::new(self.masking(table("masking", masking)?)?),
            plan,
            modes,
            from,
            step,
            end: end(epoch, epochs),
            rank: Rank { rank, world_size },
            spans,
            tensors: Tensors::named(tensors)?,
        })
    }

    /// Batches of product pairs, each with a negative.
    ///
    /// With a `group` above 1, neighbors of other pairs of a group are further negatives, except where the batch
    /// relates them.
    #[pyo3(
        signature = (pairs = 32, *, group = 1, seed = 0, epoch = 0, epochs = Some(1), mix = None, tensors = "numpy"),
        text_signature = "($self, pairs=32, *, group=1, seed=0, epoch=0, epochs=1, mix=None, tensors='numpy')"
    )]
    #[allow(clippy::too_many_arguments, reason = "they are keywords in Python")]
    fn pairs(
        &self,
        pairs: usize,
        group: usize,
        seed: u64,
        epoch: u32,
        epochs: Option<u32>,
        mix: Option<usize>,
        tensors: &str,
    ) -> PyResult<Pairs> {
        require(pairs > 0, "pairs", pairs, "at least 1")?;
        require(group > 0, "group", group, "at least 1")?;
        let mix = mix.unwrap_or(DataOptions::default().mix);
        Ok(Pairs {
            shards: self.shards.clone(),
            plan: PairPlan { pairs, group, mix, seed },
            format: self.format,
            from: Position { epoch, ..Position::default() },
            end: end(epoch, epochs),
            tensors: Tensors::named(tensors)?,
        })
    }

    /// Held-out segments with the masks that `ebert pretrain` measures on, as a list of batches.
    ///
    /// They are the same for every seed and scheme. `mode` is "word" or "phrase".
    #[pyo3(signature = (mode = "word", *, segments = 1024, sequences = 32, spans = false, tensors = "numpy"))]
    fn held_out<'py>(
        &self,
        py: Python<'py>,
        mode: &str,
        segments: usize,
        sequences: usize,
        spans: bool,
        tensors: &str,
    ) -> PyResult<Vec<Bound<'py, PyDict>>> {
        let (wanted, tensors): (MaskMode, Tensors) = (named("mode", mode)?, Tensors::named(tensors)?);
        require(matches!(wanted, MaskMode::Word | MaskMode::Phrase), "mode", mode, "word or phrase")?;
        let load = || HeldOut::load(&self.shards, segments, sequences);
        let held_out = py.detach(load).map_err(|error| shards_error(&error))?;
        let input_format = InputFormat { pad: self.shards.vocabulary().special.pad, format: self.format };
        let sets = held_out.sets.iter().filter(|set| set.mode == wanted);
        let batches = sets.flat_map(|set| {
            set.batches.iter().enumerate().map(|(number, (lengths, masked))| {
                let documents = set.documents(number).map(|(document, _)| document.get()).collect();
                Padded::of(masked, lengths, documents, input_format, spans)
            })
        });
        batches.map(|batch| batch.into_dict(py, tensors)).collect()
    }
}

impl Shards {
    fn masking(&self, options: MaskingOptions) -> PyResult<Masking> {
        options.check().map_err(|(key, expected)| PyValueError::new_err(format!("{key}: expected {expected}")))?;
        let lowest_score = self.shards.manifest().body.pool.lowest_score;
        Ok(Masking::new(options, self.shards.vocabulary().clone(), lowest_score))
    }
}

/// A value as Python's `json` reads it.
fn parsed<'py>(py: Python<'py>, value: &impl serde::Serialize) -> PyResult<Bound<'py, PyAny>> {
    let text = serde_json::to_string(value).map_err(|error| PyValueError::new_err(error.to_string()))?;
    py.import("json")?.call_method1("loads", (text,))
}

/// An item of a `state_dict`.
fn item(state: &Bound<'_, PyDict>, name: &str) -> PyResult<u64> {
    let missing = || PyValueError::new_err(format!("state has no {name:?}, expected what `state_dict()` returned"));
    state.get_item(name)?.ok_or_else(missing)?.extract()
}

fn position(state: &Bound<'_, PyDict>) -> PyResult<Position> {
    let part = |name| -> PyResult<u32> { Ok(u32::try_from(item(state, name)?)?) };
    Ok(Position { epoch: part("epoch")?, block: part("block")?, row: part("row")?, over: part("over")? })
}
