/*!
Sentences, part-of-speech tags and noun phrases of English text, with a small model inside.

The crate has a sentence splitter and tokenizer, a tagger and a base-noun-phrase chunker. Both
models are averaged perceptrons over hashed features. The embedded model takes 1.3 MB. It was
trained on newswire and web text (answers, e-mail, newsgroups, weblogs, reviews).

# Overview

The primary types of this crate are:

* [`NounPhrases`] finds the noun phrases of a text, as byte ranges.
* [`Tagging`] cuts a text into sentences and tokens, and gives each token its Penn Treebank tag.
* [`Sentences`] only cuts, and needs no model. A [`Token`] is a byte range.
* [`Model`] is a trained [`Tagger`] and [`Chunker`]. [`Model::from_bytes`] reads one at run time.
*/
#![cfg_attr(feature = "weights", doc = "  [`Model::embedded`] is the model inside the crate.")]
#![cfg_attr(not(feature = "weights"), doc = "  With the feature `weights` there is also one inside the crate.")]
/*!

Memory for caches and buffers is allocated once: create one [`NounPhrases`] or [`Tagging`] per
thread (about 2 MB each), and pass it text after text. Results depend only on the model and
on the text.

# Example: noun phrases

Determiners, possessives and lone pronouns are left out:

*/
#![cfg_attr(feature = "weights", doc = "```")]
#![cfg_attr(not(feature = "weights"), doc = "```ignore")]
/*!
use ebert_english::{Model, NounPhrases};

let text = "I bought this stainless steel kettle for my mother.";
let mut phrases = NounPhrases::new(Model::embedded());
let found: Vec<&str> = phrases.find(text).into_iter().map(|range| &text[range]).collect();
assert_eq!(found, ["stainless steel kettle", "mother"]);
```

# Example: tags

A tag is an index into the names of the model's tags:

*/
#![cfg_attr(feature = "weights", doc = "```")]
#![cfg_attr(not(feature = "weights"), doc = "```ignore")]
/*!
use ebert_english::{Model, Tagging};

let text = "It doesn't leak. Great kettle!";
let mut tagging = Tagging::new(&Model::embedded().tagger);
let names = tagging.tags().to_vec();
let mut sentences = Vec::new();
tagging.each_sentence(text, |tokens, tags| {
    let tagged = tokens.iter().zip(tags).map(|(token, &tag)| (token.of(text), &names[usize::from(tag)]));
    sentences.push(tagged.map(|(word, tag)| format!("{word}/{tag}")).collect::<Vec<_>>().join(" "));
});
assert_eq!(sentences, ["It/PRP does/VBZ n't/RB leak/VB ./.", "Great/JJ kettle/NN !/."]);
```

# Example: a model at run time

A file that is damaged, or that refers to tags that it does not have, is refused:

```
use ebert_english::{Model, ModelError, NounPhrases};

let file = std::fs::read("models/english.bin")?;
let model = Model::from_bytes(&file)?;
assert_eq!(NounPhrases::new(&model).find("We like the green tea."), [12..21]);
assert!(matches!(Model::from_bytes(b"a kettle"), Err(ModelError::FirstLine)));
# Ok::<(), Box<dyn std::error::Error>>(())
```

# When not to use it

* If you need a parser: noun phrases are flat (`soft fabric`, then `red stripes`, never `soft
  fabric with red stripes`), and the last six words of a long one are kept.
* If the text is not English.
* If you need the best accuracy and have time: neural networks are more accurate and slower. On the
  test part of CoNLL-2000, noun phrases of the embedded model have an F1 of 93.6, and 96.4 % of the
  tags are right.
* If you need lemmas, named entities, or normalized tokens: there are none.

# Features

* **weights** - Enabled by default. Embeds the model: adds 1.3 MB and the dependency `blake3`.
  Without it, models are read at run time.
* **train** - Adds `treebank` (parsing of treebanks), `train` (training of models) and `evaluate`
  (accuracy and F1 on a treebank). Disabled by default.

# License of the weights

The embedded weights were trained on data with terms of their own: CoNLL-2000 is distributed for
research, and the English Web Treebank is under CC BY-SA 4.0. `models/NOTICE.md` has the details,
and the command that trains the model. If you need certainty about these terms, disable **weights**
and train a model on other treebanks.

# Implementation

Modules form layers. Each uses only modules of lines above its own:

```text
sentence   features   cache            text to tokens; tokens to hashes; a cache of score sums
weights                                rows of weights by feature
tagger   chunker                       the two models
model   tagging                        the file format; text to tagged tokens
nouns                                  text to noun phrases
treebank                               \
evaluate   train                       / only with the feature `train`
```

`DESIGN.md` describes what makes it fast.
*/
#![forbid(unsafe_code)]

mod cache;
mod chunker;
#[cfg(feature = "train")]
pub mod evaluate;
mod features;
mod model;
mod nouns;
mod sentence;
mod tagger;
mod tagging;
#[cfg(feature = "train")]
pub mod train;
#[cfg(feature = "train")]
pub mod treebank;
mod weights;

pub use chunker::Chunker;
pub use model::{Model, ModelError};
pub use nouns::{MOST_WORDS, NounPhrases};
pub use sentence::{Sentences, Token};
pub use tagger::Tagger;
pub use tagging::Tagging;

/// The project's model, for tests of all sets of features.
#[cfg(test)]
fn test_model() -> &'static Model {
    static MODEL: std::sync::LazyLock<Model> =
        std::sync::LazyLock::new(|| Model::from_bytes(include_bytes!("../models/english.bin")).unwrap());
    &MODEL
}

/// Raised whenever a text gives other sentences, tags or noun phrases with the same model.
pub const RULES: u32 = 1;
