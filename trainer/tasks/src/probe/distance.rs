//! The distance between products that Neighbor Product Reconstruction trains (eqs. 8-11).
use std::path::Path;

use tch::{Device, Tensor};
use trainer::neighbor::{NeighborOptions, distances_from, project};

use super::ProbeError;
use crate::trained::Trained;

/// The distance of a model, as its recipe defines it; the paper's for a model without one.
#[derive(Debug)]
pub struct NeighborDistance {
    options: NeighborOptions,
    projection: Option<Tensor>,
    is_trained: bool,
    device: Device,
}

impl NeighborDistance {
    /// Of the model in a Hugging Face folder. Distances are computed on the device.
    ///
    /// # Errors
    /// When its recipe or the weights of its projection cannot be read.
    pub fn read(folder: &Path, device: Device) -> Result<Self, ProbeError> {
        let trained = Trained::read(folder)?;
        let projection = trained.projection(folder, Device::Cpu)?;
        let is_trained = trained.has_neighbor_stage();
        Ok(Self { options: trained.neighbor, projection, is_trained, device })
    }

    /// Whether a stage of the model's recipe trained it.
    pub fn is_trained(&self) -> bool {
        self.is_trained
    }

    /// The states that are compared, `[tokens, d]` on the device, from the last hidden states of a
    /// product on the CPU, special tokens left out.
    pub fn states(&self, contents: &Tensor) -> Tensor {
        let projected = self.projection.as_ref().map(|projection| project(contents, projection));
        projected.unwrap_or_else(|| contents.shallow_clone()).to_device(self.device)
    }

    /// The distances of a product to others, of their [`NeighborDistance::states`]. It is infinite
    /// if one of the two has no token.
    ///
    /// # Errors
    /// When libtorch refuses.
    pub fn to_each(&self, product: &Tensor, others: &[Tensor]) -> Result<Vec<f64>, ProbeError> {
        let has_tokens = |states: &Tensor| states.size()[0] > 0;
        let mut distances = vec![f64::INFINITY; others.len()];
        let places: Vec<usize> = (0..others.len()).filter(|&place| has_tokens(&others[place])).collect();
        if has_tokens(product) && !places.is_empty() {
            let compared: Vec<Tensor> = places.iter().map(|&place| others[place].shallow_clone()).collect();
            let found = distances_from(product, &compared, &self.options).to_device(Device::Cpu);
            let found = Vec::<f32>::try_from(found)?;
            places.iter().zip(found).for_each(|(&place, found)| distances[place] = f64::from(found));
        }
        Ok(distances)
    }
}
