//! Lines and ends of lines that the shop's page wrote.
use std::sync::LazyLock;

use aho_corasick::packed;
use memchr::{memchr, memmem, memrchr};

use super::{Removals, Rule};
use crate::{
    clean::{is_mark, without_invisible},
    record::of_five,
};

/// Whole lines.
const LINES: [(Rule, &str); 8] = [
    (Rule::ReadMore, "(Continues...)"),
    (Rule::ReadMore, "(Continues…)"),
    (Rule::RightsNotices, "Excerpt. © Reprinted by permission. All rights reserved."),
    (
        Rule::EditionNotes,
        "This book was converted from its physical edition to the digital format by a community of volunteers. You \
         may find it for free on the web. Purchase of the Kindle edition includes wireless delivery.",
    ),
    (Rule::ReturnPolicies, "Read the full returns policy"),
    (Rule::ReturnPolicies, "Go to Your Orders to start the return"),
    (Rule::ReturnPolicies, "Print the return shipping label"),
    (
        Rule::ReturnPolicies,
        "You can return this item for any reason and get a full refund: no shipping charges. The item must be \
         returned in new and unused condition.",
    ),
];

/// Buttons of the page, in its languages. Case does not count.
const BUTTONS: [&str; 20] = [
    "Read more",
    "Read more Read less",
    "See more",
    "Show more",
    "Read less",
    "Show less",
    "Mehr lesen",
    "Weiterlesen",
    "Mehr anzeigen",
    "Weniger anzeigen",
    "Lire la suite",
    "Voir plus",
    "Leer más",
    "Ver más",
    "Leggi di più",
    "Leia mais",
    "Meer lezen",
    "Läs mer",
    "Czytaj więcej",
    "続きを読む",
];

/// Captions of pictures, with or without a full stop. Case does not count.
const CAPTIONS: [&str; 18] = [
    "View larger",
    "View larger image",
    "See larger image",
    "Click here for a larger image",
    "Click here for larger image",
    "Click here to view larger image",
    "Click for larger image",
    "Click to view larger",
    "Click to enlarge",
    "Click image to enlarge",
    "Click on image to enlarge",
    "Click on the image to enlarge",
    "Click the image to enlarge",
    "Bild vergrößern",
    "Agrandir l'image",
    "Ampliar imagen",
    "Ver imagen más grande",
    "Ingrandisci immagine",
];

/// The longest line that may be a button or a caption with what is around it, in bytes.
const MAX_BUTTON: usize = 48;

/// The sentences of the page's form that checks whether a part fits, on one line. The first four
/// lack the model of the customer. Case does not count.
const FIT_NOTICES: [&str; 10] = [
    "This fits your .",
    "Fits your .",
    "fits your .",
    "Fits your.",
    "Make sure this fits by entering your model number.",
    "Make sure this fits. by entering your model number.",
    "Enter your model number to make sure this fits.",
    "Stellen Sie sicher, dass dies passt, indem Sie Ihre Modellnummer eingeben.",
    "Assurez-vous que cet article convient en entrant votre numéro de modèle.",
    "Asegúrate de que esto coincide ingresando tu número de modelo.",
];

/// Beginnings of whole lines, and an end that the line must have.
const ROWS: [(&str, &str); 10] = [
    ("Shipping Weight: ", "(View shipping rates and policies)"),
    ("Date first listed on Amazon: ", ""),
    ("Date first available at Amazon.com: ", ""),
    ("Date First Available: ", ""),
    ("Average Customer Review: ", ""),
    ("Amazon Best Sellers Rank: ", ""),
    ("Best Sellers Rank: #", ""),
    ("Domestic Shipping: Currently, item can be shipped ", ""),
    ("Domestic Shipping: Item can be shipped ", ""),
    ("International Shipping: This item ", ""),
];

/// The longest row of details, in bytes.
const MAX_ROW: usize = 400;

/// The longest bound form of an edition note, in bytes: `an out of print or unavailable`.
pub(super) const MAX_EDITION: usize = 60;

/// Services that sell reviews and excerpts, as they begin behind the year of a copyright.
const SERVICES: [&str; 12] = [
    "Reed Business Information",
    "Cahners Business Information",
    "Cahners Publishing",
    "American Library Association",
    "Kirkus Associates",
    "AudioFile",
    "Phillips & Nelson Media",
    "Publishers Weekly",
    "PWxyz, LLC",
    "Library Journals LLC",
    "Library Journals, LLC",
    "The Washington Post",
];

/// The service of excerpts, at the end of a line.
const EXCERPTS: &str =
    "Excerpts are provided by Dial-A-Book Inc. solely for the personal use of visitors to this web site.";

/// What the service of excerpts may write before that.
const EXCERPTS_BEFORE: &str = "All rights reserved. No part of this excerpt may be reproduced or reprinted without \
                               permission in writing from the publisher.";

/// What may follow the name of a service.
const NOTICE_ENDS: [&str; 16] = [
    "a wholly owned subsidiary of Media Source",
    "No redistribution permitted",
    "Inc",
    "LLC",
    "LP",
    "L.P",
    "Ltd",
    "Co",
    "Company",
    "a division of Reed Elsevier",
    "Reed Elsevier",
    "Portland, Maine",
    "All rights reserved",
    "All Rights Reserved",
    "Reviews",
    "Book World",
];

/// The longest notice of a service behind its name, in bytes.
const MAX_NOTICE: usize = 110;

/// Whole lines of the page in reviews: notices in place of a video, and what opens and closes a long review.
const LINES_OF_REVIEWS: [(Rule, &str); 8] = [
    (Rule::MediaNotices, "The media could not be loaded."),
    (Rule::MediaNotices, "Your browser does not support HTML5 video."),
    (Rule::MediaNotices, "Your browser does not support the video tag."),
    (Rule::MediaNotices, "Video Player is loading."),
    (Rule::ReadMore, "Brief content visible, double tap to read full content."),
    (Rule::ReadMore, "Full content visible, double tap to read brief content."),
    (Rule::ReadMore, "Read more"),
    (Rule::ReadMore, "Read less"),
];

/// Literals of which each line above holds one, other than buttons and captions. 32 are the most that the vectorized
/// search takes on every machine.
const TRIGGERS: [&str; 27] = [
    " edition.",
    " Shipping:",
    "(Continues",
    "ASIN",
    "Best Sellers Rank",
    "Ce texte fait r",
    "Copyright",
    "Customer Review",
    "Date First ",
    "Date first ",
    "Dial-A-Book",
    "Dieser Text bezieht",
    "Fits your",
    "Kindle edition includes",
    "Modellnummer",
    "This text refers to",
    "View shipping rates",
    "You can return this item",
    "eprinted by permission",
    "fits your .",
    "mero de modelo",
    "our model number",
    "return shipping label",
    "returns policy",
    "ro de modèle",
    "to start the return",
    "© AudioFile",
];

/// A vectorized search for them, which nearly all text fails. `None` if the machine has no vector instructions.
static TRIGGER: LazyLock<Option<packed::Searcher>> = LazyLock::new(|| packed::Searcher::new(TRIGGERS));

/// Whether an item may hold lines or ends of lines by the page.
pub(super) fn may_hold_lines(item: &str) -> bool {
    let last_line = memrchr(b'\n', item.as_bytes()).map_or(item, |at| &item[at + 1..]);
    TRIGGER.as_ref().is_none_or(|trigger| trigger.find(item).is_some())
        || item.split('\n').any(|line| button_or_caption(line).is_some())
        || without_button(last_line).is_some()
}

/// Appends a clean item without the lines and ends of lines by the page. `after_returns` is
/// whether the line before it was an instruction for returns.
pub(super) fn strip_lines(item: &str, out: &mut String, after_returns: &mut bool, removals: &mut Removals) {
    let without_fit_notices = without_fit_notices(item, removals);
    let item = without_fit_notices.as_deref().unwrap_or(item);
    // A row may have its label and its value on two lines.
    let begins_with_label =
        item.split_once('\n').is_some_and(|(first, _)| first.trim_end_matches(is_mark).ends_with(':'));
    if item.len() <= MAX_ROW && begins_with_label && is_row(&item.replace('\n', " ")) {
        return removals.remove(Rule::DetailRows, item);
    }
    let start = out.len();
    let mut lines = item.split('\n').peekable();
    while let Some(line) = lines.next() {
        let rule =
            rule_of_line(line).or_else(|| (*after_returns && line == "Ship it!").then_some(Rule::ReturnPolicies));
        *after_returns = rule == Some(Rule::ReturnPolicies);
        if let Some(rule) = rule {
            removals.remove(rule, line);
            continue;
        }
        let mut kept = without_notice(line);
        if kept.len() < line.len() {
            removals.remove(Rule::RightsNotices, line[kept.len()..].trim_start());
        } else if lines.peek().is_none()
            && let Some(before) = without_button(line)
        {
            removals.remove(Rule::ReadMore, line[before.len()..].trim_start());
            kept = before;
        }
        if !kept.is_empty() {
            if out.len() > start {
                out.push('\n');
            }
            out.push_str(kept);
        }
    }
}

fn rule_of_line(line: &str) -> Option<Rule> {
    if let Some((rule, _)) = LINES.iter().find(|(_, known)| *known == line) {
        return Some(*rule);
    }
    if let Some(rule) = button_or_caption(line) {
        return Some(rule);
    }
    if line.len() > MAX_ROW {
        return None;
    }
    let rule = is_row(line).then_some(Rule::DetailRows);
    rule.or_else(|| is_edition_note(line).then_some(Rule::EditionNotes))
}

/// Whether a line is a button or a caption, perhaps in brackets or with an arrow. In lower case, it may be a part of a
/// sentence.
fn button_or_caption(line: &str) -> Option<Rule> {
    if line.len() > MAX_BUTTON {
        return None;
    }
    let line = without_invisible(line);
    let inside =
        [('(', ')'), ('[', ']')].iter().find_map(|(open, close)| line.strip_prefix(*open)?.strip_suffix(*close));
    let text = without_arrow(inside.unwrap_or(line)).trim_start_matches(['.', '…', '›', ' ']);
    if inside.is_none() && text.starts_with(char::is_lowercase) {
        return None;
    }
    let is = |known: &&str| known.eq_ignore_ascii_case(text);
    let caption = text.strip_suffix('.').unwrap_or(text);
    if BUTTONS.iter().any(is) {
        Some(Rule::ReadMore)
    } else {
        CAPTIONS.iter().any(|known| known.eq_ignore_ascii_case(caption)).then_some(Rule::ViewLarger)
    }
}

/// A button without what may stand behind it: `Read more »`, `Read more...`.
fn without_arrow(line: &str) -> &str {
    let text = line.trim_end_matches(['…', '»', '›', '>', ' ']);
    text.strip_suffix("...").unwrap_or(text).trim_end()
}

/// Whether a line is a row of the table of details. Marks of direction and a space may stand around the colon.
fn is_row(line: &str) -> bool {
    let visible: String = line.chars().filter(|c| !is_mark(*c)).collect();
    let Some((label, value)) = visible.split_once(':').map(|(label, value)| (label.trim(), value.trim())) else {
        return false;
    };
    let is_id = |id: &str| id.len() == 10 && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit());
    let row = format!("{label}: {value}");
    match label {
        _ if value.is_empty() => false,
        "ASIN" => is_id(value),
        "Customer Reviews" => of_five(value).is_some(),
        _ => ROWS.iter().any(|(start, end)| row.starts_with(start) && row.ends_with(end)),
    }
}

/// Whether a line is an edition note of the page in another language than English.
fn is_edition_note(line: &str) -> bool {
    let note = line.trim_start_matches(['-', '–', '—', ' ']).trim_end_matches(['.', ' ']);
    let german = note.strip_prefix("Dieser Text bezieht sich auf ");
    let german = german.and_then(|rest| rest.strip_suffix(" dieses Titels").unwrap_or(rest).strip_suffix("Ausgabe"));
    let is_french = |rest: &&str| ["l'édition ", "l’édition ", "une édition "].iter().any(|of| rest.starts_with(of));
    let french = note.strip_prefix("Ce texte fait référence à ").filter(is_french);
    // A year is in notes of people.
    let is_bound =
        |words: &str| words.len() <= MAX_EDITION && words.chars().all(|c| c.is_alphabetic() || " _-'’".contains(c));
    german.or(french).is_some_and(is_bound)
}

/// An item without the notices of fit at the starts of its lines. They may go over several lines.
/// `None` if there are none.
fn without_fit_notices(item: &str, removals: &mut Removals) -> Option<String> {
    let one_line = item.replace('\n', " ");
    let mut kept = String::new();
    let mut at = 0;
    while at < item.len() {
        if let Some(notice) = fit_notice(&one_line[at..]) {
            removals.remove(Rule::FitNotices, notice);
            at += notice.len();
            at += one_line[at..].len() - one_line[at..].trim_start_matches(' ').len();
        } else {
            let end = memchr(b'\n', &item.as_bytes()[at..]).map_or(item.len(), |line| at + line + 1);
            kept.push_str(&item[at..end]);
            at = end;
        }
    }
    kept.truncate(kept.trim_end().len());
    (kept.len() < item.len()).then_some(kept)
}

/// The notice of fit at the start of a text.
fn fit_notice(text: &str) -> Option<&str> {
    let begins = |notice: &&str| text.get(..notice.len()).is_some_and(|start| start.eq_ignore_ascii_case(notice));
    let notice = FIT_NOTICES.into_iter().find(begins)?;
    let rest = text[notice.len()..].trim_start_matches(is_mark);
    // `Fits your .22 rifle` and `Fits your . 45 holster` are text.
    let is_notice = |rest: &str| !rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
    let is_end = rest.is_empty() || rest.starts_with(' ') && is_notice(rest);
    is_end.then(|| &text[..text.len() - rest.len()])
}

/// A line without the button behind its last sentence: `Hemmed by hand. Read more`. `Less noise. Mehr lesen` may be a
/// motto, so other spellings must stand where the page cut the text: `Hemmed by… Mehr lesen`.
fn without_button(line: &str) -> Option<&str> {
    if let Some(before) = ["Read more", "See more", "Show more"].iter().find_map(|button| line.strip_suffix(button)) {
        let text = before.trim_end_matches(' ');
        let ends = text.ends_with(['.', '!', '?', '…', '"', '”', ')']);
        return (ends && text.len() < before.len()).then_some(text);
    }
    let bare = without_arrow(line);
    let before = BUTTONS.iter().find_map(|button| {
        let at = bare.len().checked_sub(button.len())?;
        let is_button = bare.get(at..)?.eq_ignore_ascii_case(button) && !bare[at..].starts_with(char::is_lowercase);
        is_button.then(|| bare[..at].trim_end_matches(' '))
    })?;
    (before.ends_with('…') || before.ends_with("...")).then_some(before)
}

/// A line without the notice of a service at its end.
fn without_notice(line: &str) -> &str {
    if let Some(before) = line.strip_suffix(EXCERPTS) {
        let before = before.trim_end();
        return before.strip_suffix(EXCERPTS_BEFORE).unwrap_or(before).trim_end();
    }
    let bytes = line.as_bytes();
    let at = memmem::rfind(bytes, b"Copyright").or_else(|| memmem::rfind(bytes, "© AudioFile".as_bytes()));
    let Some(at) = at else { return line };
    let rest = line[at..].trim_start_matches("Copyright").trim_start();
    let rest = ["©", "(c)", "(C)"].iter().find_map(|sign| rest.strip_prefix(sign)).unwrap_or(rest).trim_start();
    let rest = rest.trim_start_matches(|c: char| c.is_ascii_digit()).trim_start_matches([',', '.', ' ']);
    let behind = SERVICES.iter().find_map(|service| rest.strip_prefix(service));
    if rest.len() <= MAX_NOTICE && behind.is_some_and(is_end_of_notice) {
        let before = line[..at].trim_end();
        let before = before.strip_suffix("(c)").unwrap_or(before);
        before.trim_end_matches([' ', '-', '–', '—', '('])
    } else {
        line
    }
}

/// Whether nothing else follows the name of a service than what belongs to it. Other text stays, with the notice.
fn is_end_of_notice(mut behind: &str) -> bool {
    loop {
        behind = behind.trim_start_matches(|c: char| c.is_ascii_digit() || " ,.)-–—/|\"”".contains(c));
        let Some(rest) = NOTICE_ENDS.iter().find_map(|end| behind.strip_prefix(end)) else { return behind.is_empty() };
        behind = rest;
    }
}

/// Removes the lines of the page from a clean review.
pub(crate) fn strip_lines_of_review(text: &mut String, removals: &mut Removals) {
    let rule_of = |line: &str| LINES_OF_REVIEWS.iter().find(|(_, known)| *known == line).map(|(rule, _)| *rule);
    if !text.split('\n').any(|line| rule_of(line).is_some()) {
        return;
    }
    let mut kept = String::with_capacity(text.len());
    for line in text.split('\n') {
        if let Some(rule) = rule_of(line) {
            removals.remove(rule, line);
            continue;
        }
        if !kept.is_empty() {
            kept.push('\n');
        }
        kept.push_str(line);
    }
    *text = kept;
}

/// Positions of a switch.
const SWITCHES: [&str; 10] = [
    "yes",
    "no",
    "true",
    "false",
    "enabled",
    "not enabled",
    "supported",
    "not supported",
    "unqualified",
    "on kindle scribe",
];

/// Whether the value of a detail is the position of a switch.
pub(crate) fn is_switch(value: &str) -> bool {
    SWITCHES.iter().any(|switch| value.trim().eq_ignore_ascii_case(switch))
}

/// Details whose values are the shop's own notices.
const NOTICES: [&str; 5] =
    ["domestic shipping", "international shipping", "shipping advisory", "pricing", "terms of use"];

/// Whether a detail of this name is a notice of the shop.
pub(crate) fn is_notice(key: &str) -> bool {
    let key = key.trim_matches([' ', ':', '\n', '\t']);
    NOTICES.iter().any(|notice| key.eq_ignore_ascii_case(notice))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stripped(item: &str) -> String {
        let mut out = String::new();
        strip_lines(item, &mut out, &mut false, &mut Removals::default());
        out
    }

    #[test]
    fn lines_of_the_page_go() {
        for (item, wanted) in [
            ("Hemmed by hand. Read more", "Hemmed by hand."),
            ("Read more", ""),
            ("Hemmed.\nSee more", "Hemmed."),
            ("View larger\nSoap", "Soap"),
            ("Fits your\n.", ""),
            ("Fits your .", ""),
            ("Make sure this fits by entering your model number.", ""),
            ("Enter your model number\nto make sure this fits.", ""),
            ("Make sure this fits\nby entering your model number.\nSoap", "Soap"),
            ("Make sure this fits by entering your model number. Fits most engines.", "Fits most engines."),
            ("This fits your . Enter your model number to make sure this fits. Bright lantern.", "Bright lantern."),
            ("Clean air\nEnter your model\nnumber to make sure this fits.\nSoap", "Clean air\nSoap"),
            ("Good. Copyright 1994 Reed Business Information, Inc.", "Good."),
            ("Good. Copyright 1994 Kirkus Associates, LP. All rights reserved.", "Good."),
            ("Good. Copyright American Library Association. All rights reserved", "Good."),
            (
                "Good. Copyright 2002 Reed Business Information, Inc. Winner of the Newbery Medal.",
                "Good. Copyright 2002 Reed Business Information, Inc. Winner of the Newbery Medal.",
            ),
            ("A history of Copyright. Kirkus Associates sued.", "A history of Copyright. Kirkus Associates sued."),
            ("Good.Copyright © American Library Association. All rights reserved", "Good."),
            ("Good. -- Copyright ©1999, Kirkus Associates, LP. All rights reserved.", "Good."),
            ("Good. (c) Copyright 2011. Library Journals LLC, a wholly owned subsidiary of Media Source.", "Good."),
            (
                "By permission of Ek. All rights reserved. No part of this excerpt may be reproduced or reprinted \
                 without permission in writing from the publisher.Excerpts are provided by Dial-A-Book Inc. solely \
                 for the personal use of visitors to this web site.",
                "By permission of Ek.",
            ),
            ("Good. © AudioFile 2006, Portland, Maine", "Good."),
            ("Excerpt. © Reprinted by permission. All rights reserved.", ""),
            ("ASIN: B00BXOFI1I\nSoap", "Soap"),
            ("Shipping Weight: 4 ounces (View shipping rates and policies)", ""),
            ("Date first listed on Amazon: March 20, 2013", ""),
            ("ASIN:\nB00BXOFI1I", ""),
            ("Date first listed on Amazon: March 20, 2013\nSoap", "Soap"),
            ("Average Customer Review:\n4.6 out of 5 stars\n9 customer reviews", ""),
            ("Read the full returns policy\nShip it!\nSoap", "Soap"),
            ("READ MORE", ""),
            ("Read More\nSoap\nShow less", "Soap"),
            ("Read more »\nRead more...\n... Read more\n…Read more\nSoap", "Soap"),
            ("Hemmed by… Read more »", "Hemmed by…"),
            ("View Larger Image\n(click to enlarge)\n[Click to enlarge]\nCLICK TO ENLARGE.\nSoap", "Soap"),
            ("Mehr lesen\nLire la suite\nLeer más\nLeggi di più\n続きを読む\nBild vergrößern\nSoap", "Soap"),
            ("Von Hand gesäumt… Mehr lesen", "Von Hand gesäumt…"),
            ("Ourlé à la main ... Lire la suite", "Ourlé à la main ..."),
            ("Make Sure This Fits by entering your model number.", ""),
            ("Make sure this fits by entering your model number.\u{200e}\nSoap", "Soap"),
            ("Stellen Sie sicher, dass dies passt, indem Sie Ihre Modellnummer eingeben.\nSoap", "Soap"),
            ("--Dieser Text bezieht sich auf eine alternative kindle_edition Ausgabe.\nSoap", "Soap"),
            ("Dieser Text bezieht sich auf eine vergriffene oder nicht verfügbare Ausgabe dieses Titels.", ""),
            ("--Ce texte fait référence à l'édition Broché .", ""),
            ("ASIN \u{200f} : \u{200e} B00BXOFI1I\nSoap", "Soap"),
            ("ASIN : B00BXOFI1I", ""),
            ("Date First Available : June 4, 2010\nSoap", "Soap"),
            ("Best Sellers Rank: #5 in Home\nSoap", "Soap"),
            ("Customer Reviews:\n4.5 out of 5 stars 12 ratings", ""),
        ] {
            assert_eq!(stripped(item), wanted, "{item}");
        }
    }

    #[test]
    fn lines_like_them_stay() {
        for item in [
            "I hope to Read more",
            "Click the picture to read more.",
            "Read more books",
            "Hemmed. Read more.",
            "Hemmed. Read more\nEdged.",
            "View larger prints in our shop",
            "Fits your iPhone like a glove",
            "Make sure this fits before you buy.",
            "Fits your .22 rifle",
            "Please enter your model number to make sure this fits.",
            "Fits your\nmodel number",
            "Copyright 1999 by Jorun Aske.",
            "Copyright law, by an author of the American Library Association",
            "Excerpt from chapter 2.",
            "ASIN: see the label",
            "Shipping Weight: 4 ounces",
            "No returns and no refunds on gift cards.",
            "Ship it!",
            // Parts of sentences on lines of their own, as in poems, and mottos.
            "to learn and\nread more\nof the sea",
            "See more\u{a0}colors",
            "Less noise. Read More",
            "Weniger Lärm. Mehr lesen",
            "Mehr lesen, weniger reden",
            "Continues…",
            "Read more.",
            "and (see more) inside",
            "Customer Reviews: all that people say",
            "Best Sellers Rank: how it works",
            "Date First Available:",
            "ASIN : see the label",
            "Dieser Text bezieht sich auf die Ausgabe von 1900.",
            "Dieser Text bezieht sich auf die Insel.",
            "Ce texte fait référence à l'édition de 1862.",
            "Ce texte fait référence à la mer.",
            "",
        ] {
            assert_eq!(stripped(item), item);
        }
    }

    #[test]
    fn lines_of_the_page_in_reviews() {
        for (review, wanted) in [
            ("The media could not be loaded.\nIt hums.", "It hums."),
            ("It hums.\nThe media could not be loaded.\nA lot.", "It hums.\nA lot."),
            ("The media could not be loaded. I returned it.", "The media could not be loaded. I returned it."),
            ("It does not support tea.", "It does not support tea."),
            (
                "Brief content visible, double tap to read full content.\nFull content visible, double tap to read \
                 brief content.\nIt hums.\nRead more\nRead less",
                "It hums.",
            ),
            ("Read more books.", "Read more books."),
        ] {
            let mut text = review.to_owned();
            strip_lines_of_review(&mut text, &mut Removals::default());
            assert_eq!(text, wanted);
        }
    }

    #[test]
    fn every_line_holds_a_trigger() {
        assert!(TRIGGERS.len() <= 32);
        let lines = LINES.iter().map(|(_, line)| *line).chain(FIT_NOTICES);
        for line in lines.chain(ROWS.iter().flat_map(|(start, end)| [if end.is_empty() { *start } else { *end }])) {
            assert!(TRIGGERS.iter().any(|trigger| line.contains(trigger)), "{line}");
        }
    }
}
