//! The Python module `ebert`: batches of shards as numpy arrays or torch tensors.
//!
//! `ebert_batches` makes them, as it does for the trainer, so masks and order are the trainer's.
//! Here sequences get padding, and arrays cross to Python. `ebert/` has the part in Python, and
//! `ebert/__init__.pyi` the signatures.
mod arrays;
mod batches;
mod options;
mod pairs;
mod shards;

use pyo3::{create_exception, exceptions::PyException, prelude::*};

create_exception!(ebert, ShardsError, PyException, "The shards cannot be used.");

/// The part of `ebert` that is written in Rust.
#[pymodule]
mod _ebert {
    #[pymodule_export]
    use super::{
        ShardsError,
        batches::{BatchIterator, Batches},
        pairs::{PairIterator, Pairs},
        shards::Shards,
    };
    use pyo3::prelude::*;

    use super::batches::TAKEN_AS;

    #[pymodule_init]
    fn init(module: &Bound<'_, PyModule>) -> PyResult<()> {
        module.add("__version__", env!("CARGO_PKG_VERSION"))?;
        module.add("TAKEN_AS", TAKEN_AS)
    }
}

/// An error of the shards as an exception, with its causes and its hint.
fn shards_error(error: &dyn std::error::Error) -> PyErr {
    let text = schemas::explain(error);
    ShardsError::new_err(text.trim_start_matches("error: ").trim_end().to_owned())
}
