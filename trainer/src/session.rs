//! A model in training: what pre-training, its estimate, its benchmark and fine-tuning share.
//!
//! [`Session::step`] takes one step. It does not wait for the device: what the step gave is in
//! [`Pending`], and is read while the next step runs.
use ebert_bert::{Parameters, upload};
use ebert_kernels::{
    Reading, TorchError,
    device::{DeviceError, Machine, Wish},
};
use tch::{Device, Kind, Tensor};

use crate::{
    optimizer::{Optimizer, OptimizerOptions, Trains},
    world::{World, WorldError},
};

/// A model that can be trained.
pub trait Trainable {
    /// Its weights.
    fn parameters(&self) -> &Parameters;
    /// Where they are.
    fn device(&self) -> Device;
}

impl<M: Trainable> Trainable for &M {
    fn parameters(&self) -> &Parameters {
        (**self).parameters()
    }

    fn device(&self) -> Device {
        (**self).device()
    }
}

/// A step cannot be taken.
#[derive(Debug, thiserror::Error)]
pub enum StepError {
    /// libtorch refuses.
    #[error(transparent)]
    Torch(#[from] TorchError),
    /// Another process is lost.
    #[error(transparent)]
    World(#[from] WorldError),
}

/// Sets the threads of the CPU, if given, and chooses the device. `local` is the process among
/// those of its machine.
///
/// # Errors
/// If libtorch is of another version, or the GPU does not exist.
pub fn prepare(wish: Wish, local: usize, threads: Option<u16>) -> Result<Device, DeviceError> {
    if let Some(threads) = threads {
        tch::set_num_threads(i32::from(threads));
    }
    Machine::look().device(wish, local)
}

/// A model in training.
pub struct Session<M> {
    pub model: M,
    pub optimizer: Optimizer,
    /// The processes that train it together.
    pub world: World,
}

/// This process's part of a loss, scalars on the device.
pub struct StepLoss {
    /// The loss.
    pub loss: Tensor,
    /// A loss whose gradient was added, reported apart from it.
    pub auxiliary: Option<Tensor>,
}

impl From<Tensor> for StepLoss {
    fn from(loss: Tensor) -> Self {
        Self { loss, auxiliary: None }
    }
}

/// Adds the gradients of a loss to those of the parameters, and returns the loss. `None` if there
/// is nothing to learn from.
pub type Objective<'a, M> = Box<dyn FnOnce(&M, &World) -> Option<StepLoss> + 'a>;

impl<M: Trainable> Session<M> {
    /// A model with a fresh optimizer.
    pub fn new(model: M, options: OptimizerOptions, world: World) -> Self {
        let optimizer = Optimizer::new(model.parameters(), options, model.device());
        Self { model, optimizer, world }
    }

    /// Which weights the next steps change. Nothing is computed for the gradients of the others.
    pub fn train(&mut self, trains: Trains) {
        if self.optimizer.trains() != trains {
            self.model.parameters().require_gradients(|name| trains.includes(name));
            self.optimizer.set_trains(trains);
        }
    }

    /// One step against the sum of the gradients of one or two objectives, summed over all
    /// processes. The objectives run one after another, so that the graph of the first is freed
    /// before that of the second is built. `stop` lets the others know that this process was asked
    /// to stop.
    ///
    /// # Errors
    /// If libtorch refuses, or another process is lost.
    pub fn step(
        &mut self,
        objective: Objective<'_, M>,
        second: Option<Objective<'_, M>>,
        learning_rate: f64,
        stop: bool,
    ) -> Result<Pending, StepError> {
        let loss = objective(&self.model, &self.world);
        let first = second.as_ref().map(|_| self.optimizer.set_aside()).transpose()?;
        let second_loss = second.and_then(|second| second(&self.model, &self.world));

        let device = self.model.device();
        let stop = upload(&[i32::from(stop)], device).to_kind(Kind::Float);
        let auxiliary = loss.as_ref().and_then(|loss| loss.auxiliary.as_ref());
        let [loss, second_loss] = [&loss, &second_loss].map(|loss| loss.as_ref().map(|loss| &loss.loss));
        let losses = [loss, second_loss, auxiliary];
        let scalar = |loss: Option<&Tensor>| loss.map_or_else(|| stop.zeros_like(), |loss| loss.view([1]));
        let [first_sum, second_sum, auxiliary_sum] = losses.map(scalar);
        let sums = Tensor::cat(&[first_sum, second_sum, auxiliary_sum, stop.shallow_clone()], 0);
        let gradients = self.optimizer.gradients();
        let mut all: Vec<Tensor> = gradients.iter().map(Tensor::shallow_clone).collect();
        all.extend(first.iter().flatten().map(Tensor::shallow_clone));
        all.push(sums.shallow_clone());
        self.world.all_reduce(&all, "added up gradients")?;

        let norms = match &first {
            Some(first) => {
                let norms = Tensor::stack(&[ebert_kernels::norm(first)?, ebert_kernels::norm(&gradients)?], 0);
                ebert_kernels::add(&gradients, first)?;
                norms
            }
            None => Tensor::zeros([2], (Kind::Float, device)),
        };
        let norm = self.optimizer.step(learning_rate)?;
        let reading = Reading::start(&Tensor::cat(&[sums, norms, norm.view([1])], 0))?;
        Ok(Pending { reading, has_loss: losses.map(|loss| loss.is_some()), has_norms: first.is_some() })
    }
}

/// The numbers of a step that the device may still be at.
#[derive(Debug)]
pub struct Pending {
    reading: Reading<7>,
    has_loss: [bool; 3],
    has_norms: bool,
}

/// The numbers of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Numbers {
    /// The loss of each objective, over all processes.
    pub losses: [Option<f64>; 2],
    /// The auxiliary loss of the first objective, over all processes.
    pub auxiliary: Option<f64>,
    /// The norm of each objective's gradient, if there are two.
    pub norms: Option<[f64; 2]>,
    /// The norm of the sum of the gradients, before clipping. Without a finite one, the step was
    /// skipped.
    pub gradient_norm: f64,
    /// Whether some process was asked to stop.
    pub stopped: bool,
}

impl Pending {
    /// Waits for the device.
    ///
    /// # Errors
    /// If libtorch refuses.
    pub fn finish(self) -> Result<Numbers, TorchError> {
        let [loss, second, auxiliary, stopped, norm, second_norm, gradient_norm] = self.reading.finish()?;
        let [has_loss, has_second, has_auxiliary] = self.has_loss;
        Ok(Numbers {
            losses: [has_loss.then_some(loss), has_second.then_some(second)],
            auxiliary: has_auxiliary.then_some(auxiliary),
            norms: self.has_norms.then_some([norm, second_norm]),
            gradient_norm,
            stopped: stopped > 0.0,
        })
    }
}

#[cfg(test)]
mod tests {
    use ebert_bert::{BertConfig, BertForMaskedLm, Decision, Packed, Phase};

    use super::*;
    use crate::{model::PretrainingModel, optimizer::is_of_head, recipe::Recipe};

    /// A step against the loss of a few tokens.
    fn step(session: &mut Session<PretrainingModel>) {
        let objective = |model: &PretrainingModel, _: &World| {
            let packed = Packed::new(&[2, 5, 6, 7, 3], &[5], Device::Cpu);
            let loss = model.bert.loss_at(&packed, &[1, 3], &[8, 9], Phase::Evaluate);
            loss.backward();
            Some(loss.detach().into())
        };
        session.step(Box::new(objective), None, 0.01, false).unwrap().finish().unwrap();
    }

    fn session(seed: u64) -> Session<PretrainingModel> {
        let config: BertConfig = serde_json::from_value(serde_json::json!({
            "vocab_size": 16, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2,
            "intermediate_size": 16, "max_position_embeddings": 8,
        }))
        .unwrap();
        let options = serde_json::from_str(r#"{"learning_rate": 0.01, "sequences": 1}"#).unwrap();
        let bert = BertForMaskedLm::new(&config, seed, Device::Cpu, Decision::on_cpu());
        let model = PretrainingModel::new(bert, &Recipe::load("sample", &[]).unwrap());
        Session::new(model, options, World::alone())
    }

    fn weights(session: &Session<PretrainingModel>, are_of_head: bool) -> Vec<Tensor> {
        let parameters = session.model.parameters().iter();
        let chosen = parameters.filter(|(name, _)| is_of_head(name) == are_of_head);
        chosen.map(|(_, tensor)| tensor.detach().copy()).collect()
    }

    #[test]
    fn an_encoder_that_was_frozen_takes_its_first_step_as_if_it_were_the_first() {
        let _alone = ebert_kernels::generator();
        let mut frozen = session(3);
        let [encoder, head] = [false, true].map(|head| weights(&frozen, head));
        frozen.train(Trains::Head);
        (0..5).for_each(|_| step(&mut frozen));
        assert_eq!(weights(&frozen, false), encoder);
        assert!(weights(&frozen, true).iter().zip(&head).all(|(now, before)| now != before));

        // The same weights, and no step taken.
        let mut fresh = session(4);
        for ((_, to), (_, from)) in fresh.model.parameters().iter().zip(frozen.model.parameters().iter()) {
            tch::no_grad(|| to.shallow_clone().copy_(from));
        }
        frozen.train(Trains::All);
        [&mut frozen, &mut fresh].into_iter().for_each(step);
        assert_eq!(weights(&frozen, false), weights(&fresh, false));
        assert_ne!(weights(&frozen, false), encoder);
        assert_ne!(weights(&frozen, true), weights(&fresh, true));
        let steps = frozen.optimizer.steps();
        assert_eq!((steps.head, steps.others), (6, 1));
    }
}
