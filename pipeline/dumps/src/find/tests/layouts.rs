//! Tests of files whose records are not lines, or not those of a dump.
use arrow_array::{
    ArrayRef, FixedSizeBinaryArray, Int64Array, ListArray, RecordBatch, StringArray,
    builder::{BinaryBuilder, ListBuilder},
    types::Int32Type,
};
use arrow_ipc::writer::{FileWriter, StreamWriter};
use parquet::{arrow::ArrowWriter, basic::Compression, file::properties::WriterProperties};
use zip::write::SimpleFileOptions;

use super::*;
use crate::{Fields, Kind, Layout, Mapping};

/// Kind, id and text of each record, or what is wrong with it.
pub(super) fn records(file: &DumpFile) -> Vec<String> {
    let mut reader = file.records(Arc::default()).unwrap();
    let mut all = Vec::new();
    while let Some(batch) = reader.next_batch(64) {
        for line in batch.iter() {
            let read = file.parse(line.bytes, |record| {
                let kind = record.record_type().or(file.holds).map_or("?", |found| found.kind.stem());
                let id = record.product_id().unwrap_or("none").to_owned();
                let text = match kind {
                    "reviews" => record.review_pieces().collect::<Vec<_>>().join(" / "),
                    _ => record.title.iter().chain(record.features()).collect::<Vec<_>>().join(" / "),
                };
                format!("{kind} {id} {text}")
            });
            all.push(read.unwrap_or_else(|error| format!("line {}: {error}", line.number)));
        }
        all.extend(batch.malformed.iter().map(|(number, why)| format!("line {number}: {why}")));
        all.extend(batch.damage.iter().map(|damage| format!("after {}: {}", damage.after_line, damage.error)));
    }
    all
}

/// The records of all files of a folder with one file, which is read.
pub(super) fn of_file(name: &str, bytes: &[u8]) -> Vec<String> {
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join(name), bytes).unwrap();
    match find(folder.path(), Path::new("nowhere")) {
        Ok(files) => files.recognised.iter().flat_map(records).collect(),
        Err(FindError::NothingRecognised { files, .. }) => {
            let skipped = files.skipped.iter().map(|file| format!("skipped: {}", file.reason));
            files.recognised.iter().flat_map(records).chain(skipped).collect()
        }
        Err(error) => panic!("{error}"),
    }
}

const TEA_AND_SALT: [&str; 2] = ["products B0 Tea", "products B1 Salt"];

#[test]
fn json_is_read_in_any_form() {
    let [first, second] = ["{\"asin\": \"B0\", \"title\": \"Tea\"}", "{\"asin\": \"B1\", \"title\": \"Salt\"}"];
    let [pretty, other] = [first, second].map(|record| record.replace(", ", ",\n  ").replace('{', "{\n  "));
    for text in [
        format!("{pretty}\n{other}\n"),
        format!("{pretty},\n{other},\n"),
        format!("{first} {second}"),
        format!("{first}{second}"),
        format!("{first}, {second}"),
        format!("[{first}, {second}]"),
        format!("\u{feff}[\n{pretty},\n{other}\n]"),
        format!("[{first},\n{second},\n]"),
        format!("[[{first}], [{second}]]"),
        format!("{{\"n\": 2, \"products\": [{first}, {second}]}}"),
        format!("{{\n\"n\": 2,\n\"data\": {{\"items\": [{pretty}, {other}]}}}}"),
        format!("{{\"page\": 1, \"found\": [{first}]}}\n{{\"page\": 2, \"found\": [{second}]}}\n"),
        format!("{{\"_id\": 1, \"_source\": {first}}}\n{{\"_id\": 2, \"_source\": {second}}}\n"),
        format!("[{}, {}]", first.replace('"', "'"), second.replace('"', "'")),
        format!(
            "{{\"hits\": {{\"hits\": [{{\"_id\": 1, \"_source\": {first}}}, {{\"_id\": 2, \"_source\": {second}}}]}}}}"
        ),
        format!("[{{\"_id\": 1, \"_source\": {first}}}, {{\"_id\": 2, \"_source\": {second}}}]"),
        format!(
            "{{\"rows\": [{{\"row_idx\": 0, \"row\": {first}}}, {{\"row_idx\": 1, \"row\": {second}}}], \"n\": 2}}"
        ),
        format!(
            "{{\"data\": {{\"products\": {{\"edges\": [{{\"cursor\": \"x\", \"node\": {first}}}, \
             {{\"node\": {second}}}], \"pageInfo\": {{}}}}}}}}"
        ),
        format!("{{\"a\": {{\"b\": {{\"c\": {{\"d\": {{\"all\": [{first}, {second}]}}}}}}}}}}"),
        format!("[{first}\n,{second}]"),
    ] {
        assert_eq!(of_file("meta.json", text.as_bytes()), TEA_AND_SALT, "{text}");
        assert_eq!(of_file("meta.json.gz", &gzip(text.as_bytes())), TEA_AND_SALT, "{text}");
    }
    // A product next to what was asked for, and next to its review.
    let related = first.replace('}', ", \"also_bought\": [{\"title\": \"Salt\", \"asin\": \"B1\"}]}");
    for asked in ["\"request_info\": {\"success\": true}", "\"asked\": {\"asin\": \"B0\"}, \"at\": {\"n\": 1}"] {
        let answer = format!("{{{asked}, \"product\": {related}}}");
        assert_eq!(of_file("answer.json", answer.as_bytes())[..1], TEA_AND_SALT[..1], "{answer}");
    }
    let beside = format!("{{\"review\": {{\"asin\": \"B0\", \"reviewText\": \"Good\"}}, \"product\": {first}}}\n");
    for lines in [beside.clone(), beside.replace("B0", "B2") + &beside, beside.replace(", ", ",\n")] {
        let mut found = of_file("pairs.json", lines.as_bytes());
        found.retain(|record| record.contains(" B0 "));
        assert_eq!(found, ["products B0 Tea", "reviews B0 Good"], "{lines}");
    }
    for keyed in [
        format!("{{\"B0\": {related}, \"B1\": {second}}}"),
        format!("{{\"B0\": {related}, \"B1\": {{\"price\": 3}}}}"),
        format!("{{\"B0\": {related}, \"B1\": {{\"asin"),
        format!("{{\"x\": {related}, \"y\": {second}}}"),
    ] {
        assert_eq!(
            of_file("keyed.json", keyed.as_bytes()),
            ["skipped: a JSON object with one record per key"],
            "{keyed}"
        );
    }
    // Pages of what was found, and the rows of Hugging Face.
    for pages in [
        format!("[{{\"page\": 1, \"items\": [{first}]}}, {{\"page\": 2, \"items\": [{second}]}}]"),
        format!("{{\"pages\": [{{\"items\": [{first}]}}, {{\"items\": [{second}]}}]}}"),
        format!("{{\"results\": [{{\"hits\": [{first}, {second}], \"nbHits\": 2}}]}}"),
        format!(
            "{{\"dataset\": \"x\", \"features\": [{{\"feature_idx\": 0, \"name\": \"asin\", \"type\": {{\"dtype\": \"string\"}}}}], \
             \"rows\": [{{\"row_idx\": 0, \"row\": {first}, \"truncated_cells\": []}}, {{\"row_idx\": 1, \"row\": {second}}}]}}"
        ),
        format!(
            "{{\"Item\": {{\"asin\": {{\"S\": \"B0\"}}, \"title\": {{\"S\": \"Tea\"}}}}}}\n{{\"Item\": {second}}}\n"
        ),
    ] {
        assert_eq!(of_file("pages.json", pages.as_bytes()), TEA_AND_SALT, "{pages}");
    }
    let parts =
        "{\"rows\": [{\"sku\": \"x\", \"name\": \"Set\", \"parts\": [{\"asin\": \"B0\", \"title\": \"Tea\"}]}]}";
    assert!(of_file("parts.json", parts.as_bytes())[0].starts_with("skipped: "), "{parts}");
    // Objects inside records are not records.
    let variants = "[\n  {\n    \"asin\": \"B0\", \"title\": \"Tea\",\n    \"variants\": [\n      {\"asin\": \"V0\", \"title\": \"x\"},\n      {\"asin\": \"V1\", \"title\": \"x\"}\n    ]\n  },\n  {\"asin\": \"B1\", \"title\": \"Salt\"}\n]\n";
    assert_eq!(of_file("meta.json", variants.as_bytes()), TEA_AND_SALT);
    let facets = format!("{{\"facets\": [{{\"n\": 1}}], \"products\": [\n{first},\n{second}\n], \"count\": 2}}");
    assert_eq!(of_file("meta.json", facets.as_bytes()), TEA_AND_SALT);
    let review = "{\"asin\": \"B0\", \"reviewText\": \"Good\"}";
    let both = format!("{{\"products\": [{first}, {second}], \"facets\": [{{\"n\": 1}}], \"reviews\": [{review}]}}");
    assert_eq!(of_file("shop.json", both.as_bytes()), ["products B0 Tea", "products B1 Salt", "reviews B0 Good"]);
    // Long files, of which the start is not whole.
    let pretty = "{\n  \"asin\": \"PP1\",\n  \"title\": \"Oak stool\"\n}";
    for (open, close) in [("", ""), ("[", "]"), ("{\"n\": 3, \"data\": {\"items\": [", "]}}")] {
        let text = format!("{open}{}{close}", vec![pretty; 3_000].join(", "));
        assert_eq!(of_file("all.json", text.as_bytes()), vec!["products PP1 Oak stool"; 3_000], "{open}");
    }
    let cut = of_file("all.json", format!("[{pretty}, {pretty}, {{\"asin\": \"X").as_bytes());
    assert_eq!(cut[2], "after 2: the file ends inside a record");
}

#[test]
fn tables_with_names_of_the_dumps_are_read() {
    for (name, text) in [
        ("meta.csv", "asin,title,price\nB0,Tea,3\nB1,Salt,\n"),
        ("meta.csv", "\u{feff}\"asin\";\"title\"\r\nB0;\"Tea\"\r\nB1;Salt\r\n"),
        ("meta.tsv", "asin\ttitle\nB0\tTea\nB1\tSalt\n"),
        ("meta.txt", "asin|title\nB0|Tea\nB1|Salt"),
        ("excel.csv", "\u{feff}sep=;\r\nasin;title\r\nB0;\"Tea\"\r\nB1;Salt\r\n"),
        ("excel.csv", "sep=;\nasin;title;note\nB0;Tea;a, b, c\nB1;Salt;d, e, f\n"),
        ("excel.csv", "\"sep=\t\"\nasin\ttitle\nB0\tTea\nB1\tSalt\n"),
        ("twice.csv", "asin,title,title\nB0,Tea,x\nB1,Salt,x\n"),
        ("joined.csv", "asin,title,note\nB0,Tea,x\ntitle,asin,note\nSalt,B1,y\n"),
        ("README.md", "|asin|title|\n|------|:-----:|\n|B0|Tea|\n|B1|Salt|\n"),
        ("r.csv", "\"asin\",\"title\",\"feature\"\n\"B0\",\"Tea\",NA\n\"B1\",\"Salt\",NA\n"),
        ("lines.csv", "asin,title,\"long\ndescription\"\nB0,Tea,x\nB1,Salt,y\n"),
        ("pandas.csv", ",asin,title,price ($)\n0,B0,Tea,3\n1,B1,Salt,4\n"),
        ("mac.csv", "asin,title,price\rB0,Tea,3\rB1,Salt,4\r"),
        ("hive.txt", "asin\u{1}title\u{1}note\nB0\u{1}Tea\u{1}5\" wide\nB1\u{1}Salt\u{1}\n"),
        ("nul.csv", "asin,title,note\nB0,Tea,x\0y\nB1,Salt,\n"),
    ] {
        assert_eq!(of_file(name, text.as_bytes()), TEA_AND_SALT, "{text}");
    }
    let long: String = (0..20_000).map(|number| format!("P{number},Oak stool\r")).collect();
    assert_eq!(of_file("mac.csv", format!("asin,title\r{long}").as_bytes()).len(), 20_000);
    let pandas = "asin,title\n31852.0,Tea\n1384,Salt\n\"=\"\"0000000007\"\"\",Rice\n";
    assert_eq!(
        of_file("meta.csv", pandas.as_bytes()),
        ["products 31852 Tea", "products 1384 Salt", "products 0000000007 Rice"]
    );
    let text = "asin,title,feature\nB0,\"Tea, \"\"green\"\"\nhot\",\"['Organic', 'Loose']\"\nB1,Salt\nB2,x,\n,,\n";
    assert_eq!(
        of_file("meta.csv", text.as_bytes())[..2],
        ["products B0 Tea, \"green\"\nhot / Organic / Loose", "products B2 x"]
    );
    let reviews = "asin\treviewText\toverall\nB0\t\"Great\" tea\t5\nB1\t\"All \"\"of\"\" it\"\t4\nB2\tA 5\" cup\t3\n";
    assert_eq!(
        of_file("reviews.tsv", reviews.as_bytes()),
        ["reviews B0 \"Great\" tea", "reviews B1 All \"of\" it", "reviews B2 A 5\" cup"]
    );
    let spark = "asin,title\nB0,\"Tea \\\"green\\\", hot\"\nB1,\"\"\n";
    assert_eq!(of_file("spark.csv", spark.as_bytes())[0], "products B0 Tea \"green\", hot");
    let enclosed = "asin\treviewText\nB0\t\"Great\ntea\"\nB1\t\"Strong\tsalt\"\n";
    assert_eq!(of_file("reviews.tsv", enclosed.as_bytes()), ["reviews B0 Great\ntea", "reviews B1 Strong\tsalt"]);
    assert_eq!(
        of_file("meta.csv", b"asin,title\nB0,Tea\nB1,Salt,2\n"),
        ["products B0 Tea", "line 3: 3 values in a row, expected 2"]
    );
}

#[test]
fn quotes_behind_the_start_of_a_table_are_read() {
    let plain: String = (0..3_000).map(|number| format!("P{number},Oak stool,No {number}\n")).collect();
    let spark = format!("asin,title,note\n{plain}B0,Tea,\"A 5\\\"\"\n{plain}B1,\"Salt \\\"fine\\\", sea\",\"x\"\n");
    let all = of_file("spark.csv", spark.as_bytes());
    assert_eq!((all.len(), all[3_000].as_str()), (6_002, "products B0 Tea"));
    assert_eq!(all[6_001], "products B1 Salt \"fine\", sea");
    let tabs = plain.replace(',', "\t");
    let tsv = format!("asin\ttitle\tnote\n{tabs}B0\tTea\t\"Two\n\"\"lines\"\"\"\n{tabs}B1\tSalt\t\"x\n");
    let all = of_file("feed.tsv", tsv.as_bytes());
    assert_eq!((all.len(), all[3_000].as_str()), (6_002, "products B0 Tea"));
    let open = format!("asin,title,note\n{plain}B0,Tea,\"Best of all\n{plain}B1,\"Salt, sea\",x\n");
    let all = of_file("meta.csv", open.as_bytes());
    let wrong: Vec<&String> = all.iter().filter(|line| line.starts_with("line")).collect();
    assert_eq!(all.len(), 6_002);
    assert_eq!(wrong, ["line 3002: a quote opens a value and is not closed in this row"]);
}

#[test]
fn tables_with_thousands_of_columns_are_read() {
    let names: String = (0..4_000).map(|number| format!(",attribute:{number}")).collect();
    let values = ",".repeat(4_000);
    let text = format!("asin,title{names}\nB0,Tea{values}\nB1,Salt{values}\n");
    assert_eq!(of_file("export.csv", text.as_bytes()), TEA_AND_SALT);
}

#[test]
fn tables_of_snap_are_read() {
    let text =
        "product/productId: B0\nreview/userId: A1\nreview/text: Good\n\nproduct/productId: B1\nreview/text: Bad\n";
    assert_eq!(of_file("finefoods.txt", text.as_bytes()), ["reviews B0 Good", "reviews B1 Bad"]);
    let close = text.replace("\n\n", "\n");
    assert_eq!(of_file("finefoods.txt", close.as_bytes()), ["reviews B0 Good", "reviews B1 Bad"]);
    let text = "# Full information\nTotal items: 2\n\nId:   0\nASIN: B0\n  title: Tea\n  group: Food\n\nId:   1\nASIN: B1\n  title: Salt\n";
    assert_eq!(of_file("amazon-meta.txt", text.as_bytes()), TEA_AND_SALT);
}

fn table() -> RecordBatch {
    let strings = |values: [Option<&str>; 2]| Arc::new(StringArray::from(values.to_vec())) as ArrayRef;
    let lists =
        |of: [Option<Vec<Option<i32>>>; 2]| Arc::new(ListArray::from_iter_primitive::<Int32Type, _, _>(of)) as ArrayRef;
    RecordBatch::try_from_iter_with_nullable([
        ("asin", strings([Some("B0"), Some("B1")]), true),
        ("title", strings([Some("Tea"), Some("Salt")]), true),
        ("features", strings([None, Some("[]")]), true),
        ("price", Arc::new(Int64Array::from(vec![3, 4])), true),
        ("sizes", lists([Some(vec![Some(1)]), None]), true),
    ])
    .unwrap()
}

#[test]
fn bytes_in_lists_are_text() {
    let mut lists = ListBuilder::new(BinaryBuilder::new());
    for text in ["Tea", "Salt"] {
        lists.values().append_value(text);
        lists.append(true);
    }
    let ids = Arc::new(StringArray::from(vec!["B0", "B1"])) as ArrayRef;
    let lists = Arc::new(lists.finish()) as ArrayRef;
    let batch = RecordBatch::try_from_iter([("asin", ids), ("features", lists)]).unwrap();
    let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    assert_eq!(of_file("meta.parquet", &writer.into_inner().unwrap()), TEA_AND_SALT);
}

#[test]
fn bytes_of_a_fixed_number_are_text_if_all_are() {
    let ids = |ids: [&[u8]; 2]| Arc::new(FixedSizeBinaryArray::try_from_iter(ids.into_iter()).unwrap()) as ArrayRef;
    for (of, wanted) in [
        (ids([b"B0", b"B1"]), TEA_AND_SALT),
        (ids([b"B0\0", b"B1\0"]), TEA_AND_SALT),
        (ids([b"B0", b"\xff\x00"]), ["products 4230 Tea", "products ff00 Salt"]),
        (ids([b"B0", b"\x01\x02"]), ["products 4230 Tea", "products 0102 Salt"]),
    ] {
        let titles = Arc::new(StringArray::from(vec!["Tea", "Salt"])) as ArrayRef;
        let batch = RecordBatch::try_from_iter([("asin", of), ("title", titles)]).unwrap();
        let mut writer = ArrowWriter::try_new(Vec::new(), batch.schema(), None).unwrap();
        writer.write(&batch).unwrap();
        assert_eq!(of_file("meta.parquet", &writer.into_inner().unwrap()), wanted);
    }
}

#[test]
fn a_part_of_a_table_may_have_no_rows() {
    let mut writer = ArrowWriter::try_new(Vec::new(), table().schema(), None).unwrap();
    writer.write(&table().slice(0, 0)).unwrap();
    assert_eq!(of_file("part-0.parquet", &writer.into_inner().unwrap()), ["skipped: a table without rows"]);
}

#[test]
fn parquet_and_arrow_are_read_with_any_compression() {
    for compression in [
        Compression::UNCOMPRESSED,
        Compression::SNAPPY,
        Compression::GZIP(Default::default()),
        Compression::ZSTD(Default::default()),
        Compression::LZ4_RAW,
        Compression::BROTLI(Default::default()),
    ] {
        let mut bytes = Vec::new();
        let properties = WriterProperties::builder().set_compression(compression).build();
        let mut writer = ArrowWriter::try_new(&mut bytes, table().schema(), Some(properties)).unwrap();
        writer.write(&table()).unwrap();
        writer.close().unwrap();
        assert_eq!(of_file("meta.parquet", &bytes), TEA_AND_SALT, "{compression}");
        assert_eq!(of_file("meta.parquet.gz", &gzip(&bytes)), ["skipped: a Parquet file"]);
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join("meta.parquet"), &bytes[..bytes.len() / 2]).unwrap();
        let Err(FindError::NothingRecognised { files, .. }) = find(folder.path(), folder.path()) else { panic!() };
        assert!(files.recognised[0].damage.as_deref().is_some_and(|damage| damage.contains("Parquet")));
    }
    let mut writer = FileWriter::try_new(Vec::new(), &table().schema()).unwrap();
    writer.write(&table()).unwrap();
    assert_eq!(of_file("meta.feather", &writer.into_inner().unwrap()), TEA_AND_SALT);
    let mut writer = StreamWriter::try_new(Vec::new(), &table().schema()).unwrap();
    writer.write(&table()).unwrap();
    let stream = writer.into_inner().unwrap();
    assert_eq!(of_file("meta.arrows", &stream), TEA_AND_SALT);
    assert_eq!(of_file("meta.arrows.gz", &gzip(&stream)), TEA_AND_SALT);
}

/// A tar archive of some files.
fn packed(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut archive = ::tar::Builder::new(Vec::new());
    for (name, bytes) in files {
        let mut header = ::tar::Header::new_gnu();
        header.set_size(bytes.len() as u64);
        archive.append_data(&mut header, name, *bytes).unwrap();
    }
    archive.into_inner().unwrap()
}

#[test]
fn files_in_archives_are_read_and_named() {
    let reviews = b"{\"asin\": \"B0\", \"reviewText\": \"Good\"}\n";
    let files: [(&str, &[u8]); 5] = [
        ("dumps/meta.jsonl", RECORDS.as_bytes()),
        ("dumps/reviews.json.gz", &gzip(reviews)),
        ("dumps/.hidden", b"x"),
        ("__MACOSX/x", b"x"),
        ("notes.txt", b"# Notes\nhello\n"),
    ];
    let mut zip = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    for (name, bytes) in files {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    let zip = zip.finish().unwrap().into_inner();
    let tar = packed(&files);
    let wanted = ["products G1 Café", "products G2 Hoe", "reviews B0 Good"];
    for (name, bytes) in [
        ("all.zip", zip.clone()),
        ("all.tar", tar.clone()),
        ("all.tar.gz", gzip(&tar)),
        ("all.tar.zst", zstd::encode_all(&tar[..], 1).unwrap()),
    ] {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        let files = find(folder.path(), Path::new("nowhere")).unwrap();
        let found: Vec<String> = files.recognised.iter().flat_map(records).collect();
        assert_eq!(found, wanted, "{name}");
        let (read, skipped) = names(&files);
        assert_eq!(read, [format!("{name}/dumps/meta.jsonl"), format!("{name}/dumps/reviews.json.gz")]);
        assert_eq!(
            skipped.iter().map(|(name, _)| (*name).to_owned()).collect::<Vec<_>>(),
            [format!("{name}/notes.txt")]
        );
        assert_eq!(files.recognised[0].bytes, RECORDS.len() as u64);
        assert_eq!(files.skipped[0].hint(), None, "plain text");
    }
    // Hints name the file in the archive, once it is unpacked.
    let folder = tempfile::tempdir().unwrap();
    let latin: &[u8] = b"{\"asin\": \"L1\", \"title\": \"Caf\xe9\"}\n";
    fs::write(folder.path().join("all.tar"), packed(&[("a.json", latin), ("b.json", RECORDS.as_bytes())])).unwrap();
    let hint = find(folder.path(), folder.path()).unwrap().skipped[0].hint().unwrap();
    assert!(
        hint.starts_with("unpack `")
            && hint.ends_with("all.tar`, then `iconv -f WINDOWS-1252 -t UTF-8 < a.json > a.json.jsonl`"),
        "{hint}"
    );
    // A changed byte of a file in an archive is noticed.
    let at = memchr::memmem::find(&tar, b"Hoe").unwrap();
    let cut = of_file("all.tar", &tar[..at]);
    assert!(cut.contains(&"after 1: the archive ends inside a file".to_owned()), "{cut:?}");
    // Files that are missing because the archive is cut are damage, too.
    let two = packed(&[("a.json", RECORDS.as_bytes()), ("b.json", RECORDS.as_bytes())]);
    let notes = packed(&[("notes.txt", "hello there\n".repeat(9_000).as_bytes())]);
    // Each file begins with a header of 512 bytes, and fills blocks of 512.
    let in_second_header = two[..1_100].to_vec();
    let in_first_file = two[..512 + RECORDS.find('\n').unwrap() + 9].to_vec();
    for (bytes, wanted) in [
        (gzip(&in_second_header), "after 0: the files behind `a.json` cannot be read: "),
        (in_second_header, "after 0: the files behind `a.json` cannot be read: "),
        // In a file that is read, it is reported once.
        (in_first_file, "after 1: the archive ends inside a file"),
        (notes[..100_000].to_vec(), "after 0: the files behind `notes.txt` cannot be read: "),
    ] {
        let found = of_file("all.tar", &bytes);
        let damage: Vec<&String> = found.iter().filter(|line| line.starts_with("after")).collect();
        assert!(damage.len() == 1 && damage[0].starts_with(wanted), "{wanted}: {found:?}");
    }
    let cut = of_file("all.zip", &zip[..zip.len() / 2]);
    assert!(cut[0].starts_with("after 0: none of its files can be read: "), "{cut:?}");
    let mut stored = zip::ZipWriter::new(io::Cursor::new(Vec::new()));
    stored
        .start_file("meta.json", SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored))
        .unwrap();
    stored.write_all(RECORDS.as_bytes()).unwrap();
    let mut stored = stored.finish().unwrap().into_inner();
    let at = memchr::memmem::find(&stored, b"Hoe").unwrap();
    stored[at] = b'h';
    let damaged = of_file("all.zip", &stored);
    assert!(damaged.iter().any(|line| line.contains("checksum")), "{damaged:?}");
}

#[test]
fn bzip2_and_xz_are_read_and_their_damage_noticed() {
    let text = RECORDS.repeat(2_000);
    let mut bz = bzip2::write::BzEncoder::new(Vec::new(), bzip2::Compression::fast());
    bz.write_all(text.as_bytes()).unwrap();
    let bz = bz.finish().unwrap();
    let mut xz = liblzma::write::XzEncoder::new(Vec::new(), 1);
    xz.write_all(text.as_bytes()).unwrap();
    let xz = xz.finish().unwrap();
    for (name, bytes) in [("meta.json.bz2", bz), ("meta.json.xz", xz)] {
        assert_eq!(of_file(name, &bytes).len(), 4_000);
        assert_eq!(of_file(name, &bytes.repeat(2)).len(), 8_000, "several streams");
        let cut = of_file(name, &bytes[..bytes.len() - 9]);
        assert!(cut.last().is_some_and(|line| line.starts_with("after ")), "{cut:?}");
    }
}

pub(super) fn given(toml: &str, kind: Kind) -> Option<Given> {
    let fields = match kind {
        Kind::Product => Fields::Products(toml::from_str(toml).unwrap()),
        Kind::Review => Fields::Reviews(toml::from_str(toml).unwrap()),
    };
    Some(Given { mapping: Arc::new(Mapping { name: String::new(), fields }), delimiter: None, header: true })
}

#[test]
fn fields_that_a_user_names_are_read_in_every_layout() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| fs::write(folder.path().join(name), bytes).unwrap();
    write("a.jsonl", b"{\"sku\": 1, \"name\": \"Tea\"}\n{\"sku\": 2, \"name\": \"Salt\"}\n");
    write("b.csv", b"sku,name\n1,Tea\n2,Salt\n");
    write("c.json", b"[{\"sku\": 1,\n\"name\": \"Tea\"}, {\"sku\": \"2\", \"name\": \"Salt\"}]");
    write("d.csv", b"code;label\n1;Tea\n");
    let source = |pattern: &str, given| Source { path: folder.path().join(pattern), address: None, given };
    let mapping = || given("id = \"sku\"\ntitle = \"name\"", Kind::Product);
    let files = find_all(&[source("*", mapping())], Path::new("nowhere")).unwrap();
    for file in &files.recognised {
        assert_eq!(records(file), ["products 1 Tea", "products 2 Salt"], "{}", file.name);
    }
    let [skipped] = files.skipped.as_slice() else { panic!("{:?}", files.skipped) };
    assert_eq!(
        (skipped.name.as_str(), skipped.reason.to_string().as_str()),
        ("d.csv", "records without the fields named: found code, label; expected sku, name")
    );
    // Of two arrays, the one with more of the fields.
    let both = "{\"reviews\": [{\"sku\": 1, \"stars\": 5}], \"products\": [{\"sku\": 1, \"name\": \"Tea\"}]}";
    write("both.json", both.as_bytes());
    let files = find_all(&[source("both.json", mapping())], Path::new("nowhere")).unwrap();
    assert_eq!(files.recognised.iter().flat_map(records).collect::<Vec<_>>(), ["products 1 Tea"]);
    // Without a header, columns have numbers.
    write("d.csv", b"1;Tea\n2;Salt\n");
    let numbered = given("id = \"1\"\ntitle = \"2\"", Kind::Product).map(|given| Given { header: false, ..given });
    let files = find_all(&[source("d.csv", numbered)], Path::new("nowhere")).unwrap();
    assert_eq!(records(&files.recognised[0]), ["products 1 Tea", "products 2 Salt"]);
    write("e.csv", b"\"1\",\"Bad\",\"This \"\"box\"\", thin\"\n\"2\",\"Good\",\"A \"\"lid\"\",\nof \"\"oak\"\"\"\n");
    let numbered = given("title = \"2\"\ntext = \"3\"", Kind::Review).map(|given| Given { header: false, ..given });
    let files = find_all(&[source("e.csv", numbered)], Path::new("nowhere")).unwrap();
    assert_eq!(
        records(&files.recognised[0]),
        ["reviews none Bad / This \"box\", thin", "reviews none Good / A \"lid\",\nof \"oak\""]
    );
    // Ids of MongoDB.
    write(
        "f.jsonl",
        b"{\"_id\": {\"$oid\": \"65a1\"}, \"name\": \"Tea\"}\n{\"_id\": {\"$oid\": \"65a2\"}, \"name\": \"Salt\"}\n",
    );
    let files =
        find_all(&[source("f.jsonl", given("id = \"_id\"\ntitle = \"name\"", Kind::Product))], Path::new("nowhere"));
    assert_eq!(records(&files.unwrap().recognised[0]), ["products 65a1 Tea", "products 65a2 Salt"]);
}

#[test]
fn several_sources_have_names_of_their_own() {
    let folder = tempfile::tempdir().unwrap();
    for name in ["a", "b"] {
        fs::create_dir_all(folder.path().join(name).join("x")).unwrap();
        fs::write(folder.path().join(name).join("x/meta.json"), RECORDS).unwrap();
    }
    let source = |path: &str| Source::from(folder.path().join(path).as_path());
    let names = |sources: &[Source]| -> Vec<String> {
        let files = find_all(sources, Path::new("nowhere")).unwrap();
        files.recognised.iter().map(|file| file.name.to_string()).collect()
    };
    assert_eq!(names(&[source("b"), source("a")]), ["b/x/meta.json", "a/x/meta.json"]);
    assert_eq!(names(&[source("a/x"), source("b/x")]), ["x/meta.json", "x/meta.json (2)"]);
    assert_eq!(names(&[source("a"), source("*/x/meta.json")]), ["a/x/meta.json", "b/x/meta.json"], "a file once");
    assert_eq!(names(&[source("?/x")]), ["a/x/meta.json", "b/x/meta.json"]);
    let error = find_all(&[source("*.csv")], Path::new("nowhere")).unwrap_err().to_string();
    assert!(error.starts_with("no file matches the pattern `"), "{error}");
}

#[test]
fn public_data_sets_are_read_without_a_word() {
    for (name, text, wanted) in [
        (
            "esci.csv",
            "product_id,product_title,product_description,product_bullet_point,product_brand,product_color,product_locale\n\
             B0,Tea,\"<p>Loose</p>\",\"Organic\nGreen\",Orla,green,us\n",
            vec!["products B0 Tea / Organic\nGreen / <p>Loose</p>"],
        ),
        (
            "products.json",
            "[{\"sku\":43900,\"name\":\"AAA Batteries\",\"type\":\"HardGood\",\"price\":5.49,\"upc\":\"041333424019\",\
             \"category\":[{\"id\":\"pc\",\"name\":\"Batteries\"}],\"description\":\"4-pack\",\"manufacturer\":\"D\",\"model\":\"M\"}]",
            vec!["products 43900 AAA Batteries / 4-pack"],
        ),
        (
            "amazon_reviews_us.tsv",
            "marketplace\tcustomer_id\treview_id\tproduct_id\tproduct_parent\tproduct_title\tproduct_category\tstar_rating\t\
             review_headline\treview_body\treview_date\nUS\t1\tR1\tB0\t2\tTea\tFood\t5\tGood\tHot 5\" cup\t2015-08-31\n",
            vec!["products B0 Tea", "reviews B0 Good / Hot 5\" cup"],
        ),
        (
            "walmart.csv",
            "Uniq Id,Product Name,Description,Brand,Item Number,Gtin,Category\n\
             W1,\"Peppers, 7 OZ\",Hot.,La Costena,,139941530,Food | Meals | Canned\n",
            vec!["products W1 Peppers, 7 OZ / Hot."],
        ),
        (
            "flipkart.csv",
            "uniq_id,product_name,product_category_tree,pid,description,brand\n\
             c2,Shorts,\"[\"\"Clothing >> Women's Clothing >> Shorts\"\"]\",S1,Cotton,A\n",
            vec!["products S1 Shorts / Cotton"],
        ),
        (
            "listings_0.json",
            "{\"item_id\":\"B06\",\"item_name\":[{\"language_tag\":\"nl_NL\",\"value\":\"Stoel\"},{\"language_tag\":\"en_US\",\"value\":\"Chair\"}],\
             \"product_type\":[{\"value\":\"CHAIR\"}],\"domain_name\":\"amazon.com\",\"bullet_point\":[{\"language_tag\":\"en_US\",\"value\":\"Wood\"}]}\n",
            vec!["products B06 Chair / Wood"],
        ),
        (
            "dataset_en.json",
            "{\"review_id\":\"e\",\"product_id\":\"p\",\"reviewer_id\":\"r\",\"stars\":\"1\",\"review_body\":\"Broken.\",\"review_title\":\"No\"}\n",
            vec!["reviews p No / Broken."],
        ),
        (
            "yelp.json",
            "{\"review_id\":\"r\",\"user_id\":\"u\",\"business_id\":\"b\",\"stars\":4.0,\"text\":\"Good\",\"date\":\"2018-07-07 22:09:11\"}\n",
            vec!["reviews b Good"],
        ),
    ] {
        assert_eq!(of_file(name, text.as_bytes()), wanted, "{name}");
    }
    let folder = tempfile::tempdir().unwrap();
    fs::write(
        folder.path().join("d.csv"),
        "id,name,asins,brand,categories,reviews.text,reviews.rating\n1,Tea,B0,O,\"A,B\",Good,5\n",
    )
    .unwrap();
    let files = find(folder.path(), folder.path()).unwrap();
    assert_eq!(names(&files).0, ["d.csv (products)", "d.csv (reviews)"]);
    assert!(matches!(&files.recognised[0].layout, Layout::Delimited(table) if table.delimiter == b','));
}
