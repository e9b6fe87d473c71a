//! Masked batches.
use std::sync::Arc;

use ebert_batches::{
    Batch, Batches as Stream, DataError, MaskedBatch, Position, SegmentPlan, StepSize,
    masking::{
        MaskMode, Masking, TakenAs,
        switch::{Switch, SwitchOptions},
    },
    segment_batches,
};
use pyo3::{prelude::*, types::PyDict};

use crate::{
    arrays::{IGNORED, InputFormat, Inputs, Matrix, vector},
    options::Tensors,
    shards_error,
};

/// What the codes of `taken_as` stand for.
pub(crate) const TAKEN_AS: [&str; 4] = ["unit", "pool_phrase", "noun_phrase", "filler"];

/// The code of a token that is not selected, and the unit of one that is in none.
const NONE: i8 = -1;

fn code(taken_as: TakenAs) -> i8 {
    match taken_as {
        TakenAs::Unit => 0,
        TakenAs::PoolPhrase => 1,
        TakenAs::NounPhrase => 2,
        TakenAs::Filler => 3,
    }
}

/// How the mode of a step is chosen.
#[derive(Clone, Debug)]
pub(crate) enum Modes {
    One(MaskMode),
    /// Words with a constant probability, else phrases, as scheme `mixed` of the trainer.
    Mixed(Box<Switch>),
}

impl Modes {
    pub(crate) fn mixed(alpha: f64) -> Self {
        let options = SwitchOptions { alpha0: alpha, ..Default::default() };
        Self::Mixed(Box::new(Switch::new(options, u64::MAX)))
    }

    fn of_step(&self, seed: u64, step: u64) -> MaskMode {
        match self {
            Self::One(mode) => *mode,
            Self::Mixed(switch) => switch.draw(seed, step),
        }
    }
}

/// Which of the processes of a run this is.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rank {
    pub(crate) rank: usize,
    pub(crate) world_size: usize,
}

/// Masked batches of some epochs. Each iteration starts from their beginning.
#[pyclass(module = "ebert", frozen)]
#[derive(Debug)]
pub(crate) struct Batches {
    pub(crate) shards: Arc<ebert_batches::Shards>,
    pub(crate) masking: Arc<Masking>,
    pub(crate) plan: SegmentPlan,
    pub(crate) modes: Modes,
    pub(crate) from: Position,
    pub(crate) step: u64,
    /// The epoch from which there are no more.
    pub(crate) end: Option<u32>,
    pub(crate) rank: Rank,
    pub(crate) spans: bool,
    pub(crate) tensors: Tensors,
}

/// Steps in which the segments of a plan are gone through once.
pub(crate) fn steps_per_epoch(shards: &ebert_batches::Shards, plan: &SegmentPlan) -> Result<u64, DataError> {
    let (amount, size) = match plan.size {
        StepSize::Sequences(size) => (plan.corpora.iter().map(|&corpus| shards.split(corpus).trained).sum(), size),
        StepSize::Tokens(size) => {
            let tokens: Result<u64, _> = plan.corpora.iter().map(|&corpus| shards.trained_tokens(corpus)).sum();
            (tokens?, size)
        }
    };
    Ok(u64::div_ceil(amount, size as u64))
}

#[pymethods]
impl Batches {
    fn __iter__(&self, py: Python<'_>) -> PyResult<BatchIterator> {
        let start = || segment_batches(&self.shards, &self.masking, self.plan.clone(), self.from);
        let stream = py.detach(start).map_err(|error| shards_error(&error))?;
        Ok(BatchIterator {
            stream,
            modes: self.modes.clone(),
            seed: self.plan.seed,
            input_format: InputFormat { pad: self.shards.vocabulary().special.pad, format: self.plan.format },
            after: self.from,
            step: self.step,
            end: self.end,
            rank: self.rank,
            spans: self.spans,
            tensors: self.tensors,
        })
    }

    /// The number of batches of an epoch. Batches of so many `tokens` are counted by reading the shards.
    #[getter]
    fn steps_per_epoch(&self, py: Python<'_>) -> PyResult<u64> {
        py.detach(|| steps_per_epoch(&self.shards, &self.plan)).map_err(|error| shards_error(&error))
    }
}

/// The batches of one iteration.
#[pyclass(module = "ebert")]
#[derive(Debug)]
pub(crate) struct BatchIterator {
    stream: Stream<Batch>,
    modes: Modes,
    seed: u64,
    input_format: InputFormat,
    after: Position,
    step: u64,
    end: Option<u32>,
    rank: Rank,
    spans: bool,
    tensors: Tensors,
}

impl BatchIterator {
    /// The next batch with padding; none at the end.
    fn make(&mut self) -> Result<Option<Padded>, DataError> {
        if self.end.is_some_and(|end| self.after.epoch >= end) {
            return Ok(None);
        }
        let batch = self.stream.next_batch()?;
        if self.end.is_some_and(|end| batch.epoch >= end) {
            self.after = Position { epoch: batch.epoch, ..Position::default() };
            return Ok(None);
        }
        let mode = self.modes.of_step(self.seed, self.step);
        (self.after, self.step) = (batch.after, self.step + 1);
        let Rank { rank, world_size } = self.rank;
        let sequences = (rank..batch.lengths.len()).step_by(world_size);
        let documents = sequences.clone().map(|sequence| batch.documents[sequence].get()).collect();
        let part = batch.parts(mode, sequences, 0).pop();
        let (lengths, masked) = part.unwrap_or_else(|| (Vec::new(), MaskedBatch::empty(mode)));
        Ok(Some(Padded::of(&masked, &lengths, documents, self.input_format, self.spans)))
    }
}

#[pymethods]
impl BatchIterator {
    fn __iter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    fn __next__<'py>(&mut self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let made = py.detach(|| self.make()).map_err(|error| shards_error(&error))?;
        made.map(|batch| batch.into_dict(py, self.tensors)).transpose()
    }

    /// Where the iteration is after the last batch.
    fn state_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let state = PyDict::new(py);
        let Position { epoch, block, row, over } = self.after;
        for (name, value) in [("epoch", epoch), ("block", block), ("row", row), ("over", over)] {
            state.set_item(name, value)?;
        }
        state.set_item("step", self.step)?;
        Ok(state)
    }
}

/// A batch as matrices.
#[derive(Debug)]
pub(crate) struct Padded {
    inputs: Inputs,
    labels: Matrix<i64>,
    spans: Option<Spans>,
}

/// What was taken together, and as what.
#[derive(Debug)]
struct Spans {
    mode: &'static str,
    documents: Vec<u64>,
    units: Matrix<i32>,
    taken_as: Matrix<i8>,
}

impl Padded {
    pub(crate) fn of(
        masked: &MaskedBatch,
        lengths: &[usize],
        documents: Vec<u64>,
        input_format: InputFormat,
        spans: bool,
    ) -> Self {
        let mut labels = Matrix::padded(lengths, IGNORED);
        let places = labels.places(lengths);
        let mut spans = spans.then(|| Spans {
            mode: masked.mode.as_str(),
            documents,
            units: Matrix::padded(lengths, i32::from(NONE)),
            taken_as: Matrix::padded(lengths, NONE),
        });
        for (number, (&at, &label)) in masked.selected.iter().zip(&masked.labels).enumerate() {
            let place = places[at as usize];
            labels.set(place, i64::from(label));
            if let Some(spans) = &mut spans {
                spans.units.set(place, masked.units[number].map_or(i32::from(NONE), |unit| unit as i32));
                spans.taken_as.set(place, code(masked.taken_as[number]));
            }
        }
        Self { inputs: Inputs::of(&masked.input_ids, &masked.types, lengths, input_format), labels, spans }
    }

    pub(crate) fn into_dict(self, py: Python<'_>, tensors: Tensors) -> PyResult<Bound<'_, PyDict>> {
        let dict = PyDict::new(py);
        self.inputs.into_dict(&dict, tensors)?;
        self.labels.into_dict(&dict, "labels", tensors)?;
        if let Some(Spans { mode, documents, units, taken_as }) = self.spans {
            dict.set_item("mode", mode)?;
            vector(&dict, "documents", documents, tensors)?;
            units.into_dict(&dict, "units", tensors)?;
            taken_as.into_dict(&dict, "taken_as", tensors)?;
        }
        Ok(dict)
    }
}
