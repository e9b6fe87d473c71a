//! Headlines of reviews that the shop writes.
use memchr::memmem;

use crate::record::of_five;

/// The headlines that the shop generates for 1 to 5 stars, in the languages of its sites.
const RATINGS: [[&str; 5]; 5] = [
    ["One Star", "Two Stars", "Three Stars", "Four Stars", "Five Stars"],
    ["Ein Stern", "Zwei Sterne", "Drei Sterne", "Vier Sterne", "Fünf Sterne"],
    ["Una estrella", "Dos estrellas", "Tres estrellas", "Cuatro estrellas", "Cinco estrellas"],
    ["Une étoile", "Deux étoiles", "Trois étoiles", "Quatre étoiles", "Cinq étoiles"],
    ["Una stella", "Due stelle", "Tre stelle", "Quattro stelle", "Cinque stelle"],
];

/// The length of the generated beginning of a clean headline, which may be all of it. A rating that
/// is known must be the same.
pub(crate) fn rating_headline(headline: &str, rating: Option<f32>) -> Option<usize> {
    let is_rating = |stars: u8| rating.is_none_or(|rating| rating == f32::from(stars));
    for names in RATINGS {
        if let Some(at) = names.iter().position(|name| *name == headline) {
            return is_rating(at as u8 + 1).then_some(headline.len());
        }
    }
    // `5.0 out of 5 stars Sturdy hinge`.
    let (number, rest) = of_five(headline)?;
    let stars = number.strip_suffix(".0").or_else(|| number.strip_suffix(",0"))?;
    let stars = stars.parse().ok().filter(|stars| (1..=5).contains(stars))?;
    is_rating(stars).then_some(headline.len() - rest.trim_start().len())
}

/// Whether the shop cut a clean headline from the clean text: `Arrived early and fits ...`.
pub(crate) fn is_excerpt(headline: &str, text: &str) -> bool {
    let Some(words) = headline.strip_suffix(" ...") else { return false };
    let words = words.strip_prefix("... ").unwrap_or(words);
    // The shop capitalises the first letter.
    let Some(first) = words.chars().next() else { return false };
    let rest = &words.as_bytes()[first.len_utf8()..];
    if rest.iter().filter(|byte| **byte == b' ').count() == 0 {
        return false;
    }
    let text = text.replace('\n', " ");
    let begins_word = |at: &usize| {
        let before = text[..*at].chars().next_back();
        before.is_some_and(|c| c == first || c.to_uppercase().eq(std::iter::once(first)))
    };
    // The first match decides, which keeps the time linear.
    memmem::find(text.as_bytes(), rest).filter(begins_word).is_some()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn generated_headlines() {
        for (headline, rating, wanted) in [
            ("Five Stars", Some(5.0), Some(10)),
            ("Five Stars", None, Some(10)),
            ("One Star", Some(1.0), Some(8)),
            ("Cinco estrellas", Some(5.0), Some(15)),
            ("5.0 out of 5 stars", Some(5.0), Some(18)),
            ("4.0 out of 5 stars Sturdy hinge", None, Some(19)),
            ("5.0 out of 5 stars\nGreat kettle", Some(5.0), Some(19)),
            ("5,0 von 5 Sternen Guter Kessel", Some(5.0), Some(18)),
            ("5,0 sur 5 étoiles\nBonne", None, Some(19)),
            ("4.0 de 5 estrellas", Some(4.0), Some(18)),
            ("1,0 su 5 stelle Rotto", Some(1.0), Some(16)),
            // Counterexamples.
            ("Five Stars", Some(1.0), None),
            ("Five stars", Some(5.0), None),
            ("five stars", Some(5.0), None),
            ("Five Stars!", Some(5.0), None),
            ("Five stars for the hinge", Some(5.0), None),
            ("Five Stars for the hinge", Some(5.0), None),
            ("5 stars", Some(5.0), None),
            ("5.0 out of 5 stars", Some(2.0), None),
            ("9.0 out of 5 stars", None, None),
            ("4.5 out of 5 stars", Some(4.5), None),
            ("5.0 out of 5", Some(5.0), None),
            ("5.0 out of 5 starship captains", None, None),
            ("", None, None),
        ] {
            assert_eq!(rating_headline(headline, rating), wanted, "{headline}, {rating:?}");
        }
    }

    #[test]
    fn headlines_cut_from_the_text() {
        let text = "I bought it in May. it fits the drawer well\nand shuts. Wow...";
        for (headline, wanted) in [
            ("It fits the drawer ...", true),
            ("... it fits the drawer well and ...", true),
            ("I bought it ...", true),
            ("Wow...", false),
            ("It ...", false),
            ("It fits the cupboard ...", false),
            ("It fits the drawer...", false),
            ("It fits the drawer", false),
            ("...", false),
            (" ...", false),
        ] {
            assert_eq!(is_excerpt(headline, text), wanted, "{headline}");
        }
    }
}
