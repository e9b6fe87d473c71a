//! Why a file is not read, and what to do about it.
use std::{fmt, path::Path};

use super::{
    super::open::Compression,
    LINES_TRIED,
    fields::{product_id, renamed},
    format::{Format, ToDo},
    json::jq_field,
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
    /// Records over several lines.
    OverLines(Commas),
    /// Several records on one line.
    OnOneLine(Commas),
    /// Records in a JSON array.
    Array,
    /// Records in an array in an object.
    ArrayInside {
        /// Where it is, as `jq` writes it: `.data.items`.
        path: String,
    },
    /// Records in a member of the objects.
    RecordInside {
        /// Where they are, as `jq` writes it: `._source`.
        path: String,
    },
    /// JSON strings that hold the text of records.
    Strings,
    /// An object with one record per key.
    Keyed,
    /// An object with one object per column, as pandas writes it.
    Columns,
    /// Python literals that are not one dict per line.
    Python,
    /// A table in text.
    Table {
        /// What stands between values.
        delimiter: &'static str,
        /// The names of its columns; empty if it does not name them.
        columns: Vec<String>,
    },
    /// Stars without a text. They are read if another file has text, and if users and products can be distinguished.
    Ratings,
    /// Blocks of lines such as `product/productId: B1`, as the Stanford Network Analysis Project
    /// publishes them.
    SnapBlocks,
    /// Blocks of lines about products, such as `ASIN: 0771044445`: `amazon-meta.txt` of SNAP.
    SnapProducts,
    /// Scored phrases: the result of AutoPhrase.
    Phrases,
    /// The vocabulary of a tokenizer.
    Vocabulary,
    /// A file of the Yelp data set.
    Yelp(YelpFile),
    /// Records with other fields.
    OtherFields {
        /// Their names.
        found: Vec<String>,
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

/// What stands between records.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Commas {
    /// White space, or nothing.
    Without,
    /// Commas.
    With,
}

/// The files of the Yelp data set.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum YelpFile {
    /// Names and categories.
    Business,
    /// Texts with stars.
    Review,
    /// Texts without stars.
    Tip,
    /// Check-ins, users or photos: nothing for a corpus.
    Other,
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
            Self::OverLines(Commas::Without) => f.write_str("records over several lines"),
            Self::OverLines(Commas::With) => f.write_str("records over several lines, with commas between them"),
            Self::OnOneLine(Commas::Without) => f.write_str("several records on one line"),
            Self::OnOneLine(Commas::With) => f.write_str("several records on one line, with commas between them"),
            Self::Array => f.write_str("a JSON array that is not one record per line"),
            Self::ArrayInside { path } => write!(f, "a JSON object around the array `{path}`"),
            Self::RecordInside { path } => write!(f, "records inside the field `{path}`"),
            Self::Strings => f.write_str("records inside JSON strings"),
            Self::Keyed => f.write_str("a JSON object with one record per key"),
            Self::Columns => f.write_str("a JSON object with one object per column"),
            Self::Python => f.write_str("Python literals that are not one dict per line"),
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
            Self::Ratings => f.write_str("ratings without text"),
            Self::SnapBlocks => f.write_str("blocks of `name: value` lines, as SNAP publishes them"),
            Self::SnapProducts => f.write_str("blocks of lines about products, as SNAP publishes them"),
            Self::Phrases => f.write_str("a list of phrases with scores"),
            Self::Vocabulary => f.write_str("the vocabulary of a tokenizer"),
            Self::Yelp(file) => f.write_str(match file {
                YelpFile::Business => "businesses of the Yelp data set",
                YelpFile::Review => "reviews of the Yelp data set",
                YelpFile::Tip => "tips of the Yelp data set",
                YelpFile::Other => "a file of the Yelp data set without texts",
            }),
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

fn delimiter_name(delimiter: &str) -> String {
    match delimiter {
        "\t" => "tabs".to_owned(),
        "," => "commas".to_owned(),
        ";" => "semicolons".to_owned(),
        other => format!("`{other}`"),
    }
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
    compression: Option<Compression>,
}

impl Commands {
    /// A name that must be quoted would not fit into every command, so `FILE` stands for it.
    fn new(path: &Path, compression: Option<Compression>) -> Self {
        let path = path.display().to_string();
        let is_plain = path.chars().all(|c| c.is_alphanumeric() || "/._-+,:=@%".contains(c));
        Self { file: if is_plain { path } else { "FILE".to_owned() }, compression }
    }

    /// A command that reads standard input and writes records.
    fn filter(&self, command: &str) -> String {
        self.filters(&[command])
    }

    /// Commands of which each reads what the one before it writes.
    fn filters(&self, commands: &[&str]) -> String {
        let file = &self.file;
        let (first, rest) = commands.split_first().expect("there is a command");
        let first = match self.compression {
            None => format!("{first} < {file}"),
            Some(compression) => format!("{} -dc {file} | {first}", compression.program()),
        };
        let rest: String = rest.iter().map(|command| format!(" | {command}")).collect();
        format!("`{first}{rest} > {file}.jsonl`")
    }

    /// A command on a file that is not compressed, which stands in it as `FILE`.
    fn on_file(&self, command: &str) -> String {
        let file = &self.file;
        let Some(compression) = self.compression else { return format!("`{}`", command.replace("FILE", file)) };
        let ending = [".gz", ".zst"].into_iter().find_map(|ending| file.strip_suffix(ending));
        let plain = ending.map_or_else(|| format!("{file}.plain"), str::to_owned);
        format!("`{} -dc {file} > {plain} && {}`", compression.program(), command.replace("FILE", &plain))
    }

    /// Whether the name is that of a compressed tar archive.
    fn is_tar(&self) -> bool {
        let name = self.file.trim_end_matches('\'').to_ascii_lowercase();
        let short = [".tbz", ".tbz2", ".tb2", ".txz", ".tlz", ".taz", ".tz2"];
        name.rsplit_once('.').is_some_and(|(stem, _)| stem.ends_with(".tar"))
            || short.iter().any(|end| name.ends_with(end))
    }

    /// `tar` decompresses what it reads.
    fn untar(&self) -> String {
        let file = &self.file;
        let option = match self.compression {
            None => "-xf",
            Some(Compression::Gzip) => "-xzf",
            Some(Compression::Zstd) => "--zstd -xf",
        };
        format!("`mkdir {file}.files && tar {option} {file} -C {file}.files`")
    }

    /// A query of DuckDB, whose rows become records.
    fn duckdb(&self, query: &str) -> String {
        self.on_file(&format!("duckdb -c \"COPY ({query}) TO 'FILE.jsonl' (FORMAT json)\""))
    }

    /// A program of `jq`.
    fn jq(&self, program: &str) -> String {
        self.filter(&format!("jq -c '{}'", program.replace('\'', r"'\''")))
    }
}

/// Puts brackets around records that have commas between them.
const TO_ARRAY: &str = "(printf '['; sed '$ s/,[[:space:]]*$//'; printf ']')";

/// A command of `jq` that reads blocks of lines with blank lines between them. `line` matches the key
/// and the value in a line, and `record` makes a record of a block.
fn from_blocks(line: &str, record: &str) -> String {
    format!(
        "jq -Rnc 'foreach (inputs, \"\") as $line ([]; if $line | test(\"\\\\S\") \
         then [.[0] + ([$line | capture(\"{line}\")] | from_entries)] else [{{}}, .[0]] end; .[1] | {record})'"
    )
}

/// Writes a Python list of dicts, or dicts one after another, as JSON.
const PYTHON_TO_JSON: &str = "python3 -c 'import ast, json, sys; \
    value = ast.literal_eval(sys.stdin.read()); \
    [print(json.dumps(record)) for record in (value if isinstance(value, (list, tuple)) else [value])]'";

/// Writes what pandas wrote column by column.
const COLUMNS_TO_JSON: &str = "python3 -c 'import pandas, sys; pandas.read_json(sys.stdin, dtype=False).to_json(sys.stdout, orient=\"records\", lines=True)'";

impl SkipReason {
    /// What to do about a file with this path and compression, where there is something to do.
    pub(super) fn hint(&self, path: &Path, compression: Option<Compression>) -> Option<String> {
        let commands = Commands::new(path, compression);
        let hint = match self {
            Self::Empty => "fetch it again".to_owned(),
            Self::DeadLink => "correct or delete the link".to_owned(),
            Self::Format(format) => match format.what_to_do() {
                ToDo::Decompress(_) if commands.is_tar() => commands.untar(),
                ToDo::Decompress(command) => commands.on_file(command),
                ToDo::Command(command) => commands.on_file(command),
                ToDo::Untar => commands.untar(),
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
            Self::OverLines(Commas::Without) | Self::OnOneLine(Commas::Without) => commands.jq("."),
            Self::OverLines(Commas::With) | Self::OnOneLine(Commas::With) => {
                commands.filters(&[TO_ARRAY, "jq -c '.[]'"])
            }
            Self::Array => commands.jq(".[]"),
            Self::ArrayInside { path } => commands.jq(&format!("{path}[]")),
            Self::RecordInside { path } => commands.jq(path),
            Self::Strings => commands.jq("fromjson"),
            Self::Keyed => commands.jq("to_entries[] | {asin: .key} + .value"),
            Self::Columns => commands.filter(COLUMNS_TO_JSON),
            Self::Python => commands.filter(PYTHON_TO_JSON),
            Self::Table { delimiter, columns } => commands.duckdb(&table_query(delimiter, columns)),
            Self::Ratings => "a corpus needs text: fetch the metadata of the products or the reviews, too".to_owned(),
            Self::SnapBlocks => commands.filter(&from_blocks(
                r"^\\w+/(?<key>\\w+): *(?<value>.*)",
                "select(.text) | {asin: (.productId // .beerId // .wineId), reviewerID: (.userId // .profileName), \
                 overall: (.score // .overall), unixReviewTime: .time, summary, reviewText: .text}",
            )),
            Self::SnapProducts => commands.filter(&from_blocks(
                r"^\\s*(?<key>\\w+): *(?<value>.*)",
                "select(.title) | {asin: .ASIN, title, category: [.group], \
                 also_view: ((.similar // \"\") | split(\"  \")[1:])}",
            )),
            Self::Yelp(YelpFile::Business) => {
                commands.jq("{asin: .business_id, title: .name, category: ((.categories // \"\") | split(\", \"))}")
            }
            Self::Yelp(YelpFile::Review) => commands
                .jq("{asin: .business_id, reviewerID: .user_id, reviewText: .text, overall: .stars, \
                 unixReviewTime: (.date | strptime(\"%Y-%m-%d %H:%M:%S\") | mktime)}"),
            Self::Yelp(YelpFile::Tip) => commands.jq("{asin: .business_id, reviewerID: .user_id, reviewText: .text}"),
            Self::OtherFields { found } => commands.filter(&renaming(found)),
            Self::NoIds { found } => {
                // Those of the dumps have no value.
                let others: Vec<_> = found.iter().filter(|name| !is_id(name)).cloned().collect();
                match product_id(&others) {
                    Some(id) => commands.jq(&format!(". + {{asin: {}}}", jq_field(id))),
                    None => commands.filter(&numbered("del(.asin, .parent_asin)")),
                }
            }
            Self::NotAFile
            | Self::Binary
            | Self::Phrases
            | Self::Vocabulary
            | Self::Xml { .. }
            | Self::Yelp(YelpFile::Other)
            | Self::Json { .. }
            | Self::Malformed { .. }
            | Self::Text { only_line: None }
            | Self::NothingRecognised => return None,
        };
        Some(hint)
    }
}

/// A command of `jq` that numbers records: `record` is a program that makes one of `$record`, and
/// the number is its id.
fn numbered(record: &str) -> String {
    format!("jq -nc 'foreach inputs as $record (0; . + 1; {{asin: \"P\\(.)\"}} + ($record | {record}))'")
}

/// A command of `jq` that gives fields the names of the dumps.
fn renaming(found: &[String]) -> String {
    let known = renamed(found);
    if known.is_empty() {
        return "jq -c '{asin: .ID, title: .TITLE, description: .DESCRIPTION}'".to_owned();
    }
    if found.iter().any(|name| is_id(name)) {
        let others = known.iter().filter(|field| field.name != field.found && field.name != "asin");
        let fields: Vec<_> = others.map(|field| format!("{}: {}", field.name, jq_field(field.found))).collect();
        return format!("jq -c '. + {{{}}}'", fields.join(", "));
    }
    let needs_id = known.iter().all(|field| !matches!(field.name, "asin" | "reviewText"));
    let fields: Vec<_> = known.iter().map(|field| format!("{}: {}", field.name, jq_field(field.found))).collect();
    let record = format!("{{{}}}", fields.join(", "));
    if needs_id { numbered(&record) } else { format!("jq -c '{record}'") }
}

/// A query of DuckDB that gives the columns of a table the names of the dumps.
fn table_query(delimiter: &str, columns: &[String]) -> String {
    let delimiter = if delimiter == "\t" { r"\t" } else { delimiter };
    if columns.is_empty() {
        return format!(
            "FROM read_csv('FILE', delim='{delimiter}', all_varchar=true, header=false, names=['asin', 'title', …])"
        );
    }
    let source = format!("read_csv('FILE', delim='{delimiter}', all_varchar=true)");
    let known = renamed(columns);
    let is_dump = columns.iter().any(|name| is_id(name));
    if is_dump {
        return format!("FROM {source}");
    }
    if known.is_empty() {
        return format!("SELECT ID AS asin, TITLE AS title, DESCRIPTION AS description FROM {source}");
    }
    let has_id = known.iter().any(|field| field.name == "asin");
    let id = (!has_id).then(|| "'P' || row_number() OVER () AS asin".to_owned());
    let columns = known.iter().map(|field| format!("\\\"{}\\\" AS {}", field.found, field.name));
    format!("SELECT {} FROM {source}", id.into_iter().chain(columns).collect::<Vec<_>>().join(", "))
}
