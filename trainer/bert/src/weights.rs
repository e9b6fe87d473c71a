//! Weights as `transformers` stores them: `model.safetensors`, with the names of any of its generations.
use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    fs, io,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, View};
use schemas::StoreError;
use tch::{Device, Kind, Tensor};

use super::encoder::Parameters;

/// Weights cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub enum WeightsError {
    /// There are none.
    #[error(
        "`{}` has no weights: neither model.safetensors nor model.safetensors.index.json{}",
        folder.display(),
        if *pickled {
            "\nhint: it has pytorch_model.bin; save it anew with `transformers`: model.save_pretrained(folder)"
        } else {
            "\nhint: is it the right folder?"
        }
    )]
    Absent {
        /// The folder.
        folder: PathBuf,
        /// Whether it has weights in the older format.
        pickled: bool,
    },
    /// A file cannot be read.
    #[error("cannot read `{}`", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// A file is not what it should be.
    #[error("`{}` is not a safetensors file, or is damaged", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: safetensors::SafeTensorError,
    },
    /// The list of files cannot be understood.
    #[error("`{}` is not a list of weights", path.display())]
    Index {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: serde_json::Error,
    },
    /// A tensor of a kind that weights do not have.
    #[error("`{}`: {name} is stored as {found}, wanted F32, F16, BF16 or F64", path.display())]
    Kind {
        /// The file.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its kind.
        found: String,
    },
    /// A tensor of another shape than the configuration says.
    #[error("`{}`: {name} has shape {found:?}, wanted {wanted:?}\nhint: do config.json and the weights belong together?", path.display())]
    Shape {
        /// The folder.
        path: PathBuf,
        /// The tensor.
        name: String,
        /// Its shape.
        found: Vec<i64>,
        /// The shape that the configuration gives.
        wanted: Vec<i64>,
    },
    /// Weights of the encoder are missing.
    #[error("`{}` lacks {missing} of the weights of a BERT, {first} first\nhint: does config.json say the right number of layers?", path.display())]
    Missing {
        /// The folder.
        path: PathBuf,
        /// How many.
        missing: usize,
        /// The first of them.
        first: String,
    },
    /// A decoder with weights of its own.
    #[error("`{}` has a decoder that differs from the word embedding\nhint: only models with tied embeddings can be trained", path.display())]
    Untied {
        /// The folder.
        path: PathBuf,
    },
    /// Writing.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Writing, in the library.
    #[error("cannot write `{}`", path.display())]
    Write {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: safetensors::SafeTensorError,
    },
}

/// What reading a folder found besides the weights of the encoder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Weights of a head that are not there, and stay as they are.
    pub fresh: Vec<String>,
    /// Stored weights that the model does not have.
    pub unused: Vec<String>,
}

/// The file of the weights, where they are one file.
pub const WEIGHTS: &str = "model.safetensors";
/// The list of their files, where they are many.
pub const INDEX: &str = "model.safetensors.index.json";
/// What every BERT has; the rest are heads.
const ENCODER: [&str; 2] = ["bert.embeddings.", "bert.encoder."];

/// Reads the weights of a folder into those of a model of its configuration.
pub fn load(folder: &Path, parameters: &Parameters) -> Result<Found, WeightsError> {
    let mut stored = read_all(folder)?;
    let decoder = stored.remove("cls.predictions.decoder.weight");
    if let Some(bias) = stored.remove("cls.predictions.decoder.bias") {
        stored.entry("cls.predictions.bias".to_owned()).or_insert(bias);
    }
    if let (Some(decoder), Some(words)) = (decoder, stored.get("bert.embeddings.word_embeddings.weight"))
        && !decoder.equal(words)
    {
        return Err(WeightsError::Untied { path: folder.to_owned() });
    }
    let (mut fresh, mut missing) = (Vec::new(), Vec::new());
    for (name, parameter) in parameters.iter() {
        match stored.remove(name) {
            Some(tensor) if tensor.size() == parameter.size() => {
                tch::no_grad(|| parameter.shallow_clone().copy_(&tensor));
            }
            Some(tensor) => {
                let (found, wanted) = (tensor.size(), parameter.size());
                return Err(WeightsError::Shape { path: folder.to_owned(), name: name.to_owned(), found, wanted });
            }
            None if ENCODER.iter().any(|part| name.starts_with(part)) => missing.push(name.to_owned()),
            None => fresh.push(name.to_owned()),
        }
    }
    if let Some(first) = missing.first() {
        return Err(WeightsError::Missing { path: folder.to_owned(), missing: missing.len(), first: first.clone() });
    }
    Ok(Found { fresh, unused: stored.into_keys().collect() })
}

/// What the names of a pooler begin with. Tasks of whole sequences start from it; pre-training has no use for it.
pub const POOLER: &str = "bert.pooler.";

/// The pooler of a folder; nothing where it has none.
pub fn pooler(folder: &Path) -> Result<Vec<(String, Tensor)>, WeightsError> {
    Ok(read_all(folder)?.into_iter().filter(|(name, _)| name.starts_with(POOLER)).collect())
}

/// Every file with weights of a folder, one or many.
pub fn files(folder: &Path) -> Result<Vec<PathBuf>, WeightsError> {
    let single = folder.join(WEIGHTS);
    if single.is_file() {
        return Ok(vec![single]);
    }
    let path = folder.join(INDEX);
    if !path.is_file() {
        let pickled = folder.join("pytorch_model.bin").is_file();
        return Err(WeightsError::Absent { folder: folder.to_owned(), pickled });
    }
    #[derive(serde::Deserialize)]
    struct Index {
        weight_map: BTreeMap<String, String>,
    }
    let bytes = fs::read(&path).map_err(|source| WeightsError::Io { path: path.clone(), source })?;
    let index: Index = serde_json::from_slice(&bytes).map_err(|source| WeightsError::Index { path, source })?;
    let names: BTreeSet<String> = index.weight_map.into_values().collect();
    Ok(names.into_iter().map(|name| folder.join(name)).collect())
}

/// All tensors of a folder under today's names.
fn read_all(folder: &Path) -> Result<BTreeMap<String, Tensor>, WeightsError> {
    let mut all = BTreeMap::new();
    for path in files(folder)? {
        for (name, tensor) in read(&path)? {
            all.insert(modern_name(&name), tensor);
        }
    }
    Ok(all)
}

/// The tensors of one file, on the CPU.
pub fn read(path: &Path) -> Result<Vec<(String, Tensor)>, WeightsError> {
    let bytes = fs::read(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?;
    let malformed = |source| WeightsError::Malformed { path: path.to_owned(), source };
    let file = SafeTensors::deserialize(&bytes).map_err(malformed)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let kind = match view.dtype() {
            Dtype::F32 => Kind::Float,
            Dtype::F16 => Kind::Half,
            Dtype::BF16 => Kind::BFloat16,
            Dtype::F64 => Kind::Double,
            // Old folders hold the positions 0, 1, 2, … beside the weights.
            Dtype::I64 if name.ends_with("position_ids") => continue,
            other => {
                let found = format!("{other:?}");
                return Err(WeightsError::Kind { path: path.to_owned(), name: name.to_owned(), found });
            }
        };
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        tensors.push((name.to_owned(), Tensor::from_data_size(view.data(), &shape, kind).to_kind(Kind::Float)));
    }
    Ok(tensors)
}

/// The name that `transformers` gives a weight today: `gamma` and `beta` were once what `weight` and `bias` of a layer
/// norm are, and a bare encoder has no prefix.
fn modern_name(name: &str) -> String {
    let name = match name.rsplit_once(".LayerNorm.") {
        Some((module, "gamma")) => format!("{module}.LayerNorm.weight"),
        Some((module, "beta")) => format!("{module}.LayerNorm.bias"),
        _ => name.to_owned(),
    };
    if ["embeddings.", "encoder.", "pooler."].iter().any(|part| name.starts_with(part)) {
        format!("bert.{name}")
    } else {
        name
    }
}

/// A tensor's numbers in memory, for the library to write.
struct Stored {
    shape: Vec<usize>,
    bytes: Vec<u8>,
}

impl View for Stored {
    fn dtype(&self) -> Dtype {
        Dtype::F32
    }
    fn shape(&self) -> &[usize] {
        &self.shape
    }
    fn data(&self) -> Cow<'_, [u8]> {
        (&self.bytes).into()
    }
    fn data_len(&self) -> usize {
        self.bytes.len()
    }
}

/// Writes float32 tensors and syncs them. The metadata say that they are PyTorch's, which `transformers` asks for.
pub fn write<'a>(path: &Path, tensors: impl Iterator<Item = (String, &'a Tensor)>) -> Result<(), WeightsError> {
    let stored = tensors.map(|(name, tensor)| {
        let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        let mut bytes = vec![0; 4 * tensor.numel()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        (name, Stored { shape: tensor.size().iter().map(|&n| n as usize).collect(), bytes })
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // The file is made under another name, for its owner alone; who may read it is what any new file says.
    let created = fs::File::create(path).and_then(|file| file.metadata()).map_err(StoreError::io("create", path))?;
    safetensors::serialize_to_file(stored, Some(metadata), path).map_err(|source| match source {
        safetensors::SafeTensorError::IoError(source) => StoreError::io("write", path)(source).into(),
        source => WeightsError::Write { path: path.to_owned(), source },
    })?;
    fs::set_permissions(path, created.permissions()).map_err(StoreError::io("set who may read", path))?;
    Ok(fs::File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", path))?)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{BertConfig, BertForMaskedLm, Decision};

    fn config() -> BertConfig {
        let text = r#"{"vocab_size": 11, "hidden_size": 8, "num_hidden_layers": 2, "num_attention_heads": 2,
            "intermediate_size": 12, "max_position_embeddings": 9}"#;
        serde_json::from_str(text).unwrap()
    }

    fn model(seed: u64) -> BertForMaskedLm {
        BertForMaskedLm::new(&config(), seed, Device::Cpu, Decision::on_cpu())
    }

    fn equal(a: &BertForMaskedLm, b: &BertForMaskedLm) -> bool {
        a.parameters().iter().zip(b.parameters().iter()).all(|(a, b)| a.0 == b.0 && a.1.equal(b.1))
    }

    fn save(folder: &Path, model: &BertForMaskedLm, rename: impl Fn(&str) -> Option<String>) {
        let named = model.parameters().iter().filter_map(|(name, tensor)| Some((rename(name)?, tensor)));
        write(&folder.join(WEIGHTS), named).unwrap();
    }

    #[test]
    fn every_spelling_is_read() {
        let _alone = ebert_kernels::generator();
        let wanted = model(1);
        let old = |name: &str| match name.rsplit_once(".LayerNorm.") {
            Some((module, "weight")) => format!("{module}.LayerNorm.gamma"),
            Some((module, _)) => format!("{module}.LayerNorm.beta"),
            None => name.to_owned(),
        };
        type Rename<'a> = &'a dyn Fn(&str) -> Option<String>;
        let spellings: [Rename<'_>; 3] = [&|name| Some(name.to_owned()), &|name| Some(old(name)), &|name| {
            Some(name.strip_prefix("bert.").unwrap_or(name).to_owned())
        }];
        for rename in spellings {
            let folder = tempfile::tempdir().unwrap();
            save(folder.path(), &wanted, rename);
            let found = model(2);
            assert!(!equal(&found, &wanted));
            assert_eq!(load(folder.path(), found.parameters()).unwrap(), Found::default());
            assert!(equal(&found, &wanted));
        }
    }

    #[test]
    fn a_missing_head_is_said_and_a_missing_layer_refused() {
        let _alone = ebert_kernels::generator();
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &model(1), |name| (!name.starts_with("cls.")).then(|| name.to_owned()));
        let found = load(folder.path(), model(2).parameters()).unwrap();
        assert_eq!(found.fresh.len(), 5);
        save(folder.path(), &model(1), |name| (!name.contains("layer.1.")).then(|| name.to_owned()));
        let error = load(folder.path(), model(2).parameters()).unwrap_err().to_string();
        assert!(error.contains("lacks 16 of the weights"), "{error}");
    }

    #[test]
    fn other_shapes_and_decoders_are_refused() {
        let _alone = ebert_kernels::generator();
        let folder = tempfile::tempdir().unwrap();
        save(folder.path(), &model(1), |name| Some(name.to_owned()));
        let wide = BertConfig { vocab_size: 12, ..config() };
        let error = load(folder.path(), BertForMaskedLm::new(&wide, 1, Device::Cpu, Decision::on_cpu()).parameters())
            .unwrap_err()
            .to_string();
        assert!(error.contains("word_embeddings.weight has shape [11, 8], wanted [12, 8]"), "{error}");
        let model = model(1);
        let decoder = Tensor::zeros([11, 8], (Kind::Float, Device::Cpu));
        let named = model.parameters().iter().map(|(name, tensor)| (name.to_owned(), tensor));
        let named = named.chain([("cls.predictions.decoder.weight".to_owned(), &decoder)]);
        write(&folder.path().join(WEIGHTS), named).unwrap();
        assert!(matches!(load(folder.path(), model.parameters()), Err(WeightsError::Untied { .. })));
    }

    #[test]
    fn folders_without_weights_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        assert!(load(folder.path(), model(1).parameters()).unwrap_err().to_string().contains("has no weights"));
        fs::write(folder.path().join("pytorch_model.bin"), "x").unwrap();
        assert!(load(folder.path(), model(1).parameters()).unwrap_err().to_string().contains("save_pretrained"));
        fs::write(folder.path().join(WEIGHTS), "no tensors").unwrap();
        assert!(matches!(load(folder.path(), model(1).parameters()), Err(WeightsError::Malformed { .. })));
    }
}
