//! What reading a text gives.
use super::*;
use crate::types::types_of;
use ebert_english::Model;

fn read(documents: &[&str]) -> Tokens {
    let mut tokens = Tokens::default();
    // One batch each: numbers are those of the whole text all the same.
    let mut reader = Reader::new(&Model::embedded().tagger);
    documents.iter().for_each(|document| tokens.append(&reader.read(std::iter::once(*document))));
    tokens
}

/// The words of a text, with what is noted of each.
fn noted(text: &str) -> Vec<String> {
    let tokens = read(&[text]);
    let signs = [
        (Marks::CAPITALISED, "A"),
        (Marks::CAPITALS, "AA"),
        (Marks::DASH_AFTER, "-"),
        (Marks::QUOTE_BEFORE, "<\""),
        (Marks::QUOTE_AFTER, "\">"),
        (Marks::OPEN_BEFORE, "("),
        (Marks::CLOSE_AFTER, ")"),
    ];
    let words = tokens.words.iter().zip(&tokens.marks);
    words
        .map(|(word, marks)| {
            let mut text = tokens.types.text(word.kind()).to_owned();
            signs.iter().filter(|(sign, _)| marks.has(*sign)).for_each(|(_, sign)| text += sign);
            if word.ends_segment() { text + "|" } else { text }
        })
        .collect()
}

#[test]
fn words_are_those_of_uax_29() {
    for (text, wanted) in [
        ("Don't lose 1,000 wi-fi sets!", vec!["don'tA", "lose", "1,000", "wi-", "fi", "sets|"]),
        ("The \"USB hub\" (black)", vec!["theA\">|", "usbAAA<\"", "hub\">|", "black()|"]),
        ("salt/pepper, oil & more? yes", vec!["salt", "pepper|", "oil|", "more|", "yes|"]),
        ("one line\nanother 🎁 gift", vec!["one", "line|", "another|", "gift|"]),
        ("one\u{2028}line", vec!["one|", "line|"]),
        ("Crème BRÛLÉE", vec!["crèmeA", "brûléeAAA|"]),
    ] {
        assert_eq!(noted(text), wanted, "{text}");
    }
}

#[test]
fn tags_tell_where_candidates_may_go() {
    let tokens = read(&["She has the pan that we were using. It's made of cast iron."]);
    let free = tokens.words.iter().filter(|w| w.may_start() && w.may_extend());
    let free: Vec<&str> = free.map(|w| tokens.types.text(w.kind())).collect();
    assert_eq!(free, ["pan", "using", "made", "of", "cast", "iron"]);
    let start: Vec<&str> =
        tokens.words.iter().filter(|w| w.may_start() && !w.may_extend()).map(|w| tokens.types.text(w.kind())).collect();
    assert_eq!(start, ["the"]);
}

#[test]
fn documents_of_words_are_counted() {
    let tokens = read(&["a kettle, a pot", "", "...", "the kettle"]);
    assert_eq!(tokens.documents, 2);
    let documents = |word| tokens.types.documents[tokens.types.find(word).unwrap() as usize];
    assert_eq!((documents("a"), documents("kettle"), documents("the")), (1, 2, 1));
    let numbers = read(&["1,299.50 dollars 3d"]);
    let numeric = numbers.words.iter().map(|word| numbers.types.is_numeric(word.kind()));
    assert_eq!(numeric.collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn entries_of_lists_are_found_word_by_word() {
    let tokens = read(&["the cast-iron pan of O'Neill"]);
    let mut words = Vec::new();
    assert!(types_of(&tokens.types, "Cast Iron Pan", &mut words));
    assert_eq!(words.len(), 3);
    assert!(types_of(&tokens.types, "o'neill", &mut words));
    assert!(!types_of(&tokens.types, "cast aluminium", &mut words));
    assert!(!types_of(&tokens.types, "!?", &mut words));
    // A title-case letter is neither upper nor lower.
    assert!(types_of(&read(&["ǅungla"]).types, "ǅungla", &mut words));
}

#[test]
fn pieces_of_contractions_are_told_from_words() {
    let tokens =
        read(&["Don't! I don\u{2019}t, and Don does not. Can't Don? Can, can, can.", "The haven isn't a harbour."]);
    let contracted = tokens.contracted();
    let mut found: Vec<&str> = contracted.iter().map(|kind| tokens.types.text(*kind)).collect();
    found.sort_unstable();
    // Twice `don't`, twice `Don`: not more often.
    assert!(found.is_empty(), "{found:?}");
    let tokens = read(&["Don't! I don\u{2019}t, they don't, and Don does not. Can't Don? Can, can."]);
    let found: Vec<_> = tokens.contracted().iter().map(|kind| tokens.types.text(*kind).to_owned()).collect();
    assert_eq!(found, ["don"]);
}
