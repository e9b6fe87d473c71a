//! The template language: `[a|b|c]` draws one alternative, and `{slot}` is filled by a [`Slots`].
//!
//! Both nest, and the text of a slot is expanded as well.
use schemas::Draws;

use crate::{catalog::Choices, english};

/// Fills the slots of templates.
pub(crate) trait Slots {
    /// The text of `slot`, which may hold slots and brackets.
    ///
    /// # Panics
    /// If no slot has this name.
    fn fill(&mut self, slot: &str, draws: &mut Draws) -> String;
}

/// Expands `template` and finishes it as a sentence: see [`english::finish`].
pub(crate) fn sentence(template: &str, slots: &mut dyn Slots, draws: &mut Draws) -> String {
    english::finish(&expand(template, slots, draws))
}

/// Expands `template` without a change of case or spacing.
pub(crate) fn expand(template: &str, slots: &mut dyn Slots, draws: &mut Draws) -> String {
    let mut out = String::with_capacity(template.len() * 2);
    let mut rest = template;
    while let Some(open) = rest.find(['[', '{']) {
        out.push_str(&rest[..open]);
        let close = open + closing(&rest[open..]).unwrap_or_else(|| panic!("a bracket is open in `{template}`"));
        let inside = &rest[open + 1..close];
        if rest[open..].starts_with('[') {
            let alternatives = alternatives(inside);
            let drawn = alternatives[draws.below(alternatives.len() as u64) as usize];
            out.push_str(&expand(drawn, slots, draws));
        } else {
            let filled = slots.fill(inside, draws);
            out.push_str(&expand(&filled, slots, draws));
        }
        rest = &rest[close + 1..];
    }
    out.push_str(rest);
    out
}

/// The offset of the bracket that closes the first byte of `text`.
fn closing(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => {
                depth = depth.saturating_sub(1);
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => {}
        }
    }
    None
}

/// Splits `text` at the bars outside inner brackets; never empty.
fn alternatives(text: &str) -> Vec<&str> {
    let mut parts = Vec::new();
    let (mut depth, mut start) = (0usize, 0);
    for (at, byte) in text.bytes().enumerate() {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'|' if depth == 0 => {
                parts.push(&text[start..at]);
                start = at + 1;
            }
            _ => {}
        }
    }
    parts.push(&text[start..]);
    parts
}

/// Templates drawn without repetition; when all were drawn, it starts again.
pub(crate) struct Deck<'c> {
    all: &'c Choices,
    left: Vec<&'c str>,
}

impl<'c> Deck<'c> {
    pub(crate) fn new(all: &'c Choices) -> Self {
        Self { all, left: all.iter().collect() }
    }

    /// Whether the next draw starts again.
    pub(crate) fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    pub(crate) fn draw(&mut self, draws: &mut Draws) -> &'c str {
        if self.left.is_empty() {
            self.left.extend(self.all.iter());
        }
        self.left.swap_remove(draws.below(self.left.len() as u64) as usize)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Echo;

    impl Slots for Echo {
        fn fill(&mut self, slot: &str, _: &mut Draws) -> String {
            format!("<{slot}>")
        }
    }

    #[test]
    fn brackets_and_slots_nest() {
        let mut draws = Draws::new(0, "test", b"");
        assert_eq!(expand("x [{a}|{a}] y", &mut Echo, &mut draws), "x <a> y");
        assert_eq!(expand("[[q|q] w|q w].", &mut Echo, &mut draws), "q w.");
    }

    #[test]
    #[should_panic(expected = "a bracket is open in `open [ bracket`")]
    fn brackets_must_be_closed() {
        expand("open [ bracket", &mut Echo, &mut Draws::new(0, "test", b""));
    }
}
