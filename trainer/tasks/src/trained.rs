//! How the model in a folder was trained, according to the recipe next to its weights.
use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ebert_bert::weights::WeightsError;
use serde::{Deserialize, Deserializer};
use tch::{Device, Kind, Tensor};
use trainer::{checkpoint, neighbor::NeighborOptions};

/// What a model's `recipe.toml` says; the paper's values for a model without one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
pub struct Trained {
    /// Neighbor Product Reconstruction.
    #[serde(default)]
    pub neighbor: NeighborOptions,
    #[serde(default)]
    data: Data,
    #[serde(default, rename = "stage", deserialize_with = "any_with_neighbors")]
    has_neighbor_stage: bool,
}

/// Whether a stage trains Neighbor Product Reconstruction.
fn any_with_neighbors<'de, D: Deserializer<'de>>(stages: D) -> Result<bool, D::Error> {
    #[derive(Deserialize)]
    struct Stage {
        #[serde(default)]
        neighbor: bool,
    }
    Ok(Vec::<Stage>::deserialize(stages)?.iter().any(|stage| stage.neighbor))
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Deserialize)]
struct Data {
    held_out: Option<f64>,
}

/// The recipe next to a model cannot be used.
#[derive(Debug, thiserror::Error)]
#[error("`{}` is not a recipe of this version: {what}\nhint: remove it to take the paper's values, or use the version that wrote it", path.display())]
pub struct RecipeError {
    path: PathBuf,
    what: String,
}

impl Trained {
    /// Of a Hugging Face folder.
    ///
    /// # Errors
    /// If it has a recipe that cannot be read.
    pub fn read(folder: &Path) -> Result<Self, RecipeError> {
        let path = folder.join("recipe.toml");
        let text = match fs::read_to_string(&path) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(error) => return Err(RecipeError { path, what: error.to_string() }),
        };
        toml::from_str(&text).map_err(|error| RecipeError { path, what: error.message().to_owned() })
    }

    /// The ratio of documents that it was not trained on, if it has a recipe.
    pub fn held_out(&self) -> Option<f64> {
        self.data.held_out
    }

    /// Whether Neighbor Product Reconstruction was a part of its training, if it has a recipe.
    pub fn has_neighbor_stage(&self) -> bool {
        self.has_neighbor_stage
    }

    /// The weights of NPR's projection in that folder, `[d, d]`, if the recipe has one.
    ///
    /// # Errors
    /// When the file that should have them cannot be read.
    pub fn projection(&self, folder: &Path, device: Device) -> Result<Option<Tensor>, WeightsError> {
        if !self.neighbor.projection {
            return Ok(None);
        }
        let found = checkpoint::projection(folder)?;
        Ok(found.map(|weights| weights.to_device(device).to_kind(Kind::Float)))
    }
}
