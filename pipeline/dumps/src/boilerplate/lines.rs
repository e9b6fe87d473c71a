//! Lines and ends of lines that the shop's page wrote.
use memchr::{memchr, memmem};

use super::{Removals, Rule};

/// Whole lines.
const LINES: [(Rule, &str); 29] = [
    (Rule::ReadMore, "Read more"),
    (Rule::ReadMore, "Read more Read less"),
    (Rule::ReadMore, "See more"),
    (Rule::ReadMore, "Show more"),
    (Rule::ReadMore, "(Continues...)"),
    (Rule::ReadMore, "(Continues…)"),
    (Rule::ViewLarger, "View larger"),
    (Rule::ViewLarger, "View larger."),
    (Rule::ViewLarger, "View larger image"),
    (Rule::ViewLarger, "View larger image."),
    (Rule::ViewLarger, "See larger image"),
    (Rule::ViewLarger, "Click here for a larger image"),
    (Rule::ViewLarger, "Click here for a larger image."),
    (Rule::ViewLarger, "Click here for larger image"),
    (Rule::ViewLarger, "Click for larger image"),
    (Rule::ViewLarger, "Click for larger image."),
    (Rule::ViewLarger, "Click to view larger"),
    (Rule::ViewLarger, "Click to view larger."),
    (Rule::ViewLarger, "Click to enlarge"),
    (Rule::ViewLarger, "Click to enlarge."),
    (Rule::ViewLarger, "Click image to enlarge"),
    (Rule::ViewLarger, "Click on image to enlarge"),
    (Rule::ViewLarger, "Click the image to enlarge"),
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

/// The sentences of the page's form that checks whether a part fits, on one line. The first four
/// lack the model of the customer.
const FIT_NOTICES: [&str; 7] = [
    "This fits your .",
    "Fits your .",
    "fits your .",
    "Fits your.",
    "Make sure this fits by entering your model number.",
    "Make sure this fits. by entering your model number.",
    "Enter your model number to make sure this fits.",
];

/// Beginnings of whole lines, and an end that the line must have.
const ROWS: [(&str, &str); 9] = [
    ("Shipping Weight: ", "(View shipping rates and policies)"),
    ("Date first listed on Amazon: ", ""),
    ("Date first available at Amazon.com: ", ""),
    ("Date First Available: ", ""),
    ("Average Customer Review: ", ""),
    ("Amazon Best Sellers Rank: ", ""),
    ("Domestic Shipping: Currently, item can be shipped ", ""),
    ("Domestic Shipping: Item can be shipped ", ""),
    ("International Shipping: This item ", ""),
];

/// The longest row of details, in bytes.
const MAX_ROW: usize = 400;

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

/// Literals of which each line above holds one. With those of scripts they are 32, the most that
/// the vectorized search takes at full speed.
pub(super) const TRIGGERS: [&str; 28] = [
    " edition.",
    " Shipping:",
    "(Continues",
    "ASIN:",
    "Best Sellers Rank:",
    "Copyright",
    "Customer Review:",
    "Date First ",
    "Date first ",
    "Dial-A-Book",
    "Fits your",
    "Kindle edition includes",
    "Read more",
    "See more",
    "Show more",
    "This text refers to",
    "View shipping rates",
    "You can return this item",
    "eprinted by permission",
    "fits your .",
    "iew larger",
    "larger image",
    "our model number",
    "return shipping label",
    "returns policy",
    "to enlarge",
    "to start the return",
    "© AudioFile",
];

/// Appends a clean item without the lines and ends of lines by the page. `after_returns` is
/// whether the line before it was an instruction for returns.
pub(super) fn strip_lines(item: &str, out: &mut String, after_returns: &mut bool, removals: &mut Removals) {
    let without_fit_notices = without_fit_notices(item, removals);
    let item = without_fit_notices.as_deref().unwrap_or(item);
    // A row may have its label and its value on two lines.
    if item.len() <= MAX_ROW && item.contains('\n') && rule_of_line(&item.replace('\n', " ")) == Some(Rule::DetailRows)
    {
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
    if line.len() > MAX_ROW {
        return None;
    }
    let is_row = ROWS.iter().any(|(start, end)| line.starts_with(start) && line.ends_with(end))
        || line
            .strip_prefix("ASIN: ")
            .is_some_and(|id| id.len() == 10 && id.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit()));
    is_row.then_some(Rule::DetailRows)
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
    let notice = FIT_NOTICES.into_iter().find(|notice| text.starts_with(notice))?;
    let rest = &text[notice.len()..];
    // `Fits your .22 rifle` and `Fits your . 45 holster` are text.
    let is_notice = |rest: &str| !rest.trim_start().starts_with(|c: char| c.is_ascii_digit());
    (rest.is_empty() || rest.starts_with(' ') && is_notice(rest)).then_some(notice)
}

/// A line without the button behind its last sentence: `Hemmed by hand. Read more`.
fn without_button(line: &str) -> Option<&str> {
    let before = ["Read more", "See more", "Show more"].iter().find_map(|button| line.strip_suffix(button))?;
    let text = before.trim_end_matches(' ');
    let ends = text.ends_with(['.', '!', '?', '…', '"', '”', ')']);
    (ends && text.len() < before.len()).then_some(text)
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
    if rest.len() <= MAX_NOTICE && SERVICES.iter().any(|service| rest.starts_with(service)) {
        let before = line[..at].trim_end();
        let before = before.strip_suffix("(c)").unwrap_or(before);
        before.trim_end_matches([' ', '-', '–', '—', '('])
    } else {
        line
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
            ("Average Customer Review:\n4.6 out of 5 stars\n9 customer reviews", ""),
            ("Read the full returns policy\nShip it!\nSoap", "Soap"),
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
        let lines = LINES.iter().map(|(_, line)| *line).chain(FIT_NOTICES);
        for line in lines.chain(ROWS.iter().flat_map(|(start, end)| [if end.is_empty() { *start } else { *end }])) {
            assert!(TRIGGERS.iter().any(|trigger| line.contains(trigger)), "{line}");
        }
    }
}
