//! File formats that their first bytes tell.

/// A file format that is not text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Format {
    name: &'static str,
    what_to_do: ToDo,
}

/// How to get at the records of a format.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum ToDo {
    /// A command on the file, which stands in it as `FILE`.
    Command(&'static str),
    /// A query of DuckDB, in which the file stands as `FILE`.
    DuckDb(&'static str),
    /// It has no records.
    Nothing,
}

use ToDo::{Command, DuckDb, Nothing};

impl Format {
    /// What it is, with an article: `a zip archive`.
    pub fn name(&self) -> &'static str {
        self.name
    }

    pub(super) fn what_to_do(&self) -> ToDo {
        self.what_to_do
    }

    /// Whether it is a tar archive.
    pub(super) fn is_tar(&self) -> bool {
        *self == TAR
    }

    /// Whether it is a zip archive of any files.
    pub(super) fn is_zip(&self) -> bool {
        *self == ZIP
    }

    const fn new(name: &'static str, what_to_do: ToDo) -> Self {
        Self { name, what_to_do }
    }

    /// The format of a file that begins with these bytes.
    pub(super) fn of(start: &[u8]) -> Option<Self> {
        let by_magic = || {
            let begins = |at: usize, magic: &[u8]| start.get(at..).is_some_and(|rest| rest.starts_with(magic));
            // A text may begin with the letters of a format.
            let is_binary = || start.iter().any(|b| *b < b'\t' || *b >= 0x80);
            let is_word = |magic: &[u8]| magic.iter().all(u8::is_ascii_alphanumeric);
            let is = |(at, magic, _): &&(usize, &[u8], _)| begins(*at, magic) && (!is_word(magic) || is_binary());
            MAGIC.iter().find(is).map(|(_, _, format)| *format)
        };
        if start.starts_with(b"PK\x03\x04") { Some(of_zip(start)) } else { by_magic().or_else(|| by_structure(start)) }
    }
}

const ZIP: Format = Format::new("a zip archive", Command("unzip FILE -d FILE.files"));
const EXCEL: Format = Format::new("an Excel workbook", PANDAS_EXCEL);
const WORD: Format = Format::new("an Office document", Nothing);
const NUMPY: Format = Format::new("NumPy arrays", Nothing);
const TAR: Format = Format::new("a tar archive", Command("mkdir FILE.files && tar -xf FILE -C FILE.files"));
const CPIO: Format = Format::new("a cpio archive", Command("mkdir FILE.files && cpio -D FILE.files -idm < FILE"));
const PICKLE: Format = Format::new(
    "a Python pickle, which can run code when it is loaded",
    Command(
        "python3 -c 'import pandas; pandas.read_pickle(\"FILE\").to_json(\"FILE.jsonl\", orient=\"records\", lines=True)'",
    ),
);
const TORCH: Format = Format::new("a PyTorch file", Nothing);
const TENSORS: Format = Format::new("model weights (safetensors)", Nothing);
const BSON: Format = Format::new("a dump of MongoDB (BSON)", Command("bsondump --outFile=FILE.jsonl FILE"));
const PANDAS_EXCEL: ToDo = Command(
    "python3 -c 'import pandas; pandas.read_excel(\"FILE\").to_json(\"FILE.jsonl\", orient=\"records\", lines=True)'",
);

/// Position, bytes and format.
const MAGIC: &[(usize, &[u8], Format)] = &[
    (0, b"PK\x05\x06", Format::new("an empty zip archive", Nothing)),
    (257, b"ustar", TAR),
    // One layer is decompressed while reading; this one is below it.
    (0, b"\x1f\x8b", Format::new("compressed twice", Command("gzip -dc FILE > FILE.jsonl"))),
    (0, b"\x28\xb5\x2f\xfd", Format::new("compressed twice", Command("zstd -dc FILE > FILE.jsonl"))),
    (0, b"BZh", Format::new("compressed twice", Command("bzip2 -dc FILE > FILE.jsonl"))),
    (0, b"\xfd7zXZ\0", Format::new("compressed twice", Command("xz -dc FILE > FILE.jsonl"))),
    (0, b"\x5d\0\0", Format::new("compressed with LZMA", Command("xz -dc --format=lzma FILE > FILE.jsonl"))),
    (0, b"LZIP", Format::new("compressed with lzip", Command("lzip -dc FILE > FILE.jsonl"))),
    (0, b"\x04\x22\x4d\x18", Format::new("compressed with LZ4", Command("lz4 -d FILE FILE.jsonl"))),
    (0, b"\x02\x21\x4c\x18", Format::new("compressed with LZ4", Command("lz4 -d FILE FILE.jsonl"))),
    (0, b"\x89LZO\0", Format::new("compressed with lzop", Command("lzop -dc FILE > FILE.jsonl"))),
    (0, b"\xff\x06\0\0sNaPpY", Format::new("compressed with Snappy", Command("snzip -dc FILE > FILE.jsonl"))),
    (0, b"\x1f\x9d", Format::new("compressed with compress", Command("gzip -dc FILE > FILE.jsonl"))),
    (0, b"7z\xbc\xaf\x27\x1c", Format::new("a 7z archive", Command("7z x FILE -oFILE.files"))),
    (0, b"PK\x07\x08PK\x03\x04", Format::new("a part of a zip archive", Command("zip -F FILE --out FILE.zip"))),
    (0, b"MSCF\0\0\0\0", Format::new("a cabinet archive", Command("cabextract -d FILE.files FILE"))),
    (0, b"070701", CPIO),
    (0, b"070702", CPIO),
    (0, b"\xc7\x71", CPIO),
    (0, b"Rar!\x1a\x07", Format::new("a RAR archive", Command("unrar x FILE"))),
    (0, b"PAR1", Format::new("a Parquet file", DuckDb("FROM read_parquet('FILE')"))),
    (0, b"ARROW1\0", Format::new("an Arrow file", PYARROW_FEATHER)),
    (0, b"FEA1", Format::new("a Feather file", PYARROW_FEATHER)),
    (
        0,
        b"\xff\xff\xff\xff",
        Format::new(
            "a stream of Arrow tables",
            Command(
                "python3 -c 'import pyarrow; pyarrow.ipc.open_stream(\"FILE\").read_pandas().to_json(\"FILE.jsonl\", orient=\"records\", lines=True)'",
            ),
        ),
    ),
    (0, b"ORC", Format::new("an ORC file", Command("orc-contents FILE > FILE.jsonl"))),
    (0, b"Obj\x01", Format::new("an Avro file", Command("avro-tools tojson FILE > FILE.jsonl"))),
    (0, b"\x89HDF\r\n\x1a\n", Format::new("an HDF5 file", Nothing)),
    (0, b"\x93NUMPY", NUMPY),
    (
        0,
        b"SQLite format 3\0",
        Format::new(
            "an SQLite database",
            Command("sqlite3 -json FILE 'SELECT * FROM TABLE' | jq -c '.[]' > FILE.jsonl"),
        ),
    ),
    (0, b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", Format::new("an Excel workbook or another Office document", PANDAS_EXCEL)),
    (0, b"%PDF-", Format::new("a PDF document", Nothing)),
    (0, b"{\\rtf", Format::new("an RTF document", Nothing)),
    (0, b"\x89PNG\r\n", Format::new("a PNG image", Nothing)),
    (0, b"\xff\xd8\xff", Format::new("a JPEG image", Nothing)),
    (0, b"GIF8", Format::new("a GIF image", Nothing)),
    (0, b"RIFF", Format::new("an image, sound or video", Nothing)),
    (4, b"ftyp", Format::new("a video or an image", Nothing)),
    (0, b"\x7fELF", Format::new("a program", Nothing)),
    (0, b"RDX", Format::new("a file of R data", Nothing)),
    (0, b"MATLAB 5.0", Format::new("a MATLAB file", Nothing)),
];

const PYARROW_FEATHER: ToDo = Command(
    "python3 -c 'import pandas; pandas.read_feather(\"FILE\").to_json(\"FILE.jsonl\", orient=\"records\", lines=True)'",
);

/// Formats that are zip archives.
fn of_zip(start: &[u8]) -> Format {
    let has = |name: &[u8]| memchr::memmem::find(start, name).is_some();
    if has(b"xl/workbook") || has(b"xl/worksheets") {
        EXCEL
    } else if has(b"[Content_Types].xml") || has(b"mimetypeapplication/vnd.oasis") {
        WORD
    } else if has(b"/data.pkl") {
        TORCH
    } else if start.get(26..).and_then(|rest| rest.first_chunk()).is_some_and(|length| {
        // The name of the first file.
        let end = 30 + usize::from(u16::from_le_bytes(*length));
        start.get(30..end).is_some_and(|name| name.ends_with(b".npy"))
    }) {
        NUMPY
    } else {
        ZIP
    }
}

/// Formats without a fixed sequence of bytes.
fn by_structure(start: &[u8]) -> Option<Format> {
    // Protocols 2 to 5, then the opcode of a frame or of the first value.
    let is_pickle = matches!(start, [0x80, 2..=5, opcode, ..] if b"\x95cC}](qXN\x8c".contains(opcode));
    let is_tensors = start.get(5..).is_some_and(|rest| rest.starts_with(b"\0\0\0{\""));
    match () {
        () if is_pickle => Some(PICKLE),
        () if is_tensors => Some(TENSORS),
        () if is_bson(start) => Some(BSON),
        () if is_old_tar(start) => Some(TAR),
        () => None,
    }
}

/// Whether a document of BSON begins here: its length, then the type and the name of its first field
/// (<https://bsonspec.org/spec.html>).
fn is_bson(start: &[u8]) -> bool {
    const LENGTHS: std::ops::RangeInclusive<usize> = 8..=16 << 20;
    const LONGEST_NAME: usize = 128;
    let Some((length, [kind, fields @ ..])) = start.split_first_chunk() else { return false };
    let length = u32::from_le_bytes(*length) as usize;
    let name = memchr::memchr(0, &fields[..fields.len().min(LONGEST_NAME)]).map(|end| &fields[..end]);
    LENGTHS.contains(&length)
        && matches!(*kind, 0x01..=0x13 | 0x7f | 0xff)
        && name.is_some_and(|name| !name.is_empty() && name.iter().all(u8::is_ascii_graphic))
        && start.get(length - 1).is_none_or(|last| *last == 0)
}

/// Whether the first block is the header of a tar archive without the word `ustar`: its checksum, in
/// octal, counts its own bytes as spaces.
fn is_old_tar(start: &[u8]) -> bool {
    const CHECKSUM: std::ops::Range<usize> = 148..156;
    let Some(header) = start.first_chunk::<512>() else { return false };
    let digits = |byte: &u8| (b'0'..=b'7').contains(byte);
    let wanted: Vec<u8> = header[CHECKSUM].iter().copied().skip_while(|b| *b == b' ').take_while(digits).collect();
    let Some(wanted) = std::str::from_utf8(&wanted).ok().and_then(|octal| u32::from_str_radix(octal, 8).ok()) else {
        return false;
    };
    let found: u32 = (0..).zip(header).map(|(i, b)| if CHECKSUM.contains(&i) { 32 } else { u32::from(*b) }).sum();
    found == wanted
}
