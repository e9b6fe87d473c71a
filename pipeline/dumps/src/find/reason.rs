//! Why a file is not read, and what to do about it.
use std::{fmt, path::Path};

use super::{
    super::{archive::MOST_MEMBERS, layout::delimiter_name, open::Compression},
    LINES_TRIED,
    fields::{Renamed, are_of_orders, product_id, renamed},
    format::{Format, ToDo},
};

/// Names of fields that a message lists.
const FIELDS_NAMED: usize = 8;

/// The fields that are looked for.
const EXPECTED: &str =
    "expected asin or parent_asin with title, description, features, … (products) or reviewText or text (reviews)";

/// Why a file is not read.
///
/// [`fmt::Display`] describes the file. What to do about it depends on its path:
/// [`Skipped::hint`](super::Skipped::hint).
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[non_exhaustive]
pub enum SkipReason {
    /// It has no bytes, or white space only.
    Empty,
    /// A link without a file at its end.
    DeadLink,
    /// A pipe, a socket or a device.
    NotAFile,
    /// A format that is not text.
    Format(Format),
    /// Bytes that are neither text nor a known format.
    Binary,
    /// The pointer that Git has in place of a large file.
    LfsPointer,
    /// The pointer that git-annex has in place of a file.
    AnnexPointer,
    /// HTML: what a server sends in place of a file.
    WebPage {
        /// Its title.
        title: Option<String>,
    },
    /// The answer of a server that has no such file.
    ServerError {
        /// The server's message.
        message: String,
    },
    /// XML.
    Xml {
        /// The name of its first element.
        root: String,
    },
    /// Text in another encoding.
    Encoding(Encoding),
    /// JSON strings that hold the text of records.
    Strings,
    /// An object with one record per key.
    Keyed {
        /// The fields that lead to it; empty if it is the only value.
        path: Vec<String>,
    },
    /// An object around others, none of which is known to hold records.
    Around {
        /// Its fields.
        found: Vec<String>,
    },
    /// A description of a data set, or a log of its changes.
    AboutData,
    /// An object with one object per column, as pandas writes it.
    Columns,
    /// An object with the names of columns, and rows without names, as pandas writes it.
    Rows,
    /// A table in text.
    Table {
        /// What stands between values.
        delimiter: &'static str,
        /// The names of its columns; empty if it does not name them.
        columns: Vec<String>,
    },
    /// A table in text below other text, such as a title.
    TableBelow {
        /// The line with the names of its columns.
        line: u64,
        /// These names.
        columns: Vec<String>,
    },
    /// A table in text without a row that can be read.
    NoRows {
        /// What is wrong with the first row, if there is one.
        why: Option<String>,
    },
    /// Stars without a text. They are read if another file has text, and if users and products can be distinguished.
    Ratings,
    /// Scored phrases: the result of AutoPhrase.
    Phrases,
    /// The vocabulary of a tokenizer.
    Vocabulary,
    /// A file of the Yelp data set without texts.
    Yelp,
    /// An archive of more files than are read.
    ManyFiles(Format),
    /// An encrypted file in an archive.
    Encrypted,
    /// A file in an archive whose compression is rare.
    RareCompression,
    /// Records with other fields.
    OtherFields {
        /// Their names.
        found: Vec<String>,
    },
    /// Records without the fields that the user named.
    NotAsGiven {
        /// The fields that they have.
        found: Vec<String>,
        /// The fields that were named.
        expected: Vec<String>,
    },
    /// Products without an id.
    NoIds {
        /// The names of their fields.
        found: Vec<String>,
    },
    /// JSON that is not records.
    Json {
        /// Its first characters.
        start: String,
    },
    /// Lines that begin like records and cannot be read.
    Malformed {
        /// The number of the first.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// Text that is not records.
    Text {
        /// The text, if it is short.
        only_line: Option<String>,
    },
    /// None of its first 100 lines is a record.
    NothingRecognised,
}

/// Encodings that are not read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Encoding {
    /// UTF-16 with a byte order mark.
    Utf16,
    /// UTF-16, low byte first.
    Utf16Le,
    /// UTF-16, high byte first.
    Utf16Be,
    /// UTF-32.
    Utf32,
    /// One byte per character: Latin-1 or Windows-1252.
    Latin1,
    /// Neither UTF-8 nor Latin-1.
    Unknown,
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Empty => f.write_str("empty"),
            Self::DeadLink => f.write_str("a link to nothing"),
            Self::NotAFile => f.write_str("not a file"),
            Self::Format(format) => f.write_str(format.name()),
            Self::Binary => f.write_str("binary data of an unknown format"),
            Self::LfsPointer => f.write_str("a Git LFS pointer, not the file itself"),
            Self::AnnexPointer => f.write_str("a git-annex pointer, not the file itself"),
            Self::WebPage { title: Some(title) } => write!(f, "a web page with the title \"{title}\""),
            Self::WebPage { title: None } => f.write_str("a web page"),
            Self::ServerError { message } => write!(f, "the error message of a server: \"{message}\""),
            Self::Xml { root } => write!(f, "an XML document <{root}>"),
            Self::Encoding(Encoding::Utf16 | Encoding::Utf16Le | Encoding::Utf16Be) => f.write_str("text in UTF-16"),
            Self::Encoding(Encoding::Utf32) => f.write_str("text in UTF-32"),
            Self::Encoding(Encoding::Latin1) => f.write_str("text in Latin-1 or Windows-1252"),
            Self::Encoding(Encoding::Unknown) => f.write_str("text in an encoding other than UTF-8"),
            Self::Strings => f.write_str("records inside JSON strings"),
            Self::Keyed { path } if path.is_empty() => f.write_str("a JSON object with one record per key"),
            Self::Keyed { path } => write!(f, "a JSON object with one record per key of `{}`", shown(&path.join("."))),
            Self::Around { found } => {
                write!(f, "a JSON object around others: found {}; expected records or an array of them", listed(found))
            }
            Self::AboutData => f.write_str("a description of a data set, not its records"),
            Self::Columns => f.write_str("a JSON object with one object per column"),
            Self::Rows => f.write_str("a JSON object with a list of columns and lists of values"),
            Self::Table { delimiter, columns } => {
                write!(f, "a table with {} between values", delimiter_name(delimiter))?;
                if !columns.is_empty() {
                    write!(f, " and the columns {}", listed(columns))?;
                }
                if !columns.is_empty() && renamed(columns).is_empty() {
                    write!(f, "; {EXPECTED}")?;
                }
                Ok(())
            }
            Self::TableBelow { line, columns } => {
                write!(f, "a table below other text, with the columns {} in line {line}", listed(columns))
            }
            Self::NoRows { why: None } => f.write_str("a table without rows"),
            Self::NoRows { why: Some(why) } => write!(f, "a table without a row that can be read: {why}"),
            Self::Ratings => f.write_str("ratings without text"),
            Self::Phrases => f.write_str("a list of phrases with scores"),
            Self::Vocabulary => f.write_str("the vocabulary of a tokenizer"),
            Self::Yelp => f.write_str("a file of the Yelp data set without texts"),
            Self::ManyFiles(_) => write!(f, "an archive whose first {MOST_MEMBERS} files are read, and not the others"),
            Self::Encrypted => f.write_str("an encrypted file in an archive"),
            Self::RareCompression => f.write_str("a file in an archive, in a compression that is not read"),
            Self::NotAsGiven { found, expected } => {
                write!(f, "records without the fields named: found {}; expected {}", listed(found), listed(expected))
            }
            Self::OtherFields { found } => write!(f, "records with other fields: found {}; {EXPECTED}", listed(found)),
            Self::NoIds { found } if found.iter().any(|name| is_id(name)) => {
                write!(
                    f,
                    "products without an id: asin and parent_asin have no value; found the fields {}",
                    listed(found)
                )
            }
            Self::NoIds { found } => {
                write!(f, "products without an id: expected asin or parent_asin, found the fields {}", listed(found))
            }
            Self::Json { start } => write!(f, "JSON that is not records: `{start}`"),
            Self::Malformed { line, why } => write!(f, "no line is a record; line {line}: {why}"),
            Self::Text { only_line: Some(text) } => write!(f, "the text \"{text}\""),
            Self::Text { only_line: None } => f.write_str("plain text"),
            Self::NothingRecognised => write!(f, "no recognizable record in its first {LINES_TRIED} lines"),
        }
    }
}

/// Whether a field of the dumps has this name and holds the id of a product.
fn is_id(name: &str) -> bool {
    matches!(name, "asin" | "parent_asin")
}

/// The first few of a list of names.
fn listed(names: &[String]) -> String {
    let (first, more) = names.split_at(names.len().min(FIELDS_NAMED));
    let more = if more.is_empty() { String::new() } else { format!(" and {} more", more.len()) };
    first.iter().map(|name| shown(name)).collect::<Vec<_>>().join(", ") + &more
}

/// The first characters of a text, without control characters.
pub(super) fn shown(text: &str) -> String {
    const MOST_CHARS: usize = 40;
    let mut start: String = text.chars().take(MOST_CHARS).map(|c| if c.is_control() { '?' } else { c }).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    start
}

/// Writes the commands that turn a file into one that is read.
struct Commands {
    /// The file as it is typed in a shell.
    file: String,
    /// The file as it is named in a configuration.
    path: String,
    compression: Option<Compression>,
    /// The ending of a file that a filter writes.
    ending: &'static str,
}

impl Commands {
    /// Commands that write records. A name that must be quoted would not fit into every command, so `FILE` stands for
    /// it.
    fn new(path: &Path, compression: Option<Compression>) -> Self {
        let path = path.display().to_string();
        let is_plain = path.chars().all(|c| c.is_alphanumeric() || "/._-+,:=@%".contains(c));
        let file = if is_plain { path.clone() } else { "FILE".to_owned() };
        Self { file, path, compression, ending: ".jsonl" }
    }

    /// A command that reads standard input and writes a file that is read.
    fn filter(&self, command: &str) -> String {
        let Self { file, compression, ending, .. } = self;
        match compression {
            None => format!("`{command} < {file} > {file}{ending}`"),
            Some(compression) => format!("`{} -dc {file} | {command} > {file}{ending}`", compression.program()),
        }
    }

    /// A command on a file that is not compressed, which stands in it as `FILE`.
    fn on_file(&self, command: &str) -> String {
        let file = &self.file;
        let Some(compression) = self.compression else { return format!("`{}`", command.replace("FILE", file)) };
        let ending = [".gz", ".zst"].into_iter().find_map(|ending| file.strip_suffix(ending));
        let plain = ending.map_or_else(|| format!("{file}.plain"), str::to_owned);
        format!("`{} -dc {file} > {plain} && {}`", compression.program(), command.replace("FILE", &plain))
    }

    /// A query of DuckDB, whose rows become records.
    fn duckdb(&self, query: &str) -> String {
        self.on_file(&format!("duckdb -c \"COPY ({query}) TO 'FILE.jsonl' (FORMAT json)\""))
    }

    /// How to name the fields of the records.
    fn config(&self, found: &[String]) -> String {
        format!("name its fields in shop.toml, `{}`, and add `--config shop.toml`", source_line(&self.path, found))
    }

    /// A program of `jq`.
    fn jq(&self, program: &str) -> String {
        self.filter(&format!("jq -c '{}'", program.replace('\'', r"'\''")))
    }
}

/// Writes what pandas wrote column by column.
const COLUMNS_TO_JSON: &str = "python3 -c 'import pandas, sys; pandas.read_json(sys.stdin, dtype=False).to_json(sys.stdout, orient=\"records\", lines=True)'";

/// Writes rows with the names of their columns.
const ROWS_TO_JSON: &str = ". as {$columns, $data} | $data[] | [$columns, .] | transpose | map({(.[0]): .[1]}) | add";

impl SkipReason {
    /// Whether it names what JSON objects are that are not records.
    pub(super) const fn is_known_json(&self) -> bool {
        matches!(
            self,
            Self::Vocabulary
                | Self::ServerError { .. }
                | Self::Keyed { .. }
                | Self::AboutData
                | Self::Columns
                | Self::Rows
                | Self::Yelp
        )
    }

    /// Whether the hint for a file in an archive is one for the archive.
    pub(super) const fn is_of_archive(&self) -> bool {
        matches!(
            self,
            Self::Encrypted
                | Self::RareCompression
                | Self::OtherFields { .. }
                | Self::Table { .. }
                | Self::NotAsGiven { .. }
        )
    }

    /// As [`Self::hint`], for a file of lines of text. What has records is not such a file.
    pub(super) fn hint_for_text(&self, path: &Path, compression: Option<Compression>) -> Option<String> {
        match self {
            Self::Format(format) if !format.is_zip() && !format.is_tar() => None,
            _ => self.hint_with(path, &Commands { ending: ".utf8", ..Commands::new(path, compression) }),
        }
    }

    /// What to do about a file with this path and compression, where there is something to do.
    pub(super) fn hint(&self, path: &Path, compression: Option<Compression>) -> Option<String> {
        self.hint_with(path, &Commands::new(path, compression))
    }

    fn hint_with(&self, path: &Path, commands: &Commands) -> Option<String> {
        let hint = match self {
            // Spark and Hive leave such files next to their tables.
            Self::Empty if path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(b"_")) => {
                return None;
            }
            Self::Empty => "fetch it again".to_owned(),
            Self::NoRows { why: None } => "fetch it again, unless it is an empty part of a table".to_owned(),
            Self::NoRows { why: Some(_) } => "correct the quotes, or write the table again with a library".to_owned(),
            Self::DeadLink => "correct or delete the link".to_owned(),
            Self::Format(format) | Self::ManyFiles(format) => match format.what_to_do() {
                ToDo::Command(command) => commands.on_file(command),
                ToDo::DuckDb(query) => commands.duckdb(query),
                ToDo::Nothing => return None,
            },
            Self::LfsPointer => "`git lfs pull` in its repository".to_owned(),
            Self::AnnexPointer => format!("`git annex get {}`", commands.file),
            Self::WebPage { .. } => {
                "fetch the file itself; if the site asks you to sign in, do so in a browser and download it there"
                    .to_owned()
            }
            Self::ServerError { .. } => "check the address and the access rights, and fetch it again".to_owned(),
            Self::Text { only_line: Some(_) } => {
                "if a server sent it in place of the file, fetch the file again".to_owned()
            }
            Self::Encoding(encoding) => match encoding {
                Encoding::Utf16 => commands.filter("iconv -f UTF-16 -t UTF-8"),
                Encoding::Utf16Le => commands.filter("iconv -f UTF-16LE -t UTF-8"),
                Encoding::Utf16Be => commands.filter("iconv -f UTF-16BE -t UTF-8"),
                Encoding::Utf32 => commands.filter("iconv -f UTF-32 -t UTF-8"),
                Encoding::Latin1 => commands.filter("iconv -f WINDOWS-1252 -t UTF-8"),
                Encoding::Unknown => format!(
                    "{} with the name of its encoding, such as GB18030 or SHIFT_JIS",
                    commands.filter("iconv -f ENCODING -t UTF-8")
                ),
            },
            Self::Strings => commands.jq("fromjson"),
            Self::Keyed { path } => {
                let object: String = path.iter().map(|field| in_jq(field)).collect();
                let object = if path.is_empty() { object } else { format!(".{object} | ") };
                commands.jq(&format!("{object}to_entries[] | {{asin: .key}} + .value"))
            }
            Self::Around { .. } => format!(
                "if it holds an array of records, write them one per line with {}, where PATH is the path of the array, \
                 such as data.products",
                commands.jq(".PATH[]")
            ),
            Self::Columns => commands.filter(COLUMNS_TO_JSON),
            Self::Rows => commands.jq(ROWS_TO_JSON),
            Self::Table { columns: found, .. } | Self::OtherFields { found } if are_of_orders(found) => {
                format!("if these are orders, add `--associations {}`", commands.file)
            }
            Self::Table { columns, .. } if columns.is_empty() => format!(
                "{}; if its first row is not names of columns, add `header = false`, and name columns \"1\", \"2\", …",
                commands.config(columns)
            ),
            Self::Table { columns, .. } => commands.config(columns),
            Self::TableBelow { line, .. } => commands.on_file(&format!("tail -n +{line} FILE > FILE.csv")),
            Self::Ratings => "a corpus needs text: fetch the metadata of the products or the reviews, too".to_owned(),
            Self::Encrypted | Self::RareCompression => format!("`unzip {0} -d {0}.files`", commands.file),
            Self::NotAsGiven { .. } => {
                "correct the names in the file of `--config`; `ebert check` shows what a file has".to_owned()
            }
            Self::OtherFields { found } => commands.config(found),
            Self::NoIds { found } => {
                // Those of the dumps have no value.
                let others: Vec<_> = found.iter().filter(|name| !is_id(name)).cloned().collect();
                match product_id(&others) {
                    Some(_) => commands.config(&others),
                    None => commands.filter(NUMBERED),
                }
            }
            Self::NotAFile
            | Self::Binary
            | Self::Phrases
            | Self::Vocabulary
            | Self::Xml { .. }
            | Self::Yelp
            | Self::AboutData
            | Self::Json { .. }
            | Self::Malformed { .. }
            | Self::Text { only_line: None }
            | Self::NothingRecognised => return None,
        };
        Some(hint)
    }
}

/// A field in a path of `jq`.
fn in_jq(field: &str) -> String {
    format!("[{}]", serde_json::Value::from(field))
}

/// Numbers records; the number is the id.
const NUMBERED: &str =
    "jq -nc 'foreach inputs as $record (0; . + 1; ($record | del(.asin, .parent_asin)) + {asin: \"P\\(.)\"})'";

/// The fields that were found, as a line of a configuration file.
fn source_line(file: &str, found: &[String]) -> String {
    let known = renamed(found);
    let is_review = known.iter().any(|field| field.name == "reviewText");
    let quoted = |name: &str| toml::Value::from(name).to_string();
    let one = |field: &Renamed<'_>| quoted(field.found);
    let of = |name: &str| known.iter().find(|field| field.name == name).map(one);
    let fields: Vec<(&str, String)> = if is_review {
        let names = [
            ("product", "asin"),
            ("title", "summary"),
            ("text", "reviewText"),
            ("rating", "overall"),
            ("reviewer", "reviewerID"),
            ("time", "unixReviewTime"),
        ];
        names.into_iter().filter_map(|(key, name)| Some((key, of(name)?))).collect()
    } else {
        let text: Vec<String> = ["feature", "description"].into_iter().filter_map(of).collect();
        let text = match text.as_slice() {
            [] => None,
            [only] => Some(only.clone()),
            several => Some(format!("[{}]", several.join(", "))),
        };
        let id = product_id(found).unwrap_or("ID");
        let id = Some(quoted(id));
        let title = if known.is_empty() { Some(quoted("TITLE")) } else { of("title") };
        let text = if known.is_empty() { Some(quoted("DESCRIPTION")) } else { text };
        let all =
            [("id", id), ("title", title), ("text", text), ("categories", of("category")), ("brand", of("brand"))];
        all.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    };
    let fields: String = fields.iter().map(|(key, value)| format!(", {key} = {value}")).collect();
    format!("{} = {{ path = {}{fields} }}", if is_review { "reviews" } else { "products" }, quoted(file))
}
