//! Ids of products and reviewers, and associations.
use std::{borrow::Cow, fmt};

use schemas::Relation;
use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, MapAccess, SeqAccess, Visitor},
};

use super::{
    super::clean::without_invisible,
    Association,
    texts::is_indexed,
    unread::{Unread, UnreadReason},
    values::{Bracket, Key, MAX_LAYERS, Value, ValueVisitor, extended, is_missing},
};

/// Digits of a numeric product id, which is an ISBN-10.
const ID_DIGITS: usize = 10;

/// How a number is written as an id.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum IdKind {
    /// With leading zeros to ten digits, which a number has lost.
    Product,
    /// As it is.
    Reviewer,
}

/// The id in a field that holds one. A list of several is a column of records, as `to_dict("list")` of pandas writes
/// it.
pub(super) fn id<'a>(value: Value<'a>, kind: IdKind, unread: &mut Unread<'_>) -> Option<Cow<'a, str>> {
    let mut ids = Vec::new();
    Collector { into: &mut ids, kind, many: false, unread: &mut *unread }.collect(value, MAX_LAYERS);
    if ids.windows(2).any(|two| two[0] != two[1]) {
        unread.add(UnreadReason::List);
        return None;
    }
    ids.into_iter().next()
}

/// A number without the point that pandas writes where some numbers are missing: `31852` for `31852.0`. Other text is
/// returned as it is.
pub(crate) fn whole_number(text: &str) -> &str {
    text.strip_suffix(".0").filter(|whole| is_number(whole)).unwrap_or(text)
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit())
}

/// Restores an id that a program wrote to a table as a number. Zeros in front are not restored: an id of a shop may
/// have fewer than ten digits, and other files of it have the same.
pub(super) fn restored(id: &mut Cow<'_, str>) {
    let whole = whole_number(id);
    if whole.len() < id.len() {
        *id = whole.to_owned().into();
    }
}

/// The ids in a text of one or several, between commas, semicolons or bars. Those of other shops may have spaces.
pub(crate) fn listed_ids(text: &str) -> impl Iterator<Item = &str> {
    text.split(BETWEEN).map(bare).filter(|id| !id.is_empty() && !is_no_id(id))
}

/// The parts of a text of several ids of the dumps, which may also stand between white space.
fn parts(text: &str) -> impl Iterator<Item = &str> {
    let is_spaced = are_spaced_ids(text);
    text.split(move |c: char| BETWEEN.contains(&c) || is_spaced && c.is_whitespace())
}

/// Whether a text is several ids of the same form between white space: capitals with digits, of the same length.
fn are_spaced_ids(text: &str) -> bool {
    let is_id = |word: &str| {
        word.bytes().all(|byte| byte.is_ascii_uppercase() || byte.is_ascii_digit())
            && word.bytes().any(|byte| byte.is_ascii_digit())
    };
    let length = text.split_whitespace().next().map_or(0, str::len);
    text.trim().contains(char::is_whitespace) && text.split_whitespace().all(|word| word.len() == length && is_id(word))
}

/// The id of a product without what is not part of it: white space, invisible characters, quotes around it, and the
/// apostrophe with which spreadsheets mark text. An id with other characters than letters, digits, `-`, `_` and `.`
/// only loses white space.
pub(crate) fn bare_product_id(id: &str) -> &str {
    let visible = without_invisible(id);
    let inside = ['"', '\''].iter().find_map(|quote| visible.strip_prefix(*quote)?.strip_suffix(*quote));
    let bare = inside.map_or_else(|| visible.strip_prefix('\'').unwrap_or(visible), str::trim);
    let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.".contains(&byte);
    if !bare.is_empty() && bare.bytes().all(is_plain) { bare } else { id.trim() }
}

const BETWEEN: [char; 3] = [',', ';', '|'];

fn is_quote(c: char) -> bool {
    matches!(c, '\'' | '"')
}

/// An id of a list without what is around it.
fn bare(id: &str) -> &str {
    bare_product_id(id).trim_matches(is_quote)
}

/// Whether a word stands for no id. R writes `NA`.
pub(crate) fn is_no_id(id: &str) -> bool {
    ["NA", "N/A", "n/a", "none"].contains(&id) || is_missing(id)
}

/// Whether a word stands for no person, or for any.
pub(crate) fn is_nobody(id: &str) -> bool {
    is_no_id(id) || ["unknown", "anonymous"].iter().any(|word| id.eq_ignore_ascii_case(word))
}

/// Appends the products in a value of associations.
fn associated<'a>(value: Value<'a>, relation: Relation, into: &mut Vec<Association<'a>>, unread: &mut Unread<'_>) {
    let mut ids = Vec::new();
    let value = value.without_type();
    Collector { into: &mut ids, kind: IdKind::Product, many: true, unread }.collect(value, MAX_LAYERS);
    into.extend(ids.into_iter().map(|other| Association { relation, other }));
}

/// Reads the value of a field of associations, and returns whether it is not missing.
///
/// Lists of ids are most of many a product dump. They are read item by item, without a list of
/// values in between. That runs at 312 instead of 185 MB/s on a dump with 87 ids per record.
pub(super) struct AssociationsSeed<'l, 'u, 'a> {
    /// `None` for `related`, whose keys name the relations.
    pub(super) relation: Option<Relation>,
    pub(super) into: &'l mut Vec<Association<'a>>,
    pub(super) unread: &'l mut Unread<'u>,
}

impl<'a> AssociationsSeed<'_, '_, 'a> {
    fn take(self, value: Value<'a>) -> bool {
        let is_filled = !value.is_missing();
        match self.relation {
            _ if !is_filled => {}
            Some(relation) => associated(value, relation, self.into, self.unread),
            None => related(value, self.into, self.unread),
        }
        is_filled
    }
}

impl<'de: 'a, 'a> DeserializeSeed<'de> for AssociationsSeed<'_, '_, 'a> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<bool, D::Error> {
        from.deserialize_any(self)
    }
}

/// The methods that take any value of a type.
macro_rules! take_values {
    ($($visit:ident($of:ty)),*) => {
        $(fn $visit<E: Error>(self, value: $of) -> Result<bool, E> {
            ValueVisitor.$visit(value).map(|value| self.take(value))
        })*
    };
}

impl<'de: 'a, 'a> Visitor<'de> for AssociationsSeed<'_, '_, 'a> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ids of products")
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<bool, S::Error> {
        let Some(relation) = self.relation else {
            return ValueVisitor.visit_seq(list).map(|value| self.take(value));
        };
        while let Some(item) = list.next_element::<Value<'de>>()? {
            match item {
                Value::Text(other) if is_plain_id(&other) => self.into.push(Association { relation, other }),
                item => associated(item, relation, self.into, self.unread),
            }
        }
        Ok(true)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<bool, M::Error> {
        if self.relation.is_some() {
            return ValueVisitor.visit_map(map).map(|value| self.take(value));
        }
        while let Some(Key(key)) = map.next_key()? {
            let (into, unread) = (&mut *self.into, &mut *self.unread);
            if let Some(relation) = relation_of(key.trim()) {
                map.next_value_seed(AssociationsSeed { relation: Some(relation), into, unread })?;
            } else {
                let value = map.next_value::<Value<'de>>()?;
                if matches!(key.as_ref(), "M" | "map") && matches!(value, Value::Map(_)) {
                    // Its values have types, too.
                    related(value, into, unread);
                    continue;
                }
                if !value.is_missing() && !extended(vec![(key, value)]).is_missing() {
                    unread.add(UnreadReason::UnknownRelation);
                }
            }
        }
        Ok(true)
    }

    take_values!(visit_borrowed_str(&'de str), visit_str(&str), visit_string(String), visit_bool(bool));
    take_values!(visit_u64(u64), visit_i64(i64), visit_f64(f64));

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }
}

/// Whether a string is an id as the dumps have it. No spelling of a missing value is that long.
fn is_plain_id(id: &str) -> bool {
    id.len() == ID_DIGITS && id.bytes().all(|b| b.is_ascii_alphanumeric())
}

/// Appends the associations of `related`, a map of lists of product ids.
fn related<'a>(value: Value<'a>, into: &mut Vec<Association<'a>>, unread: &mut Unread<'_>) {
    related_in(value, into, unread, MAX_LAYERS);
}

fn related_in<'a>(value: Value<'a>, into: &mut Vec<Association<'a>>, unread: &mut Unread<'_>, layers: u8) {
    match value {
        Value::Null => {}
        Value::Map(entries) => {
            for (key, value) in entries {
                if value.is_missing() {
                    continue;
                }
                match relation_of(key.trim()) {
                    Some(relation) => associated(value, relation, into, unread),
                    None => unread.add(UnreadReason::UnknownRelation),
                }
            }
        }
        // One map, or one pair, for each relation.
        Value::List(items) => {
            for item in items {
                match item {
                    Value::Null | Value::Map(_) => related_in(item, into, unread, layers),
                    Value::List(pair) => match <[Value<'_>; 2]>::try_from(pair) {
                        Ok([Value::Text(key), value]) => {
                            related_in(Value::Map(vec![(key, value)]), into, unread, layers)
                        }
                        _ => unread.add(UnreadReason::List),
                    },
                    _ => unread.add(UnreadReason::List),
                }
            }
        }
        Value::Text(text) if text.trim().is_empty() || is_missing(&text) => {}
        Value::Text(text) => match (Bracket::at_start_of(&text), Value::parse_literal(&text)) {
            (_, Some(value)) if layers > 0 => related_in(value, into, unread, layers - 1),
            (bracket, _) => unread.add(malformed(bracket).unwrap_or(UnreadReason::Text)),
        },
        Value::Bool(_) => unread.add(UnreadReason::Boolean),
        Value::Integer(_) | Value::Float(_) | Value::Date(_) => unread.add(UnreadReason::Number),
    }
}

fn relation_of(key: &str) -> Option<Relation> {
    match key {
        "also_bought" | "bought_together" | "also_buy" => Some(Relation::Complement),
        "also_viewed" | "buy_after_viewing" | "also_view" => Some(Relation::Substitute),
        _ => None,
    }
}

/// The reason for a string that begins with a bracket and does not parse.
pub(super) fn malformed(bracket: Option<Bracket>) -> Option<UnreadReason> {
    match bracket? {
        Bracket::List => Some(UnreadReason::MalformedList),
        Bracket::Map => Some(UnreadReason::MalformedMap),
        Bracket::Call => None,
    }
}

/// The ids of a list that is written without quotes, `[B1, B2]`, `{B1,B2}` or `WrappedArray(B1, B2)`, as Presto,
/// Postgres and Spark do.
fn without_brackets(text: &str) -> Option<&str> {
    const BRACKETS: [(&str, char); 4] = [("[", ']'), ("{", '}'), ("WrappedArray(", ')'), ("ArraySeq(", ')')];
    let text = text.trim();
    let inner = BRACKETS.iter().find_map(|(open, close)| text.strip_prefix(open)?.strip_suffix(*close))?;
    let is_id = |id: &str| !id.is_empty() && !is_missing(id) && id.bytes().all(|b| b.is_ascii_alphanumeric());
    inner.split(',').all(|id| is_id(id.trim())).then_some(inner)
}

struct Collector<'l, 'u, 'a> {
    into: &'l mut Vec<Cow<'a, str>>,
    kind: IdKind,
    /// Whether a string may hold several ids, separated by commas.
    many: bool,
    unread: &'l mut Unread<'u>,
}

impl<'a> Collector<'_, '_, 'a> {
    fn collect(&mut self, value: Value<'a>, layers: u8) {
        match value {
            Value::Null => {}
            Value::Bool(_) => self.unread.add(UnreadReason::Boolean),
            Value::Integer(number) => self.number(&number.to_string()),
            // Display writes 1384719342.0 as 1384719342, without an exponent.
            Value::Float(number) if number.is_finite() => self.number(&number.to_string()),
            Value::Float(_) => {}
            Value::Date(_) => self.unread.add(UnreadReason::Map),
            Value::Text(text) => self.text(text, layers),
            Value::List(items) => items.into_iter().for_each(|item| self.collect(item, layers)),
            Value::Map(entries) => self.map(entries, layers),
        }
    }

    fn number(&mut self, number: &str) {
        if !is_number(number) {
            return self.unread.add(UnreadReason::Number);
        }
        let width = if self.kind == IdKind::Product { ID_DIGITS } else { 0 };
        self.into.push(format!("{number:0>width$}").into());
    }

    fn text(&mut self, text: Cow<'a, str>, layers: u8) {
        if is_missing(&text) {
            return;
        }
        let bracket = Bracket::at_start_of(&text);
        if let Some(value) = bracket.and_then(|_| Value::parse_literal(&text)).filter(|_| layers > 0) {
            return self.collect(value, layers - 1);
        }
        if let Some(ids) = without_brackets(&text).filter(|_| self.many) {
            return self.into.extend(ids.split(',').map(|id| Cow::Owned(id.trim().to_owned())));
        }
        if bracket.is_some() {
            return self.unread.add(malformed(bracket).unwrap_or(UnreadReason::Text));
        }
        match text {
            Cow::Borrowed(text) if self.many => parts(text).for_each(|id| self.associated(id.into())),
            Cow::Owned(text) if self.many => parts(&text).for_each(|id| self.associated(id.to_owned().into())),
            text => match self.kind {
                IdKind::Product if is_no_id(text.trim()) => {}
                IdKind::Reviewer if is_nobody(text.trim()) => {}
                _ => self.push(text),
            },
        }
    }

    fn associated(&mut self, id: Cow<'a, str>) {
        let bare = bare(&id);
        if is_no_id(bare) {
            return;
        }
        let is_foreign = |c: char| c.is_whitespace() || is_quote(c) || "<>[]{}/:".contains(c);
        // A bracket of a list that was cut into pieces.
        let is_cut = bare.matches('(').count() != bare.matches(')').count();
        if is_cut || bare.contains(is_foreign) {
            self.unread.add(UnreadReason::NotAProductId);
        } else if bare.len() < id.trim().len() {
            self.push(bare.to_owned().into());
        } else {
            self.push(id);
        }
    }

    fn push(&mut self, id: Cow<'a, str>) {
        let bare: fn(&str) -> &str = match self.kind {
            IdKind::Product => bare_product_id,
            IdKind::Reviewer => str::trim,
        };
        let id = match id {
            Cow::Borrowed(id) => Cow::Borrowed(bare(id)),
            Cow::Owned(id) if bare(&id).len() == id.len() => Cow::Owned(id),
            Cow::Owned(id) => Cow::Owned(bare(&id).to_owned()),
        };
        if !id.is_empty() {
            self.into.push(id);
        }
    }

    /// The id in a map such as `{"asin": "B0", "title": "Tea"}`, or a list as a map:
    /// `{"0": "B0", "1": "B1"}`.
    fn map(&mut self, entries: Vec<(Cow<'a, str>, Value<'a>)>, layers: u8) {
        // One product has one id: a map of several is the column of a table.
        let is_list = is_indexed(&entries) && (self.many || entries.len() == 1);
        let found = self.into.len();
        for name in ["parent_asin", "asin"] {
            // The last value of a key counts.
            if let Some(at) = entries.iter().rposition(|(key, value)| key == name && !value.is_missing()) {
                let value = entries[at].1.clone();
                self.collect(value, layers);
                if self.into.len() > found {
                    return;
                }
            }
        }
        if is_list {
            entries.into_iter().for_each(|(_, value)| self.collect(value, layers));
        } else {
            self.unread.add(UnreadReason::Map);
        }
    }
}
