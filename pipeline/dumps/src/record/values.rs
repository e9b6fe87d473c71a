//! The values of fields. Dumps mix strings, lists, numbers, maps and null in one field.
//!
//! Each type accepts any value and takes from it what it can use. A value of another shape reads as
//! empty and does not make the record malformed.
use std::{borrow::Cow, fmt};

use schemas::Relation;
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor},
};

use super::{super::python::python_to_json, Association, fields::Field};

/// The strings of a field that may be one string, a list of them, nested lists, a number or null.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Strings<'a>(Vec<Cow<'a, str>>);

impl Strings<'_> {
    /// The strings in order.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(AsRef::as_ref)
    }

    /// The first string that is not blank, trimmed.
    pub fn first(&self) -> Option<&str> {
        self.iter().map(str::trim).find(|t| !t.is_empty())
    }

    /// These strings, or `others` if all of these are blank.
    pub(super) fn or<'t>(&'t self, others: &'t Self) -> &'t Self {
        if self.first().is_some() { self } else { others }
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Strings<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        strings_of(from, Maps::Nothing).map(Self)
    }
}

/// The ids of products, in any shape of [`Strings`], or one in each map:
/// `{"asin": "B0", "title": "Tea"}`.
#[derive(Debug, Default)]
pub(super) struct ProductIds<'a>(Vec<Cow<'a, str>>);

impl<'a> ProductIds<'a> {
    pub(super) fn associated_by(self, relation: Relation) -> impl Iterator<Item = Association<'a>> {
        self.0.into_iter().map(move |other| Association { relation, other })
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for ProductIds<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        strings_of(from, Maps::Products).map(Self)
    }
}

/// What is taken from a map.
#[derive(Clone, Copy)]
enum Maps {
    Nothing,
    /// Its `parent_asin`, or else `asin`.
    Products,
}

/// All strings of a value.
fn strings_of<'de: 'a, 'a, D: Deserializer<'de>>(from: D, maps: Maps) -> Result<Vec<Cow<'a, str>>, D::Error> {
    let mut strings = Vec::new();
    Collect { into: &mut strings, maps }.deserialize(from)?;
    Ok(strings)
}

/// Appends all strings of a value to a list.
struct Collect<'l, 'a> {
    into: &'l mut Vec<Cow<'a, str>>,
    maps: Maps,
}

impl<'de: 'a, 'a> DeserializeSeed<'de> for Collect<'_, 'a> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de: 'a, 'a> Visitor<'de> for Collect<'_, 'a> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string or a list of strings")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<(), E> {
        self.into.push(Cow::Borrowed(text));
        Ok(())
    }

    fn visit_str<E>(self, text: &str) -> Result<(), E> {
        self.into.push(Cow::Owned(text.to_owned()));
        Ok(())
    }

    fn visit_string<E>(self, text: String) -> Result<(), E> {
        self.into.push(Cow::Owned(text));
        Ok(())
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<(), S::Error> {
        while list.next_element_seed(Collect { into: self.into, maps: self.maps })?.is_some() {}
        Ok(())
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<(), M::Error> {
        let (mut parent_asin, mut asin) = (Strings::default(), Strings::default());
        while let Some(field) = map.next_key::<Field>()? {
            match (self.maps, field) {
                (Maps::Products, Field::ParentAsin) => parent_asin = map.next_value()?,
                (Maps::Products, Field::Asin) => asin = map.next_value()?,
                _ => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        self.into.extend(if parent_asin.first().is_some() { parent_asin } else { asin }.0);
        Ok(())
    }

    fn visit_u64<E: serde::de::Error>(self, number: u64) -> Result<(), E> {
        self.visit_string(number.to_string())
    }

    fn visit_i64<E: serde::de::Error>(self, number: i64) -> Result<(), E> {
        self.visit_string(number.to_string())
    }

    fn visit_f64<E: serde::de::Error>(self, number: f64) -> Result<(), E> {
        // Display writes 1472688000.0 as 1472688000.
        self.visit_string(number.to_string())
    }

    fn visit_bool<E>(self, _: bool) -> Result<(), E> {
        Ok(())
    }

    fn visit_unit<E>(self) -> Result<(), E> {
        Ok(())
    }
}

/// The other methods of a visitor of maps: other values read as empty.
macro_rules! nothing_else {
    () => {
        fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Self::Value, S::Error> {
            while list.next_element::<IgnoredAny>()?.is_some() {}
            Ok(Vec::new())
        }

        nothing_else!(visit_u64(u64), visit_i64(i64), visit_f64(f64), visit_bool(bool));

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }
    };
    ($($visit:ident($of:ty)),*) => {
        $(fn $visit<E>(self, _: $of) -> Result<Self::Value, E> {
            Ok(Vec::new())
        })*
    };
}

/// The keys of a map, or of a map written as JSON or Python in a string.
#[derive(Default)]
pub(super) struct MapKeys<'a>(pub(super) Vec<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for MapKeys<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(MapKeysVisitor).map(Self)
    }
}

struct MapKeysVisitor;

impl<'de> Visitor<'de> for MapKeysVisitor {
    type Value = Vec<Cow<'de, str>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut keys = Vec::new();
        while let Some(Strings(mut key)) = map.next_key()? {
            keys.append(&mut key);
            map.next_value::<IgnoredAny>()?;
        }
        Ok(keys)
    }

    fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
        let inner = serde_json::from_str::<MapKeys<'_>>(text)
            .ok()
            .map(|k| k.0.into_iter().map(|k| Cow::Owned(k.into_owned())).collect());
        Ok(inner.or_else(|| keys_of_python(text)).unwrap_or_default())
    }

    nothing_else!();
}

fn keys_of_python(text: &str) -> Option<Vec<Cow<'static, str>>> {
    if !text.trim_start().starts_with('{') {
        return None;
    }
    let json = python_to_json(text).ok()?;
    let keys = serde_json::from_str::<MapKeys<'_>>(&json).ok()?;
    Some(keys.0.into_iter().map(|k| Cow::Owned(k.into_owned())).collect())
}

/// The value of `related`, a map of lists of product ids.
#[derive(Default)]
pub(super) struct RelatedProducts<'a>(pub(super) Vec<Association<'a>>);

impl<'de: 'a, 'a> Deserialize<'de> for RelatedProducts<'a> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(RelatedProductsVisitor).map(Self)
    }
}

struct RelatedProductsVisitor;

impl<'de> Visitor<'de> for RelatedProductsVisitor {
    type Value = Vec<Association<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of lists of product ids")
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Self::Value, M::Error> {
        let mut related = Vec::new();
        while let Some(Strings(key)) = map.next_key()? {
            let relation = match key.first().map(AsRef::as_ref) {
                Some("also_bought" | "bought_together") => Relation::Complement,
                Some("also_viewed" | "buy_after_viewing") => Relation::Substitute,
                _ => {
                    map.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            related.extend(map.next_value::<ProductIds<'de>>()?.associated_by(relation));
        }
        Ok(related)
    }

    fn visit_str<E>(self, _: &str) -> Result<Self::Value, E> {
        Ok(Vec::new())
    }

    nothing_else!();
}
