//! Calls of constructors, as `repr` and the shell of MongoDB print values that are not literals.
use super::{MAX_DEPTH, PythonLiteralError, Reader};

/// What stands for a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Constructor {
    /// Its first argument.
    First,
    /// Its first argument, as a number even if that is a string: `NumberLong("5")`.
    Number,
    /// The date that its numbers spell, as a string: `datetime.datetime(2014, 7, 3)`.
    Date,
}

impl Constructor {
    /// The constructor of a name, whose modules do not matter: `datetime.datetime`, `np.str_`.
    fn named(name: &str) -> Option<Self> {
        Some(match name.rsplit('.').next()? {
            "ObjectId" | "UUID" | "Binary" | "BinData" | "Symbol" | "DBRef" | "Regex" | "Code" => Self::First,
            "ISODate" | "Date" | "Timestamp" | "datetime64" => Self::First,
            "array" | "list" | "tuple" | "set" | "frozenset" | "deque" => Self::First,
            "dict" | "OrderedDict" | "defaultdict" | "Counter" | "SON" | "Row" => Self::First,
            "str_" | "bool_" | "bool" | "str" | "unicode_" => Self::First,
            "NumberInt" | "NumberLong" | "NumberDouble" | "NumberDecimal" | "Int32" | "Int64" | "Long" | "Double"
            | "Decimal128" | "Decimal" => Self::Number,
            "int8" | "int16" | "int32" | "int64" | "uint8" | "uint16" | "uint32" | "uint64" | "float16" | "float32"
            | "float64" => Self::Number,
            "datetime" | "date" => Self::Date,
            _ => return None,
        })
    }
}

impl Reader<'_> {
    /// Reads the call whose name stands from `start` to here, if its constructor is known.
    pub(super) fn call(&mut self, start: usize) -> Result<(), PythonLiteralError> {
        let name = &self.line[start..self.at];
        let Some(constructor) = Constructor::named(name).filter(|_| self.peek() == Some(b'(')) else {
            return Err(PythonLiteralError::Name { at: start, name: self.quote(start, self.at) });
        };
        if self.depth == MAX_DEPTH {
            return Err(PythonLiteralError::TooDeep { at: start });
        }
        let out_start = self.out.len();
        let mut ends = Vec::new();
        self.depth += 1;
        self.at += 1;
        self.skip_space();
        while !self.eat(b')') {
            if self.skip_name() {
                // A class, or a keyword with its value: neither has the value.
                if self.eat(b'=') && !self.skip_name() {
                    let end = self.out.len();
                    self.value()?;
                    self.out.truncate(end);
                }
            } else {
                self.value()?;
                ends.push(self.out.len());
            }
            self.skip_space();
            if self.eat(b',') {
                self.skip_space();
            } else if self.peek() != Some(b')') {
                return Err(self.unexpected("`,` or `)`"));
            }
        }
        self.depth -= 1;
        let Some(&first) = ends.first() else {
            return Err(PythonLiteralError::Name { at: start, name: self.quote(start, self.at) });
        };
        match constructor {
            Constructor::First => self.out.truncate(first),
            Constructor::Number => {
                self.out.truncate(first);
                let inner = self.out[out_start..].trim_matches('"').trim();
                if inner.parse().is_ok_and(|number: f64| !number.is_finite()) {
                    self.out.truncate(out_start);
                    self.out.push_str("null");
                } else if serde_json::from_str::<serde_json::Number>(inner).is_ok() {
                    let inner = inner.to_owned();
                    self.out.truncate(out_start);
                    self.out.push_str(&inner);
                }
            }
            Constructor::Date => {
                let mut from = out_start;
                let parts = ends.iter().map(|&end| {
                    let part = &self.out[from..end];
                    from = end;
                    part.parse().ok()
                });
                let parts: Option<Vec<u32>> = parts.collect();
                if let Some(&[year, month, day, ref clock @ ..]) = parts.as_deref() {
                    let clock = |at: usize| clock.get(at).copied().unwrap_or(0);
                    let date = format!(
                        "\"{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}.{:06}\"",
                        clock(0),
                        clock(1),
                        clock(2),
                        clock(3)
                    );
                    self.out.truncate(out_start);
                    self.out.push_str(&date);
                } else {
                    self.out.truncate(first);
                }
            }
        }
        Ok(())
    }

    /// Skips an argument or keyword that is a name, such as `object` or `tzinfo`, also with an
    /// empty call, `tzutc()`, or a class, `<class 'list'>`.
    fn skip_name(&mut self) -> bool {
        let rest = &self.line[self.at..];
        if rest.starts_with("<class ")
            && let Some(end) = rest.bytes().take(100).position(|b| b == b'>')
        {
            self.at += end + 1;
            return true;
        }
        let len = self.name_len();
        let constants = ["None", "null", "nan", "NaN", "inf", "Infinity", "True", "true", "False", "false", "NaT"];
        if len == 0 || self.string_opens().is_some() || constants.contains(&&rest[..len]) {
            return false;
        }
        match rest.as_bytes().get(len) {
            Some(b'(') if rest[len..].starts_with("()") => self.at += len + 2,
            Some(b'(') => return false,
            _ => self.at += len,
        }
        true
    }

    /// The length of the name that stands here, with its modules: `datetime.datetime`.
    pub(super) fn name_len(&self) -> usize {
        let rest = &self.line.as_bytes()[self.at..];
        if !rest.first().is_some_and(|b| b.is_ascii_alphabetic() || *b == b'_') {
            return 0;
        }
        let in_name = |b: &u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'.');
        let len = rest.iter().position(|b| !in_name(b)).unwrap_or(rest.len());
        rest[..len].iter().rposition(|b| *b != b'.').map_or(0, |last| last + 1)
    }
}
