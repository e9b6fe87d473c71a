use proptest::prelude::*;

use super::*;
use crate::parse;

/// Title, text, categories and brand of a product.
type Product = (String, String, Vec<String>, Option<String>);

fn product(line: &str) -> (Product, Removals) {
    let mut builder = DocumentBuilder::default();
    parse(line.as_bytes(), |record| {
        let product = builder.product(record);
        let categories = product.categories().map(str::to_owned).collect();
        let fields = (product.title.to_owned(), product.text.to_owned(), categories, product.brand.map(str::to_owned));
        (fields, product.removed.clone())
    })
    .unwrap()
}

fn review(line: &str) -> (String, Removals) {
    let mut builder = DocumentBuilder::default();
    parse(line.as_bytes(), |record| {
        let review = builder.review(record);
        (review.text.to_owned(), review.removed.clone())
    })
    .unwrap()
}

#[test]
fn features_in_the_categories_of_clothing() {
    for (features, description) in [
        (
            r#""4 layers of tulle", "Elastic waist measures 28 inches across. Fits most sizes.", "Imported", "Hand Wash Only""#,
            "4 layers of tulle",
        ),
        (r#""100% Cotton", "Zip at the back", "Imported", "Hand Wash Only""#, "100% Cotton"),
        (r#""Machine Wash", "Adjustable waist", "Imported", "Hand Wash Only""#, "Machine Wash"),
    ] {
        let line = format!(
            r#"{{"asin": "C0", "title": "Skirt", "category": ["Clothing, Shoes & Jewelry", "Women", "Skirts", {features}],
                "feature": [{features}], "brand": "Fennimor", "description": ["{description}"]}}"#
        );
        let ((_, text, categories, brand), removed) = product(&line);
        assert_eq!(categories, ["Clothing, Shoes & Jewelry", "Women", "Skirts"]);
        assert_eq!(brand.as_deref(), Some("Fennimor"));
        assert_eq!(text.lines().count(), features.matches("\", ").count() + 3);
        assert_eq!(removed.of(Rule::FeaturesInCategories).pieces, features.matches("\", ").count() as u64 + 1);
    }
}

#[test]
fn features_that_are_only_among_the_categories_become_features() {
    let ((_, text, categories, _), removed) = product(
        r#"{"asin": "C3", "title": "Skirt", "category": ["Women", "Skirts", "100% Cotton", "Two deep pockets",
        "Imported"], "feature": [], "description": ["Sewn by hand."]}"#,
    );
    assert_eq!(categories, ["Women", "Skirts"]);
    assert_eq!(text, "Skirt\n100% Cotton\nTwo deep pockets\nImported\nSewn by hand.");
    assert_eq!(removed.of(Rule::CareInCategories).pieces, 3);
    let ((_, text, categories, _), _) = product(
        r#"{"asin": "C4", "title": "Card", "category": ["Gift Cards", "Never expires, no fees."], "also_buy": []}"#,
    );
    assert_eq!((text.as_str(), categories.len()), ("Card\nNever expires, no fees.", 1));
}

#[test]
fn one_category_of_2023_may_be_a_feature() {
    for (features, wanted) in [(r#""t-shirts""#, 2), (r#""t-shirts", "Women.""#, 0)] {
        let line = format!(
            r#"{{"parent_asin": "B0", "features": [{features}], "categories": ["Women", "T-Shirts"], "store": "x"}}"#
        );
        assert_eq!(product(&line).0.2.len(), wanted);
    }
}

#[test]
fn boilerplate_without_tags() {
    let ((title, text, ..), _) = product(
        r#"{"asin": "F1", "title": "<span id=\"productTitle\" class=\"a-size-large\">Brass soap dish</span>",
        "description": ["<style>.aplus-v2 {font-size:12px}</style>", "var aPageStart = (new Date()).getTime();",
        "P.when('A').execute(function(A){ A.on('x', function(){}); });", "Solid brass, felt feet."],
        "feature": [".a-section {margin:0}", "Make sure this fits by entering your model number.",
        "Fits your  <br><br>."], "category": ["Bath"]}"#,
    );
    assert_eq!((title.as_str(), text.as_str()), ("Brass soap dish", "Brass soap dish\nSolid brass, felt feet."));
    let ((_, text, ..), _) = product(
        r#"{"asin": "F2", "title": "Linen runner", "description": ["Hemmed by hand. Read more",
        "if (typeof uet === 'function') { uet('cf'); }",
        "{ \"language_tag\": \"en_US\", \"value\": \"Undyed linen.\" }"], "category": ["Home"]}"#,
    );
    assert_eq!(text, "Linen runner\nHemmed by hand.\nUndyed linen.");
    let ((_, text, ..), removed) = product(
        r#"{"asin": "F3", "title": "Learn CSS: margin {and padding} explained",
        "description": ["A book on var and let, function by function."], "category": ["Books"]}"#,
    );
    assert_eq!(text, "Learn CSS: margin {and padding} explained\nA book on var and let, function by function.");
    assert!(removed.is_empty());
    let ((_, text, _, brand), removed) = product(
        r#"{"parent_asin": "F4", "title": "Tides of Brannoch", "features": [],
        "description": ["The second voyage of the Merrow.", "--This text refers to an alternate", "kindle_edition",
        "edition.", "About the Author", "Jorun Aske", "writes in a lighthouse."], "categories": ["Books"],
        "store": "Jorun Aske (Author)"}"#,
    );
    let wanted =
        "Tides of Brannoch\nThe second voyage of the Merrow.\nAbout the Author\nJorun Aske writes in a lighthouse.";
    assert_eq!((text.as_str(), brand.as_deref()), (wanted, Some("Jorun Aske")));
    let rules: Vec<&str> =
        removed.iter().filter(|(_, removed)| removed.pieces > 0).map(|(rule, _)| rule.as_str()).collect();
    assert_eq!(rules, ["brand_decorations", "edition_notes", "joined_list_items"]);
}

#[test]
fn a_script_as_title_or_brand() {
    let ((title, text, _, brand), removed) = product(
        r#"{"asin": "B0", "title": "var aPageStart = (new Date()).getTime();\nvar ue_t0=1;", "also_buy": [],
        "brand": ".a-box-inner{background-color:#fff}", "feature": ["Tea"]}"#,
    );
    assert_eq!((title.as_str(), text.as_str(), brand), ("", "Tea", None));
    assert_eq!((removed.of(Rule::Scripts).pieces, removed.of(Rule::Styles).pieces), (1, 1));
}

#[test]
fn headlines_of_the_shop() {
    for (line, wanted) in [
        (r#"{"overall": 5.0, "summary": "Five Stars", "reviewText": "arrived early"}"#, "arrived early"),
        (r#"{"overall": 4.0, "summary": "Four Stars", "reviewText": "the lid is stiff"}"#, "the lid is stiff"),
        (r#"{"overall": 1.0, "summary": "One Star", "reviewText": "broke"}"#, "broke"),
        (r#"{"overall": 5.0, "summary": "Five Stars", "reviewText": ""}"#, ""),
        (r#"{"overall": 5.0, "summary": "Five Stars", "asin": "B0", "reviewerID": "A"}"#, ""),
        (r#"{"rating": 5.0, "title": "Five Stars", "text": "Sturdy", "user_id": "A"}"#, "Sturdy"),
        (
            r#"{"overall": 5.0, "summary": "Five stars for the hinge", "reviewText": "solid"}"#,
            "Five stars for the hinge\nsolid",
        ),
        (r#"{"overall": 1.0, "summary": "Five Stars", "reviewText": "no"}"#, "Five Stars\nno"),
        (r#"{"overall": 5.0, "summary": "It fits the ...", "reviewText": "it fits the drawer"}"#, "it fits the drawer"),
        (r#"{"overall": 5.0, "summary": "Oh my ...", "reviewText": "it fits"}"#, "Oh my ...\nit fits"),
        (r#"{"overall": 5.0, "reviewText": "The media could not be loaded.<br>It fits."}"#, "It fits."),
    ] {
        assert_eq!(review(line).0, wanted, "{line}");
    }
}

#[test]
fn the_text_of_a_product_has_its_fields_in_order() {
    let ((_, text, ..), removed) = product(
        r#"{"parent_asin": "B0", "title": "Tides", "subtitle": "Hardcover", "author": {"name": "Jorun Aske", "about": ["x"]},
        "features": ["Forty charts."], "description": ["A voyage."], "main_category": "Books", "average_rating": 4.5,
        "details": {"Publisher": "Quay (January 4, 2017)", "ISBN 10": "0435088688", "Word Wise": "Not Enabled",
        "Pages": "1", "Motto": "Yes Please", "Domestic Shipping:": "Item can be shipped within U.S.", "Shipping Weight:": "8 ounces (",
        "Best Sellers Rank": {"Books": 7}}}"#,
    );
    let wanted = "Tides\nHardcover\nJorun Aske\nForty charts.\nA voyage.\nQuay\n1\nYes Please\n8 ounces";
    assert_eq!(text, wanted);
    assert_eq!(removed.of(Rule::DetailSwitches).pieces, 1);
    assert_eq!(removed.of(Rule::DetailNotices).pieces, 1);
}

#[test]
fn a_label_that_is_no_category_and_no_feature_goes_into_the_text() {
    for (category, features, wanted) in [
        (r#""Clothing", "Women", "100% Cotton", "Slim fit""#, "Soft hand", "Tea\nSoft hand\n100% Cotton\nSlim fit"),
        (r#""Tools", "A very nice tool for the home.", "Saws""#, "Sharp", "Tea\nSharp\nA very nice tool for the home."),
        (r#""Health", "Wound Closure", "Strips""#, "Ten strips", "Tea\nTen strips"),
    ] {
        let line = format!(
            r#"{{"asin": "C9", "title": "Tea", "category": [{category}], "feature": ["{features}"], "also_buy": []}}"#
        );
        let ((_, text, ..), _) = product(&line);
        assert_eq!(text, wanted);
    }
}

#[test]
fn text_behind_a_script_without_a_semicolon_stays() {
    for script in ["P.when('A').execute(function(A){ A.on('x', function(){}); })", "uet('cf')"] {
        let line = format!(
            r#"{{"asin": "F9", "title": "Dish", "description": ["{script} Solid brass, felt feet."], "also_buy": []}}"#
        );
        let ((_, text, ..), removed) = product(&line);
        assert_eq!(text, "Dish\nSolid brass, felt feet.", "{script}");
        assert_eq!(removed.of(Rule::Scripts).pieces, 1);
    }
}

#[test]
fn names_of_details_that_only_look_like_ids_keep_their_values() {
    let ((_, text, ..), removed) = product(
        r#"{"asin": "D9", "title": "Holder", "also_buy": [], "details": ["ID Card Holder: Leather", "Rank: Colonel", "Product ID: X7",
        "Date Palm: Medjool"]}"#,
    );
    assert_eq!(text, "Holder\nLeather\nColonel\nMedjool");
    assert!(removed.is_empty());
}

#[test]
fn a_body_is_not_a_headline() {
    let (text, removed) = review(r#"{"asin": "H1", "overall": 5.0, "reviewText": "Five Stars"}"#);
    assert_eq!((text.as_str(), removed.is_empty()), ("Five Stars", true));
}

#[test]
fn a_builder_forgets_the_record_before() {
    let mut builder = DocumentBuilder::default();
    let first = br#"{"asin": "A", "title": "x", "feature": ["y", "Read more"], "category": ["y"], "brand": "z"}"#;
    parse(first, |record| assert!(!builder.product(record).removed.is_empty())).unwrap();
    parse(br#"{"asin": "B", "also_buy": []}"#, |record| {
        let product = builder.product(record);
        assert_eq!((product.title, product.text, product.brand), ("", "", None));
        assert_eq!((product.categories().count(), product.attributes().count()), (0, 0));
        assert!(product.removed.is_empty());
    })
    .unwrap();
}

#[test]
fn a_log_holds_the_removed_texts() {
    let mut builder = DocumentBuilder::logging();
    parse(br#"{"asin": "A", "feature": ["y", "Read more"], "also_buy": []}"#, |record| {
        assert_eq!(builder.product(record).removed.log(), [(Rule::ReadMore, "Read more".to_owned())]);
    })
    .unwrap();
    let mut total = Removals::default();
    total.add(&builder.removals);
    total.add(&builder.removals);
    assert_eq!((total.of(Rule::ReadMore), total.log().len()), (crate::Removed { pieces: 2, bytes: 18 }, 0));
}

#[test]
fn rules_have_distinct_names() {
    let names: std::collections::HashSet<&str> = Rule::ALL.iter().map(|rule| rule.as_str()).collect();
    assert_eq!(names.len(), Rule::ALL.len());
    assert!(Rule::ALL.iter().enumerate().all(|(at, rule)| *rule as usize == at));
}

/// A product of 2023 with these items.
fn line_of(items: &[String]) -> String {
    let items = serde_json::to_string(items).unwrap();
    format!(r#"{{"parent_asin": "B0", "features": {items}, "description": {items}, "categories": {items}}}"#)
}

const PIECES: [&str; 46] = [
    "Read more",
    "View larger",
    "\n",
    " ",
    ".",
    "\"",
    "{",
    "}",
    "(",
    ")",
    ";",
    "'",
    ":",
    "/*",
    "*/",
    ".a {margin:0}",
    ".a",
    "margin:0",
    "@media ",
    "var x = ",
    "P.when(",
    "if(typeof P ",
    "function(",
    "window.x",
    "getTime()",
    "{ \"language_tag\": \"en\", \"value\": \"",
    "\"}",
    "--This text refers to",
    " the",
    "edition",
    "_edition edition.",
    "From the Hardcover edition.",
    "About the Author",
    "Copyright ",
    "© AudioFile",
    "Kirkus Associates",
    "Fits your ",
    "and",
    ", and",
    "Word",
    "word",
    "é",
    "漢字",
    "“",
    "...",
    "ASIN: ",
];

fn pieces() -> impl Strategy<Value = String> {
    prop::collection::vec(prop::sample::select(&PIECES[..]), 0..12).prop_map(|pieces| pieces.concat())
}

proptest! {
    #[test]
    fn any_text_is_read(items in prop::collection::vec(prop_oneof![any::<String>(), pieces()], 0..8)) {
        let ((_, text, ..), _) = product(&line_of(&items));
        prop_assert!(!text.starts_with('\n') && !text.ends_with('\n') && !text.contains("\n\n"), "{text:?}");
        let line = serde_json::json!({
            "overall": 5, "summary": items.concat(), "reviewText": items.join(" "),
        });
        let (text, _) = review(&line.to_string());
        prop_assert!(!text.starts_with('\n') && !text.ends_with('\n'), "{text:?}");
    }

    #[test]
    fn text_without_a_trigger_is_cleaned_only(items in prop::collection::vec("[A-Z][a-z]{0,8}( [A-Za-z0-9é]{1,8}){0,6}[.!?]", 0..8)) {
        let line = line_of(&items).replace("categories", "labels");
        let ((_, text, ..), removed) = product(&line);
        let wanted = items.iter().chain(&items).map(String::as_str).collect::<Vec<_>>().join("\n");
        prop_assert_eq!(text, wanted);
        prop_assert!(removed.is_empty());
    }
}

#[test]
fn time_is_linear() {
    for piece in PIECES {
        for (item, count) in [(piece.repeat((1 << 20) / piece.len()), 1), (piece.to_owned(), (1 << 19) / piece.len())] {
            let line = line_of(&vec![item; count]);
            let start = std::time::Instant::now();
            let _ = product(&line);
            // Less than a second; minutes if quadratic.
            assert!(start.elapsed().as_secs() < 10, "{piece:?}, {count} items: {:?}", start.elapsed());
        }
        // The same on lines of their own in one item.
        let line = line_of(&[format!("{piece}\n").repeat((1 << 20) / (piece.len() + 1))]);
        let start = std::time::Instant::now();
        let _ = product(&line);
        assert!(start.elapsed().as_secs() < 10, "{piece:?} on lines: {:?}", start.elapsed());
    }
}

#[test]
fn a_category_that_is_a_picture_is_the_text_in_its_place() {
    for (category, wanted) in [
        (
            r#"<img src="https://x/logo._CB4_.png" class="nav-categ-image" alt="AMAZON FASHION"/>"#,
            &["AMAZON FASHION"][..],
        ),
        (r#"<a href='/x'><IMG ALT='Tea &amp; Cups' src=x></a>"#, &["Tea & Cups"]),
        ("&lt;img src=&quot;x&quot; alt=&quot;Tea&quot;/&gt;", &["Tea"]),
        (r#"<img src="x" alt="Tea">Cups"#, &["Cups"]),
        (r#"<img src="x.png?alt=1">"#, &[]),
        (r#"<img src="x" alt="">"#, &[]),
    ] {
        let line =
            serde_json::json!({ "asin": "B0", "title": "Cup", "main_cat": category, "also_buy": [] }).to_string();
        let mut builder = DocumentBuilder::default();
        crate::parse(line.as_bytes(), |record| {
            let product = builder.product(record);
            assert_eq!(product.categories().collect::<Vec<_>>(), wanted, "{category}");
            assert_eq!(product.text, "Cup");
        })
        .unwrap();
    }
}
