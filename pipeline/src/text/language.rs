//! Which language a corpus is in, and what works in it.
//!
//! The detector is the crate `whatlang`: trigrams of 69 languages, and scripts. It is given pieces of
//! whole documents, since a title alone is too short for it. A corpus counts as English unless the
//! evidence is strong: English text that is taken for another language would lose its tags and noun
//! phrases.
use std::{collections::BTreeMap, fmt};

use whatlang::{Detector, Lang, Script, detect};

/// Letters of a piece, at least.
const PIECE_LETTERS: usize = 200;
/// Characters of a document that are read.
const READ_CHARACTERS: usize = 1000;
/// Another language than English needs as many pieces.
const LEAST_PIECES: usize = 3;
/// Languages that put no spaces between words.
const UNSPACED: [Lang; 5] = [Lang::Cmn, Lang::Jpn, Lang::Tha, Lang::Khm, Lang::Mya];

/// Languages that the detector takes for one another.
const RELATED: [&[Lang]; 5] = [
    &[Lang::Dan, Lang::Nob, Lang::Swe],
    &[Lang::Spa, Lang::Por, Lang::Cat],
    &[Lang::Ces, Lang::Slk],
    &[Lang::Hrv, Lang::Slv],
    &[Lang::Afr, Lang::Nld],
];

/// The language of a corpus.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Language {
    /// Everything works.
    #[default]
    English,
    /// One with spaces between words; `None` if the command line gave it. Words have no tags, and
    /// noun phrases are not looked for.
    Other(Option<Lang>),
    /// One without spaces between words. Phrases are not mined either.
    Unspaced(Lang),
}

impl Language {
    /// Detects the language of some documents: English, unless two thirds of their pieces are
    /// reliably something else.
    pub fn detect<'t>(documents: impl IntoIterator<Item = &'t str>) -> Self {
        let mut votes: BTreeMap<&str, (Lang, usize)> = BTreeMap::new();
        let (mut pieces, mut piece, mut letters) = (0, String::new(), 0);
        for document in documents {
            for c in document.chars().take(READ_CHARACTERS) {
                letters += usize::from(c.is_alphabetic());
                piece.push(c);
            }
            piece.push('\n');
            if letters < PIECE_LETTERS {
                continue;
            }
            pieces += 1;
            if let Some(lang) = not_english(&piece) {
                votes.entry(lang.code()).or_insert((lang, 0)).1 += 1;
            }
            (letters, piece) = (0, String::new());
        }
        let others: usize = votes.values().map(|(_, votes)| votes).sum();
        if others < LEAST_PIECES || 3 * others < 2 * pieces {
            return Self::English;
        }
        match votes.into_values().max_by_key(|(_, votes)| *votes) {
            Some((lang, _)) if UNSPACED.contains(&lang) => Self::Unspaced(lang),
            Some((lang, _)) => Self::Other(Some(lang)),
            None => Self::English,
        }
    }

    /// Whether the tagger and the noun-phrase chunker know it.
    pub fn has_tags(self) -> bool {
        self == Self::English
    }

    /// What manifests state: nothing for English, otherwise the code of ISO 639-3, or `other`.
    pub fn code(self) -> Option<String> {
        match self {
            Self::English => None,
            Self::Other(None) => Some("other".to_owned()),
            Self::Other(Some(lang)) | Self::Unspaced(lang) => Some(lang.code().to_owned()),
        }
    }

    /// What works in a language other than English, for the summary.
    pub fn limits(self) -> Option<String> {
        let nouns = "Noun phrases and part-of-speech tags are English only, so they are off.";
        match self {
            Self::English => None,
            Self::Other(_) => Some(format!(
                "{self}. {nouns} Ids, mining without tags, an imported pool, matching, and masks of words, phrases \
                 and spans work. `--language en` if this is English"
            )),
            Self::Unspaced(_) => Some(format!(
                "{self}. No spaces separate its words, so phrases are not mined. {nouns} Ids, and masks of words and \
                 spans work. `--pool` can import phrases whose words the tokenizer separates. `--language en` if this is \
                 English"
            )),
        }
    }
}

/// The language of a piece that is reliably not English. Which of two related languages it is may be unsure, so a guess
/// is compared with all others but its relatives.
fn not_english(piece: &str) -> Option<Lang> {
    let lang = detect(piece).map(|found| found.lang()).filter(|lang| *lang != Lang::Eng)?;
    let related = RELATED.iter().copied().find(|group| group.contains(&lang)).unwrap_or_default();
    let others = related.iter().copied().filter(|other| *other != lang).collect();
    let found = Detector::with_denylist(others).detect(piece)?;
    (found.lang() == lang && (found.is_reliable() || found.script() != Script::Latin)).then_some(lang)
}

impl fmt::Display for Language {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::English => "English",
            Self::Other(None) => "another language than English",
            // Its English name is "Mandarin"; the script is what is detected.
            Self::Unspaced(Lang::Cmn) => "Chinese",
            Self::Other(Some(lang)) | Self::Unspaced(lang) => lang.eng_name(),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn languages_are_detected_and_doubt_is_english() {
        let english = "The kettle has a wide handle and it pours without a drip. We use it every morning for tea. ";
        let german =
            "Der Kessel hat einen breiten Griff und gießt ohne zu tropfen. Wir kochen damit jeden Morgen Tee. ";
        let french = "La bouilloire a une large poignée et verse sans goutter. Nous faisons du thé chaque matin. ";
        let spanish = "La tetera tiene un asa ancha y vierte sin gotear. La usamos cada mañana para preparar el té. ";
        let chinese = "这个水壶有一个宽大的把手，倒水时不会滴漏，我们每天早上都用它来泡茶。";
        let japanese = "このやかんは取っ手が広く、注ぐときに垂れません。毎朝お茶をいれるのに使っています。";
        let thai = "กาต้มน้ำนี้มีที่จับกว้างและเทน้ำได้โดยไม่หยด เราใช้ชงชาทุกเช้า";
        let norwegian = "Kjelen har et bredt håndtak og heller uten å dryppe. Vi bruker den hver morgen til te. ";
        let danish = "Kedlen har et bredt håndtag og hælder uden at dryppe. Vi bruger den hver morgen til te. ";
        let hebrew = "לקומקום ידית רחבה והוא מוזג בלי לטפטף. אנחנו מכינים בו תה בכל בוקר. ";
        let names = "Orla Vendrik Grevlund Set XL 3-pack. Petra Holm Jorun Aske Model TX-400. ";
        let of = |parts: &[(&'static str, usize)]| {
            Language::detect(parts.iter().flat_map(|(text, times)| std::iter::repeat_n(*text, *times)))
        };
        let other = |lang| Language::Other(Some(lang));
        for (parts, wanted) in [
            (vec![(english, 50)], Language::English),
            (vec![(german, 50)], other(Lang::Deu)),
            (vec![(french, 50)], other(Lang::Fra)),
            (vec![(spanish, 50)], other(Lang::Spa)),
            (vec![(norwegian, 50)], other(Lang::Nob)),
            (vec![(danish, 50)], other(Lang::Dan)),
            (vec![(hebrew, 50)], other(Lang::Heb)),
            (vec![(chinese, 50)], Language::Unspaced(Lang::Cmn)),
            (vec![(japanese, 50)], Language::Unspaced(Lang::Jpn)),
            (vec![(thai, 50)], Language::Unspaced(Lang::Tha)),
            // Too little, and too mixed.
            (vec![(german, 4)], Language::English),
            (vec![(english, 25), (german, 25)], Language::English),
            (vec![(english, 10), (german, 90)], other(Lang::Deu)),
            (vec![(german, 50), (french, 30), (spanish, 20)], other(Lang::Deu)),
            (vec![(names, 50)], Language::English),
            (vec![("12 345 x!", 500)], Language::English),
            (vec![], Language::English),
        ] {
            assert_eq!(of(&parts), wanted, "{parts:?}");
        }
    }

    #[test]
    fn what_works_is_stated() {
        assert_eq!((Language::English.code(), Language::English.limits()), (None, None));
        let german = Language::Other(Some(Lang::Deu));
        assert_eq!((german.code().as_deref(), german.to_string()), (Some("deu"), "German".to_owned()));
        let chinese = Language::Unspaced(Lang::Cmn).limits().unwrap();
        assert!(chinese.starts_with("Chinese. No spaces"), "{chinese}");
        assert_eq!(Language::Other(None).code().as_deref(), Some("other"));
    }
}
