//! Packed sequences as matrices with padding.
use ebert_batches::SequenceFormat;
use numpy::{Element, PyArray1, PyArrayMethods as _};
use pyo3::{prelude::*, types::PyDict};

use crate::options::Tensors;

/// The label of a token that is not predicted, as in `transformers`.
pub(crate) const IGNORED: i64 = -100;

/// A matrix of one row per sequence.
#[derive(Debug)]
pub(crate) struct Matrix<T> {
    values: Vec<T>,
    rows: usize,
    columns: usize,
}

impl<T: Element + Copy> Matrix<T> {
    /// As wide as the longest sequence, and filled with padding.
    pub(crate) fn padded(lengths: &[usize], padding: T) -> Self {
        let (rows, columns) = (lengths.len(), lengths.iter().copied().max().unwrap_or(0));
        Self { values: vec![padding; rows * columns], rows, columns }
    }

    /// Where each token of a packed row goes: row by row, in order.
    pub(crate) fn places(&self, lengths: &[usize]) -> Vec<usize> {
        lengths
            .iter()
            .enumerate()
            .flat_map(|(row, length)| (0..*length).map(move |at| (row, at)))
            .map(|(row, at)| row * self.columns + at)
            .collect()
    }

    pub(crate) fn set(&mut self, place: usize, value: T) {
        self.values[place] = value;
    }

    /// Puts it into a dict.
    pub(crate) fn into_dict(self, dict: &Bound<'_, PyDict>, name: &str, tensors: Tensors) -> PyResult<()> {
        let array = PyArray1::from_vec(dict.py(), self.values).reshape([self.rows, self.columns])?;
        dict.set_item(name, as_wished(array.into_any(), tensors)?)
    }
}

/// A vector in a dict.
pub(crate) fn vector<T: Element>(
    dict: &Bound<'_, PyDict>,
    name: &str,
    values: Vec<T>,
    tensors: Tensors,
) -> PyResult<()> {
    dict.set_item(name, as_wished(PyArray1::from_vec(dict.py(), values).into_any(), tensors)?)
}

fn as_wished(array: Bound<'_, PyAny>, tensors: Tensors) -> PyResult<Bound<'_, PyAny>> {
    match tensors {
        Tensors::Numpy => Ok(array),
        Tensors::Torch => array.py().import("torch")?.call_method1("from_numpy", (array,)),
    }
}

/// What a model takes of every sequence, without labels.
#[derive(Debug)]
pub(crate) struct Inputs {
    input_ids: Matrix<i64>,
    attention_mask: Matrix<i64>,
    /// None where the model has no token types.
    token_type_ids: Option<Matrix<i64>>,
}

/// How sequences become matrices.
#[derive(Clone, Copy, Debug)]
pub(crate) struct InputFormat {
    /// The id of the padding.
    pub(crate) pad: u32,
    /// Whose inputs they are.
    pub(crate) format: SequenceFormat,
}

impl Inputs {
    /// Of a packed row. `types` is empty where no sequence has a second text.
    pub(crate) fn of(row: &[u32], types: &[u8], lengths: &[usize], input_format: InputFormat) -> Self {
        let mut inputs = Self {
            input_ids: Matrix::padded(lengths, i64::from(input_format.pad)),
            attention_mask: Matrix::padded(lengths, 0),
            token_type_ids: input_format.format.has_types().then(|| Matrix::padded(lengths, 0)),
        };
        for (token, place) in inputs.input_ids.places(lengths).into_iter().enumerate() {
            inputs.input_ids.set(place, i64::from(row[token]));
            inputs.attention_mask.set(place, 1);
            if let Some(matrix) = &mut inputs.token_type_ids {
                matrix.set(place, types.get(token).copied().map_or(0, i64::from));
            }
        }
        inputs
    }

    pub(crate) fn into_dict(self, dict: &Bound<'_, PyDict>, tensors: Tensors) -> PyResult<()> {
        self.input_ids.into_dict(dict, "input_ids", tensors)?;
        self.attention_mask.into_dict(dict, "attention_mask", tensors)?;
        self.token_type_ids.map_or(Ok(()), |types| types.into_dict(dict, "token_type_ids", tensors))
    }
}
