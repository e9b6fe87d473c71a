//! Associations from reviews, ratings and a user's own files, in whole commands. `graph::lists` compares the ranking
//! with its definition.
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    fs,
    io::Read,
    path::{Path, PathBuf},
    process::{Output, Stdio},
    sync::Arc,
    thread,
    time::Instant,
};

use arrow_array::{
    ArrayRef, Float64Array, Int64Array, RecordBatch, StringArray, builder::ListBuilder, builder::StringBuilder,
};
use flate2::read::MultiGzDecoder;
use parquet::arrow::ArrowWriter;
use schemas::{
    Draws, GraphEdgeRows, Manifest, PairRows,
    manifest::{CorpusBody, GraphBody, ShardsBody},
    open_graph_edges, open_pairs,
};
use support::{TOKENIZER, assert_same, ebert, gzip, real_data, said, succeed};
use tempfile::TempDir;

/// Both ends, relation, weight.
type Edges = BTreeMap<(String, String, String), Option<f32>>;

fn edges(out: &Path) -> Edges {
    let mut edges = Edges::new();
    for rows in open_graph_edges(&out.join("graph/associations.parquet")).unwrap().read::<GraphEdgeRows>(1000) {
        for edge in rows.unwrap().iter().map(Result::unwrap) {
            let key = (edge.product_a.to_owned(), edge.product_b.to_owned(), edge.relation.to_string());
            assert!(edge.product_a < edge.product_b && edges.insert(key, edge.weight).is_none());
        }
    }
    edges
}

fn graph(out: &Path) -> GraphBody {
    Manifest::read(&out.join("graph")).unwrap().body
}

/// The products `P000`, `P001` and so on of the 2023 schema, and what a run over them needs.
struct Shop {
    folder: TempDir,
}

impl Shop {
    fn new(products: usize) -> Self {
        let shop = Self { folder: tempfile::tempdir().unwrap() };
        let mut lines = String::new();
        for product in 0..products {
            writeln!(
                lines,
                r#"{{"main_category": "Tea", "title": "Tea {product} of {}", "parent_asin": "P{product:03}", "features": [], "bought_together": null}}"#,
                ["smoke", "mint", "rose"][product % 3]
            )
            .unwrap();
        }
        shop.write("corpus/meta.jsonl", lines);
        shop.write("pool.txt", "0.9\tgift card\n");
        shop
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    fn command(&self, step: &str, out: &str, options: &[&str]) -> std::process::Command {
        let [corpus, pool] = ["corpus", "pool.txt"].map(|name| self.path(name).display().to_string());
        let all = ["--nouns", "off", "--bucket-mib", "1", "--corpus", &corpus, "--pool", &pool];
        let mut command = support::step(step, &[&all[..], &TOKENIZER].concat());
        command.args(options).arg("--out").arg(self.path(out));
        command
    }

    /// The graph step with a file of associations.
    fn graph_of_file(&self, file: &str) -> Output {
        self.command("graph", "out", &["--associations", self.path(file).to_str().unwrap()]).output().unwrap()
    }

    /// Reviews of the 2023 schema, from lists of products in order of time. Every third review names a variant.
    fn write_reviews(&self, lists: &[Vec<usize>]) {
        let mut lines = String::new();
        for (user, list) in lists.iter().enumerate() {
            for (at, product) in list.iter().enumerate() {
                let time = 1_500_000_000_000 + (user * 7 + at * 100_000) as u64 * 1000;
                writeln!(
                    lines,
                    r#"{{"rating": 5.0, "title": "nice", "text": "user {user} drinks tea {product}", "parent_asin": "P{product:03}", "asin": "V{product:03}{}", "user_id": "U{user}", "timestamp": {time}}}"#,
                    at % 3
                )
                .unwrap();
            }
        }
        self.write("corpus/reviews.jsonl", lines);
    }
}

/// Lists of users who mostly stay within a group of products.
fn lists(users: usize, products: usize) -> Vec<Vec<usize>> {
    (0..users)
        .map(|user| {
            let mut draws = Draws::new(3, "list", &user.to_le_bytes());
            let group = draws.below(products as u64 / 10);
            let mut seen = BTreeSet::new();
            (0..2 + draws.below(12))
                .map(|_| {
                    let all = draws.below(4) == 0;
                    if all { draws.below(products as u64) } else { 10 * group + draws.below(10) }
                })
                .map(|product| product as usize)
                .filter(|product| seen.insert(*product))
                .collect()
        })
        .collect()
}

#[test]
fn a_dump_of_2023_without_associations_has_pairs() {
    let shop = Shop::new(200);
    shop.write_reviews(&lists(2_000, 200));
    let printed = succeed(&mut shop.command("shards", "out", &[]));
    assert!(printed.contains("co_reviewed"), "{printed}");
    let body = graph(&shop.path("out"));
    assert_eq!((body.found, body.edges.len()), (0, 1));
    let range = body.weights["co_reviewed"];
    assert!(range.lowest > 0.0 && range.highest > range.lowest, "{range:?}");
    // Products of one group go together.
    let edges = edges(&shop.path("out"));
    let mut best: Vec<_> = edges.iter().collect();
    best.sort_by(|a, b| b.1.partial_cmp(a.1).unwrap());
    let within = best[..500].iter().filter(|((a, b, _), _)| a[..3] == b[..3]).count();
    assert!(within > 450, "{within}");
    let inspected = succeed(ebert(["inspect", "--rows", "2"]).arg(shop.path("out")));
    let wanted = ["AUC 0.", "co_reviewed, weight 0.", " users reviewed both\n    Tea "];
    assert!(wanted.iter().all(|text| inspected.contains(text)), "{inspected}");
    let reported = succeed(ebert(["report", "associations"]).arg(shop.path("out")));
    assert!(reported.starts_with("Tea ") && reported.contains("   co_reviewed "), "{reported}");
    assert!(fs::read_to_string(shop.path("out/report/associations.csv")).unwrap().contains("\n\"Tea\",200,0.0000,"));
    // The pairs know relation and weight.
    let shards: Manifest<ShardsBody> = Manifest::read(&shop.path("out/shards")).unwrap();
    assert_eq!(shards.body.counts.pairs_by_relation["co_reviewed"], shards.body.counts.pairs);
    assert!(shards.body.counts.pairs > 1_000);
    for rows in open_pairs(&shop.path("out/shards/pairs-00000.parquet")).unwrap().read::<PairRows>(1000) {
        let rows = rows.unwrap();
        for pair in (0..rows.len()).map(|row| rows.get(row).unwrap()) {
            let (a, b) =
                (pair.anchor.product.min(pair.neighbor.product), pair.anchor.product.max(pair.neighbor.product));
            let key = (a.to_owned(), b.to_owned(), "co_reviewed".to_owned());
            assert_eq!(Some(&pair.weight), edges.get(&key));
        }
    }
}

#[test]
fn any_number_of_threads_and_any_kill_give_the_same_bytes() {
    let shop = Shop::new(200);
    shop.write_reviews(&lists(6_000, 200));
    succeed(&mut shop.command("shards", "whole", &["--threads", "1"]));
    let corpus: Manifest<CorpusBody> = Manifest::read(&shop.path("whole/corpus")).unwrap();
    assert!(corpus.files.iter().filter(|file| file.name.starts_with("interactions-")).count() > 2);
    for threads in ["2", "5"] {
        succeed(&mut shop.command("shards", threads, &["--threads", threads]));
        assert_same(&shop.path("whole"), &shop.path(threads), threads);
    }
    // The graph step alone, killed at several moments.
    succeed(&mut shop.command("corpus", "killed", &[]));
    let since = Instant::now();
    succeed(&mut shop.command("graph", "killed", &[]));
    let takes = since.elapsed();
    let mut stopped = 0;
    for kill in 1..=12u32 {
        // A finished graph would be up to date.
        let _ = fs::remove_dir_all(shop.path("killed/graph"));
        let mut child = shop.command("graph", "killed", &[]).stdout(Stdio::null()).spawn().unwrap();
        thread::sleep(takes.mul_f64(f64::from(kill) / 13.0));
        child.kill().unwrap();
        stopped += u32::from(!child.wait().unwrap().success());
    }
    assert!(stopped > 0, "no kill was in time");
    succeed(&mut shop.command("shards", "killed", &[]));
    assert_same(&shop.path("whole"), &shop.path("killed"), "killed");
}

#[test]
fn the_source_is_chosen() {
    let shop = Shop::new(30);
    let stated = r#"{"parent_asin": "P000", "title": "Tea", "bought_together": ["P001", "X1"]}"#;
    shop.write("corpus/more.jsonl", stated);
    shop.write_reviews(&vec![vec![2, 3]; 3]);
    succeed(&mut shop.command("corpus", "out", &[]));
    let edge = |a: &str, b: &str, relation: &str| (a.to_owned(), b.to_owned(), relation.to_owned());
    let (stated, derived) = (edge("P000", "P001", "complement"), edge("P002", "P003", "co_reviewed"));
    for (source, wanted) in [
        ("auto", vec![&stated]),
        ("dump", vec![&stated]),
        ("reviews", vec![&derived]),
        ("both", vec![&stated, &derived]),
    ] {
        let printed = succeed(&mut shop.command("graph", "out", &["--association-source", source]));
        let found = edges(&shop.path("out"));
        assert!(found.keys().eq(wanted), "{source}: {found:?}");
        assert!(found.iter().all(|((.., relation), weight)| weight.is_some() == (relation == "co_reviewed")));
        assert!(source == "auto" || printed.contains("`--association-source` was"), "{printed}");
        let again = succeed(&mut shop.command("graph", "out", &["--association-source", source]));
        assert!(again.contains("up to date"), "{again}");
    }
    // A file takes their place, and a change of it is noticed.
    for (row, wanted) in [("P004,P005,substitute", "P004"), ("P006,P005,substitute", "P005")] {
        shop.write("own.csv", format!("product_a,product_b,relation\n{row}\n"));
        assert!(shop.graph_of_file("own.csv").status.success());
        assert_eq!(edges(&shop.path("out")).keys().map(|key| key.0.as_str()).collect::<Vec<_>>(), [wanted]);
    }
    // Without interactions there is nothing to derive from.
    succeed(&mut shop.command("corpus", "none", &["--no-interactions"]));
    let refused = shop.command("graph", "none", &["--association-source", "reviews"]).output();
    let text = said(&refused.unwrap(), &[]);
    assert!(text.starts_with("exit 1") && text.contains("has no table of interactions\nhint: "), "{text}");
    let both = shop.command("graph", "out", &["--association-source", "dump", "--associations", "own.csv"]).output();
    assert!(said(&both.unwrap(), &[]).starts_with("exit 2"));
}

fn parquet_of(columns: Vec<(&str, ArrayRef)>) -> Vec<u8> {
    let batch = RecordBatch::try_from_iter(columns).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

fn strings(values: &[&str]) -> ArrayRef {
    Arc::new(StringArray::from(values.to_vec()))
}

fn lists_of(lists: &[&[&str]]) -> ArrayRef {
    let mut builder = ListBuilder::new(StringBuilder::new());
    for list in lists {
        list.iter().for_each(|id| builder.values().append_value(id));
        builder.append(true);
    }
    Arc::new(builder.finish())
}

#[test]
fn a_file_may_have_many_shapes() {
    let shop = Shop::new(30);
    let isbn = r#"{"parent_asin": "0000031852", "title": "Book"}"#;
    shop.write("corpus/book.jsonl", isbn);
    succeed(&mut shop.command("corpus", "out", &[]));
    let mut lists = ListBuilder::new(StringBuilder::new());
    for order in [["P001", "P002"], ["P002", "P001"]] {
        order.iter().for_each(|id| lists.values().append_value(id));
        lists.append(true);
    }
    let lists: ArrayRef = Arc::new(lists.finish());
    let orders = parquet_of(vec![
        ("order_id", Arc::new(Int64Array::from(vec![1, 2, 1, 2])) as ArrayRef),
        ("product_id", strings(&["P001", "P002", "P002", "P001"])),
    ]);
    let pairs = parquet_of(vec![
        ("weight", Arc::new(Int64Array::from(vec![3])) as ArrayRef),
        ("relation", strings(&["substitute"])),
        ("product_a", strings(&["P002"])),
        ("product_b", strings(&["P001"])),
    ]);
    let numbers = parquet_of(vec![
        ("relation", strings(&["substitute"])),
        ("product_a", Arc::new(Int64Array::from(vec![31_852])) as ArrayRef),
        ("product_b", strings(&["P001"])),
    ]);
    // Two of the same orders have the evidence 2 / 2 / 2, and each product this strength.
    let mut items = ListBuilder::new(StringBuilder::new());
    for order in [["P001", "P002"], ["P002", "P001"]] {
        order.iter().for_each(|id| items.values().append_value(id));
        items.append(true);
    }
    let order_of_items = parquet_of(vec![
        ("order_id", Arc::new(Int64Array::from(vec![1, 2])) as ArrayRef),
        ("product", Arc::new(items.finish()) as ArrayRef),
    ]);
    let co_purchased = ("P001 P002 co_purchased", Some(0.25f32));
    let substitute = ("P001 P002 substitute", None);
    for (name, bytes, wanted) in [
        ("pairs.csv", b"P001,P002,substitute\nP002,P001,substitute\nP001,P001,substitute\n".to_vec(), substitute),
        ("header.csv", "\u{feff}product_b;relation;product_a\nP001;substitute;P002\n".into(), substitute),
        (
            "quoted.csv",
            b"product_a,note,product_b,relation\r\n\"P001\",\"a, b\",\"P002\",\"substitute\"\r\n".to_vec(),
            substitute,
        ),
        (
            "weights.tsv",
            b"P001\tP002\tsubstitute\t0.5\nP001\tP002\tsubstitute\t0.25\n".to_vec(),
            ("P001 P002 substitute", Some(0.5)),
        ),
        ("pairs.csv.gz", gzip(b"P001,P002,substitute\n"), substitute),
        ("pairs.csv.zst", zstd::encode_all(&b"P001,P002,substitute\n"[..], 0).unwrap(), substitute),
        ("baskets.txt", b"P001 P002\nP002 P001 P001\nP003\n".to_vec(), co_purchased),
        ("single_baskets.txt", b"P001,P002\nP003\nP004\nP002,P001\nP005\nP006\n".to_vec(), co_purchased),
        ("named_baskets.txt", b"order1 P001 P002\norder2 P002 P001\n".to_vec(), co_purchased),
        ("rows.csv", b"order,product\n7,P001\n8,P002\n7,P002\n8,P001\n".to_vec(), co_purchased),
        ("unnamed_rows.csv", b"7,P001\n8,P002\n7,P002\n8,P001\n7,P001\n".to_vec(), co_purchased),
        (
            "invoices.csv",
            b"InvoiceNo,StockCode,Quantity\n7,P001,1\n7,P002,2\n8,P002,1\n8,P001,5\n".to_vec(),
            co_purchased,
        ),
        (
            "names.csv",
            b"order_id,product,sku\n7,Tea,P001\n7,Salt,P002\n8,Tea,P001\n8,Salt,P002\n".to_vec(),
            co_purchased,
        ),
        ("related.csv", b"product_id,related_product_id,relation\nP001,P002,substitute\n".to_vec(), substitute),
        ("numbered.csv", b"product_id_1,product_id_2,relation\nP001,P002,substitute\n".to_vec(), substitute),
        ("pandas_names.csv", b"asin,asin.1,kind\nP001,P002,substitute\n".to_vec(), substitute),
        ("unknown_names.csv", b"sku1st,sku2nd,relation\nP001,P002,substitute\n".to_vec(), substitute),
        ("comments.csv", b"# made by hand\n#product_a,product_b\nP001,P002,substitute\n".to_vec(), substitute),
        ("excel.csv", b"sep=;\r\nproduct_a;product_b;relation\r\nP001;P002;substitute\r\n".to_vec(), substitute),
        ("shopify.csv", b"#1001,P001\n#1001,P002\n#1002,P001\n#1002,P002\n".to_vec(), co_purchased),
        ("wide.csv", b"Item(s),Item 1,Item 2,Item 3\n2,P001,P002,\n2,P002,P001,\n1,P003,,\n".to_vec(), co_purchased),
        (
            "names_with_delimiters.csv",
            b"order_id,name,product_id\n7,Tea; green|bio,P001\n7,\"Salt; sea\",P002\n8,Tea; a|b,P001\n8,Salt; b,P002\n"
                .to_vec(),
            co_purchased,
        ),
        ("orders.parquet", orders, co_purchased),
        ("pairs.parquet", pairs, ("P001 P002 substitute", Some(3.0))),
        ("numbers.parquet", numbers, ("0000031852 P001 substitute", None)),
        ("lists.parquet", parquet_of(vec![("products", lists)]), co_purchased),
        ("items.parquet", order_of_items, co_purchased),
        ("zeros.csv", b"31852,P001,substitute\n".to_vec(), ("0000031852 P001 substitute", None)),
        ("pandas.csv", b"31852.0,P001,substitute\n".to_vec(), ("0000031852 P001 substitute", None)),
        (
            "inches.csv",
            b"InvoiceNo,Description,StockCode\n7,Frame 8\" wide,P001\n7,Frame,P002\n8,8\",P002\n8,Tea,P001\n".to_vec(),
            co_purchased,
        ),
        (
            "doubled_quotes.csv",
            b"order,name,product\n7,\"8\"\" wide, oak\",P001\n7,\"\"\"A\"\"\",P002\n8,,P002\n8,,P001\n".to_vec(),
            co_purchased,
        ),
        (
            "stray_quotes.csv",
            b"order,name,product\n7,\"a mug,P001\n7,\"b mug,P002\n8,c,P001\n8,\"d\" mug,P002\n".to_vec(),
            co_purchased,
        ),
        (
            "line_breaks.csv",
            b"order,name,product\n7,\"a mug,\nof oak\n\",P001\n7,b,P002\n8,\"c\nd\",P002\n8,\"e\nf\",P001\n".to_vec(),
            co_purchased,
        ),
        ("formulas.csv", b"=\"0000031852\",P001,substitute\n".to_vec(), ("0000031852 P001 substitute", None)),
        (
            "quoted_formulas.csv",
            b"\"=\"\"0000031852\"\"\",\"P001\",\"substitute\"\n".to_vec(),
            ("0000031852 P001 substitute", None),
        ),
        ("marks.csv", "'0000031852,\u{200b}P001\u{200b},substitute\n".into(), ("0000031852 P001 substitute", None)),
        (
            "no_weights.csv",
            b"product_a,product_b,relation,weight\nP001,P002,substitute,NaN\nP002,P001,substitute,NA\n".to_vec(),
            substitute,
        ),
        (
            "decimal_commas.csv",
            b"product_a;product_b;relation;weight\nP001;P002;substitute;0,5\n".to_vec(),
            ("P001 P002 substitute", Some(0.5)),
        ),
        ("capitals.csv", b"product_a,product_b,relation\nP001,P002,SUBSTITUTE\n".to_vec(), substitute),
        ("hyphens.csv", b"P001,P002,Also-Viewed\n".to_vec(), substitute),
        (
            "psql.txt",
            b" order_id | product_id \n----------+------------\n 7 | P001\n 7 | P002\n 8 | P002\n 8 | P001\n(4 rows)\n"
                .to_vec(),
            co_purchased,
        ),
        (
            "also_view.parquet",
            parquet_of(vec![
                ("asin", strings(&["P001", "P002"])),
                ("also_view", lists_of(&[&["P002"], &["P001", "P002"]])),
            ]),
            substitute,
        ),
        (
            "others.parquet",
            parquet_of(vec![
                ("asin", strings(&["P001"])),
                ("relation", strings(&["Substitute"])),
                ("others", lists_of(&[&["P002", "X1"]])),
            ]),
            substitute,
        ),
        (
            "no_weights.parquet",
            parquet_of(vec![
                ("asin_1", strings(&["P001"])),
                ("asin_2", strings(&["P002"])),
                ("relation", strings(&["substitute"])),
                ("weight", Arc::new(Float64Array::from(vec![f64::NAN])) as ArrayRef),
            ]),
            substitute,
        ),
    ] {
        shop.write(name, bytes);
        let printed = said(&shop.graph_of_file(name), &[]);
        assert!(printed.starts_with("exit 0"), "{name}: {printed}");
        let found: Vec<_> = edges(&shop.path("out"))
            .into_iter()
            .map(|((a, b, relation), weight)| (format!("{a} {b} {relation}"), weight))
            .collect();
        assert_eq!(found, [(wanted.0.to_owned(), wanted.1)], "{name}: {printed}");
    }
}

#[test]
fn a_file_that_is_something_else_is_named() {
    let shop = Shop::new(5);
    succeed(&mut shop.command("corpus", "out", &[]));
    let other = parquet_of(vec![("a", strings(&["P001"])), ("b", strings(&["P002"]))]);
    let rows = |bad: &str| format!("product_a,product_b,relation\n{}{bad}", "P001,P002,substitute\n".repeat(20));
    for (name, bytes, wanted) in [
        ("missing.csv", None, "cannot read the associations"),
        ("empty.csv", Some(Vec::new()), "found no rows"),
        (
            "header.csv",
            Some(b"product_a,product_b,relation\n".to_vec()),
            "found no rows below the names of its columns",
        ),
        (
            "header.parquet",
            Some(parquet_of(vec![("order_id", strings(&[])), ("product_id", strings(&[]))])),
            "found no rows below the names of its columns",
        ),
        (
            "others.parquet",
            Some(parquet_of(vec![("asin", strings(&["P001"])), ("others", lists_of(&[&["P002"]]))])),
            "a Parquet table with the columns asin, others\nhint: a product and a list of others need a relation",
        ),
        (
            "names.csv",
            Some(b"product_a,product_b,relation\nP001,P002,sibling\n".to_vec()),
            "expected `substitute`, `complement`, `co_reviewed`, `co_purchased`, `also_buy`, `also_bought`",
        ),
        ("json.jsonl", Some(b"{\"a\": 1}".to_vec()), "found JSON"),
        ("utf16.csv", Some(b"\xff\xfeP\0,\0Q\0".to_vec()), "UTF-16"),
        ("lfs.csv", Some(b"version https://git-lfs.github.com/spec/v1\n".to_vec()), "found a Git LFS pointer"),
        ("page.csv", Some(b"<!DOCTYPE html><html>404</html>".to_vec()), "found a web page"),
        (
            "mac.csv",
            Some(b"product_a,product_b,relation\rP001,P002,substitute\r".to_vec()),
            "hint: run `tr '\\r' '\\n' < ",
        ),
        (
            "latin.csv",
            Some(b"order,product,name\n1,P001,Caf\xe9\n1,P002,Th\xe9\n".to_vec()),
            "Latin-1 or Windows-1252\nhint: `iconv -f WINDOWS-1252 -t UTF-8 < ",
        ),
        (
            "latin_later.csv",
            Some(
                [&b"order,product,name\n"[..], &b"1,P001,Tea\n".repeat(30_000), &b"1,P002,Th\xe9\n".repeat(3_000)]
                    .concat(),
            ),
            "line 30002: not UTF-8",
        ),
        (
            "other.csv",
            Some(b"X1,X2\nX3,X4\n".to_vec()),
            "no id of a product of the corpus in its first 2 rows, such as `X1,X2`",
        ),
        (
            "no_relation.csv",
            Some(b"product_a,product_b\nP001,P002\n".to_vec()),
            "found the columns product_a, product_b\nhint: add a column `relation`",
        ),
        (
            "customers.csv",
            Some(b"customer_id,product_id,quantity\n12,P001,1\n12,P002,7\n".to_vec()),
            "found the columns customer_id, product_id, quantity\nhint: `--associations` names",
        ),
        ("other.parquet", Some(other.clone()), "a Parquet table with the columns a, b"),
        ("other.parquet.gz", Some(gzip(&other)), "a compressed Parquet file\nhint: decompress it: `gzip -d "),
        ("short.csv", Some(rows("P001\n").into()), "1 of 21 rows of the associations"),
        ("short2.csv", Some(rows("P001\n").into()), "line 22: found 1 fields, expected 3"),
        (
            "relation.csv",
            Some(rows("P001,P002,sibling\n").into()),
            "line 22: relation `sibling` is not known; expected `substitute`",
        ),
        (
            "weight.csv",
            Some(b"product_a,product_b,relation,weight\nP001,P002,substitute,much\n".to_vec()),
            "found the weight `much`, expected a number",
        ),
        (
            "no_order.csv",
            Some(format!("order,product\n{},P002\n", "7,P001\n".repeat(20)).into()),
            "line 22: no id of an order",
        ),
        ("cut.csv.gz", Some(gzip(rows("").as_bytes())[..60].to_vec()), "the file is damaged"),
    ] {
        if let Some(bytes) = bytes {
            shop.write(name, bytes);
        }
        let printed = said(&shop.graph_of_file(name), &[(&shop.path(""), "")]);
        assert!(
            printed.starts_with("exit 1") && printed.contains(wanted) && printed.contains("\nhint: "),
            "{name}: {printed}"
        );
        assert!(printed.contains(name), "{name}: {printed}");
    }
    // A few rows may be unreadable, and ids may be unknown.
    shop.write("some.csv", rows("P001\nP001,X9,substitute\n"));
    let options =
        ["--associations", shop.path("some.csv").to_str().unwrap(), "--max-unreadable", "0.1"].map(str::to_owned);
    let printed = succeed(&mut shop.command("graph", "out", &options.each_ref().map(String::as_str)));
    assert!(
        printed.contains("22 rows of associations; 1 of 42 product ids are not in the corpus, 1 rows unreadable"),
        "{printed}"
    );
    // A graph that was made with a looser limit is not up to date.
    let printed = said(&shop.graph_of_file("some.csv"), &[]);
    assert!(printed.starts_with("exit 1") && printed.contains("1 of 22 rows"), "{printed}");
    // A pipe cannot be hashed and then read.
    assert!(std::process::Command::new("mkfifo").arg(shop.path("pipe.csv")).status().unwrap().success());
    let printed = said(&shop.graph_of_file("pipe.csv"), &[]);
    assert!(printed.starts_with("exit 1") && printed.contains("not a regular file"), "{printed}");
}

#[test]
fn ratings_are_interactions() {
    let shop = Shop::new(30);
    shop.write("corpus/ratings.csv", "U1,P001,5.0,1500000000\nU1,P002,4.0,1500000001\nU2,P002,1.0,1500000000\nU2,P001,3.0,1500000009\nU3,P003,3.0,1500000009\n");
    let printed = succeed(&mut shop.command("shards", "out", &[]));
    assert!(printed.contains("ratings 5"), "{printed}");
    let corpus: Manifest<CorpusBody> = Manifest::read(&shop.path("out/corpus")).unwrap();
    let counts = &corpus.body.counts;
    assert_eq!((counts.records, counts.ratings, counts.interactions), (35, 5, 5));
    let found = edges(&shop.path("out"));
    assert_eq!(found.keys().map(|(a, b, _)| (a.as_str(), b.as_str())).collect::<Vec<_>>(), [("P001", "P002")]);
}

/// The bounds of `docs/associations.md`: the precision of the highest weights, where the associations of the 2014 dump
/// are the truth.
#[test]
fn associations_from_real_reviews_are_those_of_the_dump() {
    let Some(data) = real_data() else { return };
    let shop = Shop::new(0);
    fs::remove_file(shop.path("corpus/meta.jsonl")).unwrap();
    let read = |path: PathBuf| {
        let mut text = String::new();
        MultiGzDecoder::new(fs::File::open(path).unwrap()).read_to_string(&mut text).unwrap();
        text
    };
    let mut truth = BTreeSet::new();
    let mut named: Vec<(String, Vec<String>)> = Vec::new();
    let mut products = String::new();
    for line in read(data.join("amazon/2014/meta_Beauty.json.gz")).lines() {
        let record: serde_json::Value = serde_json::from_str(line).unwrap();
        let id = record["asin"].as_str().unwrap().to_owned();
        let product = serde_json::json!({
            "main_category": "All Beauty", "title": record["title"], "parent_asin": id,
            "store": record["brand"], "categories": record["categories"][0], "bought_together": null,
        });
        writeln!(products, "{product}").unwrap();
        let others = record["related"].as_object().into_iter().flat_map(|related| related.values());
        let others = others.flat_map(|list| list.as_array().unwrap()).map(|id| id.as_str().unwrap().to_owned());
        named.push((id, others.collect()));
    }
    let known: BTreeSet<&String> = named.iter().map(|(id, _)| id).collect();
    for (id, others) in &named {
        for other in others.iter().filter(|other| known.contains(other) && *other != id) {
            truth.insert((id.min(other).clone(), id.max(other).clone()));
        }
    }
    assert_eq!(truth.len(), 241_261);
    shop.write("corpus/meta.jsonl", products);
    let mut ratings = String::from("user_id,parent_asin,rating,timestamp\n");
    for line in read(data.join("baskets/beauty_sequences.txt.gz")).lines() {
        let mut ids = line.split(' ');
        let user = ids.next().unwrap();
        for (at, product) in ids.enumerate() {
            writeln!(ratings, "{user},{product},5.0,{}", 1_500_000_000 + 86_400 * at).unwrap();
        }
    }
    shop.write("corpus/ratings.csv", ratings);
    succeed(&mut shop.command("corpus", "out", &[]));
    succeed(&mut shop.command("graph", "out", &[]));
    let mut edges: Vec<_> = edges(&shop.path("out")).into_iter().collect();
    edges.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap().then(a.0.cmp(&b.0)));
    for (first, bound) in [(1_000, 0.75), (5_000, 0.70), (20_000, 0.50)] {
        let right = edges[..first].iter().filter(|((a, b, _), _)| truth.contains(&(a.clone(), b.clone()))).count();
        let precision = right as f64 / first as f64;
        println!("precision of the first {first}: {precision:.4}");
        assert!(precision >= bound, "{first}: {precision}");
    }
}
