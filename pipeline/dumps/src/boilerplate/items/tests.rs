use super::*;

/// The text of a product without a title.
fn stripped(field: Field, items: &[&str]) -> String {
    let mut list = Items::default();
    let mut text = String::new();
    for item in items {
        if !text.is_empty() {
            text.push('\n');
        }
        let start = text.len();
        text.push_str(item);
        list.push(field, start..text.len());
    }
    list.strip(&mut text, &mut Removals::default());
    text
}

#[test]
fn pieces_of_a_sentence_are_joined() {
    for (items, wanted) in [
        (
            &["About the Author", "Jorun Aske", "writes in a lighthouse."][..],
            "About the Author\nJorun Aske writes in a lighthouse.",
        ),
        (&["Jorun Aske", "writes in a lighthouse."], "Jorun Aske writes in a lighthouse."),
        (
            &["Jo Ek", ", once a smith, and", "Al Ek", ", a cook, run an inn.", "Ask Jo."],
            "Jo Ek, once a smith, and Al Ek, a cook, run an inn.\nAsk Jo.",
        ),
        (
            &["Review", "\"", "Salt roads", "is a storm.\" --", "The Fjord Post", "\"Read it.\""],
            "Review\n\"Salt roads is a storm.\" -- The Fjord Post\n\"Read it.\"",
        ),
        (
            &["She is the author of", "Salt roads", "and", "Tides.", "She sails."],
            "She is the author of Salt roads and Tides.\nShe sails.",
        ),
        (
            &["From", "Booklist", "A quiet book.", "From the Back Cover", "Salt."],
            "From Booklist\nA quiet book.\nFrom the Back Cover\nSalt.",
        ),
        (&["Card Name", ": Temple", "Color", ": Land"], "Card Name: Temple\nColor: Land"),
        (
            &["Jorun Aske", "The", "Fjord Post", "bestseller and classic loved by many."],
            "Jorun Aske\nThe Fjord Post bestseller and classic loved by many.",
        ),
        (&["The", "Tide Pocket Dictionary", "is new. It is short."], "The Tide Pocket Dictionary is new. It is short."),
        (
            &["The pair that wrote the guide Ann Ek’s", "Around the Hill", "and some more.", ".", "Then it ended."],
            "The pair that wrote the guide Ann Ek’s Around the Hill and some more..\nThen it ended.",
        ),
    ] {
        assert_eq!(stripped(Field::Description, items), wanted);
    }
    assert_eq!(
        stripped(Field::Features, &["A", "Fjord Post", "bestseller", ", and more"]),
        "A\nFjord Post bestseller, and more"
    );
}

#[test]
fn no_sign_is_longer_than_the_limit() {
    assert_eq!(PIECES.iter().chain(&HEADINGS_OF_BOOKS).map(|sign| sign.len()).max(), Some(MAX_SIGN));
}

#[test]
fn items_of_their_own_stay() {
    for items in [
        &["Soft cotton", "easy to wash"][..],
        &["soft cotton", "easy to wash in the machine."],
        &["Solid brass.", "Felt feet."],
        &["Features:", "soft handle for all hands."],
        &["Width: 5 in", "Height: 6 in"],
        &["1. Open the lid", "then pour the water in."],
        &["Made of", "Brass"],
        &["Ring", ".925 silver"],
        &["Smile", ":-)"],
        &["Vitamins", "A", "B6", "D3", "easy to swallow"],
        &["A", "AA", "AAA"],
        &["Sizes", "A", "–"],
        &["All of it", "The"],
    ] {
        assert_eq!(stripped(Field::Description, items), items.join("\n"));
        assert_eq!(stripped(Field::Features, items), items.join("\n"));
    }
    let features = ["Soft cotton", "washes well in the machine."];
    assert_eq!(stripped(Field::Features, &features), features.join("\n"));
}

#[test]
fn edition_notes_go() {
    for (items, wanted) in [
        (
            &["A voyage.", "--This text refers to an alternate", "kindle_edition", "edition.", "It sails."][..],
            "A voyage.\nIt sails.",
        ),
        (&["A voyage.", "--This text refers to the", "paperback", "edition."], "A voyage."),
        (&["A voyage.--This text refers to an out of print or unavailable edition of this title."], "A voyage."),
        (&["A voyage. --This text refers to the Hardcover edition. It sails."], "A voyage.\nIt sails."),
        (
            &["This text refers to the Hardcover edition, which is bigger."],
            "This text refers to the Hardcover edition, which is bigger.",
        ),
        (&["This text refers to an alternate kindle_edition edition."], ""),
        (&["A voyage.", "From the Hardcover edition."], "A voyage."),
        (&["A voyage.\nFrom the Trade Paperback edition."], "A voyage."),
        // Counterexamples.
        (&["The text refers to the first edition."], "The text refers to the first edition."),
        (
            &["Ek says: This text refers to the paperback edition."],
            "Ek says: This text refers to the paperback edition.",
        ),
        (&["--This text refers to the", "Book of Hours"], "--This text refers to the\nBook of Hours"),
        (&["From the first edition."], "From the first edition."),
        (&["edition."], "edition."),
        (&["View larger", ".", "Soap"], "Soap"),
    ] {
        assert_eq!(stripped(Field::Description, items), wanted, "{items:?}");
    }
}
