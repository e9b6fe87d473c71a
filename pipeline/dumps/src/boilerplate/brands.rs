//! Names of makers, without what the page wrote around them.
use super::{Removals, Rule};
use crate::clean::without_invisible;

/// Words for a missing brand, in lower case.
const PLACEHOLDERS: [&str; 23] = [
    "generic",
    "unknown",
    "unbranded",
    "n/a",
    "n.a.",
    "na",
    "none",
    "null",
    "nan",
    "no brand",
    "no-brand",
    "nobrand",
    "non-branded",
    "not branded",
    "no name brand",
    "does not apply",
    "doesn't apply",
    "not applicable",
    "not available",
    "not specified",
    "not rated",
    "brand",
    "unknown brand",
];

/// The parts that people have in a book, a record or a film. All are in the 2023 dump.
const ROLES: &str = "\
    actor adapter afterword annotations artist arranger author choreographer commentary compiler \
    composer conductor contributor creator designer director drawings editor ensemble foreword \
    host illustrator introduction lyricist narrator orchestra performer photographer preface \
    primary producer reader singer soloist translator writer \
    autor autora auteur autore autrice artista artiste illustrateur illustratore ilustrador herausgeber \
    erzähler künstler regisseur schauspieler sprecher übersetzer traducteur traductor traduttore";

/// Words that may stand before a role: `(Series Editor)`.
const ROLE_MODIFIERS: [&str; 8] = ["series", "cover", "co", "consultant", "guest", "general", "executive", "managing"];

/// What stands before and behind the name in a link of the page, in its languages. Case does not count.
const LINKS: [(&str, &[&str]); 14] = [
    ("Visit Amazon's ", &[" Page", " Pages", " Store"]),
    ("Visit Amazon’s ", &[" Page", " Pages", " Store"]),
    ("Visit the ", &[" Store", " Stores", " Storefront", " Page", " Shop"]),
    ("Shop the ", &[" Store", " Stores", " Storefront", " Shop"]),
    ("Besuche den ", &["-Store", " Store", "-Shop"]),
    ("Besuchen Sie den ", &["-Store", " Store", "-Shop"]),
    ("Visiter la boutique ", &[""]),
    ("Visita la tienda de ", &[""]),
    ("Visita lo Store di ", &[""]),
    ("Visite a loja ", &[""]),
    ("Bezoek de ", &["-winkel", " winkel", "-store", " Store"]),
    ("Odwiedź sklep ", &[""]),
    ("Besök ", &[" butiken", "-butiken"]),
    ("", &["のストアを表示"]),
];

/// What follows the text of a link to the page of an author.
const AFTER_LINK: &str = " Find all the books";

/// Labels before a name. Case does not count.
const LABELS: [&str; 21] = [
    "Brand:",
    "Brand :",
    "Brands:",
    "Brand Name:",
    "Manufacturer:",
    "Marke:",
    "Marca:",
    "Marque:",
    "Marque :",
    "Merk:",
    "Marka:",
    "Märke:",
    "Varumärke:",
    "Hersteller:",
    "Fabricant:",
    "Fabricant :",
    "Fabricante:",
    "Fabrikant:",
    "ブランド:",
    "ブランド：",
    "品牌:",
];

/// The name in a clean `brand`, of which `raw` is the form in the record. `None` if it names
/// nobody.
pub(crate) fn undecorated<'b>(brand: &'b str, raw: &str, removals: &mut Removals) -> Option<&'b str> {
    let name = bare_name(brand, raw);
    if name.len() < brand.len() && !name.is_empty() {
        removals.count(Rule::BrandDecorations, (brand.len() - name.len()) as u64, || brand.to_owned());
    }
    if name.is_empty() {
        if !brand.is_empty() {
            removals.remove(Rule::BrandDecorations, brand);
        }
        return None;
    }
    if is_placeholder(name) {
        removals.remove(Rule::BrandPlaceholders, name);
        return None;
    }
    Some(name)
}

fn is_placeholder(name: &str) -> bool {
    !name.contains(char::is_alphanumeric) || PLACEHOLDERS.iter().any(|known| name.eq_ignore_ascii_case(known))
}

fn bare_name<'b>(brand: &'b str, raw: &str) -> &'b str {
    let mut name = brand;
    if let Some(inner) = linked(name) {
        name = inner;
    } else if let Some(inner) = LABELS.iter().find_map(|label| without_prefix(name, label)) {
        name = without_invisible(inner);
    } else if let Some(inner) = without_prefix(name, "by ") {
        // `by Terry` is a brand. The page has a line break behind its own `by`.
        let gap = without_prefix(raw.trim_start(), "by").unwrap_or_default();
        if gap.starts_with(char::is_whitespace) && gap.len() - gap.trim_start().len() > 1 {
            name = inner;
        }
    }
    // `… Rated: PG-13 Format: DVD`.
    let before_format = before_label(name, "Format: ");
    let has_format = before_format.len() < name.len();
    name = before_format;
    if let Some(at) = find_label(name, "Rated: ")
        && name.len() - at <= "Rated: Not Rated".len()
    {
        name = name[..at].trim_end();
    }
    // `… & 1 more`.
    let without_count = without_more(name);
    let is_list = has_format || without_count.len() < name.len();
    name = without_count;
    let mut person = first_person(name);
    if person.len() < name.len() {
        // A role is of the page, and so is `by` before its person.
        person = without_prefix(person, "by ").unwrap_or(person);
    }
    name = if person.len() < name.len() || !is_list { person } else { before_gap(name, raw) };
    for ellipsis in [" ...", "...", " …", "…"] {
        if let Some(rest) = name.strip_suffix(ellipsis) {
            return rest.trim_end();
        }
    }
    name
}

/// The name in the text of a link: `Visit the … Store`.
fn linked(name: &str) -> Option<&str> {
    LINKS.iter().find_map(|(before, after)| {
        let rest = without_prefix(name, before)?;
        let rest = rest.find(AFTER_LINK).map_or(rest, |end| &rest[..end]);
        let inner = after.iter().find_map(|end| without_suffix(rest, end))?.trim_end();
        (!inner.is_empty()).then_some(inner)
    })
}

/// The text behind `prefix`, in any case.
fn without_prefix<'b>(name: &'b str, prefix: &str) -> Option<&'b str> {
    let start = name.get(..prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then(|| &name[prefix.len()..])
}

/// The text before `suffix`, in any case.
fn without_suffix<'b>(name: &'b str, suffix: &str) -> Option<&'b str> {
    let at = name.len().checked_sub(suffix.len())?;
    name.get(at..)?.eq_ignore_ascii_case(suffix).then(|| &name[..at])
}

/// The text before a label, which must begin a word.
fn before_label<'b>(name: &'b str, label: &str) -> &'b str {
    find_label(name, label).map_or(name, |at| name[..at].trim_end())
}

fn find_label(name: &str, label: &str) -> Option<usize> {
    name.match_indices(label).map(|(at, _)| at).find(|&at| at == 0 || name.as_bytes()[at - 1] == b' ')
}

/// A list of names without the count of the others at its end: `& 2 more`.
fn without_more(name: &str) -> &str {
    let before = name.strip_suffix(" more").map(|rest| rest.trim_end_matches(|c: char| c.is_ascii_digit()));
    before
        .filter(|rest| rest.len() + " more".len() < name.len())
        .and_then(|rest| rest.strip_suffix(" & "))
        .unwrap_or(name)
}

/// The first of several names without roles, which the page sets far apart.
fn before_gap<'b>(name: &'b str, raw: &str) -> &'b str {
    let first = raw.trim().split("   ").next().unwrap_or_default().trim();
    let is_first = !first.is_empty() && name.strip_prefix(first).is_some_and(|rest| rest.starts_with(' '));
    if is_first { &name[..first.len()] } else { name }
}

/// The first name of a list of people with their roles: `Petra Holm (Composer), …`.
fn first_person(name: &str) -> &str {
    let mut from = 0;
    while let Some(skip) = name[from..].find('(') {
        let open = from + skip;
        let Some(length) = name[open..].find(')') else { break };
        if is_roles(&name[open + 1..open + length]) {
            let person = name[..open].trim_end();
            // `Spanish Edition                        Steve Berry (Author)`.
            let person = match person.split_once(" Edition ") {
                Some((language, rest)) if !language.contains(' ') => rest,
                _ => person,
            };
            // One role may stand behind several names. A comma may be in a name: `Kyser, Kay`.
            // A band's name may have several: `Earth, Wind & Fire`.
            let is_list = person.matches(", ").count() > 1;
            let is_name = ["&", "and", "Jr.", "Sr."].iter().any(|word| person.split(' ').any(|part| part == *word));
            return if is_list && !is_name { person.split(", ").next().unwrap_or(person) } else { person };
        }
        from = open + length;
    }
    name
}

/// Whether `roles` are roles: `Director, Writer`.
fn is_roles(roles: &str) -> bool {
    let is_role = |role: &str| {
        let words: Vec<&str> = role.split([' ', '-']).collect();
        let (last, modifiers) = words.split_last().unwrap_or((&"", &[]));
        let last = last.to_lowercase();
        let last = last.strip_suffix('s').filter(|last| *last == "editor").unwrap_or(&last);
        let is_known = ROLES.split(' ').any(|known| known == last) || last == "art" && !modifiers.is_empty();
        is_known
            && modifiers.len() <= 1
            && modifiers.iter().all(|word| ROLE_MODIFIERS.iter().any(|known| word.eq_ignore_ascii_case(known)))
    };
    roles.len() < 100 && roles.split(", ").all(is_role)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clean::clean_name;

    fn name(raw: &str) -> Option<String> {
        let mut clean = String::new();
        clean_name(raw, &mut clean);
        undecorated(&clean, raw, &mut Removals::default()).map(str::to_owned)
    }

    #[test]
    fn decorations_go_and_names_stay() {
        for (raw, wanted) in [
            ("Visit Amazon's Orla Vendrik Page", Some("Orla Vendrik")),
            ("Visit the Grevlund Store", Some("Grevlund")),
            ("Brand: Grevlund", Some("Grevlund")),
            ("by\n    \n    Grevlund", Some("Grevlund")),
            ("By\n    Grevlund", Some("Grevlund")),
            ("visit the Grevlund store", Some("Grevlund")),
            ("VISIT THE GREVLUND STORES", Some("GREVLUND")),
            ("Visit the Grevlund Storefront", Some("Grevlund")),
            ("Shop the Grevlund Store", Some("Grevlund")),
            ("Visit Amazon’s Orla Vendrik Page", Some("Orla Vendrik")),
            ("visit amazon's Orla Vendrik page", Some("Orla Vendrik")),
            ("BRAND: Grevlund", Some("Grevlund")),
            ("Brand : Grevlund", Some("Grevlund")),
            ("Brands:Grevlund", Some("Grevlund")),
            ("brand name: Grevlund", Some("Grevlund")),
            ("Besuche den Grevlund-Store", Some("Grevlund")),
            ("Visiter la boutique Grevlund", Some("Grevlund")),
            ("Marque : Grevlund", Some("Grevlund")),
            ("Bezoek de Orla-winkel", Some("Orla")),
            ("Odwiedź sklep Orla", Some("Orla")),
            ("Besök Orla butiken", Some("Orla")),
            ("Orla のストアを表示", Some("Orla")),
            ("ブランド: Orla", Some("Orla")),
            ("Hersteller: Orla", Some("Orla")),
            ("J.K. Rowling (Autor)", Some("J.K. Rowling")),
            ("Jo Ek (Auteur), Al Ek (Illustrateur)", Some("Jo Ek")),
            ("Jo Ek (Übersetzer)", Some("Jo Ek")),
            ("Brand: Generic", None),
            ("Brand:", None),
            ("Brand:\u{200e}Grevlund", Some("Grevlund")),
            ("\u{feff} Grevlund\u{200b}", Some("Grevlund")),
            ("\u{200b}", None),
            ("NA", None),
            (
                "Visit Amazon's Orla Vendrik Page\n\n    Find all the books, read about the author, and more.\n\n    \
                 See search results for this author",
                Some("Orla Vendrik"),
            ),
            ("by Petra Holm (Author)", Some("Petra Holm")),
            (r#"<img src="g.png" alt="Grevlund"/>"#, Some("Grevlund")),
            ("The Low Tides   Format: Audio CD", Some("The Low Tides")),
            ("Petra Holm  (Composer),     Holm, Petra  (Composer)    Format: Audio CD", Some("Petra Holm")),
            ("Jorun Aske (Author)", Some("Jorun Aske")),
            ("Kyser, Kay  (Artist)    Format: Vinyl", Some("Kyser, Kay")),
            ("Reed, Moss & Fern (Artist)", Some("Reed, Moss & Fern")),
            ("Ek, Jo, Jr. (Author)", Some("Ek, Jo, Jr.")),
            ("Ann Bo, Cy Do, Ed Fo  (Actor)    Rated:    NR    Format: DVD", Some("Ann Bo")),
            ("Spanish Edition                        Jorun Aske (Author),  Per Ek (Translator)", Some("Jorun Aske")),
            (
                "Jo Ek  (Actor),     Al Ek  (Director, Writer)    &                   0                  more   \
                 Rated:    PG-13    Format: DVD",
                Some("Jo Ek"),
            ),
            ("Jo Ek     The Tides     Al Ek    &                   1                  more", Some("Jo Ek")),
            ("The Low Tides   ロータイド   Format: Audio CD", Some("The Low Tides")),
            ("Jo Ek and Al Ek (editors) Mo Ek (Author)", Some("Jo Ek and Al Ek")),
            ("Not Rated", None),
            ("Mo Ek (Series Editor), Al Ek (Cover Art)", Some("Mo Ek")),
            ("<a href=\"/x\">Orla Vendrik</a>", Some("Orla Vendrik")),
            ("Grevlund ...", Some("Grevlund")),
            ("Rated:    NR    Format: DVD", None),
            ("Format: Audio CD", None),
            ("Unknown", None),
            ("generic", None),
            ("N/A", None),
            ("Does not apply", None),
            ("-", None),
            ("", None),
        ] {
            assert_eq!(name(raw).as_deref(), wanted, "{raw}");
        }
        for raw in [
            "by Terry",
            "By Terry",
            "Shop the Look",
            "The Store",
            "Visit the Store",
            "Brand Manufacturers",
            "Generic Surplus",
            "Unknown Mortal Orchestra",
            "ACTAVIS - OTC PRODUCTS (E3)",
            "ZEBRA (Pens)",
            "Visit Grevlund",
            "Nautic",
            "Page & Store",
            "Information: Formats",
            "Brand New",
            "Jewelry Books and 1 more",
            "Books & more",
            "Exotic Books & 2 more things",
            "Author",
            "(Author's) Choice",
            "by Petra Holm",
            "Hear and Now (World)",
            "進口",
            "Besök Orla",
            "Bezoek de Zee",
            "Hersteller Eins",
            "Marka",
            "Grevlund (Autos)",
            "ブランド",
        ] {
            assert_eq!(name(raw).as_deref(), Some(raw));
        }
    }

    #[test]
    fn removals_are_counted() {
        let mut removals = Removals::default();
        undecorated("Jorun Aske (Author)", "", &mut removals);
        undecorated("Visit Amazon's Unknown Page", "", &mut removals);
        assert_eq!(removals.of(Rule::BrandDecorations).pieces, 2);
        assert_eq!(removals.of(Rule::BrandPlaceholders).bytes, 7);
    }
}
