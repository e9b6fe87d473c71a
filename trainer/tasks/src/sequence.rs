//! Examples as sequences of token ids, with their targets.
//!
//! | task | sequence | target |
//! |---|---|---|
//! | rqa | `[CLS]` question `[SEP]` a window of the review `[SEP]` | first and last token of the answer; `[CLS]` where the window does not hold it |
//! | ae | `[CLS]` sentence `[SEP]` | B, I or O at the first token of each word |
//! | asc | `[CLS]` sentence `[SEP]` aspect `[SEP]` | the class |
//! | pc | `[CLS]` title `[SEP]` | the labels |
//!
//! The second text has token type 1. No sequence is padded. RoBERTa writes `<s>` and `</s>`, and two
//! `</s>` between texts.
use ebert_bert::tokens::{Encoded, Tokens, TokensError};

use super::{Example, Gold, Input, Span, Tally, Task};

/// The target of a sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// Nothing: it is only predicted.
    None,
    /// Positions of the answer's first and last token; 0, that is `[CLS]`, where there is none.
    Span([usize; 2]),
    /// One for each token, special ones counted.
    Tags(Vec<Tag>),
    /// Number of a class.
    Class(usize),
    /// Numbers of labels.
    Labels(Vec<usize>),
}

/// What a token is to an aspect. The numbers are those of the model's output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tag {
    /// Outside.
    O = 0,
    /// The first word of one.
    B = 1,
    /// A further word.
    I = 2,
    /// A token that is not the first of its word, or special: not learned.
    Skipped = -100,
}

/// The names of the tags that a model predicts, by number.
pub const TAGS: [&str; 3] = ["O", "B", "I"];

/// A sequence.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sequence {
    /// Which example it is of.
    pub example: usize,
    /// Token ids, special ones counted.
    pub ids: Vec<u32>,
    /// Token types.
    pub types: Vec<u8>,
    /// The target.
    pub target: Target,
    /// Position of the first token of the text that is pointed into.
    pub first: usize,
    /// Where in that text its tokens stand, from there on.
    pub spans: Vec<Span>,
    /// Which word each of these is of.
    pub words: Vec<u32>,
}

/// How long sequences may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lengths {
    /// The longest sequence, special tokens counted.
    pub max_tokens: usize,
    /// Tokens from window to window.
    pub stride: usize,
    /// Whether the model knows a second token type.
    pub second_type: bool,
}

/// Why sequences are made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// To learn from.
    Train,
    /// To predict.
    Predict,
}

/// The most tokens of a question, as in BERT's own reader of SQuAD.
const LONGEST_QUESTION: usize = 64;

/// A question that was cut.
pub const LONG_QUESTION: &str = "questions of over 64 tokens, or half a window: cut";
/// A text that was cut.
pub const LONG_TEXT: &str = "texts longer than a sequence: cut; what is behind the cut cannot be found";
/// A review in several windows.
pub const WINDOWS: &str = "questions whose review is read in several windows";
/// A text of no tokens.
pub const NO_TOKENS: &str = "texts without a token: not trained on, nothing is predicted";
/// An answer of which the tokenizer leaves nothing.
pub const NO_ANSWER_TOKENS: &str = "answers without a token: scored, not trained on";
/// Two aspects in one place.
pub const OVERLAP: &str = "aspects that overlap an earlier one: scored, not trained on";
/// An aspect that is not made of whole words.
pub const INSIDE: &str = "aspects that begin or end inside a word: trained on as whole words, scored as they are";

/// Makes the sequences of examples, in their order. `classes` are the names of classes or labels.
///
/// # Errors
/// When the tokenizer refuses a text.
pub fn sequences(
    task: Task,
    examples: &[Example],
    tokens: &Tokens,
    lengths: Lengths,
    (classes, purpose): (&[String], Purpose),
    tally: &mut Tally,
) -> Result<Vec<Sequence>, TokensError> {
    let mut all = Vec::new();
    for (number, example) in examples.iter().enumerate() {
        let maker = Maker { number, tokens, lengths };
        let place = format!("in `{}`", example.id);
        let made = match (&example.input, &example.gold) {
            (Input::Pair(question, review), Gold::Answers { at, .. }) => {
                maker.windows(tokens.encode(question)?, tokens.encode(review)?, *at, purpose, tally, &place)
            }
            (Input::Pair(first, second), gold) => {
                let (mut first, mut second) = (tokens.encode(first)?, tokens.encode(second)?);
                let room = maker.room();
                let cut_second = cut(&mut second, room / 2);
                let cut_first = cut(&mut first, room - second.ids.len());
                if cut_first || cut_second {
                    tally.add(LONG_TEXT, &place);
                }
                vec![maker.sequence(&first, Some(&second), target_of(gold, classes))]
            }
            (Input::Text(text), gold) => {
                let mut text = tokens.encode(text)?;
                let aspects = if let Gold::Aspects(aspects) = gold { aspects.as_slice() } else { &[] };
                // Before it is cut, so that what is behind the cut is not taken for something else.
                let tags = (task == Task::Ae).then(|| tags(&text, aspects, tally, &place));
                if cut(&mut text, lengths.max_tokens - 2) {
                    tally.add(LONG_TEXT, &place);
                }
                let target = match tags {
                    Some(mut tags) => {
                        tags.truncate(text.ids.len());
                        let special = || [Tag::Skipped].into_iter();
                        Target::Tags(special().chain(tags).chain(special()).collect())
                    }
                    None => target_of(gold, classes),
                };
                vec![maker.sequence(&text, None, target)]
            }
        };
        if made.iter().all(|sequence| sequence.spans.is_empty()) {
            tally.add(NO_TOKENS, &place);
            continue;
        }
        all.extend(made);
    }
    Ok(all)
}

/// Cuts a text, and returns whether that was needed.
fn cut(text: &mut Encoded, most: usize) -> bool {
    let longer = text.ids.len() > most;
    text.ids.truncate(most);
    text.spans.truncate(most);
    text.words.truncate(most);
    longer
}

fn target_of(gold: &Gold, classes: &[String]) -> Target {
    let number = |name: &String| classes.iter().position(|class| class == name);
    match gold {
        Gold::Class(class) => number(class).map_or(Target::None, Target::Class),
        Gold::Labels(labels) => Target::Labels(labels.iter().filter_map(number).collect()),
        Gold::Aspects(_) | Gold::Answers { .. } => Target::None,
    }
}

/// The tag of each token of a text with these aspects.
fn tags(text: &Encoded, aspects: &[Span], tally: &mut Tally, place: &str) -> Vec<Tag> {
    let words = words(&text.spans, &text.words);
    let mut of_words = vec![Tag::O; words.len()];
    let mut before: Option<Span> = None;
    for &aspect in aspects {
        if before.is_some_and(|before| before.overlaps(aspect)) {
            tally.add(OVERLAP, place);
            continue;
        }
        before = Some(aspect);
        let mut inside = words.iter().enumerate().filter(|(_, (_, word))| word.overlaps(aspect));
        let Some((first, (_, word))) = inside.next() else { continue };
        let last = inside.next_back().map_or(first, |(last, _)| last);
        if word.start() != aspect.start() || words[last].1.end() != aspect.end() {
            tally.add(INSIDE, place);
        }
        of_words[first] = Tag::B;
        of_words[first + 1..=last].fill(Tag::I);
    }
    let mut tags = vec![Tag::Skipped; text.ids.len()];
    for ((token, _), tag) in words.iter().zip(of_words) {
        tags[*token] = tag;
    }
    tags
}

/// The words of a text: number of the first token, and place.
pub fn words(spans: &[Span], of: &[u32]) -> Vec<(usize, Span)> {
    let mut words: Vec<(usize, Span)> = Vec::new();
    for (token, (span, word)) in spans.iter().zip(of).enumerate() {
        match words.last_mut() {
            Some((_, whole)) if token > 0 && of[token - 1] == *word => *whole = whole.to(*span),
            _ => words.push((token, *span)),
        }
    }
    words
}

/// Makes the sequences of one example.
#[derive(Clone, Copy)]
struct Maker<'a> {
    number: usize,
    tokens: &'a Tokens,
    lengths: Lengths,
}

impl Maker<'_> {
    /// The tokens of two texts that fit in a sequence.
    fn room(self) -> usize {
        self.lengths.max_tokens - 2 - self.tokens.between().len()
    }

    /// Where the second text begins, after the first.
    fn second_at(self, first: &Encoded) -> usize {
        1 + first.ids.len() + self.tokens.between().len()
    }

    /// `[CLS]` first `[SEP]`, or first `[SEP]` second `[SEP]`; places are those of the first text.
    fn sequence(self, first: &Encoded, second: Option<&Encoded>, target: Target) -> Sequence {
        let mut ids = vec![self.tokens.cls()];
        ids.extend(&first.ids);
        let mut types = Vec::new();
        if let Some(second) = second {
            ids.extend(self.tokens.between());
            types.resize(ids.len(), 0);
            ids.extend(&second.ids);
        }
        ids.push(self.tokens.sep());
        types.resize(ids.len(), u8::from(second.is_some() && self.lengths.second_type));
        let (spans, words) = (first.spans.clone(), first.words.clone());
        Sequence { example: self.number, ids, types, target, first: 1, spans, words }
    }

    fn windows(
        self,
        mut question: Encoded,
        review: Encoded,
        answer: Option<Span>,
        purpose: Purpose,
        tally: &mut Tally,
        place: &str,
    ) -> Vec<Sequence> {
        let Lengths { stride, .. } = self.lengths;
        if cut(&mut question, LONGEST_QUESTION.min(self.room() / 2)) {
            tally.add(LONG_QUESTION, place);
        }
        let room = self.room() - question.ids.len();
        let inside: Vec<usize> = match answer {
            Some(answer) => (0..review.ids.len()).filter(|&token| review.spans[token].overlaps(answer)).collect(),
            None => Vec::new(),
        };
        let at = inside.first().zip(inside.last());
        if purpose == Purpose::Train && at.is_none() {
            if answer.is_some() && !review.ids.is_empty() {
                tally.add(NO_ANSWER_TOKENS, place);
            }
            if !review.ids.is_empty() {
                // A window without a target is not trained on. It shows that the review has tokens.
                return vec![self.window(&question, &review, 0..room.min(review.ids.len()), Target::None)];
            }
        }
        let mut windows = Vec::new();
        let mut start = 0;
        while start < review.ids.len() {
            let end = (start + room).min(review.ids.len());
            let first = self.second_at(&question);
            let target = match (purpose, at) {
                (Purpose::Train, Some((&from, &to))) if from >= start && to < end => {
                    Target::Span([first + from - start, first + to - start])
                }
                (Purpose::Train, _) => Target::Span([0, 0]),
                (Purpose::Predict, _) => Target::None,
            };
            windows.push(self.window(&question, &review, start..end, target));
            if end == review.ids.len() {
                break;
            }
            start += stride.min(room);
        }
        if windows.len() > 1 {
            tally.add(WINDOWS, place);
        }
        windows
    }

    fn window(self, question: &Encoded, review: &Encoded, range: std::ops::Range<usize>, target: Target) -> Sequence {
        let part = Encoded {
            ids: review.ids[range.clone()].to_vec(),
            spans: review.spans[range.clone()].to_vec(),
            words: review.words[range].to_vec(),
        };
        let mut sequence = self.sequence(question, Some(&part), target);
        let first = self.second_at(question);
        (sequence.first, sequence.spans, sequence.words) = (first, part.spans, part.words);
        sequence
    }
}

#[cfg(test)]
mod tests {
    use ebert_bert::{BertConfig, Family};

    use super::*;

    /// A tokenizer over these words and pieces.
    fn small(words: &[&str], family: Family) -> Tokens {
        let folder = tempfile::tempdir().unwrap();
        let vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"].iter().chain(words);
        let text: String = vocabulary.flat_map(|word| [*word, "\n"]).collect();
        std::fs::write(folder.path().join("vocab.txt"), text).unwrap();
        Tokens::of(folder.path(), &BertConfig { family, ..BertConfig::base(1000) }).unwrap()
    }

    const LENGTHS: Lengths = Lengths { max_tokens: 16, stride: 4, second_type: true };

    fn example(input: Input, gold: Gold) -> Example {
        Example { id: "x".into(), document: "d".into(), input, gold }
    }

    fn span(start: usize, end: usize) -> Span {
        Span::new(start, end).unwrap()
    }

    fn question(review: &str, at: Option<Span>) -> Example {
        example(Input::Pair("what size".into(), review.into()), Gold::Answers { texts: vec!["x".into()], at })
    }

    fn make(task: Task, example: Example, purpose: Purpose, classes: &[&str]) -> (Vec<Sequence>, Tally) {
        let tokens = small(&["a", "b", "c", "d", "e", "what", "size", "##s", "-"], Family::Bert);
        let mut tally = Tally::default();
        let classes: Vec<String> = classes.iter().map(|c| (*c).to_owned()).collect();
        let made = sequences(task, &[example], &tokens, LENGTHS, (&classes, purpose), &mut tally).unwrap();
        (made, tally)
    }

    #[test]
    fn a_roberta_has_two_separators_and_one_type() {
        let tokens = small(&["a", "b", "c", "what", "size"], Family::Roberta { pad: 0 });
        let lengths = Lengths { second_type: false, ..LENGTHS };
        let answer = Some(span(2, 3));
        let (examples, mut tally) = ([question("a b c", answer)], Tally::default());
        let all = sequences(Task::Rqa, &examples, &tokens, lengths, (&[], Purpose::Train), &mut tally).unwrap();
        // [CLS] what size [SEP] [SEP] a b c [SEP]
        assert_eq!((&all[0].ids[..], all[0].first), (&[2, 8, 9, 3, 3, 5, 6, 7, 3][..], 5));
        assert_eq!((&all[0].target, &all[0].types), (&Target::Span([6, 6]), &vec![0; 9]));
        // The longest window has 16 tokens, too.
        let long = [question(&"a ".repeat(30), None)];
        let windows = sequences(Task::Rqa, &long, &tokens, lengths, (&[], Purpose::Predict), &mut tally).unwrap();
        assert_eq!(windows[0].ids.len(), 16);
    }

    #[test]
    fn a_review_is_read_in_windows_and_each_points_at_the_answer_or_at_nothing() {
        // 16 tokens are [CLS] what size [SEP], 11 of the review and [SEP].
        let review = "a b c d e a b c d e a b c d e";
        let (windows, tally) = make(Task::Rqa, question(review, Some(span(22, 25))), Purpose::Train, &[]);
        let found: Vec<_> = windows.iter().map(|w| (w.ids.len(), w.spans[0].start(), w.target.clone())).collect();
        // The answer `b c` is the 11th and 12th token of the review.
        assert_eq!(found, [(16, 0, Target::Span([0, 0])), (16, 8, Target::Span([11, 12]))]);
        assert_eq!(windows[0].ids[..5], [2, 10, 11, 3, 5]);
        assert_eq!(windows[0].types, [[0; 4].as_slice(), &[1; 12]].concat());
        assert_eq!(tally.iter().collect::<Vec<_>>(), [(WINDOWS, 1, "in `x`")]);
        let (short, _) = make(Task::Rqa, question("a b c", Some(span(2, 3))), Purpose::Train, &[]);
        assert_eq!((short.len(), &short[0].target, short[0].ids.len()), (1, &Target::Span([5, 5]), 8));
        let (predicted, _) = make(Task::Rqa, question(review, None), Purpose::Predict, &[]);
        assert_eq!(predicted.len(), 2);
        assert!(predicted.iter().all(|w| w.target == Target::None));
        // Every token of the review is in a window.
        let tokens: std::collections::BTreeSet<_> = predicted.iter().flat_map(|w| w.spans.clone()).collect();
        assert_eq!(tokens.len(), 15);
    }

    #[test]
    fn what_cannot_be_learnt_is_counted() {
        let (made, tally) = make(Task::Rqa, question("a b", None), Purpose::Train, &[]);
        assert_eq!((made.len(), &made[0].target, tally.iter().count()), (1, &Target::None, 0));
        let (made, tally) = make(Task::Rqa, question("a \u{200b}\u{200b} b", Some(span(2, 3))), Purpose::Train, &[]);
        assert_eq!((&made[0].target, tally.counts()[NO_ANSWER_TOKENS]), (&Target::None, 1));
        let (made, tally) = make(Task::Rqa, question(" ", None), Purpose::Predict, &[]);
        assert_eq!((made.len(), tally.counts()[NO_TOKENS]), (0, 1));
        let long = example(Input::Pair("a ".repeat(9), "b".into()), Gold::Answers { texts: vec![], at: None });
        let (made, tally) = make(Task::Rqa, long, Purpose::Predict, &[]);
        assert_eq!((made[0].first, tally.counts()[LONG_QUESTION]), (8, 1));
    }

    #[test]
    fn aspects_become_tags_of_words() {
        let text = "a bs-c d";
        let tags_of = |aspects: Vec<Span>| {
            let (made, tally) =
                make(Task::Ae, example(Input::Text(text.into()), Gold::Aspects(aspects)), Purpose::Train, &[]);
            (made[0].target.clone(), tally.counts())
        };
        use Tag::{B, I, O, Skipped};
        // [CLS] a b ##s - c d [SEP]
        let (tags, tally) = tags_of(vec![span(2, 6)]);
        assert_eq!(tags, Target::Tags(vec![Skipped, O, B, Skipped, I, I, O, Skipped]));
        assert!(tally.is_empty());
        let (tags, tally) = tags_of(vec![span(0, 4), span(2, 4), span(7, 8)]);
        assert_eq!(tags, Target::Tags(vec![Skipped, B, I, Skipped, O, O, B, Skipped]));
        assert_eq!(tally[OVERLAP], 1);
        let (tags, tally) = tags_of(vec![span(3, 4)]);
        assert_eq!(tags, Target::Tags(vec![Skipped, O, B, Skipped, O, O, O, Skipped]));
        assert_eq!(tally[INSIDE], 1);
        let long = example(Input::Text("a ".repeat(20)), Gold::Aspects(vec![span(38, 39)]));
        let (made, tally) = make(Task::Ae, long, Purpose::Train, &[]);
        assert_eq!((made[0].ids.len(), tally.counts()[LONG_TEXT]), (16, 1));
        assert!(matches!(&made[0].target, Target::Tags(tags) if tags.len() == 16 && !tags.contains(&B)));
    }

    #[test]
    fn classes_and_labels_are_numbers() {
        let pair = example(Input::Pair("a b c".into(), "b".into()), Gold::Class("good".into()));
        let (made, _) = make(Task::Asc, pair, Purpose::Train, &["bad", "good"]);
        assert_eq!((&made[0].ids[..], &made[0].target), (&[2, 5, 6, 7, 3, 6, 3][..], &Target::Class(1)));
        assert_eq!(made[0].types, [0, 0, 0, 0, 0, 1, 1]);
        let title = example(Input::Text("a b".into()), Gold::Labels(vec!["new".into(), "x".into(), "z".into()]));
        let (made, _) = make(Task::Pc, title, Purpose::Train, &["x", "y", "z"]);
        assert_eq!((&made[0].ids[..], &made[0].target), (&[2, 5, 6, 3][..], &Target::Labels(vec![0, 2])));
        let long = example(Input::Pair("a ".repeat(30), "b ".repeat(9)), Gold::Class("good".into()));
        let (made, tally) = make(Task::Asc, long, Purpose::Train, &["good"]);
        assert_eq!((made[0].ids.len(), tally.counts()[LONG_TEXT]), (16, 1));
        assert_eq!(made[0].types.iter().filter(|&&t| t == 1).count(), 7);
    }
}
