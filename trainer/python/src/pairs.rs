//! Batches of product pairs, each with a negative.
use std::sync::Arc;

use ebert_batches::{
    Batches as Stream, DataError, PairBatch, PairPlan, Position, SequenceFormat, pair_batches, starts,
};
use pyo3::{prelude::*, types::PyDict};

use crate::{
    arrays::{InputFormat, Inputs},
    options::Tensors,
    shards_error,
};

/// Batches of pairs of some epochs. Each iteration starts from their beginning.
#[pyclass(module = "ebert", frozen)]
#[derive(Debug)]
pub(crate) struct Pairs {
    pub(crate) shards: Arc<ebert_batches::Shards>,
    pub(crate) plan: PairPlan,
    pub(crate) format: SequenceFormat,
    pub(crate) from: Position,
    pub(crate) end: Option<u32>,
    pub(crate) tensors: Tensors,
}

#[pymethods]
impl Pairs {
    fn __iter__(&self, py: Python<'_>) -> PyResult<PairIterator> {
        let start = || pair_batches(&self.shards, self.plan, self.from);
        let stream = py.detach(start).map_err(|error| shards_error(&error))?;
        let input_format = InputFormat { pad: self.shards.vocabulary().special.pad, format: self.format };
        Ok(PairIterator { stream, input_format, at: self.from, end: self.end, tensors: self.tensors })
    }
}

/// The batches of one iteration.
#[pyclass(module = "ebert")]
#[derive(Debug)]
pub(crate) struct PairIterator {
    stream: Stream<PairBatch>,
    input_format: InputFormat,
    at: Position,
    end: Option<u32>,
    tensors: Tensors,
}

/// A batch as matrices.
#[derive(Debug)]
struct Sides {
    inputs: [Inputs; 3],
    further_negatives: Vec<Vec<usize>>,
}

/// The names of the sides of a pair, in their order.
const SIDES: [&str; 3] = ["anchor", "neighbor", "negative"];

impl PairIterator {
    /// The next batch; none at the end.
    fn make(&mut self) -> Result<Option<Sides>, DataError> {
        if self.end.is_some_and(|end| self.at.epoch >= end) {
            return Ok(None);
        }
        let batch = self.stream.next_batch()?;
        self.at = batch.after;
        if self.end.is_some_and(|end| batch.epoch >= end) {
            self.at = Position { epoch: batch.epoch, ..Position::default() };
            return Ok(None);
        }
        let starts = starts(&batch.lengths);
        let inputs = [0, 1, 2].map(|side| {
            let sequences = batch.pairs.iter().map(|pair| pair[side]);
            let lengths: Vec<usize> = sequences.clone().map(|sequence| batch.lengths[sequence]).collect();
            let tokens = sequences.zip(&lengths).flat_map(|(at, length)| &batch.input_ids[starts[at]..][..*length]);
            Inputs::of(&tokens.copied().collect::<Vec<u32>>(), &[], &lengths, self.input_format)
        });
        Ok(Some(Sides { inputs, further_negatives: batch.further_negatives }))
    }
}

#[pymethods]
impl PairIterator {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let made = py.detach(|| self.make()).map_err(|error| shards_error(&error))?;
        let Some(Sides { inputs, further_negatives }) = made else { return Ok(None) };
        let dict = PyDict::new(py);
        for (name, inputs) in SIDES.into_iter().zip(inputs) {
            let side = PyDict::new(py);
            inputs.into_dict(&side, self.tensors)?;
            dict.set_item(name, side)?;
        }
        dict.set_item("further_negatives", further_negatives)?;
        Ok(Some(dict))
    }
}
