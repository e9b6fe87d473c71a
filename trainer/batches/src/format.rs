//! How a model takes two texts in one sequence.
use serde::{Deserialize, Serialize};

/// Two texts in one sequence, by the kind of model.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum SequenceFormat {
    /// `[CLS] a [SEP] b [SEP]` with token types 0 and 1.
    #[default]
    Bert,
    /// `<s> a </s></s> b </s>`.
    Roberta,
    /// `[CLS] a [SEP] b [SEP]`.
    ModernBert,
}

impl SequenceFormat {
    /// Separators between the texts.
    pub const fn separators(self) -> usize {
        match self {
            Self::Bert | Self::ModernBert => 1,
            Self::Roberta => 2,
        }
    }

    /// Whether token types tell the texts apart.
    pub const fn has_types(self) -> bool {
        matches!(self, Self::Bert)
    }
}
