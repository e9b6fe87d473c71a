//! Tests of records inside other JSON objects.
use super::{
    layouts::{given, of_file, records},
    *,
};
use crate::{Kind, find::Source};

/// So many products or reviews, which take more bytes than the start of a file that is looked at.
fn long_array(record: impl Fn(u32) -> String) -> String {
    let all: Vec<String> = (0..700).map(record).collect();
    format!("[{}]", all.join(", "))
}

#[test]
fn arrays_after_a_long_one_are_read() {
    let product = |n: u32| format!(r#"{{"asin": "B{n}", "title": "Tea {n}", "description": ["{}"]}}"#, "a".repeat(100));
    let review = |n: u32| format!(r#"{{"asin": "B{n}", "reviewerID": "A", "reviewText": "Good {n}", "overall": 5}}"#);
    let (products, reviews) = (long_array(product), format!("[{}, {}]", review(1), review(2)));
    for text in [
        format!(r#"{{"products": {products}, "reviews": {reviews}}}"#),
        format!(r#"{{"shop": {{"products": {products}}}, "note": "a \" ] }}", "reviews": {reviews}}}"#),
        format!("{{\n\"reviews\": {reviews},\n\"products\": {products}\n}}"),
    ] {
        let found = of_file("all.json", text.as_bytes());
        let count = |kind: &str| found.iter().filter(|record| record.starts_with(kind)).count();
        assert_eq!((count("products "), count("reviews ")), (700, 2), "{}", &text[..60]);
    }
    let text = format!(r#"{{"tea": {products}, "salt": [{}]}}"#, product(900));
    assert_eq!(of_file("by_category.json", text.as_bytes()).len(), 701);
}

#[test]
fn reviews_inside_an_object_are_those_of_its_product() {
    let review = |n: u32| format!(r#"{{"text": "Good {n}", "rating": 5, "user_id": "A{n}"}}"#);
    let of = |n: u32| format!("[{}, {}]", review(n), review(n + 1));
    let wanted = ["reviews B0 Good 1", "reviews B0 Good 2", "reviews B1 Good 3", "reviews B1 Good 4"];
    let lines = [("B0", 1), ("B1", 3)].map(|(id, n)| format!(r#"{{"asin": "{id}", "reviews": {}}}"#, of(n)));
    assert_eq!(of_file("lines.jsonl", lines.join("\n").as_bytes()), wanted);
    let lines = [("B0", 1), ("B1", 3)]
        .map(|(id, n)| format!(r#"{{"product": {{"asin": "{id}", "title": "Tea"}}, "reviews": {}}}"#, of(n)));
    let found = of_file("next.jsonl", lines.join("\n").as_bytes());
    let reviews: Vec<&String> = found.iter().filter(|record| record.starts_with("reviews")).collect();
    assert_eq!(reviews, wanted);
    assert_eq!(found.iter().filter(|record| record.starts_with("products")).count(), 2);
    // An id of its own stays.
    let text = r#"{"asin": "B0", "reviews": [{"asin": "B7", "text": "Good", "rating": 5, "user_id": "A"}]}"#;
    assert_eq!(of_file("own.json", text.as_bytes()), ["reviews B7 Good"]);
}

#[test]
fn products_inside_a_product_do_not_take_its_place() {
    let line = |n: u32| format!(r#"{{"asin": "B{n}", "name": "Tea", "similar": [{{"asin": "B9", "title": "Salt"}}]}}"#);
    let found = of_file("similar.jsonl", format!("{}\n{}\n", line(1), line(2)).as_bytes());
    assert!(matches!(&found[..], [reason] if reason.starts_with("skipped: ")), "{found:?}");
}

#[test]
fn records_with_several_reviews_are_read_as_given_and_refused_one_by_one() {
    let folder = tempfile::tempdir().unwrap();
    let line = |n: u32| format!(r#"{{"sku": "B{n}", "reviews": [{{"body": "Good"}}, {{"body": "Bad"}}]}}"#);
    fs::write(folder.path().join("a.jsonl"), format!("{}\n{}\n", line(1), line(2))).unwrap();
    let given = given("product = \"sku\"\ntext = \"reviews.body\"", Kind::Review);
    let source = Source { path: folder.path().join("a.jsonl"), address: None, given };
    let files = find_all(&[source], Path::new("nowhere")).unwrap();
    let found = records(&files.recognised[0]);
    assert!(found.len() == 2 && found.iter().all(|record| record.contains("jq -c")), "{found:?}");
}

#[test]
fn a_row_of_a_product_and_its_review_has_the_title_of_the_product() {
    let text = "asin,reviewerID,overall,reviewText,title,brand\nB0,A1,5,Great pot,Pot,Orla\nB1,A2,4,,Pan,Orla\n";
    assert_eq!(of_file("joined.csv", text.as_bytes()), ["reviews B0 Great pot", "reviews B1 "]);
}

#[test]
fn a_table_with_a_few_damaged_bytes_is_read() {
    let mut text = b"asin,title\n".to_vec();
    (0..20).for_each(|n| text.extend(format!("B{n},Caf\u{e9} {n}\n").bytes()));
    text.extend(b"B20,Caf\xe9\n");
    let found = of_file("damaged.csv", &text);
    assert_eq!((found.len(), found[3].as_str()), (21, "products B3 Café 3"), "{found:?}");
    assert!(found[20].contains("invalid UTF-8"), "{found:?}");
}

/// They are those of the records in a column.
#[test]
fn lists_of_ids_are_no_id() {
    crate::parse(br#"{"asin": ["B0", "B1"], "title": ["Tea", "Salt"]}"#, |record| {
        assert!(record.product_id().is_none() && record.unread.len() == 1);
    })
    .unwrap();
    crate::parse(br#"{"asin": ["B0"], "title": "Tea"}"#, |record| assert_eq!(record.product_id(), Some("B0"))).unwrap();
}

#[test]
fn values_with_the_names_of_their_types_are_read() {
    let line = r#"{"asin": {"S": "B0"}, "title": {"S": "Tea"}, "details": {"M": {"Color": {"S": "Teal"}}}, "related": {"M": {"also_bought": {"L": [{"S": "B1"}]}}}}"#;
    crate::parse(line.as_bytes(), |record| {
        let details: Vec<(&str, &str)> = record.detail_texts().collect();
        assert_eq!(details, [("Color", "Teal")]);
        let others: Vec<&str> = record.associations.iter().map(|found| &*found.other).collect();
        assert!(others == ["B1"] && record.unread.is_empty(), "{others:?} {:?}", record.unread);
    })
    .unwrap();
    // A size.
    crate::parse(br#"{"asin": "B0", "title": "Tea", "details": {"M": "wide"}}"#, |record| {
        assert_eq!(record.detail_texts().collect::<Vec<_>>(), [("M", "wide")]);
    })
    .unwrap();
}
