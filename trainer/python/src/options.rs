//! Arguments from Python, by the names that recipes have.
use pyo3::{exceptions::PyValueError, prelude::*, types::PyDict};
use serde::de::DeserializeOwned;

/// What arrays are given as.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Tensors {
    /// numpy arrays.
    Numpy,
    /// torch tensors, which share the arrays' memory.
    Torch,
}

impl Tensors {
    pub(crate) fn named(name: &str) -> PyResult<Self> {
        match name {
            "numpy" => Ok(Self::Numpy),
            "torch" => Ok(Self::Torch),
            _ => Err(PyValueError::new_err(format!("tensors is {name:?}, expected \"numpy\" or \"torch\""))),
        }
    }
}

/// A value with a name in recipes, such as a scheme.
pub(crate) fn named<T: DeserializeOwned>(argument: &str, name: &str) -> PyResult<T> {
    serde_json::from_value(name.into()).map_err(|error| PyValueError::new_err(format!("{argument}: {error}")))
}

/// A table of a recipe as a dict; its defaults without one.
pub(crate) fn table<T: DeserializeOwned + Default>(argument: &str, table: Option<&Bound<'_, PyDict>>) -> PyResult<T> {
    let Some(table) = table else { return Ok(T::default()) };
    let json: String = table.py().import("json")?.call_method1("dumps", (table,))?.extract()?;
    serde_json::from_str(&json).map_err(|error| {
        let text = error.to_string();
        let what = text.split(" at line").next().unwrap_or_default();
        PyValueError::new_err(format!("{argument}: {what}\nhint: docs/recipes.md lists the keys of [{argument}]"))
    })
}

/// Refuses a value that may not be.
pub(crate) fn require(holds: bool, argument: &str, found: impl std::fmt::Display, expected: &str) -> PyResult<()> {
    if holds { Ok(()) } else { Err(PyValueError::new_err(format!("{argument} is {found}, expected {expected}"))) }
}

/// The epoch from which a stream ends; none where it is endless.
pub(crate) fn end(from: u32, epochs: Option<u32>) -> Option<u32> {
    epochs.map(|epochs| from.saturating_add(epochs))
}
