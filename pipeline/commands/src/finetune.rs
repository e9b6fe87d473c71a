//! Options of a fine-tuning.
use clap::{Args, ValueEnum};

/// What a head for whole sequences reads.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum)]
pub enum Pooling {
    /// The pooler over the hidden state of `[CLS]`, as `transformers` does
    #[default]
    Cls,
    /// The mean of the hidden states of all tokens, without a pooler
    Mean,
}

/// How to fine-tune.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Fine-tuning")]
pub struct FinetuneOptions {
    /// Highest learning rate. It rises over the first steps (--warmup) and then falls to 0. Of several, separated by
    /// commas, the best on the validation part is kept
    #[arg(long = "learning-rate", value_name = "RATE", value_delimiter = ',', default_values_t = [2e-5])]
    pub learning_rates: Vec<f64>,
    /// Epochs over the examples. Of several, separated by commas, the best on the validation part is kept. The
    /// learning rate falls as it does in the longest
    #[arg(long, value_name = "N", value_delimiter = ',', default_values_t = [3], value_parser = clap::value_parser!(u32).range(1..=1000))]
    pub epochs: Vec<u32>,
    /// Search as the paper does. Learning rates: 5e-6, 1e-5, 2e-5 and 5e-5, each for 5 epochs. The best is kept after
    /// 2, 3, 4 or 5 of them. Not with --learning-rate or --epochs
    #[arg(long, conflicts_with_all = ["learning_rates", "epochs"])]
    pub search: bool,
    /// Sequences per step
    #[arg(long, value_name = "N", default_value_t = 16)]
    pub sequences: usize,
    /// Train on at most N examples, a random sample that is the same each time
    #[arg(long, value_name = "N")]
    pub limit: Option<usize>,
    /// Validate on at most N examples, a random sample likewise
    #[arg(long, value_name = "N")]
    pub validation_limit: Option<usize>,
    /// Test on at most N examples, a random sample likewise
    #[arg(long, value_name = "N")]
    pub test_limit: Option<usize>,
    /// Seed of training: the fresh weights of the head, the order of examples, dropout
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
    /// Seed of the split into training, validation and test. Use the same for all models that are compared
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub split_seed: u64,
    /// Longest sequence in tokens, special tokens included, or less if the model has fewer positions. Longer reviews
    /// are read in windows, other texts are cut
    #[arg(long, value_name = "N", default_value_t = 384)]
    pub max_tokens: usize,
    /// rqa: tokens of a review from the start of one window to that of the next
    #[arg(long, value_name = "N", default_value_t = 128)]
    pub stride: usize,
    /// rqa: maximum length of an answer in tokens
    #[arg(long, value_name = "N", default_value_t = 30)]
    pub max_answer: usize,
    /// pc: minimum number of titles of a label in the whole file. Rarer labels are not part of the task
    #[arg(long, value_name = "N", default_value_t = Self::MIN_TITLES)]
    pub min_titles: usize,
    /// pc: probability from which a label is predicted
    #[arg(long, value_name = "P", default_value_t = 0.5)]
    pub threshold: f64,
    /// asc, pc: what the head reads
    #[arg(long, value_enum, default_value_t)]
    pub pooling: Pooling,
    /// asc, pc: draw the pooler afresh, even if the model has one. Post-training leaves the pooler as it is but moves
    /// the states that it reads. So models compare better if all of them start with a fresh pooler
    #[arg(long)]
    pub fresh_pooler: bool,
    /// Weight decay of AdamW. Biases and layer norms have none
    #[arg(long, value_name = "X", default_value_t = 0.01)]
    pub weight_decay: f64,
    /// The ratio of steps over which the learning rate rises
    #[arg(long, value_name = "RATIO", default_value_t = 0.1)]
    pub warmup: f64,
    /// Maximum gradient norm; 0 disables the limit
    #[arg(long, value_name = "X", default_value_t = 1.0)]
    pub clip: f64,
}

impl FinetuneOptions {
    /// Titles that a label needs.
    pub(crate) const MIN_TITLES: usize = 50;
}
