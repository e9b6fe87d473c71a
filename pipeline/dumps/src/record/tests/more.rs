//! The fields of the 2023 dump that are used for text.
use super::super::*;

#[test]
fn the_main_category_stands_in_for_missing_ones() {
    for (line, wanted) in [
        (r#"{"main_category": "All Beauty", "categories": []}"#, &["All Beauty"][..]),
        (r#"{"main_category": "All Beauty", "categories": null}"#, &["All Beauty"]),
        (r#"{"main_category": "All Beauty", "categories": "[]", "category": [""]}"#, &["All Beauty"]),
        (r#"{"main_category": "All Beauty", "categories": ["Soap"]}"#, &["Soap"]),
        (r#"{"main_category": "nan", "categories": []}"#, &[]),
    ] {
        parse(line.as_bytes(), |r| assert_eq!(r.categories().collect::<Vec<_>>(), wanted, "{line}")).unwrap();
    }
}

#[test]
fn subtitles_have_no_date() {
    for (subtitle, wanted) in [
        ("A guide to kettles", "A guide to kettles"),
        ("Paperback – January 1, 1999", "Paperback"),
        ("Paperback – Large Print, August 25, 2020", "Paperback – Large Print"),
        ("Hardcover - 4 Feb. 2014", "Hardcover"),
        ("Kindle Edition", "Kindle Edition"),
        ("January 1, 1999", ""),
        ("Made in May, 12 recipes", "Made in May, 12 recipes"),
        ("Volume 3, 2014", "Volume 3, 2014"),
        ("", ""),
    ] {
        let line = serde_json::json!({ "subtitle": subtitle }).to_string();
        parse(line.as_bytes(), |r| assert_eq!(r.subtitle().collect::<Vec<_>>().join(""), wanted)).unwrap();
    }
}

#[test]
fn authors_are_names() {
    for (value, wanted) in [
        (r#""Mirela Tandu""#, &["Mirela Tandu"][..]),
        (r#"{"avatar": "x.jpg", "name": "Mirela Tandu", "about": ["Lives."]}"#, &["Mirela Tandu"]),
        (r#""{'avatar': 'x.jpg', 'name': 'Mirela Tandu', 'about': [\"It's.\"]}""#, &["Mirela Tandu"]),
        (r#"[{"name": "A"}, "B"]"#, &["A", "B"]),
        ("null", &[]),
    ] {
        let line = format!("{{\"author\": {value}}}");
        parse(line.as_bytes(), |r| assert_eq!(r.author().collect::<Vec<_>>(), wanted, "{line}")).unwrap();
    }
}

#[test]
fn values_of_details_without_ids_dates_and_ranks() {
    let kept = [
        ("Item Form", "Bar"),
        ("Scent:", "Cedar"),
        ("Number of Pieces", "4"),
        ("Pages", "88"),
        ("Style", "Modern"),
        ("Candidate", "x"),
        ("Publisher", "Quay"),
        ("Model Name", "Aro 5"),
        ("Product Dimensions", "3 x 4 inches; 8 ounces"),
        ("Warranty", "1 year, 2 in 1"),
        ("Set", "#4 in the series"),
        ("Position", "#1 in charts"),
        ("", "Solid wood"),
    ];
    for (key, value) in kept {
        let line = serde_json::json!({"details": {key: value}}).to_string();
        parse(line.as_bytes(), |r| {
            assert_eq!(r.detail_texts().map(|(_, text)| text).collect::<Vec<_>>(), [value], "{line}");
            assert_eq!(
                r.details().map(|(key, value)| (key, value.first().unwrap())).collect::<Vec<_>>(),
                [(key, value)]
            );
        })
        .unwrap();
    }
    for (key, value) in [
        ("ASIN:", "B000000001"),
        ("ISBN-13", "978-0435088682"),
        ("ISBN 10", "043508868X"),
        ("isbn13", "x"),
        ("UPC", "787461648490 794437346199"),
        ("Item model number", "46317"),
        ("\n  Item model number: \n", "x"),
        ("Part Number", "FQ92000"),
        ("Manufacturer Part No.", "x"),
        ("Product ID", "x7"),
        ("Date First Available", "September 17, 2019"),
        ("Release date", "2019"),
        ("Model Year", "2017"),
        ("Best Sellers Rank", "#5 in Books"),
        ("Amazon Best Sellers Rank:", "#1,786 in Gift Cards (See Top 100)"),
        ("Notes", "#1,786 in Gift Cards (See Top 100)"),
        ("Notes", "1,786 in Gift Cards ("),
        ("Notes", "January 4, 2017"),
        ("Notes", "4 Jan 2017"),
        ("Notes", "2017-01-04"),
        ("Notes", "2017-01-04T10:00:00Z"),
        ("Notes", "01/04/2017"),
        ("Notes", "B00EXAMPLE"),
        ("Notes", "978-0435088682"),
        ("Notes", "nan"),
        ("Notes", " "),
    ] {
        let line = serde_json::json!({"details": {key: value}}).to_string();
        parse(line.as_bytes(), |r| {
            assert_eq!(r.detail_texts().count(), 0, "{line}");
            assert_eq!(r.attributes, [key]);
        })
        .unwrap();
    }
    let line = r#"{"details": {"Best Sellers Rank": {"Kitchen": 5, "Mugs": 7}, "Publisher": "Quay; 2nd edition (January 4, 2017)",
        "Languages": ["English", "Dutch"], "Boxed": true, "Extra": {"Wood": "Oak", "UPC": "5", "Other": {"Sales Rank": "5"}}}}"#;
    parse(line.replace('\n', " ").as_bytes(), |r| {
        let texts: Vec<_> = r.detail_texts().map(|(_, text)| text).collect();
        assert_eq!(texts, ["Quay; 2nd edition", "English", "Dutch", "Oak"]);
        assert_eq!(r.unread, []);
    })
    .unwrap();
}

#[test]
fn lists_with_escaped_quotes_are_lists() {
    for (value, wanted) in [
        ("[&quot;Tea&quot;, &quot;Cups&quot;]", &["Tea", "Cups"][..]),
        ("[&#39;Tea&#39;, &#39;Cups&#39;]", &["Tea", "Cups"]),
        ("[&#34;Tea &amp;amp; Cups&#34;]", &["Tea &amp; Cups"]),
        // An inch in a list that is not escaped.
        (r#"["15&quot; lid"]"#, &["15&quot; lid"]),
        ("[sealed &quot;tin&quot;] tea", &["[sealed &quot;tin&quot;] tea"]),
        ("(12&quot; x 4&quot;)", &["(12&quot; x 4&quot;)"]),
    ] {
        let line = serde_json::json!({ "asin": "B0", "category": value }).to_string();
        parse(line.as_bytes(), |r| assert_eq!(r.categories().collect::<Vec<_>>(), wanted, "{value}")).unwrap();
    }
    let list = "[&quot;B000000001&quot;, &quot;B000000002&quot;]";
    let details = "{&quot;Bar&quot;: &quot;Cedar&quot;}";
    let line = serde_json::json!({ "asin": "B0", "also_buy": list, "details": details }).to_string();
    parse(line.as_bytes(), |r| {
        assert_eq!(r.associations.len(), 2);
        assert_eq!(r.detail_texts().collect::<Vec<_>>(), [("Bar", "Cedar")]);
    })
    .unwrap();
}

#[test]
fn of_several_languages_english_is_chosen_or_the_first() {
    let tagged = |language: &str, value: &str| serde_json::json!({"language_tag": language, "value": value});
    let [german, american, british] =
        [tagged("de_DE", "Seife"), tagged("en_US", "Soap"), tagged("en_GB", "A bar of soap")];
    for (value, wanted, left_out) in [
        (serde_json::json!([german, american]), &["Soap"][..], 1),
        (serde_json::json!([german, british, american]), &["A bar of soap"], 2),
        (serde_json::json!([german, tagged("fr_FR", "Savon")]), &["Seife"], 1),
        (serde_json::json!([american, tagged("en_US", "Cedar"), german]), &["Soap", "Cedar"], 1),
        (serde_json::json!([german.to_string(), american.to_string(), "Felt feet"]), &["Soap", "Felt feet"], 1),
        (serde_json::json!([german]), &["Seife"], 0),
        (serde_json::json!(["Seife", "Soap"]), &["Seife", "Soap"], 0),
    ] {
        let line = serde_json::json!({ "asin": "B0", "feature": value }).to_string();
        parse(line.as_bytes(), |r| {
            assert_eq!(r.features().collect::<Vec<_>>(), wanted, "{value}");
            let reasons: Vec<_> = r.unread.iter().map(|unread| unread.reason).collect();
            assert_eq!(reasons, vec![UnreadReason::OtherLanguage; left_out], "{value}");
        })
        .unwrap();
        let line = serde_json::json!({ "asin": "B0", "title": value, "description": value }).to_string();
        parse(line.as_bytes(), |r| assert_eq!(r.title.iter().collect::<Vec<_>>(), wanted)).unwrap();
    }
}
