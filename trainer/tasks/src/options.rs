//! Options of a fine-tuning: those of a command, and a table of a grid.
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use trainer::{optimizer::OptimizerOptions, recipe::Compute};

/// The paper's learning rates.
pub const LEARNING_RATES: [f64; 4] = [5e-6, 1e-5, 2e-5, 5e-5];
/// The paper's numbers of epochs.
pub const EPOCHS: [u32; 4] = [2, 3, 4, 5];

/// What a head for whole sequences reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Pooling {
    /// The pooler over the hidden state of `[CLS]`, as `transformers` does
    #[default]
    Cls,
    /// The mean of the hidden states of all tokens, without a pooler
    Mean,
}

/// One fine-tuning.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Highest learning rate; it rises over the first steps (--warmup) and then falls to 0. Of
    /// several, separated by commas, the best on the validation part is kept
    #[serde(alias = "learning_rate", deserialize_with = "one_or_more")]
    pub learning_rates: Vec<f64>,
    /// How often to go through the examples. Of several, separated by commas, the best on the
    /// validation part is kept; the learning rate falls as it does in the longest
    #[serde(deserialize_with = "one_or_more")]
    pub epochs: Vec<u32>,
    /// Search as the paper does: learning rates 5e-6, 1e-5, 2e-5 and 5e-5, each for 5 epochs, and
    /// the best after 2, 3, 4 or 5 of them. Not with --learning-rate or --epochs
    pub search: bool,
    /// Sequences in a step
    pub sequences: usize,
    /// Train on at most N examples, a random sample that is the same each time
    #[serde(skip_serializing_if = "Option::is_none")]
    pub limit: Option<usize>,
    /// Validate on at most N examples, likewise
    #[serde(skip_serializing_if = "Option::is_none")]
    pub validation_limit: Option<usize>,
    /// Test on at most N examples, likewise
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test_limit: Option<usize>,
    /// Seed of what training draws: the fresh weights of the head, the order of examples, dropout
    pub seed: u64,
    /// Seed of what is trained on, validated on and tested on; the same for all models that are
    /// compared
    pub split_seed: u64,
    /// The longest sequence in tokens, special tokens counted; less where the model has fewer
    /// positions. Longer reviews are read in windows, other texts are cut
    pub max_tokens: usize,
    /// rqa: tokens of a review from the start of one window to that of the next
    pub stride: usize,
    /// rqa: the most tokens of an answer
    pub max_answer: usize,
    /// pc: the least number of titles of a label, in the whole file; rarer labels are not part of
    /// the task
    pub min_titles: usize,
    /// pc: the least probability of a label that is predicted
    pub threshold: f64,
    /// asc, pc: what the head reads
    pub pooling: Pooling,
    /// asc, pc: draw the pooler afresh, even if the model has one. Post-training leaves the pooler
    /// as it is but moves the states that it reads. Models compare better if all of them start with
    /// a fresh one
    pub fresh_pooler: bool,
    /// AdamW's decay of weights; biases and layer norms have none
    pub weight_decay: f64,
    /// The ratio of steps in which the learning rate rises
    pub warmup: f64,
    /// The largest norm of the gradient; 0: no limit
    pub clip: f64,
    /// The kind of number that layers compute in
    pub compute: Compute,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            learning_rates: vec![2e-5],
            epochs: vec![3],
            search: false,
            sequences: 16,
            limit: None,
            validation_limit: None,
            test_limit: None,
            seed: 0,
            split_seed: 0,
            max_tokens: 384,
            stride: 128,
            max_answer: 30,
            min_titles: 50,
            threshold: 0.5,
            pooling: Pooling::Cls,
            fresh_pooler: false,
            weight_decay: 0.01,
            warmup: 0.1,
            clip: 1.0,
            compute: Compute::default(),
        }
    }
}

/// An option has a value that it cannot have.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{option} is {found}, expected {wanted}")]
pub struct OptionError {
    /// Which, as a grid calls it.
    pub option: &'static str,
    /// What it is.
    pub found: String,
    /// What it may be.
    pub wanted: &'static str,
}

impl Options {
    /// Checks the values.
    ///
    /// # Errors
    /// When one cannot be.
    pub fn check(&self) -> Result<(), OptionError> {
        let bad = |option, wanted| {
            let table = serde_json::to_value(self).unwrap_or_default();
            let found = table[option].to_string();
            Err(OptionError { option, found, wanted })
        };
        let not_empty = |count: usize, option| if count == 0 { bad(option, "one value or more") } else { Ok(()) };
        not_empty(self.learning_rates.len(), "learning_rates")?;
        not_empty(self.epochs.len(), "epochs")?;
        for &learning_rate in &self.learning_rates {
            if let Err((key, wanted)) = self.optimizer(learning_rate).check() {
                let key = key.trim_start_matches("optimizer.");
                return bad(if key == "learning_rate" { "learning_rates" } else { key }, wanted);
            }
        }
        if self.epochs.contains(&0) {
            return bad("epochs", "at least 1");
        }
        let limits =
            [("limit", self.limit), ("validation_limit", self.validation_limit), ("test_limit", self.test_limit)];
        if let Some((option, _)) = limits.into_iter().find(|(_, limit)| *limit == Some(0)) {
            return bad(option, "at least 1");
        }
        if self.max_tokens < 16 {
            return bad("max_tokens", "at least 16");
        }
        if self.stride == 0 {
            return bad("stride", "at least 1");
        }
        if self.max_answer == 0 {
            return bad("max_answer", "at least 1");
        }
        if self.min_titles == 0 {
            return bad("min_titles", "at least 1");
        }
        if !(self.threshold > 0.0 && self.threshold < 1.0) {
            return bad("threshold", "a probability between 0 and 1");
        }
        if self.fresh_pooler && self.pooling == Pooling::Mean {
            return bad("fresh_pooler", "false with pooling mean, which has no pooler");
        }
        Ok(())
    }

    /// The optimizer's part, with this learning rate.
    pub fn optimizer(&self, learning_rate: f64) -> OptimizerOptions {
        OptimizerOptions {
            learning_rate,
            sequences: Some(self.sequences),
            tokens: None,
            micro_batch_tokens: 0,
            weight_decay: self.weight_decay,
            betas: [0.9, 0.999],
            epsilon: 1e-8,
            warmup: self.warmup,
            clip: self.clip,
        }
    }

    /// The learning rates to try, and how many epochs each: the longest, so that five epochs cost
    /// five and not 2 + 3 + 4 + 5.
    pub fn trials(&self) -> (Vec<f64>, u32) {
        let learning_rates = if self.search { &LEARNING_RATES[..] } else { &self.learning_rates };
        (learning_rates.to_vec(), self.may_end_after().iter().copied().max().unwrap_or(0))
    }

    /// Epochs after which the model may be the result.
    pub fn may_end_after(&self) -> &[u32] {
        if self.search { &EPOCHS } else { &self.epochs }
    }
}

/// A list, or a value that stands for a list of one.
pub(crate) fn one_or_more<'de, D: Deserializer<'de>, T: DeserializeOwned>(from: D) -> Result<Vec<T>, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum OneOrMore<T> {
        One(T),
        More(Vec<T>),
    }
    Ok(match OneOrMore::deserialize(from)? {
        OneOrMore::One(value) => vec![value],
        OneOrMore::More(values) => values,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_that_cannot_be_are_named() {
        assert_eq!(Options::default().check(), Ok(()));
        let error = |change: &dyn Fn(&mut Options)| {
            let mut options = Options::default();
            change(&mut options);
            options.check().unwrap_err().to_string()
        };
        assert_eq!(
            error(&|o| o.learning_rates = vec![1e-4, 0.0]),
            "learning_rates is [0.0001,0.0], expected a number above 0"
        );
        assert_eq!(error(&|o| o.epochs = vec![]), "epochs is [], expected one value or more");
        assert_eq!(error(&|o| o.test_limit = Some(0)), "test_limit is 0, expected at least 1");
        assert_eq!(error(&|o| o.threshold = 1.0), "threshold is 1.0, expected a probability between 0 and 1");
        assert_eq!(
            error(&|o| (o.pooling, o.fresh_pooler) = (Pooling::Mean, true)),
            "fresh_pooler is true, expected false with pooling mean, which has no pooler"
        );
        assert_eq!(error(&|o| o.stride = 0), "stride is 0, expected at least 1");
    }

    #[test]
    fn a_grid_says_what_heads_read() {
        let options: Options = toml::from_str("pooling = \"mean\"\n").unwrap();
        assert_eq!(options, Options { pooling: Pooling::Mean, ..Options::default() });
        assert!(toml::from_str::<Options>("fresh_pooler = true\n").unwrap().fresh_pooler);
    }

    #[test]
    fn a_search_tries_what_the_paper_does_or_what_it_is_given() {
        let search = Options { search: true, ..Options::default() };
        assert_eq!(search.trials(), (vec![5e-6, 1e-5, 2e-5, 5e-5], 5));
        assert_eq!(search.may_end_after(), [2, 3, 4, 5]);
        let given = |text| {
            let options: Options = toml::from_str(text).unwrap();
            (options.trials(), options.epochs)
        };
        assert_eq!(given("learning_rate = 1e-4\nepochs = 4\n"), ((vec![1e-4], 4), vec![4]));
        let lists = "learning_rates = [1e-4, 2e-4]\nepochs = [20, 5]\n";
        assert_eq!(given(lists), ((vec![1e-4, 2e-4], 20), vec![20, 5]));
    }
}
