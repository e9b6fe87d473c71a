//! Weights as `transformers` stores them: `model.safetensors`, with the names of any of its
//! generations.
//!
//! Names may have a prefix that all share, as in `module.bert.…` or `model.bert.…`. [`check`]
//! compares names and shapes from the headers of the files alone, which takes milliseconds.
mod error;
mod folder;
mod format;
mod header;
mod names;

use std::{
    borrow::Cow,
    collections::{BTreeMap, BTreeSet, HashMap},
    fs,
    path::{Path, PathBuf},
};

use safetensors::{Dtype, SafeTensors, View};
use schemas::StoreError;
use tch::{Device, Kind, Tensor};

use super::encoder::Parameters;
use header::{Listed, header, kind};
use names::Naming;

pub use error::WeightsError;
pub use folder::{files, listed};
pub use format::{Foreign, INDEX, WEIGHTS, foreign};
pub use names::Names;

/// What reading a folder found in addition to the weights of the encoder.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Found {
    /// Weights of a head that are not there, and stay as they are.
    pub fresh: Vec<String>,
    /// Stored weights that the model does not have.
    pub unused: Vec<String>,
}

/// What every BERT has; the rest are heads.
const ENCODER: [&str; 2] = ["bert.embeddings.", "bert.encoder."];
/// The decoder of the head. It is the word embedding.
const DECODER: &str = "cls.predictions.decoder.weight";
const DECODER_BIAS: &str = "cls.predictions.decoder.bias";

/// A stored tensor.
struct Place {
    file: PathBuf,
    listed: Listed,
}

/// The tensors of a folder by the model's names.
struct Contents(BTreeMap<String, Place>);

impl Contents {
    /// Of the headers of a folder's files.
    fn of(folder: &Path) -> Result<Self, WeightsError> {
        let mut places = Vec::new();
        for file in files(folder)? {
            places.extend(header(&file)?.into_iter().map(|listed| Place { file: file.clone(), listed }));
        }
        let naming = Naming::of(places.iter().map(|place| place.listed.name.as_str()));
        let mut stored: BTreeMap<String, Place> = BTreeMap::new();
        for place in places {
            let name = naming.modern(&place.listed.name);
            if let Some(first) = stored.get(&name) {
                let (first, second) = (first.listed.name.clone(), place.listed.name);
                return Err(WeightsError::Twice { folder: folder.to_owned(), name, first, second });
            }
            stored.insert(name, place);
        }
        // The bias of the head goes by either name.
        if let Some(bias) = stored.remove(DECODER_BIAS) {
            stored.entry("cls.predictions.bias".to_owned()).or_insert(bias);
        }
        Ok(Self(stored))
    }

    /// Compares names and shapes with those of a model.
    fn compare<'a>(
        &self,
        folder: &Path,
        wanted: impl Iterator<Item = (&'a str, Vec<i64>)>,
    ) -> Result<Found, WeightsError> {
        let (mut fresh, mut missing, mut used) = (Vec::new(), Vec::new(), BTreeSet::from([DECODER]));
        let mut layers = BTreeSet::new();
        for (name, wanted) in wanted {
            used.insert(name);
            layers.extend(name.strip_prefix("bert.encoder.layer.").and_then(|rest| rest.split('.').next()));
            match self.0.get(name).map(|place| &place.listed.shape) {
                Some(found) if *found == wanted => {}
                Some(found) => {
                    let (path, name, found) = (folder.to_owned(), name.to_owned(), found.clone());
                    return Err(WeightsError::Shape { path, name, found, wanted });
                }
                None if ENCODER.iter().any(|part| name.starts_with(part)) => missing.push(name),
                None => fresh.push(name.to_owned()),
            }
        }
        if let Some(first) = missing.first() {
            let stored: Vec<&str> = self.0.values().map(|place| place.listed.name.as_str()).collect();
            return Err(WeightsError::Missing {
                path: folder.to_owned(),
                missing: missing.len(),
                first: (*first).to_owned(),
                names: Names::of(&stored, layers.len()),
            });
        }
        Ok(Found { fresh, unused: self.0.keys().filter(|name| !used.contains(name.as_str())).cloned().collect() })
    }

    /// Reads the tensors whose names `wanted` says.
    fn read(&self, wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Tensor>, WeightsError> {
        let chosen: Vec<(&String, &Place)> = self.0.iter().filter(|(name, _)| wanted(name)).collect();
        let by_place: HashMap<(&Path, &str), &String> =
            chosen.iter().map(|(name, place)| ((place.file.as_path(), place.listed.name.as_str()), *name)).collect();
        let paths: BTreeSet<&Path> = chosen.iter().map(|(_, place)| place.file.as_path()).collect();
        let mut tensors = BTreeMap::new();
        for path in paths {
            let of_file = read(path)?.into_iter();
            tensors.extend(of_file.filter_map(|(name, tensor)| {
                by_place.get(&(path, name.as_str())).map(|name| ((*name).clone(), tensor))
            }));
        }
        Ok(tensors)
    }
}

/// Compares the names and shapes of a folder's weights with those of a model, without reading the
/// weights.
///
/// # Errors
/// When the folder does not hold the weights of such an encoder, or a file of it cannot be used.
pub fn check(folder: &Path, parameters: &Parameters) -> Result<Found, WeightsError> {
    Contents::of(folder)?.compare(folder, shapes(parameters))
}

/// Reads the weights of a folder into those of a model of its configuration.
///
/// # Errors
/// As [`check`], and when the decoder of the folder's head is not the word embedding.
pub fn load(folder: &Path, parameters: &Parameters) -> Result<Found, WeightsError> {
    let stored = Contents::of(folder)?;
    let found = stored.compare(folder, shapes(parameters))?;
    let tensors = stored.read(|_| true)?;
    if let (Some(decoder), Some(words)) = (tensors.get(DECODER), tensors.get("bert.embeddings.word_embeddings.weight"))
        && !decoder.equal(words)
    {
        return Err(WeightsError::Untied { path: folder.to_owned() });
    }
    for (name, parameter) in parameters.iter() {
        if let Some(tensor) = tensors.get(name) {
            tch::no_grad(|| parameter.shallow_clone().copy_(tensor));
        }
    }
    Ok(found)
}

fn shapes(parameters: &Parameters) -> impl Iterator<Item = (&str, Vec<i64>)> {
    parameters.iter().map(|(name, tensor)| (name, tensor.size()))
}

/// What the names of a pooler begin with. Tasks of whole sequences start from it; pre-training has
/// no use for it.
pub const POOLER: &str = "bert.pooler.";

/// The pooler of a folder; nothing where it has none.
///
/// # Errors
/// When its weights cannot be read.
pub fn pooler(folder: &Path) -> Result<Vec<(String, Tensor)>, WeightsError> {
    Ok(Contents::of(folder)?.read(|name| name.starts_with(POOLER))?.into_iter().collect())
}

/// The tensors of one file, on the CPU.
///
/// # Errors
/// When it is not a safetensors file, or holds what weights do not.
pub fn read(path: &Path) -> Result<Vec<(String, Tensor)>, WeightsError> {
    let bytes = fs::read(path).map_err(|source| WeightsError::Io { path: path.to_owned(), source })?;
    let malformed = |source| WeightsError::Malformed { path: path.to_owned(), source };
    let file = SafeTensors::deserialize(&bytes).map_err(malformed)?;
    let mut tensors = Vec::new();
    for (name, view) in file.iter() {
        let Some(kind) = kind(path, name, view.dtype())? else { continue };
        let shape: Vec<i64> = view.shape().iter().map(|&n| n as i64).collect();
        tensors.push((name.to_owned(), Tensor::from_data_size(view.data(), &shape, kind).to_kind(Kind::Float)));
    }
    Ok(tensors)
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

/// Writes float32 tensors and syncs them. The metadata say that they are PyTorch's, which
/// `transformers` asks for.
pub fn write<'a>(path: &Path, tensors: impl Iterator<Item = (String, &'a Tensor)>) -> Result<(), WeightsError> {
    let stored = tensors.map(|(name, tensor)| {
        let tensor = tensor.detach().to_device(Device::Cpu).to_kind(Kind::Float).contiguous();
        let mut bytes = vec![0; 4 * tensor.numel()];
        tensor.copy_data_u8(&mut bytes, tensor.numel());
        (name, Stored { shape: tensor.size().iter().map(|&n| n as usize).collect(), bytes })
    });
    let metadata = HashMap::from([("format".to_owned(), "pt".to_owned())]);
    // The file is made under another name, for its owner alone; who may read it is what any new
    // file says.
    let created = fs::File::create(path).and_then(|file| file.metadata()).map_err(StoreError::io("create", path))?;
    safetensors::serialize_to_file(stored, Some(metadata), path).map_err(|source| match source {
        safetensors::SafeTensorError::IoError(source) => StoreError::io("write", path)(source).into(),
        source => WeightsError::Write { path: path.to_owned(), source },
    })?;
    fs::set_permissions(path, created.permissions()).map_err(StoreError::io("set who may read", path))?;
    Ok(fs::File::open(path).and_then(|file| file.sync_all()).map_err(StoreError::io("sync", path))?)
}

#[cfg(test)]
mod tests;
