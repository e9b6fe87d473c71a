use ebert_english::Model;

use super::*;
use crate::testing::{annotations_of, words_of};

fn read(documents: &[&str]) -> Tokens {
    let mut reader = Reader::new(&Model::embedded().tagger).unwrap();
    let mut tokens = Tokens::default();
    // One batch per document: word numbers are nevertheless those of the whole text.
    documents.iter().for_each(|document| tokens.append(&reader.read([document])).unwrap());
    tokens
}

/// The words of a text, with their annotations.
fn annotated(text: &str) -> Vec<String> {
    let tokens = read(&[text]);
    let signs = [
        (Annotation::CAPITALISED, "A"),
        (Annotation::CAPITALS, "AA"),
        (Annotation::DASH_AFTER, "-"),
        (Annotation::QUOTE_BEFORE, "<\""),
        (Annotation::QUOTE_AFTER, "\">"),
        (Annotation::BRACKET_BEFORE, "("),
        (Annotation::BRACKET_AFTER, ")"),
    ];
    let words = words_of(&tokens).into_iter().zip(annotations_of(&tokens));
    words
        .map(|(word, annotation)| {
            let mut text = tokens.vocabulary.text(word.id()).to_owned();
            signs.iter().filter(|(flag, _)| annotation.has(*flag)).for_each(|(_, sign)| text += sign);
            if word.ends_segment() { text + "|" } else { text }
        })
        .collect()
}

fn texts(tokens: &Tokens, keep: impl Fn(&Word) -> bool) -> Vec<&str> {
    words_of(tokens).iter().filter(|word| keep(word)).map(|word| tokens.vocabulary.text(word.id())).collect()
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
        assert_eq!(annotated(text), wanted, "{text}");
    }
}

#[test]
fn tags_decide_where_candidates_start_and_extend() {
    let tokens = read(&["She has the pan that we were using. It's made of cast iron."]);
    let free = texts(&tokens, |word| word.may_start() && word.may_extend());
    assert_eq!(free, ["pan", "using", "made", "of", "cast", "iron"]);
    assert_eq!(texts(&tokens, |word| word.may_start() && !word.may_extend()), ["the"]);
}

#[test]
fn documents_of_words_are_counted() {
    let tokens = read(&["a kettle, a pot", "", "...", "the kettle"]);
    assert_eq!(tokens.documents, 2);
    let documents = |word| tokens.vocabulary.counts(tokens.vocabulary.find(word).unwrap()).documents;
    assert_eq!((documents("a"), documents("kettle"), documents("the")), (1, 2, 1));
    let numbers = read(&["1,299.50 dollars 3d"]);
    let words = words_of(&numbers);
    let numeric = words.iter().map(|word| numbers.vocabulary.is_numeric(word.id()));
    assert_eq!(numeric.collect::<Vec<_>>(), [true, false, false]);
}

#[test]
fn batches_do_not_change_the_text() {
    let documents: Vec<String> = (0..3 * BATCH).map(|i| format!("The pan {} of \"cast iron\".", i % 7)).collect();
    let documents: Vec<&str> = documents.iter().map(String::as_str).collect();
    let (mut one_by_one, iterated) = (
        read(&documents[..BATCH]),
        Tokens::from_documents(documents.iter().take(2 * BATCH), &Model::embedded().tagger).unwrap(),
    );
    // A text can be appended to after its memory has been shrunk.
    one_by_one.shrink_to_fit();
    let mut reader = Reader::new(&Model::embedded().tagger).unwrap();
    one_by_one.append(&reader.read(&documents[BATCH..2 * BATCH])).unwrap();
    assert_eq!(words_of(&one_by_one), words_of(&iterated));
    assert_eq!(annotations_of(&one_by_one), annotations_of(&iterated));
    assert_eq!(one_by_one.documents, iterated.documents);
    for word in iterated.vocabulary.words() {
        assert_eq!(one_by_one.vocabulary.counts(word), iterated.vocabulary.counts(word));
    }
}

#[test]
fn entries_of_lists_are_found_word_by_word() {
    let vocabulary = read(&["the cast-iron pan of O'Neill"]).vocabulary;
    let mut words = Vec::new();
    assert!(vocabulary.find_words("Cast Iron Pan", &mut words));
    assert_eq!(words.len(), 3);
    assert!(vocabulary.find_words("o'neill", &mut words));
    assert!(!vocabulary.find_words("cast aluminium", &mut words));
    assert!(!vocabulary.find_words("!?", &mut words));
    // A title-case letter is neither upper nor lower.
    assert!(read(&["ǅungla"]).vocabulary.find_words("ǅungla", &mut words));
}

#[test]
fn stems_of_contractions_are_not_words() {
    let stems = |documents: &[&str]| -> Vec<String> {
        let tokens = read(documents);
        tokens.contraction_stems().into_iter().map(|word| tokens.vocabulary.text(word).to_owned()).collect()
    };
    // `don't` twice, `Don` twice: not more often.
    let equal = "Don't! I don\u{2019}t, and Don does not. Can't Don? Can, can, can.";
    assert!(stems(&[equal, "The haven isn't a harbour."]).is_empty());
    assert_eq!(stems(&["Don't! I don\u{2019}t, they don't, and Don does not. Can't Don? Can, can."]), ["don"]);
}

#[test]
fn without_a_tagger_the_words_are_the_same_and_may_stand_anywhere() {
    let document = "The \"cast iron\" pan (which is heavy) doesn't smell. Is it new?";
    let tagged = read(&[document]);
    let mut tokens = Tokens::default();
    tokens.append(&Reader::untagged().read([document])).unwrap();
    let texts = |tokens: &Tokens| -> Vec<(String, bool)> {
        let words = words_of(tokens).into_iter();
        words.map(|word| (tokens.vocabulary.text(word.id()).to_owned(), word.ends_segment())).collect()
    };
    assert_eq!(texts(&tokens), texts(&tagged));
    assert!(annotations_of(&tokens).iter().all(|annotation| annotation.tag() == 0));
    assert!(words_of(&tokens).iter().all(|word| word.may_start() && word.may_extend()));
    assert!(!words_of(&tagged).iter().all(|word| word.may_start() && word.may_extend()));
}

#[test]
fn most_common_words_are_stop_words_of_any_language() {
    let documents: Vec<String> = (0..300).map(|i| format!("der Kessel{} und die Kanne{} 12", i % 97, i % 89)).collect();
    let mut tokens = Tokens::default();
    tokens.append(&Reader::untagged().read(&documents)).unwrap();
    let stop_words = crate::StopWords::most_common(&tokens);
    for word in ["der", "und", "die"] {
        assert!(stop_words.contains(word), "{word}");
    }
    // A twentieth of 190 distinct words, without numbers.
    assert!(!stop_words.contains("12") && !stop_words.contains("kanne88"));
}
