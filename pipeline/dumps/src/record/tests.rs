use super::*;

mod more;
mod numbers;
mod shapes;

fn kind(line: &str) -> Option<(Kind, Generation)> {
    let found = parse(line.as_bytes(), |r| r.record_type()).unwrap();
    found.map(|found| (found.kind, found.generation))
}

#[test]
fn every_generation_is_recognised() {
    use Generation::{Y2014, Y2018, Y2023};
    use Kind::{Product, Review};
    for (line, wanted) in [
        (r#"{"asin": "B0", "title": "T", "related": {}}"#, Some((Product, Y2014))),
        (r"{'asin': 'B0', 'categories': [['Books']], 'title': 'It\'s'}", Some((Product, Y2014))),
        (r#"{"asin": "B0", "also_buy": [], "category": ["X"]}"#, Some((Product, Y2018))),
        (r#"{"parent_asin": "B0", "title": "T", "features": [], "average_rating": 4.5}"#, Some((Product, Y2023))),
        (r#"{"asin": "B0", "reviewerID": "A", "reviewText": "x", "overall": 5.0}"#, Some((Review, Y2014))),
        (r#"{"asin": "B0", "reviewerID": "A", "overall": 5.0, "verified": true}"#, Some((Review, Y2018))),
        (r#"{"rating": 5.0, "title": "T", "text": "x", "timestamp": 1}"#, Some((Review, Y2023))),
        (r#"{"id": 1, "name": "x"}"#, None),
        (r#"{"parent_asin": "B0", "user_id": "A", "rating": 5.0, "title": "T"}"#, Some((Review, Y2023))),
        (r#"{"asin": "B0", "title": "T", "related": 5}"#, Some((Product, Y2014))),
        (r#"{"asin": "B0", "title": "T", "related": true}"#, Some((Product, Y2014))),
        ("{}", None),
    ] {
        assert_eq!(kind(line), wanted, "{line}");
    }
}

#[test]
fn fields_come_in_many_shapes() {
    let line = r#"{"asin": "B0", "title": null, "description": ["a", ["b"], "c"], "categories": [["X", "Y"], ["X"]],
        "brand": "", "store": "S", "details": "{\"Size:\": 1, \"Color\": {\"x\": []}}",
        "also_buy": ["B1"], "related": {"also_viewed": ["B2"], "bought_together": ["B3"], "odd": 1},
        "unixReviewTime": 1472688000.0, "overall": "4.5", "price": {"a": [1, {}]}}"#;
    parse(line.replace('\n', " ").as_bytes(), |r| {
        assert_eq!(r.product_id(), Some("B0"));
        assert_eq!(r.description.iter().collect::<Vec<_>>(), ["a", "b", "c"]);
        assert_eq!(r.categories().collect::<Vec<_>>(), ["X", "Y", "X"]);
        assert_eq!(r.brand(), Some("S"));
        assert_eq!(r.attributes, ["Size:", "Color"]);
        let associations: Vec<_> = r.associations.iter().map(|a| (a.relation.as_str(), a.other.as_ref())).collect();
        assert_eq!(associations, [("complement", "B1"), ("substitute", "B2"), ("complement", "B3")]);
        assert_eq!(r.time(), Some("1472688000"));
        assert_eq!(r.rating(), Some(4.5));
    })
    .unwrap();
}

#[test]
fn null_is_no_value() {
    use Generation::{Y2014, Y2018, Y2023};
    use Kind::{Product, Review};
    for (line, wanted) in [
        // Products with the fields of reviews, as in a table joined from both, and vice versa.
        (
            r#"{"parent_asin":"A","title":"T","features":["f"],"description":["d"],"reviewText":null,"reviewerID":null,"overall":null}"#,
            (Product, Y2023),
        ),
        (r#"{"asin":"A","title":"T","reviewText":null,"user_id":null}"#, (Product, Y2014)),
        (r#"{"asin":"A","reviewerID":"R","reviewText":"x","features":null,"user_id":null}"#, (Review, Y2014)),
        (r#"{"asin":"A","title":"T","feature":["x"],"features":null,"categories":null}"#, (Product, Y2018)),
        // Without a clear value, the names of the fields decide.
        (r#"{"parent_asin":"A","title":"T","rating":5.0,"text":null,"user_id":null}"#, (Review, Y2023)),
        (r#"{"asin":"A","title":"T","overall":5.0,"reviewerID":null}"#, (Review, Y2014)),
        (r#"{"asin":"A","overall":null,"reviewerID":"R","summary":"x"}"#, (Review, Y2014)),
        (r#"{"asin":"A","title":"T","overall":5.0}"#, (Product, Y2014)),
        (r#"{"asin":"A","related":null}"#, (Product, Y2014)),
        (r#"{"id":"A","features":null,"imUrl":null}"#, (Product, Y2023)),
        (r#"{"id":"A","features":[]}"#, (Product, Y2023)),
        (r#"{"asin":"A","title":"T","related":null,"feature":[]}"#, (Product, Y2018)),
        (r#"{"asin":"A","reviewText":null}"#, (Review, Y2014)),
    ] {
        assert_eq!(kind(line), Some(wanted), "{line}");
    }
}

#[test]
fn a_spelling_without_a_value_hides_no_other() {
    let empty = ["null", "[]", r#""""#, r#"["", null]"#];
    for (one, other, value) in [
        ("feature", "features", r#"["one"]"#),
        ("category", "categories", r#"["one"]"#),
        ("asin", "parent_asin", r#""one""#),
        ("brand", "store", r#""one""#),
        ("reviewerID", "user_id", r#""one""#),
        ("unixReviewTime", "timestamp", "1472688000"),
        ("overall", "rating", "4.5"),
        ("reviewText", "text", r#""one""#),
        ("summary", "title", r#""one""#),
    ] {
        for (one, other) in [(one, other), (other, one)] {
            for nothing in empty {
                for line in [
                    format!(r#"{{"{one}":{value},"{other}":{nothing}}}"#),
                    format!(r#"{{"{other}":{nothing},"{one}":{value}}}"#),
                ] {
                    parse(line.as_bytes(), |r| {
                        let texts = [r.features().collect(), r.categories().collect(), r.review_pieces().collect()]
                            .map(|texts: Vec<&str>| texts.join(" "));
                        let ids = [r.product_id(), r.brand(), r.reviewer(), r.time()];
                        let found = texts.iter().map(|t| t.trim()).chain(ids.into_iter().flatten());
                        let found: Vec<&str> = found.filter(|t| !t.is_empty()).collect();
                        let wanted = if value == "4.5" { &[][..] } else { &[value.trim_matches(['[', ']', '"'])] };
                        assert_eq!(found, wanted, "{line}");
                        assert_eq!(r.rating(), (value == "4.5").then_some(4.5), "{line}");
                    })
                    .unwrap();
                }
            }
        }
    }
    // Of one spelling, the last value counts, as in Python.
    parse(br#"{"feature":["one"],"feature":null,"asin":"A","asin":"B"}"#, |r| {
        assert_eq!((r.features().count(), r.product_id()), (0, Some("B")));
    })
    .unwrap();
}

#[test]
fn associated_products_may_be_maps() {
    let line = r#"{"asin": "B0", "bought_together": [{"asin": "B1", "title": "x"}, "B2", {"parent_asin": "B3", "asin": "B4"}],
        "also_view": {"asin": ["B5"]}, "related": {"also_viewed": [{"asin": "B6", "n": {"asin": "no"}}]},
        "title": {"asin": "no"}, "description": [{"asin": "no"}, "yes"]}"#;
    parse(line.replace('\n', " ").as_bytes(), |r| {
        let others: Vec<_> = r.associations.iter().map(|a| (a.relation.as_str(), a.other.as_ref())).collect();
        let (buy, view) = ("complement", "substitute");
        assert_eq!(others, [(buy, "B1"), (buy, "B2"), (buy, "B3"), (view, "B5"), (view, "B6")]);
        assert_eq!((r.title.iter().count(), r.description.iter().collect::<Vec<_>>()), (0, vec!["yes"]));
    })
    .unwrap();
}

#[test]
fn a_second_look_saves_what_strict_json_refuses() {
    for line in
        [r#"{"reviewText": "half a pair \ud83d here", "overall": NaN}"#, r"{'reviewText': u'it\'s', 'overall': None, }"]
    {
        parse(line.as_bytes(), |r| assert_eq!(r.review_pieces().count(), 1)).unwrap();
    }
}

#[test]
fn white_space_and_a_byte_order_mark_may_stand_around_a_record() {
    for line in [
        "\u{feff}{\"asin\": \"B0\", \"title\": \"T\"}\r\n",
        " \t{'asin': 'B0', 'title': 'T'} ",
        "\u{feff} {'asin': u'B0'}",
    ] {
        assert_eq!(parse(line.as_bytes(), |r| r.product_id().map(str::to_owned)), Ok(Some("B0".to_owned())), "{line}");
    }
}

#[test]
fn errors_quote_no_control_characters() {
    for line in [
        "\u{1b}[31mred",
        "{'a': '\\x\u{1b}[31m'}",
        "{'a': \u{1b}}",
        "{'a': '\\N\u{9b}'}",
        "{\"a\": \u{1b}}",
        "{\"\u{1b}\": x}",
    ] {
        let error = parse(line.as_bytes(), |_| ()).unwrap_err().to_string();
        assert!(!error.contains(char::is_control), "{error:?}");
    }
}

#[test]
fn what_is_no_record_is_named() {
    for (line, wanted) in [
        (&b"{\"asin\": \"B0\""[..], "EOF while parsing"),
        (b"[1, 2]", "found `[1, 2]`, expected a JSON object or Python dict"),
        (b"hello", "found `hello`, expected a JSON object or Python dict"),
        (b"{\"asin\": \"\xff\"}", "invalid UTF-8 after byte 10"),
    ] {
        let error = parse(line, |_| ()).unwrap_err().to_string();
        assert!(error.contains(wanted), "{error}");
    }
}

#[test]
fn variants_and_times() {
    for (line, variant, may_be_variant, seconds) in [
        (r#"{"parent_asin": "P", "asin": "V", "timestamp": 1588687728923}"#, Some("V"), false, Some(1_588_687_728)),
        (r#"{"parent_asin": "P", "asin": "P", "timestamp": 1588687728}"#, None, false, Some(1_588_687_728)),
        (r#"{"parent_asin": "P", "unixReviewTime": "1472688000"}"#, None, false, Some(1_472_688_000)),
        (r#"{"asin": "V", "unixReviewTime": 1472688000.0}"#, None, true, Some(1_472_688_000)),
        (r#"{"asin": "V", "unixReviewTime": "yesterday"}"#, None, true, None),
        (r#"{"asin": "V", "unixReviewTime": -1}"#, None, true, None),
        (r#"{"asin": "V", "unixReviewTime": 43525}"#, None, true, None),
        (r#"{"asin": "V", "unixReviewTime": 20190301}"#, None, true, Some(1_551_398_400)),
        (r#"{"asin": "V", "timestamp": "20190301"}"#, None, true, Some(1_551_398_400)),
        (r#"{"asin": "V", "timestamp": "20191301"}"#, None, true, None),
        (r#"{"asin": "V", "timestamp": "2019-03-01 10:00:00 UTC"}"#, None, true, Some(1_551_434_400)),
        (r#"{"asin": "V"}"#, None, true, None),
    ] {
        parse(line.as_bytes(), |record| {
            let found = (record.variant_id(), record.may_be_variant(), record.seconds());
            assert_eq!(found, (variant, may_be_variant, seconds), "{line}");
        })
        .unwrap();
    }
}

#[test]
fn relations_without_related_and_spellings_of_nothing() {
    let line = r#"{"asin": "A1", "title": "\\N", "also_bought": ["X1"], "related_also_viewed": "'X2','X3'", "buy_after_viewing": ["N/A", "\\N"]}"#;
    parse(line.as_bytes(), |record| {
        let found: Vec<_> = record.associations.iter().map(|a| (a.relation.as_str(), a.other.as_ref())).collect();
        assert_eq!(found, [("complement", "X1"), ("substitute", "X2"), ("substitute", "X3")]);
        assert!(record.title.first().is_none() && record.unread.is_empty(), "{record:?}");
    })
    .unwrap();
    let line =
        r#"{"asin": "A1", "title": "Soap", "category": [], "main_cat": "All Beauty", "also_buy": ["http://x/B0"]}"#;
    parse(line.as_bytes(), |record| {
        assert_eq!(record.categories().collect::<Vec<_>>(), ["All Beauty"]);
        assert!(record.associations.is_empty() && record.unread.len() == 1);
    })
    .unwrap();
}
