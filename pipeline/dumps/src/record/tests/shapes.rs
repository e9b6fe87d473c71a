//! One value in the shapes that pandas, a CSV, a warehouse or MongoDB give it.
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::super::*;
use crate::python::repr::repr;

/// All values of a record, for a comparison.
fn said(line: &str) -> String {
    let said = |record: &Record<'_>| {
        let record: &Record<'_> = record;
        format!("{:?}", Record { seen: FieldSet::default(), filled: FieldSet::default(), ..copy(record) })
    };
    parse(line.as_bytes(), said).unwrap_or_else(|error| panic!("{line}: {error}"))
}

fn copy<'a>(record: &'a Record<'_>) -> Record<'a> {
    let strings = |from: &'a Strings<'_>| Strings(from.iter().map(Cow::from).collect());
    let id = |from: &'a Option<Cow<'_, str>>| from.as_deref().map(Cow::from);
    Record {
        title: strings(&record.title),
        description: strings(&record.description),
        attributes: record.attributes.iter().map(|key| Cow::from(&**key)).collect(),
        associations: record
            .associations
            .iter()
            .map(|a| Association { relation: a.relation, other: Cow::from(&*a.other) })
            .collect(),
        unread: record.unread.clone(),
        details: record.details.iter().map(strings).collect(),
        asin: id(&record.asin),
        parent_asin: id(&record.parent_asin),
        features: strings(&record.features),
        feature: strings(&record.feature),
        categories: strings(&record.categories),
        category: strings(&record.category),
        main_category: strings(&record.main_category),
        brand: strings(&record.brand),
        store: strings(&record.store),
        subtitle: strings(&record.subtitle),
        author: strings(&record.author),
        summary: strings(&record.summary),
        review_text: strings(&record.review_text),
        text: strings(&record.text),
        reviewer_id: id(&record.reviewer_id),
        user_id: id(&record.user_id),
        unix_review_time: id(&record.unix_review_time),
        timestamp: id(&record.timestamp),
        overall: record.overall,
        rating: record.rating,
        ..Record::default()
    }
}

fn python(value: &Json) -> String {
    let mut out = String::new();
    repr(value, &mut out);
    out
}

/// The fields of `record` with lists and maps as strings.
fn in_strings(record: &Json, write: fn(&Json) -> String) -> Json {
    let fields = record.as_object().unwrap().iter().map(|(key, value)| {
        let value = if value.is_array() || value.is_object() { Json::from(write(value)) } else { value.clone() };
        (key.clone(), value)
    });
    Json::Object(fields.collect())
}

#[test]
fn lists_and_maps_in_strings_are_the_lists_and_maps() {
    let records = [
        json!({"asin": "S1", "title": "Copper kettle", "categories": [["Kitchen & Dining", "Kettles"], ["Men's", "\"x\"\\"]],
            "related": {"also_bought": ["S2", "S4"], "also_viewed": ["S3"], "buy_after_viewing": []},
            "description": ["Boils fast.", "It's red.\nHolds a litre."], "brand": "nan"}),
        json!({"asin": "S2", "category": ["Kitchen", "Towels"], "also_buy": ["S1", 31895], "also_view": [],
            "feature": ["Woven", "Fits any oven rail"], "description": [], "details": {"Size:": "3", "Notes": ["a", "b"]}}),
        json!({"parent_asin": "S3", "features": ["Forty charts.", null, 5], "description": [], "categories": ["Books"],
            "details": {"Publisher": "Quay", "Best Sellers Rank": {"Books": 5}, "Pages": 88},
            "author": {"avatar": "x", "name": "Mirela Tandu", "about": ["No.", "It's \"so\"."]},
            "bought_together": [{"asin": "S1", "title": "x"}, {"parent_asin": "S2"}]}),
        json!({"asin": "S5", "overall": [4.5], "reviewText": ["a"], "unixReviewTime": [1_472_688_000]}),
    ];
    for record in &records {
        let plain = said(&record.to_string());
        assert!(plain.contains("unread: []"), "{plain}");
        assert_eq!(said(&python(record)), plain);
        for write in [|value: &Json| value.to_string(), python] {
            let strings = in_strings(record, write);
            assert_eq!(said(&strings.to_string()), plain);
            assert_eq!(said(&python(&strings)), plain);
        }
    }
}

#[test]
fn lists_as_numpy_prints_them() {
    for (text, wanted) in [
        ("['Kitchen' 'Mugs']", &["Kitchen", "Mugs"][..]),
        ("['Kitchen'\n \"Men's\"\n 'Mugs']", &["Kitchen", "Men's", "Mugs"]),
        ("[['a' 'b']\n ['c' 'd']]", &["a", "b", "c", "d"]),
        ("array(['Kitchen', 'Mugs'], dtype=object)", &["Kitchen", "Mugs"]),
        ("[array(['a'], dtype='<U5') array(['b'], dtype='<U5')]", &["a", "b"]),
        ("[np.str_('a'), np.str_('b')]", &["a", "b"]),
        ("('a', 'b')", &["a", "b"]),
        ("  ['a']  ", &["a"]),
        ("[]", &[]),
        ("[[]]", &[]),
        ("{}", &[]),
        ("[nan]", &[]),
        ("['nan', None, 'a']", &["a"]),
        (r#"["[\"a\", \"b\"]"]"#, &["a", "b"]),
        (r#"["['a']", "b"]"#, &["a", "b"]),
        (r#""[\"a\", \"b\"]""#, &["a", "b"]),
        (r#"'["a", "b"]'"#, &["a", "b"]),
        ("{'a', \"b's\"}", &["a", "b's"]),
        ("{'a'}", &["a"]),
        ("frozenset({'a'})", &["a"]),
        ("set(['a', 'b'])", &["a", "b"]),
        ("set()", &[]),
        ("frozenset()", &[]),
    ] {
        for field in ["category", "feature", "description", "title"] {
            let line = json!({ field: text }).to_string();
            parse(line.as_bytes(), |r| {
                let found: Vec<_> =
                    r.categories().chain(r.features()).chain(r.description.iter()).chain(r.title.iter()).collect();
                assert_eq!(found, wanted, "{line}");
                assert_eq!(r.unread, [], "{line}");
            })
            .unwrap();
        }
    }
}

#[test]
fn arrays_of_postgres_are_lists_where_lists_are_usual() {
    for (text, wanted) in [
        (r#"{Kitchen,"Tea Kettles"}"#, &["Kitchen", "Tea Kettles"][..]),
        (r#"{Kitchen}"#, &["Kitchen"]),
        (r#"{Soft,"easy, to \"wash\" \\ dry",Men's,NULL}"#, &["Soft", "easy, to \"wash\" \\ dry", "Men's"]),
        (r#"{{Home,"Tea Kettles"},{Kitchen,Mugs}}"#, &["Home", "Tea Kettles", "Kitchen", "Mugs"]),
        ("{NULL}", &[]),
        ("{0,1,2}", &["{0,1,2}"]),
        ("{{product.title}}", &["{{product.title}}"]),
    ] {
        for field in ["category", "feature", "description"] {
            let line = json!({ field: text }).to_string();
            parse(line.as_bytes(), |r| {
                let found: Vec<_> = r.categories().chain(r.features()).chain(r.description.iter()).collect();
                assert_eq!((found, &r.unread[..]), (wanted.to_vec(), &[][..]), "{line}");
            })
            .unwrap();
        }
        for field in ["title", "brand", "reviewText"] {
            let line = json!({ field: text }).to_string();
            parse(line.as_bytes(), |r| {
                let found: Vec<_> = r.title.iter().chain(r.brand()).chain(r.review_pieces()).take(1).collect();
                assert_eq!(found, [text], "{line}");
            })
            .unwrap();
        }
    }
}

#[test]
fn details_in_constructors_of_python() {
    for text in [
        "OrderedDict([('Color', 'Teal'), ('Size', '3')])",
        "OrderedDict({'Color': 'Teal', 'Size': '3'})",
        "defaultdict(<class 'list'>, {'Color': ['Teal'], 'Size': ['3']})",
        "{'Color': 'Teal', 'Size': '3'}",
    ] {
        parse(json!({ "details": text }).to_string().as_bytes(), |r| {
            assert_eq!(r.detail_texts().collect::<Vec<_>>(), [("Color", "Teal"), ("Size", "3")], "{text}");
            assert_eq!(r.unread, []);
        })
        .unwrap();
    }
    parse(json!({ "details": "set(2): red; Size: 3" }).to_string().as_bytes(), |r| {
        assert_eq!((r.attributes.len(), r.unread.len()), (2, 0));
    })
    .unwrap();
}

#[test]
fn text_in_brackets_stays_text() {
    for text in [
        "[Sealed] tea tin",
        "[4 pieces] in a box",
        "[4]",
        "[1, 2]",
        "[1 2]",
        "[sic]",
        "[BLANKNYC]",
        "[true]",
        "{curly} text",
        "{4,,5}",
        "{Kitchen,Tea Kettles}",
        "{see: below}",
        "{\"open",
        "set(2) of pots",
        "list(2)",
        "dict('x')",
        "(used)",
        "('quoted')",
        "(\"a\")",
        "['quoted' words] in a sentence",
        "['cut', 'in",
        "[\"cut\", \"in",
        "['a', 'b'] and more",
        "['a'; 'b']",
        "[Dog('x')] toy",
        "[Dog(Large)]",
        "array of pots",
        "\"[A]n ambitious story.\"",
        "\"[A]\"",
        "'[sic]' they say",
        "{4, 5}",
        "[Kitchen, Mugs]",
        "array(x)",
        "\"Generic\"",
        "'47",
        "[[ASIN:B1 cup]] is good",
        "[[VIDEOID:mo3A1B2C]]",
        "[",
        "[]]",
        "[...]",
        "{'a': 1}",
    ] {
        for (field, wanted) in
            [("title", 1), ("brand", 1), ("description", 1), ("feature", 1), ("reviewText", 1), ("category", 1)]
        {
            let line = json!({ field: text }).to_string();
            parse(line.as_bytes(), |r| {
                let found: Vec<_> =
                    r.title.iter().chain(r.brand()).chain(r.description.iter()).chain(r.features()).collect();
                let found = if found.is_empty() { r.categories().chain(r.review_pieces()).collect() } else { found };
                assert_eq!(found, vec![text; wanted], "{line}");
                assert_eq!(r.unread, [], "{line}");
            })
            .unwrap();
        }
    }
}

#[test]
fn maps_where_lists_are_usual() {
    for (value, wanted) in [
        (json!({"0": "a", "1": "b"}), &["a", "b"][..]),
        (json!({"first": "a", "second": ["b", "c"]}), &["a", "b", "c"]),
        (json!([{"name": "a", "id": "7"}, {"id": "8", "name": "b"}]), &["a", "b"]),
        (json!([{"asin": "no"}, "a"]), &["a"]),
        (json!({"value": "a"}), &["a"]),
        (json!("{'0': 'a', '1': 'b'}"), &["a", "b"]),
    ] {
        for field in ["description", "feature", "categories"] {
            let line = json!({ field: value }).to_string();
            parse(line.as_bytes(), |r| {
                let found: Vec<_> = r.description.iter().chain(r.features()).chain(r.categories()).collect();
                assert_eq!((found, &r.unread[..]), (wanted.to_vec(), &[][..]), "{line}");
            })
            .unwrap();
        }
    }
    for (value, wanted) in [
        (json!({"name": "a", "@type": "Brand"}), Some("a")),
        (json!({"0": "a"}), Some("a")),
        (json!({"other": "a"}), None),
    ] {
        let line = json!({ "brand": value, "title": value }).to_string();
        parse(line.as_bytes(), |r| {
            assert_eq!((r.brand(), r.title.first(), r.unread.is_empty()), (wanted, wanted, wanted.is_some()), "{line}");
        })
        .unwrap();
    }
    let line = json!({"also_buy": {"0": "B1", "1": "B2"}, "related": [{"also_viewed": {"0": "B3"}}, ["also_bought", ["B4"]]],
        "details": [{"name": "Color", "value": "Red"}, {"Size": "3"}, ["Scent", "Cedar"]]});
    parse(line.to_string().as_bytes(), |r| {
        assert_eq!(r.associations.iter().map(|a| &*a.other).collect::<Vec<_>>(), ["B1", "B2", "B3", "B4"]);
        assert_eq!(r.attributes, ["Color", "Size", "Scent"]);
        assert_eq!(r.detail_texts().map(|(_, text)| text).collect::<Vec<_>>(), ["Red", "3", "Cedar"]);
        assert_eq!(r.unread, []);
    })
    .unwrap();
}

#[test]
fn missing_values_are_empty() {
    let fields = [
        "asin",
        "parent_asin",
        "title",
        "features",
        "feature",
        "description",
        "categories",
        "category",
        "brand",
        "store",
        "details",
        "related",
        "also_buy",
        "also_view",
        "bought_together",
        "summary",
        "reviewText",
        "text",
        "reviewerID",
        "user_id",
        "unixReviewTime",
        "timestamp",
        "overall",
        "rating",
        "main_category",
        "subtitle",
        "author",
    ];
    let nothing = said("{}");
    for field in fields {
        for value in [
            "null",
            "\"nan\"",
            "\"NaN\"",
            "\"None\"",
            "\"null\"",
            "\"NULL\"",
            "\"<NA>\"",
            "\" NaT \"",
            "\"#N/A\"",
            "\"#VALUE!\"",
            "\"set()\"",
            "\"dict()\"",
            "NaN",
            "None",
            "nan",
            "<NA>",
            "np.nan",
            "{\"$numberDouble\": \"NaN\"}",
            "{\"$undefined\": true}",
        ] {
            let line = format!("{{\"{field}\": {value}}}");
            assert_eq!(said(&line), nothing, "{line}");
        }
        if ![
            "title",
            "features",
            "feature",
            "description",
            "categories",
            "category",
            "brand",
            "store",
            "summary",
            "reviewText",
            "text",
            "main_category",
            "subtitle",
            "author",
        ]
        .contains(&field)
        {
            assert_eq!(said(&format!("{{\"{field}\": \"\"}}")), nothing, "{field}");
            assert_eq!(said(&format!("{{\"{field}\": []}}")), nothing, "{field}");
        }
    }
    // Words of people.
    for text in ["N/A", "none", "Nan", "NA", "-", "Unknown", "nan bread", "None of it", "#1", "a set()"] {
        parse(json!({ "title": text }).to_string().as_bytes(), |r| assert_eq!(r.title.first(), Some(text))).unwrap();
    }
    // A missing value does not identify a record.
    let line = br#"{"asin": "A", "title": "T", "categories": ["x"], "reviewText": "nan", "reviewerID": "nan", "overall": "nan"}"#;
    assert_eq!(parse(line, |r| r.record_type().unwrap().kind), Ok(Kind::Product));
}

#[test]
fn reviews_inside_a_record_are_counted() {
    for (value, wanted) in [
        (json!([{"reviewText": "Good."}, {"reviewText": "Bad."}]), 1),
        (json!("[{'reviewText': 'Good.'}]"), 1),
        (json!([]), 0),
        (json!(null), 0),
        (json!(12), 0),
        (json!("Good."), 0),
        (json!(["Good."]), 0),
    ] {
        for field in ["reviews", "review"] {
            let line = json!({"asin": "B0", "title": "Tea", field: value}).to_string();
            parse(line.as_bytes(), |r| {
                let reviews = UnreadValue { field: "reviews", reason: UnreadReason::Reviews };
                assert_eq!(r.unread, vec![reviews; wanted], "{line}");
                assert_eq!(r.record_type().unwrap().kind, Kind::Product);
            })
            .unwrap();
        }
    }
}

#[test]
fn what_cannot_be_read_is_counted() {
    use UnreadReason::{
        Boolean, List, MalformedList, MalformedMap, Map, NotAProductId, NotATime, Number, Text, UnknownRelation,
    };
    for (field, value, reasons) in [
        ("related", json!("garbage"), &[Text][..]),
        ("unixReviewTime", json!(-86_400), &[NotATime]),
        ("timestamp", json!("43525"), &[NotATime]),
        ("related", json!(5), &[Number]),
        ("related", json!(true), &[Boolean]),
        ("related", json!(["B1"]), &[List]),
        ("related", json!("{'also_bought': ['B1'"), &[MalformedMap]),
        ("related", json!({"odd": 1, "also_bought": null}), &[UnknownRelation]),
        ("related", json!({"also_bought": "['B1', 'B", "also_viewed": [true]}), &[MalformedList, Boolean]),
        ("details", json!(5), &[Number]),
        ("details", json!("garbage"), &[Text]),
        ("details", json!("{\"a\": \"b"), &[MalformedMap]),
        ("details", json!(["a"]), &[Text]),
        ("details", json!([["a"]]), &[List]),
        ("also_buy", json!("['B1', 'B"), &[MalformedList]),
        ("also_buy", json!("['B1' ... 'B2']"), &[MalformedList]),
        ("also_buy", json!(["B1", "<a href='x'>", "two words"]), &[NotAProductId, NotAProductId]),
        ("also_buy", json!("iPhone 12"), &[NotAProductId]),
        ("also_buy", json!("WrappedArray(a b, B2)"), &[NotAProductId, NotAProductId]),
        ("also_buy", json!("B1 B22"), &[NotAProductId]),
        ("also_buy", json!("Other(B1"), &[NotAProductId]),
        ("also_buy", json!("TEA(1)"), &[]),
        ("bought_together", json!({"odd": "B1"}), &[Map]),
        ("asin", json!(true), &[Boolean]),
        ("asin", json!({"a": 1}), &[Map]),
        ("asin", json!("[cut"), &[MalformedList]),
        ("title", json!(true), &[Boolean]),
        ("title", json!({"a": "b"}), &[Map]),
        ("author", json!({"avatar": "x"}), &[Map]),
        ("author", json!("{'avatar': 'x', 'na"), &[MalformedMap]),
        ("overall", json!("good"), &[Text]),
        ("overall", json!("4/10"), &[Text]),
        ("overall", json!("5,"), &[Text]),
        ("overall", json!("5.0 out of 5 stars Good"), &[Text]),
        ("overall", json!(false), &[Boolean]),
        ("unixReviewTime", json!("soon"), &[Text]),
        ("unixReviewTime", json!({"a": 1}), &[Map]),
        ("unixReviewTime", json!("2009-13-01"), &[Text]),
    ] {
        let line = json!({ field: value }).to_string();
        let wanted: Vec<_> = reasons.iter().map(|&reason| UnreadValue { field, reason }).collect();
        parse(line.as_bytes(), |r| assert_eq!(r.unread, wanted, "{line}")).unwrap();
    }
    // Lists without quotes.
    for list in [
        "[B1, B2]",
        "{B1,B2}",
        "[B1,B2]",
        "{'B1', 'B2'}",
        "WrappedArray(B1, B2)",
        "B1 B2",
        "B1\n B2\n",
        "B1, B2",
        "B1;B2",
    ] {
        parse(json!({ "also_buy": list, "related.also_viewed": list }).to_string().as_bytes(), |r| {
            assert_eq!(
                r.associations.iter().map(|a| &*a.other).collect::<Vec<_>>(),
                ["B1", "B2", "B1", "B2"],
                "{list}"
            );
            assert_eq!((r.associations[3].relation, r.unread.len()), (Relation::Substitute, 0));
        })
        .unwrap();
    }
    // What can be read of a list is read.
    parse(br#"{"also_buy": ["B1", true, "B2"]}"#, |r| assert_eq!((r.associations.len(), r.unread.len()), (2, 1)))
        .unwrap();
    parse(br#"{"also_buy": "B1, B2;B3"}"#, |r| assert_eq!((r.associations.len(), r.unread.len()), (3, 0))).unwrap();
}

#[test]
fn words_for_nothing_are_no_ids_and_nobody() {
    for word in ["NA", "N/A", "n/a", "none", " NA "] {
        let line =
            json!({"asin": word, "reviewerID": word, "overall": "NA", "unixReviewTime": "NA", "also_buy": [word]});
        parse(line.to_string().as_bytes(), |r| {
            assert_eq!((r.product_id(), r.reviewer(), r.rating(), r.time()), (None, None, None, None), "{word}");
            assert!(r.associations.is_empty() && r.unread.is_empty());
        })
        .unwrap();
    }
    for (reviewer, wanted) in [
        ("unknown", None),
        ("Anonymous", None),
        ("anonymous", None),
        ("Anonymous Coward", Some("Anonymous Coward")),
        ("NAT", Some("NAT")),
        ("na", Some("na")),
        ("'Lil Bob", Some("'Lil Bob")),
    ] {
        let line = json!({"asin": "B0", "user_id": reviewer, "text": "NA", "title": "NA"}).to_string();
        parse(line.as_bytes(), |r| {
            assert_eq!(r.reviewer(), wanted);
            assert_eq!(r.review_pieces().collect::<Vec<_>>(), ["NA", "NA"]);
        })
        .unwrap();
    }
}

#[test]
fn ids_have_nothing_around_them() {
    for id in ["'B1", "'B1'", "\"B1\"", "B1\u{200b}", "\u{feff}B1 ", " B1"] {
        let line = json!({"asin": id, "also_buy": [id]}).to_string();
        parse(line.as_bytes(), |r| {
            assert_eq!((r.product_id(), &*r.associations[0].other), (Some("B1"), "B1"), "{id:?}");
        })
        .unwrap();
    }
    for id in ["PIPE-5\"", "O'NEIL-1", "b1", "unknown", "'; DROP", "\u{202e}right to left\u{2066}", "\"a b\""] {
        parse(json!({ "asin": id }).to_string().as_bytes(), |r| assert_eq!(r.product_id(), Some(id))).unwrap();
    }
}

#[test]
fn values_with_the_name_of_their_type() {
    let dynamo = json!({"asin": {"S": "B1"}, "title": {"S": "Tea"}, "description": {"L": [{"S": "Hot."}, {"S": "Dry."}]},
        "also_buy": {"SS": ["B2"]}, "brand": {"NULL": true}, "price": {"N": "5"}, "also_view": {"L": [{"S": "B3"}]}});
    parse(dynamo.to_string().as_bytes(), |r| {
        assert_eq!((r.product_id(), r.title.first(), r.brand()), (Some("B1"), Some("Tea"), None));
        assert_eq!(r.description.iter().collect::<Vec<_>>(), ["Hot.", "Dry."]);
        assert_eq!(r.associations.iter().map(|a| &*a.other).collect::<Vec<_>>(), ["B2", "B3"]);
        assert_eq!(r.unread, []);
    })
    .unwrap();
    let avro = json!({"asin": {"string": "B1"}, "reviewText": {"string": "Hot."}, "overall": {"double": 4.5},
        "unixReviewTime": {"long": 1_472_688_000}, "reviewerID": null});
    parse(avro.to_string().as_bytes(), |r| {
        assert_eq!((r.product_id(), r.rating(), r.seconds()), (Some("B1"), Some(4.5), Some(1_472_688_000)));
        assert_eq!((r.body().next(), r.unread.len()), (Some("Hot."), 0));
    })
    .unwrap();
    // Sizes.
    let line = json!({"asin": "B1", "details": {"S": "34-36"}, "feature": {"M": "34-36", "S": "38-40"}}).to_string();
    parse(line.as_bytes(), |r| {
        assert_eq!(r.detail_texts().collect::<Vec<_>>(), [("S", "34-36")]);
        assert_eq!(r.features().collect::<Vec<_>>(), ["34-36", "38-40"]);
    })
    .unwrap();
}

#[test]
fn of_json_ld_the_name_and_the_description_are_text() {
    let context = "https://schema.org";
    for (value, wanted, unread) in [
        (json!({"@context": context}), &[][..], 1),
        (
            json!([{"@context": context, "@type": "Product", "name": "Tea", "sku": "x", "description": "Hot."}]),
            &["Tea", "Hot."],
            0,
        ),
        (json!(["Dry.", json!({"@context": context, "@type": "Thing"}).to_string()]), &["Dry."], 1),
        (json!({"@type": "Thing", "text": "Dry."}), &["Dry."], 0),
    ] {
        for value in [value.clone(), value.to_string().into()] {
            let line =
                json!({"asin": "B0", "description": value, "brand": {"@context": context, "name": "Orla"}}).to_string();
            parse(line.as_bytes(), |r| {
                assert_eq!(
                    r.description.iter().collect::<std::collections::BTreeSet<_>>(),
                    wanted.iter().copied().collect()
                );
                assert_eq!((r.unread.len(), r.brand()), (unread, Some("Orla")), "{line}");
            })
            .unwrap();
        }
    }
}

#[test]
fn the_shell_of_mongodb() {
    for line in [
        "{'_id': ObjectId('65a1'), 'asin': 'M1', 'title': 'Desk fan', 'related': {'also_bought': []}}",
        "{\"_id\" : ObjectId(\"65a1\"), \"asin\" : \"M1\", \"when\" : ISODate(\"2014-07-03T00:00:00Z\"), \"n\": NumberInt(5)}",
        "{\"_id\": {\"$oid\": \"65a1\"}, \"asin\": \"M1\"}",
        "{'_id': bson.objectid.ObjectId('65a1'), 'asin': 'M1', 'at': datetime.datetime(2014, 7, 3, tzinfo=<class 'x'>), 'n': Int64(5)}",
    ] {
        assert_eq!(parse(line.as_bytes(), |r| r.product_id().map(str::to_owned)), Ok(Some("M1".to_owned())), "{line}");
    }
    for (line, wanted) in [
        ("{'_id': Unheard('65a1'), 'asin': 'M1'}", "found the name `Unheard` at byte 8, expected a value"),
        ("{\"_id\": Unheard('65a1'), \"asin\": 'M1'}", "found the name `Unheard` at byte 8, expected a value"),
        ("{\"it's\": 'x', 'b': }", "found `}` at byte 19, expected a value"),
        ("{'_id': ObjectId('65a1' 5)}", "found `5` at byte 24, expected `,` or `)`"),
        ("{'_id': ObjectId()}", "found the name `ObjectId()` at byte 8, expected a value"),
    ] {
        assert_eq!(parse(line.as_bytes(), |_| ()).unwrap_err().to_string(), wanted, "{line}");
    }
}

fn any_value() -> impl Strategy<Value = Json> {
    let texts = [
        "nan",
        "B1",
        "['a', 'b']",
        "[\"a\"]",
        "{'a': 'b'}",
        "{\"name\": \"x\"}",
        "[",
        "{'a': ",
        "5.0",
        "2009-09-13",
        "array(['a'])",
        "('a', 'b')",
    ];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        prop::sample::select(texts.to_vec()).prop_map(Json::from),
        any::<String>().prop_map(Json::from),
    ];
    let keys =
        prop::sample::select(&["0", "name", "value", "asin", "also_bought", "$date", "$numberInt", "$oid", "x"][..]);
    leaf.prop_recursive(3, 16, 4, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            prop::collection::vec((keys.clone(), inner), 0..4).prop_map(|fields| Json::Object(
                fields.into_iter().map(|(key, value)| (key.to_owned(), value)).collect()
            )),
        ]
    })
}

proptest! {
    #[test]
    fn any_list_in_a_string_is_the_list(texts in prop::collection::vec(any::<String>(), 0..6)) {
        let value = Json::from(texts.clone());
        let strings = [value.clone(), value.to_string().into(), python(&value).into()];
        let found = strings.map(|value| said(&json!({"category": value, "description": value, "also_buy": value}).to_string()));
        prop_assert_eq!(&found[0], &found[1]);
        prop_assert_eq!(&found[0], &found[2]);
    }

    #[test]
    fn any_value_of_any_field_is_read_or_counted(value in any_value()) {
        let fields = [
            "asin", "title", "description", "category", "brand", "details", "related", "also_buy", "reviewText", "reviewerID",
            "unixReviewTime", "overall", "author",
        ];
        for field in fields {
            for value in [value.clone(), value.to_string().into(), python(&value).into()] {
                let line = json!({ field: value }).to_string();
                prop_assert!(parse(line.as_bytes(), |_| ()).is_ok(), "{}", line);
            }
        }
    }
}

#[test]
fn time_is_linear() {
    for piece in ["[", "['", "['a', ", "{'a': ", "(", "array(", "\\\"[", "[\\\"", "['a' ", "{", "', '", "NumberInt("] {
        for field in ["title", "also_buy", "related", "details", "author"] {
            let line = format!("{{\"{field}\": \"{}\"}}", piece.repeat((1 << 20) / piece.len()));
            let start = std::time::Instant::now();
            let _ = parse(line.as_bytes(), |_| ());
            assert!(start.elapsed().as_secs() < 10, "{piece} {field}");
        }
    }
}
