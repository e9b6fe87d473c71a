//! What a safetensors file says of itself: the names, kinds and shapes of its tensors, without
//! their numbers.
use std::{
    fs,
    io::{self, Read},
    path::Path,
};

use safetensors::{
    Dtype, SafeTensorError,
    tensor::{Metadata, TensorInfo},
};
use tch::Kind;

use super::error::WeightsError;

/// The most bytes that the format allows a header.
const MOST: u64 = 100_000_000;
/// Bytes of a header's length.
const LENGTH: u64 = 8;

/// A tensor as a header lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Listed {
    /// Its name in the file.
    pub(super) name: String,
    /// Its shape.
    pub(super) shape: Vec<i64>,
}

/// The tensors of a file, sorted by name.
pub(super) fn header(path: &Path) -> Result<Vec<Listed>, WeightsError> {
    let io = |source: io::Error| WeightsError::Io { path: path.to_owned(), source };
    let malformed = |source| WeightsError::Malformed { path: path.to_owned(), source };
    let mut file = fs::File::open(path).map_err(io)?;
    let found = file.metadata().map_err(io)?.len();
    if found < LENGTH {
        return Err(malformed(SafeTensorError::HeaderTooSmall));
    }
    let mut length = [0; LENGTH as usize];
    file.read_exact(&mut length).map_err(io)?;
    let length = u64::from_le_bytes(length);
    if length > MOST {
        return Err(malformed(SafeTensorError::HeaderTooLarge));
    }
    if LENGTH + length > found {
        return Err(malformed(SafeTensorError::InvalidHeaderLength));
    }
    let mut text = vec![0; length as usize];
    file.read_exact(&mut text).map_err(io)?;
    let metadata: Metadata = serde_json::from_slice(&text)
        .map_err(|source| malformed(SafeTensorError::InvalidHeaderDeserialization(source)))?;
    let wanted = LENGTH + length + metadata.data_len() as u64;
    if wanted != found {
        return Err(WeightsError::Length { path: path.to_owned(), found, wanted });
    }
    let mut tensors = Vec::new();
    for (name, TensorInfo { dtype, shape, .. }) in metadata.tensors() {
        if kind(path, &name, *dtype)?.is_some() {
            tensors.push(Listed { name, shape: shape.iter().map(|&n| n as i64).collect() });
        }
    }
    tensors.sort_by(|a, b| a.name.cmp(&b.name));
    Ok(tensors)
}

/// The kind of a stored tensor; `None` of one that is not a weight.
pub(super) fn kind(path: &Path, name: &str, stored: Dtype) -> Result<Option<Kind>, WeightsError> {
    Ok(Some(match stored {
        Dtype::F32 => Kind::Float,
        Dtype::F16 => Kind::Half,
        Dtype::BF16 => Kind::BFloat16,
        Dtype::F64 => Kind::Double,
        // Old folders hold the positions 0, 1, 2, … next to the weights.
        Dtype::I64 if name.ends_with("position_ids") => return Ok(None),
        other => {
            let found = format!("{other:?}");
            return Err(WeightsError::Kind { path: path.to_owned(), name: name.to_owned(), found });
        }
    }))
}
