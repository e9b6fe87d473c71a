//! Values of any shape, read before their field decides what to take from them.
//!
//! A string that holds a list or a map, as pandas or a CSV writes them, is parsed by
//! [`Value::parse_literal`]. Scalars of MongoDB's extended JSON, such as `{"$numberInt": "5"}`,
//! become the scalars they stand for. So do values with the name of their type: [`Value::without_type`].
use std::{borrow::Cow, fmt};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};

use super::{
    super::{clean::unescape, python::value_to_json},
    dates::milliseconds_of_date,
};

/// How often a list or a map in a string may hold another one in a string. A list that pandas wrote
/// to a CSV, and that a warehouse read as the only item of a list, needs two.
pub(super) const MAX_LAYERS: u8 = 4;

/// A JSON value. Text without escapes is borrowed from the line.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    Integer(i64),
    Float(f64),
    /// Milliseconds since 1970, from MongoDB's `$date`.
    Date(i64),
    Text(Cow<'a, str>),
    List(Vec<Value<'a>>),
    /// In the order of the record.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

/// Spellings of a missing value by pandas, Python, SQL and JavaScript, as the whole of a string.
///
/// `N/A`, `none` and `Unknown` are words of people, and stay. `\N` is of Hive and MySQL, `#N/A` and the like are of
/// spreadsheets. Python prints a collection without items as `set()`.
pub(crate) fn is_missing(text: &str) -> bool {
    matches!(
        text.trim(),
        "nan"
            | "NaN"
            | "None"
            | "null"
            | "NULL"
            | "<NA>"
            | "NaT"
            | "\\N"
            | "(null)"
            | "undefined"
            | "#N/A"
            | "#VALUE!"
            | "#REF!"
            | "#NAME?"
            | "#DIV/0!"
            | "#NUM!"
            | "#NULL!"
            | "set()"
            | "frozenset()"
            | "list()"
            | "dict()"
            | "tuple()"
    )
}

impl<'a> Value<'a> {
    /// Whether this stands for no value: null, or a string such as `nan`. An empty string is a
    /// value.
    pub(super) fn is_missing(&self) -> bool {
        match self {
            Self::Null => true,
            Self::Text(text) => is_missing(text),
            Self::Float(number) => !number.is_finite(),
            _ => false,
        }
    }

    /// The value that a map with the name of its type stands for, as DynamoDB and Avro write it: `{"S": "Tea"}`,
    /// `{"string": "Tea"}`. Other values stay.
    pub(super) fn without_type(self) -> Self {
        let Self::Map(entries) = self else { return self };
        let [(kind, value)] = match <[_; 1]>::try_from(entries) {
            Ok(only) => only,
            Err(entries) => return Self::Map(entries),
        };
        match (kind.as_ref(), value) {
            ("S" | "string", value @ Self::Text(_)) => value,
            ("N", Self::Text(text)) if number(&text).is_some() => number(&text).unwrap_or(Self::Null),
            ("int" | "long" | "float" | "double", value @ (Self::Integer(_) | Self::Float(_))) => value,
            ("L" | "SS" | "array", Self::List(items)) => {
                Self::List(items.into_iter().map(Self::without_type).collect())
            }
            ("NULL", Self::Bool(true)) => Self::Null,
            ("M" | "map", Self::Map(entries)) if entries.iter().all(|(_, value)| value.has_type()) => {
                Self::Map(entries.into_iter().map(|(key, value)| (key, value.without_type())).collect())
            }
            (_, value) => Self::Map(vec![(kind, value)]),
        }
    }

    /// Whether this is a map of typed values, with the name of its own type.
    pub(super) fn is_typed_map(&self) -> bool {
        let Self::Map(entries) = self else { return false };
        matches!(&entries[..], [(kind, Self::Map(values))]
            if ["M", "map"].contains(&kind.as_ref()) && values.iter().all(|(_, value)| value.has_type()))
    }

    /// Whether this is a map with the name of a type.
    fn has_type(&self) -> bool {
        const TYPES: [&str; 14] =
            ["S", "N", "L", "M", "SS", "BOOL", "NULL", "string", "int", "long", "float", "double", "array", "map"];
        matches!(self, Self::Map(entries) if matches!(&entries[..], [(kind, _)] if TYPES.contains(&kind.as_ref())))
    }

    /// Parses a string that is a whole list or map, as JSON, as Python or as numpy prints it. A map
    /// may be a scalar of extended JSON.
    pub(super) fn parse_literal(text: &Cow<'a, str>) -> Option<Value<'a>> {
        let bracket = Bracket::at_start_of(text)?;
        let parsed = match text {
            Cow::Borrowed(text) => parse(text),
            Cow::Owned(text) => parse(text).map(Value::into_owned),
        };
        match parsed? {
            // A list or a map that was written as a string of JSON twice.
            Self::Text(inner) if text.trim_start().starts_with(['"', '\'']) => {
                Bracket::unquoted(&inner)?;
                Self::parse_literal(&inner)
            }
            // A value in parentheses, `("Tea")`, is text.
            value => {
                let is_of_bracket = match bracket {
                    Bracket::List => matches!(value, Self::List(_)),
                    Bracket::Map => true,
                    Bracket::Call => matches!(value, Self::List(_) | Self::Map(_)),
                };
                is_of_bracket.then_some(value)
            }
        }
    }

    /// Parses a string that is an array as Postgres prints it: `{Kitchen,"Tea Kettles"}`. Items with spaces have
    /// quotes. `{{product.title}}` and `{0,1,2}` are text.
    pub(super) fn parse_postgres(text: &str) -> Option<Value<'static>> {
        let mut items = Vec::new();
        let rest = postgres_items(text.trim().strip_prefix('{')?, &mut items, MAX_LAYERS)?;
        let is_word = |item: &&Value<'_>| matches!(item, Value::Text(text) if text.contains(char::is_alphabetic));
        let words = items.iter().filter(is_word).count();
        let is_array = items.is_empty() || text.contains('"') || words > usize::from(text.starts_with("{{"));
        (rest.is_empty() && is_array).then_some(Value::List(items))
    }

    /// Whether this is a list of maps, which may be in a string.
    pub(super) fn holds_maps(&self) -> bool {
        match self {
            Self::List(items) => items.iter().any(|item| matches!(item, Self::Map(_))),
            Self::Text(text) => {
                Self::parse_literal(text).is_some_and(|value| matches!(value, Self::List(_)) && value.holds_maps())
            }
            _ => false,
        }
    }

    fn into_owned(self) -> Value<'static> {
        match self {
            Self::Null => Value::Null,
            Self::Bool(value) => Value::Bool(value),
            Self::Integer(value) => Value::Integer(value),
            Self::Float(value) => Value::Float(value),
            Self::Date(value) => Value::Date(value),
            Self::Text(text) => Value::Text(Cow::Owned(text.into_owned())),
            Self::List(items) => Value::List(items.into_iter().map(Value::into_owned).collect()),
            Self::Map(entries) => Value::Map(
                entries.into_iter().map(|(key, value)| (Cow::Owned(key.into_owned()), value.into_owned())).collect(),
            ),
        }
    }
}

fn parse(text: &str) -> Option<Value<'_>> {
    let text = text.trim();
    if let Ok(value) = serde_json::from_str(text) {
        return Some(value);
    }
    if let Ok(json) = value_to_json(text)
        && let Ok(value) = serde_json::from_str::<Value<'_>>(&json)
    {
        return Some(value.into_owned());
    }
    // A page or an XML export escaped the quotes: `[&quot;Tea&quot;]`.
    match unescape(Cow::Borrowed(text)) {
        Cow::Owned(plain) if plain != text => parse(&plain).map(Value::into_owned),
        _ => None,
    }
}

/// Reads the items of a Postgres array behind its `{`, and returns the text behind its `}`. Arrays inside are
/// flattened.
fn postgres_items<'t>(mut text: &'t str, items: &mut Vec<Value<'static>>, layers: u8) -> Option<&'t str> {
    loop {
        text = match text.as_bytes().first()? {
            b'{' if layers > 0 => postgres_items(&text[1..], items, layers - 1)?,
            b'"' => {
                let (item, rest) = postgres_quoted(&text[1..])?;
                items.push(Value::Text(item.into()));
                rest
            }
            _ => {
                let end = text.find([',', '}'])?;
                let item = &text[..end];
                let is_plain = |c: char| !c.is_whitespace() && !"{\"\\:".contains(c);
                if item.is_empty() || item.starts_with('\'') || !item.chars().all(is_plain) {
                    return None;
                }
                if item != "NULL" {
                    items.push(Value::Text(item.to_owned().into()));
                }
                &text[end..]
            }
        };
        match text.as_bytes().first()? {
            b',' => text = &text[1..],
            b'}' => return Some(&text[1..]),
            _ => return None,
        }
    }
}

/// An item of a Postgres array behind its opening quote, and the text behind the closing one.
fn postgres_quoted(text: &str) -> Option<(String, &str)> {
    let mut item = String::new();
    let mut chars = text.chars();
    loop {
        match chars.next()? {
            '"' => return Some((item, chars.as_str())),
            '\\' => item.push(chars.next()?),
            c => item.push(c),
        }
    }
}

/// The bracket with which a string begins as a list or a map, perhaps in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Bracket {
    /// `[`, `(` or `array(`.
    List,
    /// `{`.
    Map,
    /// `set(` or another constructor, of a list or a map.
    Call,
}

/// Constructors that Python prints around a list or a map.
const CONSTRUCTORS: [&str; 9] =
    ["set(", "frozenset(", "list(", "tuple(", "deque(", "dict(", "OrderedDict(", "defaultdict(", "Counter("];

impl Bracket {
    /// The bracket at the start of `text`. Nearly all text has none.
    pub(super) fn at_start_of(text: &str) -> Option<Self> {
        let text = text.trim_start();
        match text.as_bytes().first()? {
            b'"' | b'\'' => Self::unquoted(&text[1..]),
            _ => Self::unquoted(text),
        }
    }

    fn unquoted(text: &str) -> Option<Self> {
        match text.as_bytes().first()? {
            b'[' | b'(' => Some(Self::List),
            b'{' => Some(Self::Map),
            b'a' if text.starts_with("array(") => Some(Self::List),
            b's' | b'f' | b'l' | b't' | b'd' | b'O' | b'C'
                if CONSTRUCTORS.iter().any(|constructor| text.starts_with(constructor)) =>
            {
                Some(Self::Call)
            }
            _ => None,
        }
    }
}

impl<'de> Deserialize<'de> for Value<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_any(ValueVisitor)
    }
}

pub(super) struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text.to_owned())))
    }

    fn visit_string<E>(self, text: String) -> Result<Value<'de>, E> {
        Ok(Value::Text(Cow::Owned(text)))
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut list: S) -> Result<Value<'de>, S::Error> {
        let mut items = Vec::new();
        while let Some(item) = list.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Value<'de>, M::Error> {
        let mut entries = Vec::new();
        while let Some(Key(key)) = map.next_key()? {
            entries.push((key, map.next_value()?));
        }
        let is_extended = entries.first().is_some_and(|(key, _): &(Cow<'_, str>, _)| key.starts_with('$'));
        Ok(if is_extended { extended(entries) } else { Value::Map(entries) })
    }

    fn visit_u64<E>(self, number: u64) -> Result<Value<'de>, E> {
        // An id keeps all its digits.
        Ok(i64::try_from(number).map_or_else(|_| Value::Text(number.to_string().into()), Value::Integer))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value<'de>, E> {
        Ok(Value::Integer(number))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Value<'de>, E> {
        Ok(Value::Float(number))
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value<'de>, E> {
        Ok(Value::Bool(value))
    }

    fn visit_unit<E>(self) -> Result<Value<'de>, E> {
        Ok(Value::Null)
    }
}

/// The key of a map, borrowed where it has no escapes.
pub(super) struct Key<'a>(pub(super) Cow<'a, str>);

impl<'de> Deserialize<'de> for Key<'de> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        struct KeyVisitor;

        impl<'de> Visitor<'de> for KeyVisitor {
            type Value = Key<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a key")
            }

            fn visit_borrowed_str<E>(self, key: &'de str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Borrowed(key)))
            }

            fn visit_str<E>(self, key: &str) -> Result<Key<'de>, E> {
                Ok(Key(Cow::Owned(key.to_owned())))
            }
        }

        from.deserialize_str(KeyVisitor)
    }
}

/// The scalar of a map whose first key begins with `$`, or the map itself if it is another.
///
/// The format is described in
/// <https://www.mongodb.com/docs/manual/reference/mongodb-extended-json/>.
pub(super) fn extended<'a>(mut entries: Vec<(Cow<'a, str>, Value<'a>)>) -> Value<'a> {
    let (key, value) = &mut entries[0];
    let scalar = match (key.as_ref(), value) {
        ("$numberInt" | "$numberLong" | "$numberDouble" | "$numberDecimal", value) => match value {
            Value::Text(text) => number(text),
            Value::Integer(_) | Value::Float(_) => Some(std::mem::replace(value, Value::Null)),
            _ => None,
        },
        ("$date", Value::Text(text)) => Some(match milliseconds_of_date(text) {
            Some(milliseconds) => Value::Date(milliseconds),
            None => Value::Text(std::mem::take(text)),
        }),
        ("$date", Value::Integer(milliseconds)) => Some(Value::Date(*milliseconds)),
        ("$date", Value::Float(milliseconds)) => Some(Value::Date(*milliseconds as i64)),
        ("$oid" | "$uuid" | "$symbol" | "$code", Value::Text(text)) => Some(Value::Text(std::mem::take(text))),
        ("$undefined", _) => Some(Value::Null),
        ("$timestamp", Value::Map(parts)) => parts.iter().find_map(|part| match part {
            (key, Value::Integer(seconds)) if key == "t" => Some(Value::Date(seconds.saturating_mul(1_000))),
            _ => None,
        }),
        ("$binary", value) => uuid_of_binary(value).map(|uuid| Value::Text(uuid.into())),
        _ => None,
    };
    scalar.unwrap_or(Value::Map(entries))
}

/// The scalar of extended JSON that a JSON object stands for: text or a number.
pub(crate) fn extended_scalar(object: &serde_json::Value) -> Option<serde_json::Value> {
    match Value::deserialize(object).ok()?.without_type() {
        Value::Text(text) => Some(text.into_owned().into()),
        Value::Integer(number) => Some(number.into()),
        Value::Float(number) => Some(number.into()),
        _ => None,
    }
}

/// The UUID in the value of `$binary`: the text of its bytes, which older programs write without a map around it.
fn uuid_of_binary(value: &Value<'_>) -> Option<String> {
    let base64 = match value {
        Value::Text(text) => text,
        Value::Map(parts) => parts.iter().find_map(|part| match part {
            (key, Value::Text(text)) if key == "base64" => Some(text),
            _ => None,
        })?,
        _ => return None,
    };
    let bytes = STANDARD.decode(&**base64).ok()?.try_into().ok()?;
    let hex = format!("{:032x}", u128::from_be_bytes(bytes));
    Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
}

/// The number that a string holds. `NaN` and infinities do not count.
fn number<'a>(text: &str) -> Option<Value<'a>> {
    if let Ok(integer) = text.trim().parse::<i64>() {
        return Some(Value::Integer(integer));
    }
    let number: f64 = text.trim().parse().ok()?;
    Some(if number.is_finite() { Value::Float(number) } else { Value::Null })
}
