//! The names of relations that a user's file may have.
use schemas::Relation;

/// The names of the graph, and of the fields of the dumps.
const NAMES: [(&str, Relation); 10] = [
    (Relation::Substitute.as_str(), Relation::Substitute),
    (Relation::Complement.as_str(), Relation::Complement),
    (Relation::CoReviewed.as_str(), Relation::CoReviewed),
    (Relation::CoPurchased.as_str(), Relation::CoPurchased),
    ("also_buy", Relation::Complement),
    ("also_bought", Relation::Complement),
    ("bought_together", Relation::Complement),
    ("also_view", Relation::Substitute),
    ("also_viewed", Relation::Substitute),
    ("buy_after_viewing", Relation::Substitute),
];

/// The relation that a user calls so, in any case: `Co-Purchased` and `co purchased` are `co_purchased`.
pub(super) fn relation_of(name: &str) -> Option<Relation> {
    NAMES.iter().find(|(known, _)| letters(known).eq(letters(name))).map(|&(_, relation)| relation)
}

fn letters(name: &str) -> impl Iterator<Item = u8> {
    name.bytes().filter(|byte| !b"_- ".contains(byte)).map(|byte| byte.to_ascii_lowercase())
}

/// What is wrong with another name.
pub(super) fn unknown(name: &str) -> String {
    let names: Vec<String> = NAMES.iter().map(|(known, _)| format!("`{known}`")).collect();
    format!("relation `{name}` is not known; expected {}", names.join(", "))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_may_be_written_in_several_ways() {
        for (name, wanted) in [
            ("complement", Some(Relation::Complement)),
            (" COMPLEMENT", Some(Relation::Complement)),
            ("co-purchased", Some(Relation::CoPurchased)),
            ("Co Reviewed", Some(Relation::CoReviewed)),
            ("also_buy", Some(Relation::Complement)),
            ("buy_after_viewing", Some(Relation::Substitute)),
            ("sibling", None),
            ("", None),
            ("-", None),
        ] {
            assert_eq!(relation_of(name), wanted, "{name}");
        }
        assert!(unknown("sibling").contains("`co_purchased`, `also_buy`"));
    }
}
