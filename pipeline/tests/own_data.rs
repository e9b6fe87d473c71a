//! A shop's own files: any layout, with fields that the user names.
mod support;

use std::{fs, path::Path, process::Output};

use arrow_array::{ArrayRef, RecordBatch, StringArray};
use insta::assert_snapshot;
use parquet::arrow::ArrowWriter;
use schemas::store::TableReader;
use support::{TOKENIZER, assert_same, ebert, gzip, said, succeed};

const PRODUCTS: &str = "id = \"sku\"\ntitle = \"name\"\ntext = [\"bullets\", \"long\"]\nbrand = \"maker\"\n\
    categories = { field = \"shelf\", split = \" > \" }\n";

const FIELDS: [&str; 6] = ["sku", "name", "bullets", "long", "maker", "shelf"];

/// The products of a shop: a value for each field.
fn catalog() -> Vec<[String; 6]> {
    let product = |n: usize| {
        let (wood, thing) = (["Cedar", "Oak", "Pine"][n % 3], ["tea box", "bread board", "salt cellar"][n / 3 % 3]);
        [
            format!("K{n}"),
            format!("{wood} {thing} no. {n}"),
            format!("[\"Solid {}\", \"Felt feet, \\\"soft\\\"\"]", wood.to_lowercase()),
            format!("A {thing} for every day.\nIt is made of {wood}; oiled by hand."),
            if n.is_multiple_of(4) { String::new() } else { "Orla Vendrik".to_owned() },
            format!("Home > {}s", thing.replace(' ', "")),
        ]
    };
    (0..60).map(product).collect()
}

fn as_json(product: &[String; 6]) -> String {
    let fields: serde_json::Map<String, serde_json::Value> =
        FIELDS.iter().zip(product).map(|(name, value)| ((*name).to_owned(), value.clone().into())).collect();
    serde_json::to_string(&fields).unwrap()
}

fn as_csv(products: &[[String; 6]], delimiter: &str) -> String {
    let row = |values: &[String]| {
        let quoted: Vec<String> = values.iter().map(|value| format!("\"{}\"", value.replace('"', "\"\""))).collect();
        quoted.join(delimiter) + "\n"
    };
    let header = FIELDS.map(str::to_owned);
    row(&header) + &products.iter().map(|product| row(product)).collect::<String>()
}

fn as_parquet(products: &[[String; 6]]) -> Vec<u8> {
    let column = |at: usize| {
        let values = products.iter().map(|product| Some(product[at].as_str()).filter(|value| !value.is_empty()));
        std::sync::Arc::new(values.collect::<StringArray>()) as ArrayRef
    };
    let batch = RecordBatch::try_from_iter((0..6).map(|at| (FIELDS[at], column(at)))).unwrap();
    let mut bytes = Vec::new();
    let mut writer = ArrowWriter::try_new(&mut bytes, batch.schema(), None).unwrap();
    writer.write(&batch).unwrap();
    writer.close().unwrap();
    bytes
}

/// A folder with a catalog in it, and `shop.toml` with its fields.
struct Shop {
    folder: tempfile::TempDir,
}

impl Shop {
    fn new(name: &str, bytes: &[u8]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(name), bytes).unwrap();
        let tokenizer = support::workspace().join(TOKENIZER[1]);
        let config = format!(
            "out = \"out\"\ntokenizer = {}\n\n[[products]]\npath = \"{name}\"\n{PRODUCTS}",
            toml::Value::from(tokenizer.display().to_string())
        );
        fs::write(folder.path().join("shop.toml"), config).unwrap();
        Self { folder }
    }

    fn run(&self, arguments: &[&str]) -> Output {
        let (command, rest) = arguments.split_first().unwrap();
        ebert([*command, "--config"]).arg(self.folder.path().join("shop.toml")).args(rest).output().unwrap()
    }

    fn said(&self, arguments: &[&str]) -> String {
        said(&self.run(arguments), &[(self.folder.path(), "DIR")])
    }

    /// The rows of the products in the corpus.
    fn products(&self) -> Vec<RecordBatch> {
        let table = TableReader::open_any(&self.folder.path().join("out/corpus/products-00000.parquet")).unwrap();
        table.batches(1 << 10, None).map(|batch| batch.unwrap()).collect()
    }
}

#[test]
fn every_layout_gives_the_same_corpus() {
    let products = catalog();
    let lines: String = products.iter().map(|product| as_json(product) + "\n").collect();
    let objects: Vec<String> = products.iter().map(|product| as_json(product).replace("\",\"", "\",\n  \"")).collect();
    let mut wanted = None;
    for (name, bytes) in [
        ("catalog.jsonl", lines.clone().into_bytes()),
        ("catalog.jsonl.gz", gzip(lines.as_bytes())),
        ("catalog.json", format!("[\n{}\n]", objects.join(",\n")).into_bytes()),
        ("all.json", format!("{{\"count\": 60, \"items\": [{}]}}", objects.join(",")).into_bytes()),
        ("catalog.csv", as_csv(&products, ",").into_bytes()),
        ("catalog.txt", as_csv(&products, ";").into_bytes()),
        ("catalog.tsv.gz", gzip(as_csv(&products, "\t").as_bytes())),
        ("catalog.parquet", as_parquet(&products)),
    ] {
        let shop = Shop::new(name, &bytes);
        let text = shop.said(&["corpus"]);
        assert!(text.starts_with("exit 0"), "{name}: {text}");
        let found = shop.products();
        assert_eq!(found.iter().map(RecordBatch::num_rows).sum::<usize>(), 60, "{name}");
        assert_eq!(*wanted.get_or_insert_with(|| found.clone()), found, "{name}");
    }
}

#[test]
fn a_shop_is_checked_and_its_shards_are_the_same_for_any_number_of_threads() {
    let mut products = catalog();
    products[1][1].clear();
    let csv = as_csv(&products, ",").replacen("\"K7\",", "\"K7\",\"one too many\",", 1);
    let shop = Shop::new("catalog.csv", csv.as_bytes());
    assert_snapshot!("check", shop.said(&["check"]));
    let text = shop.said(&["corpus"]);
    assert!(
        text.starts_with("exit 1") && text.contains("`catalog.csv` line 16: 7 values in a row, expected 6"),
        "{text}"
    );
    let limit = ["shards", "--max-unreadable", "0.05", "--min-support", "5"];
    assert!(shop.said(&limit).starts_with("exit 0"));
    let options = fs::read_to_string(shop.folder.path().join("out/ebert.toml")).unwrap();
    let hide = support::workspace().canonicalize().unwrap().display().to_string();
    let options = options.replace(&shop.folder.path().display().to_string(), "DIR").replace(&hide, "WORKSPACE");
    assert_snapshot!("options", options);
    for threads in ["1", "3"] {
        let out = shop.folder.path().join(threads);
        let out = out.to_str().unwrap();
        succeed(
            ebert(limit)
                .args(["--threads", threads, "--out", out, "--config"])
                .arg(shop.folder.path().join("shop.toml")),
        );
        for folder in ["corpus", "pool", "shards"] {
            assert_same(&shop.folder.path().join("out").join(folder), &Path::new(out).join(folder), folder);
        }
    }
    // The options that a run writes repeat it.
    let again = succeed(ebert(["shards", "--config"]).arg(shop.folder.path().join("out/ebert.toml")));
    assert!(again.contains("up to date"), "{again}");
    // Other fields are another corpus.
    let config = fs::read_to_string(shop.folder.path().join("shop.toml")).unwrap();
    fs::write(shop.folder.path().join("shop.toml"), config.replace("brand = \"maker\"\n", "")).unwrap();
    let text = shop.said(&limit);
    assert!(text.starts_with("exit 0") && text.contains("the fields of `catalog.csv` have changed"), "{text}");
}

#[test]
fn mistakes_in_a_configuration_are_named() {
    let shop = Shop::new("catalog.csv", as_csv(&catalog(), ",").as_bytes());
    let config = fs::read_to_string(shop.folder.path().join("shop.toml")).unwrap();
    let mut all = String::new();
    for (what, from, to) in [
        ("a field that is not there", "id = \"sku\"", "id = \"code\""),
        ("an unknown key of a source", "title = ", "name = "),
        ("an unknown option", "out = ", "outt = "),
        ("a file that is not there", "catalog.csv", "none.csv"),
        ("a pattern without a file", "catalog.csv", "*.parquet"),
        ("a file of a start model", "out = ", "init = \"catalog.csv\"\nout = "),
        ("a start model elsewhere", "out = ", "init = \"bert-base-uncased\"\nout = "),
        ("another machine", "catalog.csv", "s3://bucket/catalog.csv"),
    ] {
        fs::write(shop.folder.path().join("shop.toml"), config.replacen(from, to, 1)).unwrap();
        let tokenizer = toml::Value::from(support::workspace().join(TOKENIZER[1]).display().to_string());
        let text = shop.said(&["shards"]).replace(&tokenizer.to_string(), "TOKENIZER");
        all += &format!("# {what}: {text}\n");
    }
    assert_snapshot!("mistakes", all);
}

#[test]
fn an_archive_that_is_cut_is_damaged() {
    let folder = tempfile::tempdir().unwrap();
    let [raw, out] = ["raw", "out"].map(|name| folder.path().join(name));
    fs::create_dir(&raw).unwrap();
    for file in ["0.json", "1.json"] {
        let line = |n| format!("{{\"asin\": \"{file}{n}\", \"title\": \"Cedar box {n}\", \"also_buy\": []}}\n");
        fs::write(folder.path().join(file), (0..9).map(line).collect::<String>()).unwrap();
    }
    let mut tar = std::process::Command::new("tar");
    let packed = tar.current_dir(folder.path()).args(["-cf", "-", "0.json", "1.json"]).output().unwrap();
    let whole = packed.stdout;
    // In the header of the second file.
    let second = whole.windows(6).position(|bytes| bytes == b"1.json").unwrap();
    fs::write(raw.join("all.tar"), &whole[..second + 100]).unwrap();
    let run = |more: &[&str]| {
        let mut command = ebert(["corpus", "--tokenizer", TOKENIZER[1], "--corpus"]);
        let output = command.arg(&raw).arg("--out").arg(&out).args(more).output().unwrap();
        said(&output, &[(folder.path(), "DIR")])
    };
    let text = run(&[]);
    let wanted = "`DIR/raw/all.tar` is damaged: the files behind `0.json` cannot be read: ";
    assert!(text.starts_with("exit 1") && text.contains(wanted) && text.contains("--allow-damaged"), "{text}");
    let text = run(&["--allow-damaged"]);
    assert!(
        text.starts_with("exit 0") && text.contains("products 9") && text.contains("`all.tar` is damaged"),
        "{text}"
    );
}

/// What `check` and `corpus` say of files and a configuration, and how many rows the tables have.
fn read(files: &[(&str, &str)], config: &str) -> (String, [usize; 3]) {
    let folder = tempfile::tempdir().unwrap();
    for (name, text) in files {
        fs::write(folder.path().join(name), text).unwrap();
    }
    fs::write(folder.path().join("shop.toml"), config).unwrap();
    let config = folder.path().join("shop.toml");
    let out = folder.path().join("out");
    let printed =
        succeed(ebert(["corpus", "--tokenizer", TOKENIZER[1], "--config"]).arg(&config).arg("--out").arg(&out));
    let rows = ["reviews", "interactions", "associations"].map(|stem| {
        let table = TableReader::open_any(&out.join(format!("corpus/{stem}-00000.parquet"))).unwrap();
        table.batches(1 << 10, None).map(|batch| batch.unwrap().num_rows()).sum()
    });
    (printed, rows)
}

#[test]
fn reviews_inside_products_are_counted_with_a_command_that_writes_them_out() {
    let folder = tempfile::tempdir().unwrap();
    let product = |n: usize| {
        let review = |user: usize| format!("{{\"reviewerID\": \"u{user}\", \"reviewText\": \"It holds {n} cups.\"}}");
        format!("{{\"asin\": \"B{n}\", \"title\": \"Kettle {n}\", \"reviews\": [{}, {}]}}\n", review(0), review(1))
    };
    fs::write(folder.path().join("meta.jsonl"), (0..3).map(product).collect::<String>()).unwrap();
    let out = folder.path().join("out");
    let printed =
        succeed(ebert(["corpus", "--tokenizer", TOKENIZER[1], "--corpus"]).arg(folder.path()).arg("--out").arg(&out));
    for wanted in [
        "values of `reviews`: list of reviews in a record 3",
        "hint: if the file is JSON, write one review per line with `jq -c",
    ] {
        assert!(printed.contains(wanted), "{printed}");
    }
}

#[test]
fn fields_that_are_named_count_whatever_their_first_values_are() {
    const PRODUCTS: &str = "[[products]]\npath = \"tea.csv\"\nid = \"sku\"\ntitle = \"name\"\ncomplements = \"with\"\n";
    const REVIEWS: &str =
        "[[reviews]]\npath = \"reviews.csv\"\nproduct = \"sku\"\nrating = \"stars\"\nreviewer = \"user\"\n";
    let tea = ("tea.csv", "sku,name,with\nA/1,Cedar box,B 2|(C3)\nB 2,Brass kettle,A/1\n(C3),Oolong tea,\n");
    // Ids are taken as they are.
    let (text, rows) = read(&[tea], PRODUCTS);
    assert!(rows == [0, 0, 3] && text.contains("products 3") && !text.contains("unread values"), "{rows:?} {text}");
    // The first reviews have no text. Seven users rate one product.
    let row = |number: usize| {
        let text = if number < 150 { String::new() } else { format!("It holds {number} bags of tea.") };
        format!("A/1,u{},{},{text}\n", number % 7, number % 5 + 1)
    };
    let reviews = "sku,user,stars,said\n".to_owned() + &(0..200).map(row).collect::<String>();
    let files = [tea, ("reviews.csv", &reviews)];
    let (text, rows) = read(&files, &format!("{PRODUCTS}{REVIEWS}text = \"said\"\n"));
    assert!(rows[..2] == [50, 7] && text.contains("empty 150"), "{rows:?} {text}");
    // Ratings have none at all.
    let (text, rows) = read(&files, &format!("{PRODUCTS}{REVIEWS}"));
    assert!(rows[..2] == [0, 7], "{rows:?} {text}");
}
