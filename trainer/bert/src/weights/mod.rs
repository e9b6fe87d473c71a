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

use super::{
    family::{Family, WeightNames},
    parameters::Parameters,
};
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

/// A stored tensor.
struct Place {
    file: PathBuf,
    listed: Listed,
}

/// The tensors of a folder by the model's names.
struct Contents {
    places: BTreeMap<String, Place>,
    names: &'static WeightNames,
}

impl Contents {
    /// Of the headers of a folder's files, for a model whose weights have these names.
    fn of(folder: &Path, names: &'static WeightNames) -> Result<Self, WeightsError> {
        let mut places = Vec::new();
        for file in files(folder)? {
            places.extend(header(&file)?.into_iter().map(|listed| Place { file: file.clone(), listed }));
        }
        let naming = Naming::of(names, places.iter().map(|place| place.listed.name.as_str()));
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
        if let Some(bias) = stored.remove(names.decoder_bias_alias) {
            stored.entry(names.decoder_bias.to_owned()).or_insert(bias);
        }
        Ok(Self { places: stored, names })
    }

    /// Compares names and shapes with those of a model.
    fn compare<'a>(
        &self,
        folder: &Path,
        wanted: impl Iterator<Item = (&'a str, Vec<i64>)>,
    ) -> Result<Found, WeightsError> {
        let (mut fresh, mut missing, mut used) = (Vec::new(), Vec::new(), BTreeSet::from([self.names.decoder]));
        let mut layers = BTreeSet::new();
        for (name, wanted) in wanted {
            used.insert(name);
            layers.extend(name.strip_prefix(self.names.layers).and_then(|rest| rest.split('.').next()));
            match self.places.get(name).map(|place| &place.listed.shape) {
                Some(found) if *found == wanted => {}
                Some(found) => {
                    let (path, name, found) = (folder.to_owned(), name.to_owned(), found.clone());
                    return Err(WeightsError::Shape { path, name, found, wanted });
                }
                None if self.names.is_needed(name) => missing.push(name),
                None => fresh.push(name.to_owned()),
            }
        }
        if let Some(first) = missing.first() {
            let stored: Vec<&str> = self.places.values().map(|place| place.listed.name.as_str()).collect();
            return Err(WeightsError::Missing {
                path: folder.to_owned(),
                missing: missing.len(),
                first: (*first).to_owned(),
                names: Names::of(self.names, &stored, layers.len()),
            });
        }
        Ok(Found { fresh, unused: self.places.keys().filter(|name| !used.contains(name.as_str())).cloned().collect() })
    }

    /// Reads the tensors whose names `wanted` says.
    fn read(&self, wanted: impl Fn(&str) -> bool) -> Result<BTreeMap<String, Tensor>, WeightsError> {
        let chosen: Vec<(&String, &Place)> = self.places.iter().filter(|(name, _)| wanted(name)).collect();
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

/// Compares the names and shapes of a folder's weights with those of a model of a family, without
/// reading the weights.
///
/// # Errors
/// When the folder does not hold the weights of such an encoder, or a file of it cannot be used.
pub fn check(folder: &Path, family: &Family, parameters: &Parameters) -> Result<Found, WeightsError> {
    Contents::of(folder, family.names())?.compare(folder, shapes(parameters))
}

/// Reads the weights of a folder into those of a model of its configuration, which is of a family.
///
/// # Errors
/// As [`check`], when the decoder of the folder's head is not the word embedding, and when a weight is not finite.
pub fn load(folder: &Path, family: &Family, parameters: &Parameters) -> Result<Found, WeightsError> {
    let names = family.names();
    let stored = Contents::of(folder, names)?;
    let found = stored.compare(folder, shapes(parameters))?;
    let tensors = stored.read(|_| true)?;
    let words = format!("{}{}", names.encoder, names.words);
    if let (Some(decoder), Some(words)) = (tensors.get(names.decoder), tensors.get(&words))
        && !decoder.equal(words)
    {
        return Err(WeightsError::Untied { path: folder.to_owned() });
    }
    for (name, parameter) in parameters.iter() {
        if let Some(tensor) = tensors.get(name) {
            if !is_finite(tensor) {
                let Place { file, listed } = &stored.places[name];
                return Err(WeightsError::NotFinite { path: file.clone(), name: listed.name.clone() });
            }
            tch::no_grad(|| parameter.shallow_clone().copy_(tensor));
        }
    }
    Ok(found)
}

/// Whether all values are numbers. From others, training only gives more of them.
fn is_finite(tensor: &Tensor) -> bool {
    tensor.isfinite().all().int64_value(&[]) == 1
}

fn shapes(parameters: &Parameters) -> impl Iterator<Item = (&str, Vec<i64>)> {
    parameters.iter().map(|(name, tensor)| (name, tensor.size()))
}

/// Whether a weight belongs to a pooler. Tasks of whole sequences start from it; pre-training has no
/// use for it.
pub fn is_of_pooler(name: &str) -> bool {
    name.split_once('.').is_some_and(|(_, rest)| rest.starts_with("pooler."))
}

/// The pooler of a folder with a model of a family; nothing where it has none.
///
/// # Errors
/// When its weights cannot be read.
pub fn pooler(folder: &Path, family: &Family) -> Result<Vec<(String, Tensor)>, WeightsError> {
    Ok(Contents::of(folder, family.names())?.read(is_of_pooler)?.into_iter().collect())
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
///
/// # Errors
/// When the file cannot be created, written or synced.
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
