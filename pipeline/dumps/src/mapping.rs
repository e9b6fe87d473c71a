//! Records of other shops: which field is what.
use std::{borrow::Cow, fmt};

use schemas::Relation;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::{
    clean::{MAX_ROUNDS, unescape},
    python::json_or_python,
    record::{GivenIds, Kind, bare_product_id, extended_scalar, is_no_id, is_nobody, listed_ids, whole_number},
};

mod attributes;
mod known;

pub(crate) use known::of_fields;

/// Which fields of a record hold what a document needs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mapping {
    /// What the records are, such as the name of a public data set. Empty if a user gave the fields.
    pub name: String,
    /// The fields.
    pub fields: Fields,
}

/// The fields of products or of reviews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Fields {
    /// Of products.
    Products(ProductFields),
    /// Of reviews.
    Reviews(ReviewFields),
}

/// The fields of products.
///
/// A field inside others is named with dots: `category.name`. Where a list stands on the way, all its items count.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ProductFields {
    /// The id.
    pub id: String,
    /// The title.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Features and descriptions, in the order of the text.
    #[serde(default, skip_serializing_if = "FieldNames::is_empty")]
    pub text: FieldNames,
    /// Categories, from the general to the special.
    #[serde(default, skip_serializing_if = "FieldNames::is_empty")]
    pub categories: FieldNames,
    /// The brand.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub brand: Option<String>,
    /// Attributes, whose values are text, too.
    #[serde(default, skip_serializing_if = "FieldNames::is_empty")]
    pub details: FieldNames,
    /// Ids of products that are bought with this one.
    #[serde(default, skip_serializing_if = "FieldNames::is_empty")]
    pub complements: FieldNames,
    /// Ids of products that are bought instead of this one.
    #[serde(default, skip_serializing_if = "FieldNames::is_empty")]
    pub substitutes: FieldNames,
    /// Of values with a `language_tag`, only those of this language are read.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub language: Option<String>,
}

/// The fields of reviews.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReviewFields {
    /// The id of the product.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub product: Option<String>,
    /// The headline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text.
    #[serde(default, skip_serializing_if = "FieldNames::is_empty")]
    pub text: FieldNames,
    /// The stars.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rating: Option<String>,
    /// Who wrote it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reviewer: Option<String>,
    /// When: a date, or seconds or milliseconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub time: Option<String>,
}

/// One or several fields, and what stands between several values in one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(from = "FieldNamesForm", into = "FieldNamesForm")]
pub struct FieldNames {
    /// The names.
    pub names: Vec<String>,
    /// Splits a value into several.
    pub split: Option<String>,
}

impl FieldNames {
    fn is_empty(&self) -> bool {
        self.names.is_empty()
    }
}

/// How [`FieldNames`] are written.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum FieldNamesForm {
    One(String),
    Several(Vec<String>),
    Split { field: String, split: String },
}

impl From<FieldNamesForm> for FieldNames {
    fn from(form: FieldNamesForm) -> Self {
        match form {
            FieldNamesForm::One(name) => Self { names: vec![name], split: None },
            FieldNamesForm::Several(names) => Self { names, split: None },
            FieldNamesForm::Split { field, split } => Self { names: vec![field], split: Some(split) },
        }
    }
}

impl From<FieldNames> for FieldNamesForm {
    fn from(FieldNames { mut names, split }: FieldNames) -> Self {
        match (names.len(), split) {
            (1, Some(split)) => Self::Split { field: names.remove(0), split },
            (1, None) => Self::One(names.remove(0)),
            _ => Self::Several(names),
        }
    }
}

impl fmt::Display for Mapping {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.name.as_str(), self.kind()) {
            ("", Kind::Product) => f.write_str("products with the fields given"),
            ("", Kind::Review) => f.write_str("reviews with the fields given"),
            (name, _) => f.write_str(name),
        }
    }
}

impl Mapping {
    /// Whether its records are products or reviews.
    pub const fn kind(&self) -> Kind {
        match self.fields {
            Fields::Products(_) => Kind::Product,
            Fields::Reviews(_) => Kind::Review,
        }
    }

    /// All fields that it reads, as they are named in records, in the order of a document.
    pub fn names(&self) -> Vec<&str> {
        match &self.fields {
            Fields::Products(fields) => {
                let ProductFields { id, title, text, categories, brand, details, complements, substitutes, .. } =
                    fields;
                let lists = [text, categories].into_iter().flat_map(|fields| &fields.names);
                let others = [details, complements, substitutes].into_iter().flat_map(|fields| &fields.names);
                let all = std::iter::once(id).chain(title).chain(lists).chain(brand).chain(others);
                all.map(String::as_str).collect()
            }
            Fields::Reviews(ReviewFields { product, title, text, rating, reviewer, time }) => {
                let text = product.iter().chain(title).chain(&text.names);
                text.chain(rating).chain(reviewer).chain(time).map(String::as_str).collect()
            }
        }
    }

    /// Whether a column is read, or has a field inside that is.
    pub(crate) fn reads(&self, column: &str) -> bool {
        self.names().iter().any(|name| Self::leads(column, name))
    }

    /// Whether a field is the one of this name, or may have it inside.
    pub fn leads(field: &str, name: &str) -> bool {
        name == field || name.strip_prefix(field).is_some_and(|rest| rest.starts_with('.'))
    }

    /// A record with the fields of the 2023 dump, as JSON, and its ids.
    ///
    /// # Errors
    /// If the line is neither a JSON object nor a Python dict, with what the JSON parser says. If it holds several
    /// reviews, with the command that writes one per line.
    pub(crate) fn apply(&self, line: &str) -> Result<(String, GivenIds), serde_json::Error> {
        let record = json_or_python(line)?;
        if let Some(message) = self.several_reviews(&record) {
            return Err(serde::de::Error::custom(message));
        }
        let (fields, ids) = self.of_object(&record);
        Ok((fields.to_string(), ids))
    }

    /// What to do about a record that holds a list of reviews, if this one does.
    fn several_reviews(&self, record: &Map<String, Value>) -> Option<String> {
        let Fields::Reviews(ReviewFields { product, title, text, rating, reviewer, time }) = &self.fields else {
            return None;
        };
        let names = text.names.iter().chain(title).chain(rating).chain(reviewer).chain(time);
        let (list, field, count) = names.filter(|name| !record.contains_key(*name)).find_map(|name| {
            name.match_indices('.').find_map(|(at, _)| {
                let count = at_path(record, &name[..at])?.as_array()?.iter().filter(|item| item.is_object()).count();
                (count > 1).then_some((&name[..at], &name[at + 1..], count))
            })
        })?;
        let path = |name: &str| name.split('.').map(|part| format!("[\"{part}\"]")).collect::<String>();
        let (key, product) = match product {
            Some(name) => (name.as_str(), format!(".{}", path(name))),
            None => ("product", "null".to_owned()),
        };
        Some(format!(
            "found {count} reviews in `{list}`, expected one per record; hint: write one per line with `jq -c \
             '{product} as $product | .{items}[]? | . + {{\"{key}\": $product}}' < FILE > reviews.jsonl`, and name \
             `{field}` in place of `{list}.{field}`",
            items = path(list)
        ))
    }

    fn of_object(&self, record: &Map<String, Value>) -> (Value, GivenIds) {
        match &self.fields {
            Fields::Products(fields) => {
                let found = Finder { record, language: fields.language.as_deref() };
                let mut details = Map::new();
                for name in &fields.details.names {
                    attributes::add(name, found.values(name), &mut details);
                }
                let json = json!({
                    "parent_asin": null,
                    "title": fields.title.as_deref().and_then(|name| found.one(name)),
                    "features": found.all(&fields.text),
                    "categories": found.all(&fields.categories),
                    "store": fields.brand.as_deref().and_then(|name| found.one(name)),
                    "details": details,
                });
                let related =
                    [(Relation::Complement, &fields.complements), (Relation::Substitute, &fields.substitutes)];
                let associations = related
                    .into_iter()
                    .flat_map(|(relation, fields)| found.ids(fields).into_iter().map(move |other| (relation, other)));
                let associations = associations.collect();
                (json, GivenIds { product: found.id(&fields.id), reviewer: None, associations })
            }
            Fields::Reviews(ReviewFields { product, title, text, rating, reviewer, time }) => {
                let found = Finder { record, language: None };
                let one = |name: &Option<String>| name.as_deref().and_then(|name| found.one(name));
                let id = |name: &Option<String>| name.as_deref().and_then(|name| found.id(name));
                let text: Vec<Value> = found.all(text);
                let json = json!({
                    "parent_asin": null,
                    "user_id": null,
                    "rating": one(rating),
                    "title": one(title),
                    "text": text,
                    "timestamp": one(time),
                });
                let reviewer = id(reviewer).filter(|reviewer| !is_nobody(reviewer));
                (json, GivenIds { product: id(product), reviewer, associations: Vec::new() })
            }
        }
    }

    /// The field of the product's id, if the records have one.
    pub fn id(&self) -> Option<&str> {
        match &self.fields {
            Fields::Products(fields) => Some(&fields.id),
            Fields::Reviews(fields) => fields.product.as_deref(),
        }
    }
}

/// Finds values in a record.
struct Finder<'r> {
    record: &'r Map<String, Value>,
    language: Option<&'r str>,
}

impl Finder<'_> {
    /// The values of a field, with lists and their strings unpacked.
    fn values(&self, name: &str) -> Vec<Value> {
        let mut found = Vec::new();
        self.collect(self.record, name, &mut found);
        found
    }

    fn collect(&self, record: &Map<String, Value>, name: &str, into: &mut Vec<Value>) {
        if let Some(value) = record.get(name) {
            return self.unpack(value, into);
        }
        // The longest beginning that is a field.
        let dots = name.match_indices('.').map(|(at, _)| at).rev();
        for at in dots {
            if let Some(value) = record.get(&name[..at]) {
                return self.inside(value, &name[at + 1..], into);
            }
        }
    }

    /// The field of a value, or of all items of a list.
    fn inside(&self, value: &Value, name: &str, into: &mut Vec<Value>) {
        match value {
            Value::Object(record) if self.is_in_language(record) => self.collect(record, name, into),
            Value::Array(items) => items.iter().for_each(|item| self.inside(item, name, into)),
            Value::String(text) => {
                if let Some(literal) = literal(text) {
                    self.inside(&literal, name, into);
                }
            }
            _ => {}
        }
    }

    fn is_in_language(&self, record: &Map<String, Value>) -> bool {
        match (self.language, record.get("language_tag").and_then(Value::as_str)) {
            (Some(wanted), Some(tag)) => {
                tag.strip_prefix(wanted).is_some_and(|rest| rest.is_empty() || rest.starts_with(['_', '-']))
            }
            _ => true,
        }
    }

    fn unpack(&self, value: &Value, into: &mut Vec<Value>) {
        match value {
            Value::Null => {}
            Value::Array(items) => items.iter().for_each(|item| self.unpack(item, into)),
            Value::String(text) => match literal(text) {
                Some(literal) => self.unpack(&literal, into),
                None => into.push(value.clone()),
            },
            _ => into.push(value.clone()),
        }
    }

    fn one(&self, name: &str) -> Option<Value> {
        self.values(name).into_iter().next()
    }

    fn all(&self, fields: &FieldNames) -> Vec<Value> {
        let values = fields.names.iter().flat_map(|name| self.values(name));
        let Some(split) = fields.split.as_deref().filter(|split| !split.is_empty()) else { return values.collect() };
        let parts = values.flat_map(|value| match value {
            Value::String(text) => {
                let text = unescaped(&text);
                let parts = text.split(split).map(str::trim).filter(|part| !part.is_empty());
                parts.map(Value::from).collect()
            }
            other => vec![other],
        });
        parts.collect()
    }

    /// An id as text. A number is written without a point.
    fn id(&self, name: &str) -> Option<String> {
        self.values(name).iter().find_map(of_id)
    }

    fn ids(&self, fields: &FieldNames) -> Vec<String> {
        let all = self.all(fields);
        // A list of numbers in a string is text elsewhere.
        let list = |value: &Value| -> Vec<Value> {
            let text = value.as_str().filter(|text| text.trim_start().starts_with('['));
            text.and_then(|text| serde_json::from_str(text).ok()).unwrap_or_else(|| vec![value.clone()])
        };
        // `{"asin": "B0", "title": "Tea"}`.
        let member = |value: &Value| {
            let names = ["asin", "parent_asin", "product_id", "sku", "id"];
            names.iter().find_map(|name| of_id(value.as_object()?.get(*name)?))
        };
        let ids = all.iter().flat_map(list).filter_map(|value| of_id(&value).or_else(|| member(&value)));
        ids.flat_map(|text| listed_ids(&text).map(|id| whole_number(id).to_owned()).collect::<Vec<_>>()).collect()
    }
}

/// The value at names with dots between them, not inside lists.
fn at_path<'r>(record: &'r Map<String, Value>, path: &str) -> Option<&'r Value> {
    if let Some(value) = record.get(path) {
        return Some(value);
    }
    let mut parts = path.split('.');
    let first = record.get(parts.next()?)?;
    parts.try_fold(first, |value, part| value.get(part))
}

fn of_id(value: &Value) -> Option<String> {
    match value {
        Value::String(text) => {
            let text = whole_number(bare_product_id(text));
            (!text.is_empty() && !is_no_id(text)).then(|| text.to_owned())
        }
        Value::Number(number) => Some(match number.as_f64() {
            Some(float) if number.is_f64() && float.fract() == 0.0 => format!("{float:.0}"),
            _ => number.to_string(),
        }),
        // The scalar is text or a number, so this is done once.
        Value::Object(_) => extended_scalar(value).as_ref().and_then(of_id),
        _ => None,
    }
}

/// A text with the characters that its entities stand for, such as `>` for `&gt;`.
fn unescaped(text: &str) -> Cow<'_, str> {
    let mut text = Cow::Borrowed(text);
    for _ in 0..MAX_ROUNDS {
        if !text.contains('&') {
            break;
        }
        text = unescape(text);
    }
    text
}

/// The list or map that a string holds.
fn literal(text: &str) -> Option<Value> {
    let trimmed = text.trim();
    let may_be =
        trimmed.starts_with('[') && trimmed.ends_with(']') || trimmed.starts_with('{') && trimmed.ends_with('}');
    if !may_be {
        return None;
    }
    let value: Value = json_or_python(trimmed).ok()?;
    // A number in brackets is more likely text.
    let is_list_of_numbers = |value: &Value| value.as_array().is_some_and(|items| items.iter().all(Value::is_number));
    (!is_list_of_numbers(&value)).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::record::{Record, parse_with_ids};

    fn products(toml: &str) -> Mapping {
        Mapping { name: String::new(), fields: Fields::Products(toml::from_str(toml).unwrap()) }
    }

    fn with<T>(mapping: &Mapping, line: &str, look: impl FnOnce(&Record<'_>) -> T) -> T {
        let (json, ids) = mapping.apply(line).unwrap();
        parse_with_ids(&json, ids, look).unwrap()
    }

    #[test]
    fn fields_are_found_by_name_and_inside_others() {
        let mapping = products(
            "id = \"sku\"\ntitle = \"name\"\ntext = [\"bullets\", \"about.long\"]\nbrand = \"maker.name\"\n\
             categories = { field = \"path\", split = \" > \" }\ndetails = [\"color\"]\ncomplements = \"with\"",
        );
        let line = r#"{"sku": 12, "name": "Cedar box", "bullets": "['Fits', 'Smells']", "about": {"long": "For tea."},
            "maker": [{"name": "Orla"}], "path": "Home > Boxes", "color": "red", "with": ["13", 14.0], "other": 1}"#;
        with(&mapping, line, |record| {
            assert_eq!(record.product_id(), Some("12"));
            assert_eq!(record.title.first(), Some("Cedar box"));
            assert_eq!(record.features().collect::<Vec<_>>(), ["Fits", "Smells", "For tea."]);
            assert_eq!(record.categories().collect::<Vec<_>>(), ["Home", "Boxes"]);
            assert_eq!(record.brand(), Some("Orla"));
            assert_eq!(record.detail_texts().collect::<Vec<_>>(), [("color", "red")]);
            assert_eq!(record.associations.iter().map(|found| &*found.other).collect::<Vec<_>>(), ["13", "14"]);
            assert!(record.unread.is_empty());
        });
        with(&mapping, "{'sku': 'A', 'name': '[4] boxes', 'bullets': None}", |record| {
            assert_eq!((record.product_id(), record.title.first()), (Some("A"), Some("[4] boxes")));
        });
        with(&mapping, r#"{"sku": "12.0", "with": "[13, 14.0]"}"#, |record| {
            assert_eq!(record.product_id(), Some("12"));
            assert_eq!(record.associations.iter().map(|found| &*found.other).collect::<Vec<_>>(), ["13", "14"]);
        });
        assert_eq!(mapping.names(), ["sku", "name", "bullets", "about.long", "path", "maker.name", "color", "with"]);
        assert!(mapping.reads("about") && mapping.reads("sku") && !mapping.reads("other") && !mapping.reads("abo"));
    }

    #[test]
    fn attributes_have_names_of_their_own() {
        let mapping = products("id = \"sku\"\ndetails = [\"attrs\", \"color\"]\ncomplements = \"with\"");
        for attrs in [
            r#"[{"name": "Color", "value": "Red"}, {"name": "Wood", "options": ["Oak", "Ash"]}]"#,
            r#"{"Color": "Red", "Wood": ["Oak", "Ash"]}"#,
            r#"[{"@type": "PropertyValue", "name": "Color", "value": "Red"}, {"label": "Wood", "value_name": ["Oak", "Ash"]}]"#,
        ] {
            let line = format!(
                r#"{{"sku": "A", "attrs": {attrs}, "color": "dark", "with": [{{"asin": "B", "title": "Tea"}}]}}"#
            );
            with(&mapping, &line, |record| {
                let wanted = [("Color", "Red"), ("Wood", "Oak"), ("Wood", "Ash"), ("color", "dark")];
                assert_eq!(record.detail_texts().collect::<Vec<_>>(), wanted, "{attrs}");
                assert_eq!(record.associations.iter().map(|found| &*found.other).collect::<Vec<_>>(), ["B"]);
            });
        }
    }

    #[test]
    fn ids_may_be_scalars_of_extended_json() {
        let mapping = products("id = \"_id\"\ntitle = \"name\"\ncomplements = \"with\"");
        for (id, wanted) in [
            (r#"{"$oid": "65a1aa"}"#, Some("65a1aa")),
            (r#"{"$uuid": "73ffd264-44b3-4c69-90e8-e7d1dfc035d4"}"#, Some("73ffd264-44b3-4c69-90e8-e7d1dfc035d4")),
            (
                r#"{"$binary": {"base64": "c//SZESzTGmQ6OfR38A11A==", "subType": "04"}}"#,
                Some("73ffd264-44b3-4c69-90e8-e7d1dfc035d4"),
            ),
            (r#"{"$numberInt": "31852"}"#, Some("31852")),
            (r#"{"$numberLong": 31852}"#, Some("31852")),
            (r#"{"$numberDouble": "31852.0"}"#, Some("31852")),
            (r#"{"$symbol": "A/1"}"#, Some("A/1")),
            (r#""{'$oid': '65a1aa'}""#, Some("65a1aa")),
            (r#"{"$numberDouble": "NaN"}"#, None),
            (r#"{"$undefined": true}"#, None),
            (r#"{"$date": "2020-05-05T14:08:48Z"}"#, None),
            (r#"{"$unknown": "65a1aa"}"#, None),
            (r#"{"oid": "65a1aa"}"#, None),
            ("{}", None),
        ] {
            let line = format!(r#"{{"_id": {id}, "name": "Cedar box", "with": [{id}, "B 2"]}}"#);
            with(&mapping, &line, |record| {
                assert_eq!(record.product_id(), wanted, "{id}");
                let others: Vec<&str> = record.associations.iter().map(|found| &*found.other).collect();
                assert_eq!(others, wanted.into_iter().chain(["B 2"]).collect::<Vec<_>>(), "{id}");
            });
        }
        let fields = "product = \"pid\"\ntext = \"body\"\nrating = \"stars\"\nreviewer = \"who\"\ntime = \"on\"";
        let mapping = Mapping { name: String::new(), fields: Fields::Reviews(toml::from_str(fields).unwrap()) };
        let line = r#"{"pid": {"$oid": "65a1"}, "who": {"$numberLong": "5"}, "body": "It holds tea.",
            "stars": {"$numberDouble": "4.5"}, "on": {"$timestamp": {"t": 1551398400, "i": 1}}}"#;
        with(&mapping, line, |record| {
            assert_eq!((record.product_id(), record.reviewer()), (Some("65a1"), Some("5")));
            assert_eq!((record.rating(), record.seconds()), (Some(4.5), Some(1_551_398_400)));
        });
    }

    #[test]
    fn reviews_have_ids_times_and_stars_in_any_form() {
        let fields = "product = \"sku\"\ntitle = \"head\"\ntext = \"body\"\nrating = \"stars\"\nreviewer = \"who\"\ntime = \"on\"";
        let mapping = Mapping { name: String::new(), fields: Fields::Reviews(toml::from_str(fields).unwrap()) };
        let line =
            r#"{"sku": 12, "head": "Good", "body": "It holds tea.", "stars": "4", "who": 7, "on": "2019-03-01"}"#;
        with(&mapping, line, |record| {
            assert_eq!((record.product_id(), record.reviewer()), (Some("12"), Some("7")));
            assert_eq!(record.review_pieces().collect::<Vec<_>>(), ["Good", "It holds tea."]);
            assert_eq!((record.rating(), record.seconds()), (Some(4.0), Some(1_551_398_400)));
        });
    }

    #[test]
    fn values_are_divided_where_entities_stand_for_the_divider() {
        let mapping = products("id = \"sku\"\ncategories = { field = \"path\", split = \" > \" }");
        for path in ["Home > Boxes", "Home &gt; Boxes", "Home &amp;gt; Boxes"] {
            with(&mapping, &format!("{{\"sku\": 1, \"path\": \"{path}\"}}"), |record| {
                assert_eq!(record.categories().collect::<Vec<_>>(), ["Home", "Boxes"]);
            });
        }
    }

    #[test]
    fn several_reviews_of_a_record_are_refused_with_a_command() {
        let fields = "product = \"sku\"\ntext = \"reviews.body\"\nrating = \"reviews.stars\"";
        let mapping = Mapping { name: String::new(), fields: Fields::Reviews(toml::from_str(fields).unwrap()) };
        let of = |reviews: &str| mapping.apply(&format!("{{\"sku\": \"A\", \"reviews\": {reviews}}}"));
        assert!(of("[{\"body\": \"Good.\", \"stars\": 5}]").unwrap().0.contains("Good."));
        assert!(of("[]").is_ok() && of("{\"body\": \"Good.\"}").is_ok());
        let message = of("[{\"body\": \"Good.\"}, {\"body\": \"Bad.\"}]").unwrap_err().to_string();
        assert!(
            message.contains("found 2 reviews in `reviews`")
                && message.contains("'.[\"sku\"] as $product | .[\"reviews\"][]? | . + {\"sku\": $product}'")
                && message.contains("name `body` in place of `reviews.body`"),
            "{message}"
        );
        let dotted =
            r#"{"sku": "A", "reviews.body": "Good.", "reviews": [{"body": "x"}, {"body": "y"}], "reviews.stars": 4}"#;
        assert!(mapping.apply(dotted).unwrap().0.contains("Good."), "a column of this name");
    }

    #[test]
    fn values_of_another_language_are_left_out() {
        let mapping = products("id = \"item_id\"\ntitle = \"item_name.value\"\nlanguage = \"en\"");
        let line = r#"{"item_id": "B0", "item_name": [{"language_tag": "de_DE", "value": "Kiste"}, {"language_tag": "en_IN", "value": "Box"}]}"#;
        assert_eq!(with(&mapping, line, |record| record.title.first().map(str::to_owned)).as_deref(), Some("Box"));
    }
}
