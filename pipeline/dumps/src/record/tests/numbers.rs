//! Ids, ratings and times, as numbers and as text.
use serde_json::json;

use super::super::*;

#[test]
fn numeric_ids_have_ten_digits() {
    for (value, wanted) in [
        ("31852", Some("0000031852")),
        ("1384719342", Some("1384719342")),
        ("1384719342.0", Some("1384719342")),
        ("31852.0", Some("0000031852")),
        ("0", Some("0000000000")),
        ("9781384719342", Some("9781384719342")),
        ("{\"$numberInt\": \"31852\"}", Some("0000031852")),
        ("{\"$numberLong\": \"31852\"}", Some("0000031852")),
        ("NumberLong(31852)", Some("0000031852")),
        ("NumberLong(\"31852\")", Some("0000031852")),
        ("np.int64(31852)", Some("0000031852")),
        ("\"31852\"", Some("31852")),
        ("\" 0000031852 \"", Some("0000031852")),
        ("[\"B1\"]", Some("B1")),
        ("\"['31852']\"", Some("31852")),
        ("\"[31852]\"", Some("0000031852")),
        ("{\"$oid\": \"65a1\"}", Some("65a1")),
        // Sixteen bytes are a UUID.
        (
            "{\"$binary\": {\"base64\": \"c//SZESzTGmQ6OfR38A11A==\", \"subType\": \"04\"}}",
            Some("73ffd264-44b3-4c69-90e8-e7d1dfc035d4"),
        ),
        (
            "{\"$binary\": \"c//SZESzTGmQ6OfR38A11A==\", \"$type\": \"03\"}",
            Some("73ffd264-44b3-4c69-90e8-e7d1dfc035d4"),
        ),
        ("{\"$binary\": {\"base64\": \"aGVsbG8=\", \"subType\": \"00\"}}", None),
        ("{\"$binary\": {\"base64\": \"c//SZESzTGmQ6OfR38A11.==\", \"subType\": \"04\"}}", None),
        ("-5", None),
        ("1.5", None),
        ("true", None),
        ("{\"a\": 1}", None),
    ] {
        for field in ["asin", "parent_asin", "also_buy"] {
            let line = format!("{{\"{field}\": {value}}}");
            parse(line.as_bytes(), |r| {
                let found = r.product_id().or(r.associations.first().map(|a| &*a.other));
                assert_eq!((found, r.unread.len()), (wanted, usize::from(wanted.is_none())), "{line}");
            })
            .unwrap();
        }
    }
    parse(
        br#"{"reviewerID": 31852, "related": {"also_bought": ["0000031909", 31895], "also_viewed": [1384719342.0]}}"#,
        |r| {
            assert_eq!(r.reviewer(), Some("31852"));
            let others: Vec<_> = r.associations.iter().map(|a| &*a.other).collect();
            assert_eq!(others, ["0000031909", "0000031895", "1384719342"]);
        },
    )
    .unwrap();
}

#[test]
fn ids_of_tables_are_those_that_programs_wrote_as_numbers() {
    for (id, product, reviewer) in [
        ("31852.0", "31852", "31852"),
        ("1384", "1384", "1384"),
        ("0000031852", "0000031852", "0000031852"),
        ("9781384719342.0", "9781384719342", "9781384719342"),
        ("B000000001", "B000000001", "B000000001"),
        ("43508868X", "43508868X", "43508868X"),
        ("1.5", "1.5", "1.5"),
        ("A.0", "A.0", "A.0"),
    ] {
        let row = json!({"asin": id, "also_buy": id, "also_view": format!("['B1', '{id}']"), "reviewerID": id});
        parse_row(row.to_string().as_bytes(), |r| {
            let others: Vec<_> = r.associations.iter().map(|a| &*a.other).collect();
            assert_eq!((r.product_id(), r.reviewer()), (Some(product), Some(reviewer)));
            assert_eq!(others, [product, "B1", product]);
        })
        .unwrap();
        // A string of JSON is what somebody wrote.
        parse(row.to_string().as_bytes(), |r| assert_eq!(r.product_id(), Some(id))).unwrap();
    }
}

#[test]
fn ratings_and_times_in_every_shape() {
    for (value, wanted) in [
        ("\"4,5\"", Some(4.5)),
        ("\"5.0 out of 5 stars\"", Some(5.0)),
        ("\"4,0 von 5 Sternen\"", Some(4.0)),
        ("\"3,0 sur 5 étoiles\"", Some(3.0)),
        ("\"4/5\"", Some(4.0)),
        ("\"4 stars\"", Some(4.0)),
        ("\"1 star\"", Some(1.0)),
        ("5", Some(5.0)),
        ("\"5.0\"", Some(5.0)),
        ("\" 4 \"", Some(4.0)),
        ("{\"$numberDouble\": \"2.0\"}", Some(2.0)),
        ("{\"$numberInt\": \"2\"}", Some(2.0)),
        ("{\"$numberDecimal\": \"2.5\"}", Some(2.5)),
        ("\"{'$numberDouble': '2.0'}\"", Some(2.0)),
        ("Decimal128('2.5')", Some(2.5)),
        ("Decimal('NaN')", None),
        ("1e999", None),
        ("\"inf\"", None),
    ] {
        let line = format!("{{\"overall\": {value}}}");
        parse(line.as_bytes(), |r| assert_eq!((r.rating(), r.unread.len()), (wanted, 0), "{line}")).unwrap();
    }
    for (value, wanted) in [
        ("1252800000", "1252800000"),
        ("1252800000.0", "1252800000"),
        ("\"1252800000\"", "1252800000"),
        ("\"1252800000.0\"", "1252800000"),
        ("{\"$numberInt\": \"1252800000\"}", "1252800000"),
        ("{\"$numberLong\": \"1252800000\"}", "1252800000"),
        ("{\"$date\": {\"$numberLong\": \"1252800000000\"}}", "1252800000"),
        ("{\"$date\": 1252800000000}", "1252800000"),
        ("{\"$timestamp\": {\"t\": 1252800000, \"i\": 1}}", "1252800000"),
        ("{\"$date\": \"2009-09-13T00:00:00Z\"}", "1252800000"),
        ("{\"$date\": \"2009-09-13T02:00:00.000+0200\"}", "1252800000"),
        ("\"2009-09-13\"", "1252800000"),
        ("\"2009-09-13 00:00:00\"", "1252800000"),
        ("\"2009-09-12T19:30:00-04:30\"", "1252800000"),
        ("ISODate(\"2009-09-13T00:00:00Z\")", "1252800000"),
        ("Timestamp('2009-09-13 00:00:00', tz='UTC')", "1252800000"),
        ("datetime.datetime(2009, 9, 13, 0, 0)", "1252800000"),
        ("datetime.datetime(2009, 9, 13, 0, 0, tzinfo=tzutc())", "1252800000"),
        ("datetime.date(2009, 9, 13)", "1252800000"),
        ("20090913", "1252800000"),
        ("\"20090913\"", "1252800000"),
        ("20090913.0", "1252800000"),
        ("\"2009-09-13 00:00:00 UTC\"", "1252800000"),
        ("\"1969-12-31\"", "-86400"),
        ("\"2000-02-29T23:59:59.999Z\"", "951868799"),
    ] {
        let line = format!("{{\"unixReviewTime\": {value}}}");
        parse(line.as_bytes(), |r| assert_eq!((r.time(), r.unread.len()), (Some(wanted), 0), "{line}")).unwrap();
    }
    parse(br#"{"timestamp": {"$date": "2009-09-13T00:00:00.728Z"}}"#, |r| assert_eq!(r.time(), Some("1252800000728")))
        .unwrap();
}
