//! Tests of finding files and of naming what is not a dump.
use std::{
    io::{self, Read, Write},
    os::unix::fs::{PermissionsExt, symlink},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::{Compression as Level, write::GzEncoder};
use proptest::prelude::*;

use super::{
    recognise::{Bytes, Recognised, recognised},
    *,
};
use crate::{LineReader, parse};

mod layouts;
mod objects;

fn names(files: &RawFiles) -> (Vec<&str>, Vec<(&str, SkipReason)>) {
    let skipped = files.skipped.iter().map(|file| (file.name.as_str(), file.reason.clone()));
    (files.recognised.iter().map(|file| file.name.as_str()).collect(), skipped.collect())
}

#[test]
fn records_without_text_are_those_of_a_dump() {
    for record in [
        "{\"parent_asin\": \"P\", \"title\": \"\", \"subtitle\": null, \"features\": [], \"description\": []}",
        "{\"asin\": \"P\", \"reviewerID\": \"R\", \"overall\": 5.0, \"unixReviewTime\": 1}",
        "{\"asin\": \"P\", \"also_buy\": [\"Q\"], \"category\": []}",
        "{\"user_id\": \"R\", \"title\": \"\", \"text\": \"\", \"rating\": 5}",
        "{\"reviewerID\": \"R\", \"reviewText\": \"Good\"}",
    ] {
        assert_eq!(named(record.as_bytes()), None, "{record}");
    }
}

/// What bytes are, and what to do about a file `FILE` of them. `None` for a dump.
fn named(bytes: &[u8]) -> Option<(String, String)> {
    let open = || Ok(Box::new(io::Cursor::new(bytes.to_vec())) as Box<dyn Read + Send>);
    match recognised(&Bytes { open: &open, file: None }, None).unwrap() {
        Recognised::Records(_) => None,
        Recognised::Other(reason) => {
            Some((reason.to_string(), reason.hint(Path::new("FILE"), None).unwrap_or_default()))
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Level::fast());
    gz.write_all(bytes).unwrap();
    gz.finish().unwrap()
}

fn zip(name: &str) -> Vec<u8> {
    let mut bytes = b"PK\x03\x04\x14\0\0\0\0\0\0\0!P\0\0\0\0\0\0\0\0\0\0\0\0".to_vec();
    bytes.truncate(26);
    bytes.extend((name.len() as u16).to_le_bytes());
    bytes.extend([0, 0]);
    bytes.extend(name.as_bytes());
    bytes.extend(b"\n{\"asin\": \"ZIP1\", \"title\": \"Zip tie\"}\n{\"asin\": \"ZIP2\", \"title\": \"Tie\"}\n");
    bytes
}

fn utf16(text: &str, bytes: fn(u16) -> [u8; 2]) -> Vec<u8> {
    text.encode_utf16().flat_map(bytes).collect()
}

const RECORDS: &str =
    "{\"asin\": \"G1\", \"title\": \"Café\", \"category\": [\"Garden\"]}\n{\"asin\": \"G2\", \"title\": \"Hoe\"}\n";

/// Bytes, what they are, and the beginning of what to do.
#[test]
fn what_is_not_a_dump_is_named_with_what_to_do() {
    let records = RECORDS.as_bytes();
    let with_mark = format!("\u{feff}{RECORDS}");
    let latin1: Vec<u8> = b"{\"asin\": \"L1\", \"title\": \"Caf\xe9 au lait bowl\"}\n".to_vec();
    let gbk = b"{\"asin\": \"L1\", \"title\": \"\xc2\xcc\xb2\xe8\xd2\xb6\"}\n".to_vec();
    let shift_jis = b"{\"asin\": \"L1\", \"title\": \"\x83\x60\x83\x83\x81\x5b\x83\x6e\x83\x93\"}\n".to_vec();
    let iconv = |from: &str| format!("`iconv -f {from} -t UTF-8 < FILE > FILE.jsonl`");
    let jq = |program: &str| format!("`jq -c '{program}' < FILE > FILE.jsonl`");
    let config = |line: &str| format!("name its fields in shop.toml, `{line}`, and add `--config shop.toml`");
    let web = "fetch the file itself";
    let server = "check the address";
    let cases: Vec<(Vec<u8>, &str, String)> = vec![
        (b"".to_vec(), "empty", "fetch it again".into()),
        (b" \r\n\n".to_vec(), "empty", "fetch it again".into()),
        (
            b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n".to_vec(),
            "a Git LFS pointer, not the file itself",
            "`git lfs pull`".into(),
        ),
        // Servers.
        (
            b"<!DOCTYPE html>\n<html><head><title>Sign in</title></head></html>\n".to_vec(),
            "a web page with the title \"Sign in\"",
            web.into(),
        ),
        (b"\n<HTML><BODY>Wait</BODY></HTML>".to_vec(), "a web page", web.into()),
        (
            b"<?xml version=\"1.0\"?><Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>".to_vec(),
            "the error message of a server: \"Access Denied\"",
            server.into(),
        ),
        (
            b"{\"message\": \"Not Found\", \"documentation_url\": \"https://x\", \"status\": \"404\"}".to_vec(),
            "the error message of a server: \"Not Found\"",
            server.into(),
        ),
        (b"{\n  \"error\": {\"code\": 403, \"message\": \"No\"}\n}".to_vec(), "the error message of a server: \"No\"", server.into()),
        (b"{\"detail\": \"No\"}".to_vec(), "the error message of a server: \"No\"", server.into()),
        (b"<?xml version=\"1.0\"?>\n<!-- a -->\n<sentences><sentence/></sentences>".to_vec(), "an XML document <sentences>", "".into()),
        (
            b"<!-- <html> -->\n<rss><item><title>A</title><description><![CDATA[<script>1</script>]]></description></item></rss>"
                .to_vec(),
            "an XML document <rss>",
            "".into(),
        ),
        (b"<?xml version=\"1.0\"?><products><body-html>&lt;p></body-html></products>".to_vec(), "an XML document <products>", "".into()),
        (b"<table_data><header>x</header></table_data>".to_vec(), "an XML document <table_data>", "".into()),
        (b"<?xml version=\"1.0\"?><!DOCTYPE html PUBLIC \"x\">\n<html xmlns=\"y\"><head/></html>".to_vec(), "a web page", web.into()),
        (b"<script>location='/login'</script>".to_vec(), "a web page", web.into()),
        (b"Entry not found".to_vec(), "the text \"Entry not found\"", "if a server sent it".into()),
        // Encodings.
        (utf16(&with_mark, u16::to_le_bytes), "text in UTF-16", iconv("UTF-16")),
        (utf16(&with_mark, u16::to_be_bytes), "text in UTF-16", iconv("UTF-16")),
        (utf16(RECORDS, u16::to_le_bytes), "text in UTF-16", iconv("UTF-16LE")),
        (utf16(RECORDS, u16::to_be_bytes), "text in UTF-16", iconv("UTF-16BE")),
        (RECORDS.chars().flat_map(|c| (c as u32).to_le_bytes()).collect(), "text in UTF-32", iconv("UTF-32")),
        (latin1.clone(), "text in Latin-1 or Windows-1252", iconv("WINDOWS-1252")),
        (latin1.repeat(3_000), "text in Latin-1 or Windows-1252", iconv("WINDOWS-1252")),
        (gbk, "text in an encoding other than UTF-8", iconv("ENCODING")),
        (
            b"product/productId: B0\nreview/userId: A\nreview/text: Caf\xe9\n\nproduct/productId: B1\nreview/text: Bad\n".to_vec(),
            "text in Latin-1 or Windows-1252",
            iconv("WINDOWS-1252"),
        ),
        (b"\xef\xbb\xbf\n".to_vec(), "empty", "fetch it again".into()),
        (shift_jis, "text in an encoding other than UTF-8", iconv("ENCODING")),
        // JSON that is not one record per line.
        (
            b"{\"B1\": {\"title\": \"Tea\"}, \"B2\": {\"title\": \"Salt\"}}".to_vec(),
            "a JSON object with one record per key",
            jq("to_entries[] | {asin: .key} + .value"),
        ),
        (
            b"{\"shop's\": {\"B1\": {\"title\": \"Tea\"}, \"B2\": {\"title\": \"Salt\"}}}".to_vec(),
            "a JSON object with one record per key of `shop's`",
            jq(r#".["shop'\''s"] | to_entries[] | {asin: .key} + .value"#),
        ),
        (
            b"{\"data\": {\"page\": {\"n\": 2}}}".to_vec(),
            "a JSON object around others: found data; expected records or an array of them",
            "if it holds an array of records, write them one per line with `jq -c '.PATH[]' < FILE > FILE.jsonl`".into(),
        ),
        (
            b"{\"builder_name\": \"tea\", \"description\": \"Tea\", \"features\": {\"title\": {\"dtype\": \"string\"}}, \"splits\": {}}"
                .to_vec(),
            "a description of a data set, not its records",
            "".into(),
        ),
        (
            b"{\"protocol\": {\"minReaderVersion\": 1}}\n{\"add\": {\"path\": \"part-0.parquet\", \"size\": 637}}\n".to_vec(),
            "a description of a data set, not its records",
            "".into(),
        ),
        (
            b"{\"asin\": {\"0\": \"B0\", \"1\": \"B1\"}, \"title\": {\"0\": \"Tea\", \"1\": \"Salt\"}}".to_vec(),
            "a JSON object with one object per column",
            "`python3 -c 'import pandas".into(),
        ),
        (
            b"{\"columns\": [\"asin\", \"title\"], \"index\": [0], \"data\": [[\"B0\", \"Tea\"]]}".to_vec(),
            "a JSON object with a list of columns and lists of values",
            "`jq -c '. as {$columns, $data}".into(),
        ),
        (b"[[1, 2], [3, 4]]".to_vec(), "JSON that is not records: `[[1, 2], [3, 4]]`", "".into()),
        (b"{}".to_vec(), "JSON that is not records: `{}`", "".into()),
        (
            b"{'_id': Widget('65a1'), 'asin': 'M1'}\n".to_vec(),
            "no line is a record; line 1: found the name `Widget` at byte 8, expected a value",
            "".into(),
        ),
        (
            b"\"{\\\"asin\\\": \\\"B0\\\", \\\"title\\\": \\\"Tea\\\"}\"\n".to_vec(),
            "records inside JSON strings",
            jq("fromjson"),
        ),
        (b"/annex/objects/SHA256E-s12--ab.json\n".to_vec(), "a git-annex pointer, not the file itself", "`git annex get FILE`".into()),
        // Other fields.
        (
            b"{\"sku\": \"K1\", \"product_title\": \"Cedar box\", \"product_bullet_point\": null, \"product_brand\": \"H\"}\n\
              {\"sku\": \"K2\", \"color\": \"red\"}\n"
                .to_vec(),
            "records with other fields: found sku, product_title, product_bullet_point, product_brand, color; \
             expected asin or parent_asin with title, description, features, … (products) or reviewText or text (reviews)",
            config("products = { path = \"FILE\", id = \"sku\", title = \"product_title\", text = \"product_bullet_point\", brand = \"product_brand\" }"),
        ),
        (
            b"{\"Item Name\": \"Cedar box\"}\n".to_vec(),
            "records with other fields: found Item Name; expected",
            config("products = { path = \"FILE\", id = \"ID\", title = \"Item Name\" }"),
        ),
        (
            b"{\"product_id\": 1, \"review_body\": \"Good\", \"star_rating\": 5, \"customer_id\": 7}\n".to_vec(),
            "records with other fields: found product_id, review_body, star_rating, customer_id; expected",
            config("reviews = { path = \"FILE\", product = \"product_id\", text = \"review_body\", rating = \"star_rating\", reviewer = \"customer_id\" }"),
        ),
        (b"{\"a\": 1}\n".to_vec(), "records with other fields: found a; expected", config("products = { path = \"FILE\", id = \"ID\", title = \"TITLE\", text = \"DESCRIPTION\" }")),
        (
            b"{\"product_id\": \"K1\", \"title\": \"Tea\", \"category\": \"Food\"}\n".to_vec(),
            "products without an id: expected asin or parent_asin, found the fields product_id, title, category",
            config("products = { path = \"FILE\", id = \"product_id\", title = \"title\", categories = \"category\" }"),
        ),
        (
            b"{\"asin\": null, \"title\": \"Tea\", \"category\": \"Food\"}\n".repeat(200),
            "products without an id: asin and parent_asin have no value; found the fields asin, title, category",
            "`jq -nc 'foreach inputs as $record".into(),
        ),
        (
            b"{\"review_id\": 1, \"book_id\": 2, \"user_id\": \"u\", \"rating\": 5, \"review_text\": \"x\"}\n".to_vec(),
            "records with other fields: found review_id, book_id, user_id, rating, review_text; expected",
            config("reviews = { path = \"FILE\", product = \"book_id\", text = \"review_text\", rating = \"rating\", reviewer = \"user_id\" }"),
        ),
        (
            b"{\"asin\": \"B0\", \"category\": [\"Tea\"], \"product_name\": \"x\"}\n".to_vec(),
            "records with other fields: found asin, category, product_name; expected",
            config("products = { path = \"FILE\", id = \"asin\", title = \"product_name\", categories = \"category\" }"),
        ),
        (
            b"{\"asin\": \"B0\", \"title\": \"Te".to_vec(),
            "no line is a record; line 1: EOF while parsing a string at column 27",
            "".into(),
        ),
        (
            b"{\"user_id\":\"u\",\"name\":\"N\",\"review_count\":5,\"yelping_since\":\"2007\"}\n".to_vec(),
            "a file of the Yelp data set without texts",
            "".into(),
        ),
        (b"{\"business_id\":\"b\",\"date\":\"2016\"}\n".to_vec(), "a file of the Yelp data set without texts", "".into()),
        // JSON-LD.
        (
            b"{\"@type\": \"Product\", \"sku\": \"K1\", \"name\": \"Kettle\", \"description\": \"It boils.\", \"review\": \
              [{\"@type\": \"Review\", \"reviewBody\": \"Good\"}]}\n"
                .to_vec(),
            "records with other fields: found @type, sku, name, description, review; expected",
            config("products = { path = \"FILE\", id = \"sku\", title = \"name\", text = \"description\" }"),
        ),
        // Text.
        (b"B0;Tea;hot\nB1;Salt;dry\nB2;Oil;wet\nB3;A;b\n".to_vec(), "a table with semicolons between values", "name its fields".into()),
        (
            b"sku;name;price\nB0;Tea;3\n".to_vec(),
            "a table with semicolons between values and the columns sku, name, price",
            config("products = { path = \"FILE\", id = \"sku\", title = \"name\" }"),
        ),
        (b"sku,name\nB0,Caf\xe9\n".to_vec(), "text in Latin-1 or Windows-1252", iconv("WINDOWS-1252")),
        (b"asin,title\n".to_vec(), "a table without rows", "fetch it again".into()),
        (
            b"asin,title\nB1,\"unclosed\nand cut\n".to_vec(),
            "a table without a row that can be read: the quote that opens in the row at line 2 is not closed",
            "correct the quotes".into(),
        ),
        (b"0.97\tabraham lincoln\n0.9\tcracker barrel\n".to_vec(), "a list of phrases with scores", "".into()),
        (b"[PAD]\n[unused0]\n".to_vec(), "the vocabulary of a tokenizer", "".into()),
        (b"# Notes\nHello, world.\n".to_vec(), "plain text", "".into()),
        (b"ORCHIDS\nand other flowers\n".to_vec(), "plain text", "".into()),
        (b"[package]\nname = \"x\"\n".to_vec(), "plain text", "".into()),
        (b"{\"<s>\": 0, \"<pad>\": 1, \"the\": 2}".to_vec(), "the vocabulary of a tokenizer", "".into()),
        // Formats.
        (zip("arr_0.npy"), "NumPy arrays", "".into()),
        (zip("xl/workbook.xml"), "an Excel workbook", "`python3 -c 'import pandas; pandas.read_excel(\"FILE\")".into()),
        (gzip(records), "compressed twice", "`gzip -dc FILE > FILE.jsonl`".into()),
        (b"\x04\x22\x4d\x18\x64\x40".to_vec(), "compressed with LZ4", "`lz4 -d".into()),
        (b"7z\xbc\xaf\x27\x1c\0\x04".to_vec(), "a 7z archive", "`7z x FILE".into()),
        (b"MSCF\0\0\0\0\x05".to_vec(), "a cabinet archive", "`cabextract".into()),
        (
            b"Products of May\n\nasin,title,brand\nB0,Tea,Orla\n".to_vec(),
            "a table below other text, with the columns asin, title, brand in line 3",
            "`tail -n +3 FILE > FILE.csv`".into(),
        ),
        (
            b"Nummer;Bezeichnung;Preis\nA1;Kiste;12,50\n".to_vec(),
            "a table with semicolons between values and the columns Nummer, Bezeichnung, Preis; expected",
            "name its fields in shop.toml, `products = { path = \"FILE\", id = \"ID\"".into(),
        ),
        (
            b"Nummer;Bezeichnung;Preis\nA1;K\xfcbel;12,50\n".to_vec(),
            "text in Latin-1 or Windows-1252",
            "`iconv -f WINDOWS-1252 -t UTF-8 < FILE > FILE.jsonl`".into(),
        ),
        (b"0707010000\0".to_vec(), "a cpio archive", "`mkdir FILE.files && cpio".into()),
        (b"Rar!\x1a\x07\x01\0".to_vec(), "a RAR archive", "`unrar x FILE`".into()),
        (
            b"PAR1\x15\x04\x15\x10\n".to_vec(),
            "a Parquet file",
            "`duckdb -c \"COPY (FROM read_parquet('FILE')) TO 'FILE.jsonl' (FORMAT json)\"`".into(),
        ),
        (b"\x80\x04\x95\x10\0\0\0\0\0\0\0}".to_vec(), "a Python pickle, which can run code when it is loaded", "`python3 -c".into()),
        (b"\x93NUMPY\x01\0v\0{'descr': '<f8'}\n".to_vec(), "NumPy arrays", "".into()),
        (b"SQLite format 3\0\x10\0".to_vec(), "an SQLite database", "`sqlite3 -json FILE".into()),
        (b"%PDF-1.7\n".to_vec(), "a PDF document", "".into()),
        (b"\x89PNG\r\n\x1a\n".to_vec(), "a PNG image", "".into()),
        (b"\x35\0\0\0\x07_id\0\x65\xa1".to_vec(), "a dump of MongoDB (BSON)", "`bsondump".into()),
        (b"\x2c\0\0\0\x02asin\0\x03\0\0\0B1\0\x02title\0\x04\0\0\0Fan\0".to_vec(), "a dump of MongoDB (BSON)", "`bsondump".into()),
        (b"\x01\x02\x03\0\x05".to_vec(), "binary data of an unknown format", "".into()),
    ];
    for (bytes, what, to_do) in cases {
        let start = String::from_utf8_lossy(&bytes[..bytes.len().min(80)]).into_owned();
        let (found, hint) = named(&bytes).unwrap_or_else(|| panic!("{start:?} is read as a dump"));
        assert!(found == what || what.ends_with("expected") && found.starts_with(what), "{start:?}: {found}");
        assert!(if to_do.is_empty() { hint.is_empty() } else { hint.starts_with(&to_do) }, "{start:?}: {hint}");
        assert!(!found.contains(char::is_control), "{found:?}");
    }
}

#[test]
fn ratings_are_read_beside_texts_only() {
    for ratings in [
        &b"u1,P1,5.0,1400000000\nu2,P2,3.0,1400000001\n"[..],
        &b"1::1193::5::978300760\n".repeat(9_000),
        b"userId,movieId,rating,timestamp\r\n1,1,4.0,964982703\r\n",
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("ratings"), ratings).unwrap();
        let Err(FindError::NothingRecognised { files, .. }) = find(folder.path(), folder.path()) else { panic!() };
        assert_eq!(files.skipped[0].reason, SkipReason::Ratings);
        assert!(files.skipped[0].hint().unwrap().starts_with("a corpus needs text"));
        fs::write(folder.path().join("meta"), b"{\"asin\": \"B0\", \"title\": \"Tea\"}").unwrap();
        let files = find(folder.path(), folder.path()).unwrap();
        assert!(files.skipped.is_empty() && files.recognised[1].ratings.is_some());
    }
}

#[test]
fn dumps_are_read_also_inside_an_array() {
    let [first, second] = ["{\"asin\": \"B0\", \"title\": \"Tea\"}", "{'asin': 'B1', 'title': 'Salt'}"];
    for text in [
        format!("{first}\n{second}\n"),
        format!("\u{feff}{first}\r\n{second}"),
        format!("{first},\n{second},\n"),
        format!("{first} ,\r\n{second}"),
        format!("[\n{first},\n{second}\n]\n"),
        format!("\n[{first},\n  {second}]"),
        format!("[\n{first},\n{second}]\n[\n]"),
        format!("{}\n{first}\n{second}\n", "x".repeat(crate::MAX_LINE + 1)),
        format!("[\"Tea\"]}}\n{first}\n{second}\n"),
    ] {
        assert_eq!(named(text.as_bytes()), None, "{text:.80}");
        let mut lines = LineReader::of_records(Box::new(io::Cursor::new(text.clone())));
        let mut ids = Vec::new();
        while let Some(batch) = lines.next_batch(8) {
            ids.extend(batch.iter().filter_map(|line| parse(line.bytes, |r| r.product_id().map(str::to_owned)).ok()));
        }
        assert_eq!(ids, [Some("B0".to_owned()), Some("B1".to_owned())], "{text:.80}");
    }
}

#[test]
fn compressed_files_are_named_with_commands_that_decompress() {
    let folder = tempfile::tempdir().unwrap();
    for (name, bytes) in [
        ("good.jsonl", RECORDS.as_bytes().to_vec()),
        ("empty.gz", gzip(b"")),
        ("_SUCCESS", Vec::new()),
        ("page.json.gz", gzip(b"<html><title>Sign\n in</title>")),
        ("packed", zstd::encode_all(&zip("meta.json")[..], 1).unwrap()),
        ("a file.csv", b"sku,title\nB0,Tea\n".to_vec()),
    ] {
        fs::write(folder.path().join(name), bytes).unwrap();
    }
    let found = find(folder.path(), Path::new("nowhere")).unwrap();
    let at = format!("{}/", folder.path().display());
    let skipped: Vec<_> = found
        .skipped
        .iter()
        .map(|file| (file.name.as_str(), file.reason.to_string(), file.hint().unwrap_or_default().replace(&at, "")))
        .collect();
    let wanted = [
        ("_SUCCESS", "empty", ""),
        (
            "a file.csv",
            "a table with commas between values and the columns sku, title",
            "name its fields in shop.toml, `products = { path = \"a file.csv\", id = \"sku\", title = \"title\" }`, \
             and add `--config shop.toml`",
        ),
        ("empty.gz", "empty", "fetch it again"),
        ("packed", "a zip archive", "`zstd -dc packed > packed.plain && unzip packed.plain -d packed.plain.files`"),
        (
            "page.json.gz",
            "a web page with the title \"Sign in\"",
            "fetch the file itself; if the site asks you to sign in, do so in a browser and download it there",
        ),
    ];
    assert_eq!(skipped, wanted.map(|(name, what, hint)| (name, what.to_owned(), hint.to_owned())));
    assert_eq!(names(&found).0, ["good.jsonl"]);
}

/// A stream that counts what is read from it.
struct CountedStream<R> {
    stream: R,
    read: Arc<AtomicU64>,
}

impl<R: Read> Read for CountedStream<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.stream.read(into)?;
        self.read.fetch_add(n as u64, Ordering::Relaxed);
        Ok(n)
    }
}

#[test]
fn the_start_of_an_endless_file_is_enough() {
    for begin in ["", "[{\"a\": \"", "{\"asin\": ", "a,b\n", "<a>"] {
        for byte in [b' ', b'\n', b'x', b'{', 0] {
            let read = Arc::new(AtomicU64::new(0));
            let open = || {
                let stream = io::Cursor::new(begin.as_bytes()).chain(io::repeat(byte));
                Ok(Box::new(CountedStream { stream, read: read.clone() }) as Box<dyn Read + Send>)
            };
            let first = recognised(&Bytes { open: &open, file: None }, None).unwrap();
            assert!(matches!(first, Recognised::Other(_)), "{begin} {byte}");
            // Once as lines, and once for each of at most two other layouts.
            assert!(read.load(Ordering::Relaxed) <= 3 * (48 << 20), "{begin} {byte}");
        }
    }
}

#[test]
fn the_sample_is_recognised() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../data/sample");
    let found = find(&folder, Path::new("nowhere")).unwrap();
    let holds: Vec<_> =
        found.recognised.iter().map(|file| (file.name.as_str(), file.holds.unwrap().to_string())).collect();
    let wanted = [("Sample_5.json.gz", "2018 reviews"), ("meta_sample.json.gz", "2018 products")];
    assert_eq!(holds, wanted.map(|(name, holds)| (name, holds.to_owned())));
    let skipped: Vec<_> = found.skipped.iter().map(|file| file.reason.to_string()).collect();
    assert!(skipped.contains(&"the vocabulary of a tokenizer".to_owned()), "{skipped:?}");
}

/// Pieces of what files begin with.
const PIECES: &[&[u8]] = &[
    b"{",
    b"}",
    b"[",
    b"]",
    b"\"asin\": \"B0\"",
    b",",
    b"\n",
    b"\"title\": \"T\"",
    b"'a': 1",
    b"<",
    b">",
    b"<html>",
    b"<title>",
    b"</",
    b"/",
    b": ",
    b"::",
    b"\xe9",
    b"\xff\xfe",
    b"\0",
    b"1",
    b"\t",
    b"PK\x03\x04",
];

proptest! {
    #[test]
    fn any_bytes_are_read_or_named(bytes in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        prop::collection::vec(prop::sample::select(PIECES), 0..40)
        .prop_map(|pieces| pieces.concat()),
    ], compress in any::<bool>()) {
        named(&bytes);
        named(&if compress { gzip(&bytes) } else { bytes });
    }
}

#[test]
fn links_are_followed_once_around_and_those_to_nothing_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let raw = folder.path().join("raw");
    fs::create_dir_all(raw.join("a/b")).unwrap();
    fs::create_dir(folder.path().join("elsewhere")).unwrap();
    let record = "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}\n";
    for name in ["raw/a/b/meta.json", "elsewhere/meta.json"] {
        fs::write(folder.path().join(name), record).unwrap();
    }
    fs::write(raw.join("notes.txt"), "nothing\n").unwrap();
    symlink(folder.path().join("elsewhere"), raw.join("linked")).unwrap();
    symlink("..", raw.join("a/b/up")).unwrap();
    symlink(&raw, raw.join("a/root")).unwrap();
    symlink("itself", raw.join("itself")).unwrap();
    symlink("gone.json", raw.join("lost.json")).unwrap();
    symlink("notes.txt/x", raw.join("lost.txt")).unwrap();
    symlink("x".repeat(300), raw.join("lost.zst")).unwrap();
    let found = find(&raw, &folder.path().join("out")).unwrap();
    let (recognised, skipped) = names(&found);
    assert_eq!(recognised, ["a/b/meta.json", "linked/meta.json"]);
    let lost = ["itself", "lost.json", "lost.txt", "lost.zst"].map(|name| (name, SkipReason::DeadLink));
    let notes = ("notes.txt", SkipReason::Text { only_line: Some("nothing".to_owned()) });
    assert_eq!(skipped, [&lost[..], &[notes]].concat());
}

#[test]
fn a_link_into_the_output_is_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let [raw, out] = ["raw", "out"].map(|name| folder.path().join(name));
    fs::create_dir_all(out.join("shards")).unwrap();
    fs::create_dir_all(out.join("raw/old")).unwrap();
    fs::create_dir(&raw).unwrap();
    let record = "{\"asin\": \"B0\", \"title\": \"Tea\", \"also_buy\": []}\n";
    for file in [raw.join("meta.json"), out.join("shards/meta.json"), out.join("raw/old/meta.json")] {
        fs::write(file, record).unwrap();
    }
    symlink(out.join("shards"), raw.join("made")).unwrap();
    symlink(&out, raw.join("out")).unwrap();
    assert_eq!(names(&find(&raw, &out).unwrap()).0, ["meta.json"]);
    // Raw files that lie in the output folder are read.
    assert_eq!(names(&find(&out.join("raw"), &out).unwrap()).0, ["old/meta.json"]);
}

#[test]
fn what_is_not_a_corpus_is_named_for_what_it_is() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("notes.txt");
    fs::write(&file, "hello\n").unwrap();
    let error = |path: &Path| find(path, Path::new("out")).unwrap_err();
    assert!(matches!(error(&folder.path().join("gone")), FindError::NoFolder { .. }));
    assert!(matches!(error(&file.join("below")), FindError::NoFolder { .. }));
    assert!(matches!(error(&file), FindError::NothingRecognised { .. }));
    assert!(matches!(error(Path::new("/dev/null")), FindError::Read { .. }));
    symlink("itself", folder.path().join("itself")).unwrap();
    assert!(matches!(error(&folder.path().join("itself")), FindError::Read { .. }));
}

#[test]
fn a_folder_that_cannot_be_read_is_an_error() {
    let folder = tempfile::tempdir().unwrap();
    let closed = folder.path().join("closed");
    fs::create_dir(&closed).unwrap();
    fs::set_permissions(&closed, fs::Permissions::from_mode(0o000)).unwrap();
    // Root reads everything.
    if fs::read_dir(&closed).is_ok() {
        return;
    }
    let error = find(folder.path(), Path::new("out")).unwrap_err();
    assert!(matches!(&error, FindError::Read { path, .. } if *path == closed), "{error}");
}
