//! Small inputs in the shapes that people have, each with the right result. The inputs are in the optional folder
//! `../shared/cases`; unit tests of `ebert-dumps` cover the same kinds with inputs of their own.
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use schemas::{
    CorpusAssociationRows, CorpusInteractionRows, CorpusProductRows, CorpusReviewRows, GraphEdgeRows, Manifest,
    PairRows, Relation, TextId,
    manifest::{CorpusBody, GraphBody, ShardsBody},
    open_corpus_associations, open_corpus_interactions, open_corpus_products, open_corpus_reviews, open_graph_edges,
    open_pairs,
};
use support::{ebert, said, shared};
use tempfile::TempDir;

/// A product as the corpus holds it.
#[derive(Debug, Default, PartialEq)]
struct Product {
    title: String,
    text: Vec<String>,
    categories: Vec<String>,
    brand: Option<String>,
    attributes: Vec<String>,
}

/// A run over a case.
struct Case {
    folder: TempDir,
    /// What the run printed.
    said: String,
}

impl Case {
    /// Runs all steps over a case with a small pool. `None` where the folder of cases is not there.
    fn run(name: &str, options: &[&str]) -> Option<Self> {
        let corpus = shared("cases")?.join(name);
        let folder = tempfile::tempdir().unwrap();
        let pool = folder.path().join("pool.txt");
        fs::write(&pool, "0.9\tgift card\n0.9\twatch band\n").unwrap();
        let mut command = ebert(["shards", "--nouns", "off"]);
        command.args(support::tokenizer_unless_in(options));
        command.arg("--corpus").arg(corpus).arg("--pool").arg(&pool).arg("--out").arg(folder.path().join("out"));
        let said = said(&command.args(options).output().unwrap(), &[]);
        Some(Self { folder, said })
    }

    /// As [`Case::run`]; the run must succeed.
    fn made(name: &str, options: &[&str]) -> Option<Self> {
        let case = Self::run(name, options)?;
        assert!(case.said.starts_with("exit 0"), "{}", case.said);
        Some(case)
    }

    fn out(&self, path: &str) -> PathBuf {
        self.folder.path().join("out").join(path)
    }

    fn corpus(&self) -> CorpusBody {
        Manifest::read(&self.out("corpus")).unwrap().body
    }

    fn products(&self) -> BTreeMap<String, Product> {
        let owned = |texts: Vec<&str>| texts.into_iter().map(str::to_owned).collect();
        let mut products = BTreeMap::new();
        for rows in open_corpus_products(&self.out("corpus/products-00000.parquet")).unwrap().read(100) {
            let rows: CorpusProductRows = rows.unwrap();
            products.extend(rows.iter().map(|row| {
                assert_eq!(row.text_id, TextId::of(row.text));
                let product = Product {
                    title: row.title.to_owned(),
                    text: row.text.lines().map(str::to_owned).collect(),
                    categories: owned(row.categories),
                    brand: row.brand.map(str::to_owned),
                    attributes: owned(row.attributes),
                };
                (row.product_id.to_owned(), product)
            }));
        }
        products
    }

    /// Texts of reviews with their ratings.
    fn reviews(&self) -> Vec<(String, Option<f32>)> {
        let mut reviews = Vec::new();
        for rows in open_corpus_reviews(&self.out("corpus/reviews-00000.parquet")).unwrap().read(100) {
            let rows: CorpusReviewRows = rows.unwrap();
            reviews.extend(rows.iter().map(|row| (row.text.to_owned(), row.rating)));
        }
        reviews.sort_by(|a, b| a.0.cmp(&b.0));
        reviews
    }

    /// Product, other product, relation.
    fn associations(&self) -> BTreeSet<(String, String, &'static str)> {
        let mut found = BTreeSet::new();
        for rows in open_corpus_associations(&self.out("corpus/associations-00000.parquet")).unwrap().read(100) {
            let rows: CorpusAssociationRows = rows.unwrap();
            found.extend(rows.iter().map(|row| {
                let row = row.unwrap();
                (row.product.to_owned(), row.other.to_owned(), row.relation.as_str())
            }));
        }
        found
    }
}

fn lines(text: &[&str]) -> Vec<String> {
    text.iter().map(|&line| line.to_owned()).collect()
}

/// Checks every pair: no negative has the text or the ids of the other sides.
fn check_negatives(pairs: &Path) -> usize {
    let mut checked = 0;
    for rows in open_pairs(pairs).unwrap().read(100) {
        let rows: PairRows = rows.unwrap();
        for row in 0..rows.len() {
            let pair = rows.get(row).unwrap();
            for side in [pair.anchor, pair.neighbor] {
                assert!(side.text_id != pair.negative.text_id && side.input_ids != pair.negative.input_ids);
            }
            assert_ne!(pair.anchor.input_ids, pair.neighbor.input_ids);
            checked += 1;
        }
    }
    checked
}

#[test]
fn case_01_equal_texts() {
    let Some(case) = Case::made("01-equal-texts", &[]) else { return };
    assert_eq!(case.corpus().counts.rejected, [("copy".to_owned(), 39)].into());
    assert!(case.said.contains("copy 39"), "{}", case.said);
    let reviews = case.reviews();
    let copies = reviews.iter().filter(|(text, _)| text.starts_with("loose strap")).count();
    assert_eq!((reviews.len(), copies), (11, 1));
    // All reviews count for who reviewed what.
    assert!(case.corpus().counts.interactions >= 40);
    check_negatives(&case.out("shards/pairs-00000.parquet"));

    let kept = Case::made("01-equal-texts", &["--copies", "keep"]).unwrap();
    assert_eq!(kept.corpus().counts.rejected, [].into());
    assert_eq!(kept.reviews().iter().filter(|(text, _)| text.starts_with("loose strap")).count(), 40);
    let shards: Manifest<ShardsBody> = Manifest::read(&kept.out("shards")).unwrap();
    assert_eq!(shards.body.options.copies, schemas::manifest::Copies::Keep);
}

#[test]
fn case_02_lists_in_strings() {
    let Some(case) = Case::made("02-lists-in-strings", &[]) else { return };
    let products = case.products();
    let kettle = &products["S1"];
    assert_eq!(kettle.categories, ["Kitchen & Dining", "Kettles"]);
    assert_eq!((&kettle.text, &kettle.brand), (&lines(&["Copper kettle", "Boils fast.", "Holds a litre."]), &None));
    assert_eq!(products["S2"].text, lines(&["Tea towel", "Woven", "Fits any oven rail"]));
    assert_eq!(products["S2"].brand.as_deref(), Some("Lindqvar"));
    assert_eq!(products["S4"].text, lines(&["[Sealed] tea tin", "[4 pieces] in a box"]));
    assert!(!products.contains_key("S3"), "a product without a text");
    let atlas = &products["T1"];
    assert_eq!(atlas.text, lines(&["Harbour atlas", "Forty charts.", "No index.", "Quay", "88"]));
    assert_eq!((&atlas.categories, &atlas.attributes), (&lines(&["Books", "Travel"]), &lines(&["Publisher", "Pages"])));
    assert_eq!(atlas.brand.as_deref(), Some("Mirela Tandu"));
    let found = case.associations();
    for (product, other, relation) in [
        ("S1", "S2", "complement"),
        ("S1", "S3", "substitute"),
        ("S2", "S1", "complement"),
        ("S2", "S3", "complement"),
        ("S3", "S1", "complement"),
    ] {
        assert!(found.contains(&(product.to_owned(), other.to_owned(), relation)), "{product} {other}");
    }
    assert_eq!(case.corpus().counts.unread, [].into());
}

#[test]
fn case_03_features_in_category() {
    let Some(case) = Case::made("03-features-in-category", &[]) else { return };
    for product in case.products().values() {
        assert_eq!(product.categories, ["Clothing, Shoes & Jewelry", "Women", "Skirts"]);
    }
}

#[test]
fn case_04_names_of_makers() {
    let Some(case) = Case::made("04-names-of-makers", &[]) else { return };
    let brands: Vec<Option<String>> = case.products().into_values().map(|product| product.brand).collect();
    let wanted = [
        Some("Orla Vendrik"),
        None,
        Some("Grevlund"),
        Some("The Low Tides"),
        Some("Petra Holm"),
        Some("Jorun Aske"),
        None,
    ];
    assert_eq!(brands, wanted.map(|brand| brand.map(str::to_owned)));
}

#[test]
fn case_05_headlines_of_stars() {
    let Some(case) = Case::made("05-headlines-of-stars", &[]) else { return };
    let texts: Vec<String> = case.reviews().into_iter().map(|(text, _)| text).collect();
    let has_headline = |text: &&String| text.contains("Stars") || text.contains("One Star");
    assert!(!texts.iter().any(|text| has_headline(&text)), "{texts:?}");
    assert!(texts.iter().any(|text| text == "Five stars for the hinge\nthe hinge is solid"), "{texts:?}");
    assert_eq!(case.corpus().counts.rejected["empty"], 1);
}

#[test]
fn case_06_page_furniture() {
    let Some(case) = Case::made("06-page-furniture", &[]) else { return };
    let products = case.products();
    assert_eq!(products["F1"].title, "Brass soap dish");
    assert_eq!(products["F1"].text, lines(&["Brass soap dish", "Solid brass, felt feet."]));
    assert_eq!(products["F2"].text, lines(&["Linen runner", "Hemmed by hand.", "Undyed linen."]));
    assert_eq!(
        products["F3"].text,
        lines(&["Learn CSS: margin {and padding} explained", "A book on var and let, function by function."])
    );
    let book = &products["F4"].text;
    assert!(!book.iter().any(|line| line.contains("refers to") || line.contains("kindle")), "{book:?}");
    let about = book.iter().position(|line| line.starts_with("About the Author")).unwrap();
    assert!(book[about..].join("\n").contains("Jorun Aske writes in a lighthouse."), "{book:?}");
}

#[test]
fn case_07_ids_without_zeros() {
    let Some(case) = Case::made("07-ids-without-zeros", &[]) else { return };
    let graph: GraphBody = Manifest::read(&case.out("graph")).unwrap().body;
    assert_eq!((graph.reviews_without_product, graph.reviews_of_unknown_products), (0, 0));
    let mut edges = BTreeSet::new();
    for rows in open_graph_edges(&case.out("graph/associations.parquet")).unwrap().read(100) {
        let rows: GraphEdgeRows = rows.unwrap();
        edges.extend(rows.iter().map(|edge| edge.map(|e| (e.product_a.to_owned(), e.product_b.to_owned())).unwrap()));
    }
    let edge = |a: &str, b: &str| (a.to_owned(), b.to_owned());
    assert_eq!(edges, [edge("0000031852", "0000031909"), edge("0000031852", "1384719342")].into());
    // One id names no product.
    assert_eq!((graph.named_ids, graph.named_products), (4, 3));
    assert!(case.said.contains("1 not found"), "{}", case.said);
}

#[test]
fn case_08_extended_json() {
    let Some(case) = Case::made("08-extended-json", &[]) else { return };
    assert_eq!(case.reviews(), [("hum\nhums at night".to_owned(), Some(2.0))]);
    assert!(case.products().contains_key("M1"));
    let table = open_corpus_interactions(&case.out("corpus/interactions-00000.parquet")).unwrap();
    let rows: CorpusInteractionRows = table.read(10).next().unwrap().unwrap();
    assert_eq!(rows.iter().next().unwrap().time, Some(1_252_800_000));
}

#[test]
fn case_09_what_a_file_is() {
    let Some(case) = Case::made("09-what-a-file-is", &[]) else { return };
    let products = case.products();
    assert!(products.contains_key("G1") && products.contains_key("G2"));
    let skipped: BTreeMap<String, String> =
        case.corpus().skipped.into_iter().map(|file| (file.path, file.why)).collect();
    let read: Vec<String> = case.corpus().inputs.into_iter().map(|file| file.path).collect();
    for name in [
        "object_of_array.json",
        "one.zip",
        "pretty.json",
        "ratings.csv",
        "snap.txt",
        "trailing_comma.json",
        "two.tar.gz",
    ] {
        assert!(read.iter().any(|path| path == name || path.starts_with(&format!("{name}/"))), "{name}: {read:?}");
    }
    for (name, why, hint) in [
        ("empty.json.gz", "empty", "fetch it again"),
        ("html.json.gz", "a web page", "fetch the file itself"),
        ("latin1.json", "Latin-1", "iconv -f WINDOWS-1252"),
        ("other_names.jsonl", "found sku", "--config shop.toml"),
        ("pointer.jsonl", "Git LFS pointer", "git lfs pull"),
        ("utf16.json", "UTF-16", "iconv -f UTF-16"),
    ] {
        assert!(skipped.get(name).is_some_and(|reason| reason.contains(why)), "{name}: {skipped:?}");
        assert!(case.said.contains(why) && case.said.contains(hint), "{name}: {}", case.said);
    }
}

#[test]
fn case_10_texts_and_categories_of_2023() {
    let Some(case) = Case::made("10-dump-of-2023", &[]) else { return };
    let soap = &case.products()["D0"];
    assert_eq!(soap.categories, ["All Beauty"]);
    assert!(["Bar", "Cedar"].iter().all(|value| soap.text.contains(&(*value).to_owned())), "{soap:?}");
    assert_eq!(case.corpus().counts.interactions, 8);
    let edges = open_graph_edges(&case.out("graph/associations.parquet")).unwrap();
    let edges: GraphEdgeRows = edges.read(10).next().unwrap().unwrap();
    let edges: Vec<_> =
        edges.iter().map(|edge| edge.map(|e| (e.product_a, e.product_b, e.relation)).unwrap()).collect();
    assert_eq!(edges, [("D0", "D1", Relation::CoReviewed)]);
}

#[test]
fn case_11_vocabularies() {
    let Some(folder) = shared("cases") else { return };
    for (name, wanted) in [
        ("duplicate.txt", &["the entry `a` on lines 6 and 8"][..]),
        ("bpe_vocab.json", &["is a byte-level BPE vocabulary"]),
    ] {
        let file = folder.join("11-vocabularies").join(name);
        let case = Case::run("08-extended-json", &["--tokenizer", file.to_str().unwrap()]).unwrap();
        assert!(case.said.starts_with("exit 1"), "{}", case.said);
        assert!(wanted.iter().all(|text| case.said.contains(text)), "{}", case.said);
        assert!(!case.out("corpus").exists(), "refused before any work");
    }
}

#[test]
fn case_12_twice_encoded() {
    let Some(case) = Case::made("12-twice-encoded", &[]) else { return };
    let texts: Vec<String> = case.reviews().into_iter().map(|(text, _)| text).collect();
    assert_eq!(texts, ["nice\nIt’s a café mug", "no\nIt’s chipped", "ok\nSÃO PAULO printed on it, Ã la carte"]);
}

#[test]
fn case_14_negatives_alike() {
    let Some(case) = Case::made("14-negatives-alike", &["--draws", "20"]) else { return };
    assert!(check_negatives(&case.out("shards/pairs-00000.parquet")) > 100);
    let shards: Manifest<ShardsBody> = Manifest::read(&case.out("shards")).unwrap();
    assert_eq!(shards.body.counts.pairs_dropped["same_text"], 5 * 20);
}
