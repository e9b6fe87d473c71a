use std::{io::Read as _, path::PathBuf};

use proptest::prelude::*;
use serde_json::Value;

use super::{repr::repr, *};

#[test]
fn literals_become_json() {
    let cases: &[(&str, &str, &str)] = &[
        (
            "the dump's line",
            r#"{'asin': '0061', 'title': "It's", 'price': 11.89, 'categories': [['Books']]}"#,
            r#"{"asin":"0061","title":"It's","price":11.89,"categories":[["Books"]]}"#,
        ),
        ("JSON", r#"{"a": [1, -2.5, true, false, null, "x\u00e9\/"]}"#, r#"{"a":[1,-2.5,true,false,null,"xé/"]}"#),
        (
            "constants",
            "[None, True, False, nan, inf, -inf, NaN, Infinity, -Infinity, -nan]",
            "[null,true,false,null,null,null,null,null,null,null]",
        ),
        ("empty containers", "[{}, [], (), '']", r#"[{},[],[],""]"#),
        ("trailing commas", "{'a': [1, 2,], 'b': (1,),}", r#"{"a":[1,2],"b":[1]}"#),
        ("tuples and parentheses", "[(1, 2), (1,), (1), ((1)), ('a' 'b'), (([],),)]", r#"[[1,2],[1],1,1,"ab",[[[]]]]"#),
        ("white space", " \t{\n'a'\r:\x0c1 } \n", r#"{"a":1}"#),
        ("byte order mark", "\u{feff}[1]", "[1]"),
        (
            "integers",
            "[0, 00, -0, 10L, 1_000, 0x1f, 0XFFl, 0o17, 0b11, 0x_f, -0x1F, +7]",
            "[0,0,0,10,1000,31,255,15,3,15,-31,7]",
        ),
        ("floats", "[1., .5, -1.5, 01.50, 1_0.2_5, -0.0]", "[1.0,0.5,-1.5,1.50,10.25,-0.0]"),
        (
            "exponents",
            "[1e5, 1E-7, 1.5e+300, 1e999, -1e999, 1e-999, 0e999]",
            "[100000.0,1e-7,1.5e300,null,null,0.0,0.0]",
        ),
        ("a long integer", "123456789012345678901234567890", "123456789012345678901234567890"),
        (
            "keys",
            "{1: 1, 2.50: 2, None: 3, True: 4, (1, 'a'): 5, u'b': 6, 0x10: 7, (): 8}",
            r#"{"1":1,"2.50":2,"null":3,"true":4,"[1,\"a\"]":5,"b":6,"16":7,"[]":8}"#,
        ),
        (
            "escapes",
            r#"'\n\t\\\'\"\a\b\f\v\r\0\101\x41\u00e9\U0001f600'"#,
            r#""\n\t\\'\"\u0007\u0008\u000c\u000b\r\u0000AAé😀""#,
        ),
        ("octal takes three digits", r"'\1234\08'", r#""S4\u00008""#),
        ("unknown escapes stay", r"'\d\/\é\:'", r#""\\d\\/\\é\\:""#),
        ("a slash of JSON", r#""a\/b""#, r#""a/b""#),
        ("a backslash at the line's end", "'a\\\nb\\\r\nc'", r#""abc""#),
        (
            "surrogates",
            r"['\ud83d\ude00', '\ud83d', '\ude00x', '\ud83d\ud83d\ude00', '\ud83d-\ude00', '\U0000d83d']",
            "[\"😀\",\"\u{fffd}\",\"\u{fffd}x\",\"\u{fffd}😀\",\"\u{fffd}-\u{fffd}\",\"\u{fffd}\"]",
        ),
        (
            "prefixes",
            r#"[u'a', U"a", r'\n', R'\'', b'a', ur'a', bR'\x', rb'a']"#,
            r#"["a","a","\\n","\\'","a","a","\\x","a"]"#,
        ),
        ("bytes", r"[b'caf\xc3\xa9', b'\xff\303\251x', b'\u00e9\N']", "[\"café\",\"\u{fffd}éx\",\"\\\\u00e9\\\\N\"]"),
        ("triple quotes", r#"['''a'b''c''', """a"b""", '''''', "" ]"#, r#"["a'b''c","a\"b","",""]"#),
        ("a raw triple quote", r"r'''a\'''b'''", r#""a\\'''b""#),
        ("strings in a row", "['a' \"b\" u'c', 'd''e']", r#"["abc","de"]"#),
        ("raw control characters", "\"a\tb\nc\u{1}\u{7f}\"", "\"a\\tb\\nc\\u0001\u{7f}\""),
        (
            "calls",
            "[ObjectId('65a1'), bson.Int64(5), NumberLong(\"5\"), Decimal128('NaN'), array(['a', b'b'], dtype=object), UUID('x')]",
            r#"["65a1",5,5,null,["a","b"],"x"]"#,
        ),
        (
            "calls of dates",
            "[datetime.datetime(2014, 7, 3, 9, 30, tzinfo=tzutc()), datetime.date(2014, 7, 3), new Date('x'), Timestamp('2014')]",
            r#"["2014-07-03T09:30:00.000000","2014-07-03T00:00:00.000000","x","2014"]"#,
        ),
        (
            "calls of collections",
            "{'a': OrderedDict([('b', 1)]), 'c': defaultdict(<class 'list'>, {'d': []}), 'e': set([1]), ObjectId('f'): 2}",
            r#"{"a":[["b",1]],"c":{"d":[]},"e":[1],"f":2}"#,
        ),
        ("missing values of pandas and numpy", "[<NA>, NaT, np.nan, numpy.nan]", "[null,null,null,null]"),
        ("text past ASCII", "'héé 漢字 😀'", "\"héé 漢字 😀\""),
    ];
    for (name, line, wanted) in cases {
        let json = python_to_json(line).unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(json, *wanted, "{name}");
        serde_json::from_str::<Value>(&json).unwrap_or_else(|error| panic!("{name}: {json}: {error}"));
    }
}

#[test]
fn errors_name_the_place_and_the_text() {
    let cases: &[(&str, &str)] = &[
        ("", "found the end at byte 0, expected a value"),
        ("  ]", "found `]` at byte 2, expected a value"),
        ("{'a' 1}", "found `1` at byte 5, expected `:`"),
        ("{'a': 1 'b': 2}", "found `'` at byte 8, expected `,` or `}`"),
        ("{'a': 1", "found the end at byte 7, expected `,` or `}`"),
        ("{1, 2}", "found `,` at byte 2, expected `:`"),
        ("[1 2]", "found `2` at byte 3, expected `,` or `]`"),
        ("[,]", "found `,` at byte 1, expected a value"),
        ("(1 2)", "found `2` at byte 3, expected `,` or `)`"),
        ("{} x", "found `x` at byte 3, expected the end"),
        ("[\u{1}]", "found `\\u{1}` at byte 1, expected a value"),
        ("[é]", "found `é` at byte 1, expected a value"),
        ("[Nope_1]", "found the name `Nope_1` at byte 1, expected a value"),
        ("[Nope('a')]", "found the name `Nope` at byte 1, expected a value"),
        ("[a.b.c]", "found the name `a.b.c` at byte 1, expected a value"),
        ("[ObjectId]", "found the name `ObjectId` at byte 1, expected a value"),
        ("[ObjectId()]", "found the name `ObjectId()` at byte 1, expected a value"),
        ("[ObjectId('a' 1)]", "found `1` at byte 14, expected `,` or `)`"),
        ("[ObjectId('a'", "found the end at byte 13, expected `,` or `)`"),
        ("<N>", "found `<` at byte 0, expected a value"),
        ("f'a'", "found the name `f` at byte 0, expected a value"),
        ("[1, 2j]", "found `2j` at byte 4, expected a number"),
        ("007", "found `007` at byte 0, expected a number"),
        ("[1__0]", "found `1__0` at byte 1, expected a number"),
        ("1.2.3", "found `1.2.3` at byte 0, expected a number"),
        ("1e", "found `1e` at byte 0, expected a number"),
        ("1.5L", "found `1.5L` at byte 0, expected a number"),
        ("--1", "found `-` at byte 0, expected a number"),
        ("0x", "found `0x` at byte 0, expected a number"),
        ("-x", "found `-x` at byte 0, expected a number"),
        ("-index", "found `i` at byte 1, expected a number"),
        ("['abc]", "found a string at byte 1 that does not end"),
        ("'''abc''", "found a string at byte 0 that does not end"),
        ("'abc\\", "found a string at byte 0 that does not end"),
        ("r'abc\\", "found a string at byte 0 that does not end"),
        ("'\\x4'", "found the escape `\\x4'` at byte 1, which is not a character"),
        ("'\\u12é4'", "found the escape `\\u12é4'` at byte 1, which is not a character"),
        ("'\\U00110000'", "found the escape `\\U00110000` at byte 1, which is not a character"),
        ("'\\N{BEE}'", "found the escape `\\N{BEE}'` at byte 1, which is not a character"),
        ("{[1]: 2}", "found a dict or a list as a key at byte 1, expected a string, a number or a tuple"),
        ("{(1, {}): 2}", "found a dict or a list as a key at byte 5, expected a string, a number or a tuple"),
    ];
    for (line, wanted) in cases {
        assert_eq!(python_to_json(line).map_err(|error| error.to_string()), Err((*wanted).to_owned()), "{line}");
    }
}

#[test]
fn depth_is_limited_where_serde_json_limits_it() {
    for (open, close) in [("[", "]"), ("(", ",)"), ("{'a':", "}"), ("list(", ")")] {
        let nested = |depth: usize| format!("{}1{}", open.repeat(depth), close.repeat(depth));
        let json = python_to_json(&nested(MAX_DEPTH)).unwrap();
        assert!(serde_json::from_str::<Value>(&json).is_ok(), "{open}");
        let at = MAX_DEPTH * open.len();
        assert_eq!(python_to_json(&nested(MAX_DEPTH + 1)), Err(PythonLiteralError::TooDeep { at }), "{open}");
        assert!(python_to_json(&open.repeat(1_000_000)).is_err());
    }
}

#[test]
fn time_is_linear() {
    let megabyte = 1 << 20;
    let lines = [
        format!("'{}'", "\\".repeat(megabyte)),
        format!("[{}]", "'a' ".repeat(megabyte / 4)),
        format!("{}'{}'{}", "(".repeat(MAX_DEPTH), "x".repeat(megabyte), ")".repeat(MAX_DEPTH)),
        format!("[{}]", "u'\\ud83d', ".repeat(megabyte / 11)),
        "9".repeat(megabyte),
        format!("0.{}1e5", "0".repeat(megabyte)),
        format!("'''{}", "''\\''".repeat(megabyte / 5)),
        " ".repeat(megabyte),
    ];
    for line in &lines {
        let start = std::time::Instant::now();
        let _ = python_to_json(line);
        // Tens of milliseconds in a debug build; minutes if quadratic.
        assert!(start.elapsed().as_secs() < 10, "{:?}", line.get(..20));
    }
}

fn any_json() -> impl Strategy<Value = Value> {
    let awkward = vec!['\'', '"', '\\', 'n', '/', 'u', '\n', '\0', 'é', '漢', '😀'];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<u64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        any::<String>().prop_map(Value::from),
        prop::collection::vec(prop::sample::select(awkward), 0..8)
            .prop_map(|chars| Value::from(String::from_iter(chars))),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any::<String>(), inner), 0..5)
                .prop_map(|fields| Value::Object(fields.into_iter().collect())),
        ]
    })
}

const PIECES: [&str; 50] = [
    "{", "}", "[", "]", "(", ")", ",", ":", "'", "\"", "'''", "\\", "\\x4", "\\ud83d", "\\ude00", "\\u00", "\\N{", "0",
    "1", "9", "x", "e", "E", "-", "+", ".", "_", "L", "1e308", "0x", "None", "true", "nan", "-inf", "u'", "b'", "r\"",
    "é", "漢", "\n", " ", "\u{1}", "'a'", "[1, 2]", "{'a': 1}", "(1,)", "list(", "Int64(", "date(", "x=",
];

proptest! {
    #[test]
    fn repr_and_json_both_read_as_the_value(value in any_json()) {
        let json = value.to_string();
        // The parser may round a double. The expected value is what it reads from the JSON text.
        let wanted: Value = serde_json::from_str(&json).unwrap();
        let mut python = String::new();
        repr(&value, &mut python);
        for line in [python, json] {
            let found = python_to_json(&line).unwrap();
            prop_assert_eq!(serde_json::from_str::<Value>(&found).unwrap(), wanted.clone(), "{}", line);
        }
    }

    #[test]
    fn output_always_parses(pieces in prop::collection::vec(prop::sample::select(&PIECES[..]), 0..24)) {
        let line = pieces.concat();
        for line in [line.clone(), format!("[{line}]"), format!("'{line}'"), format!("{{'a': {line}}}")] {
            if let Ok(json) = python_to_json(&line) {
                prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{} -> {}", line, json);
            }
        }
    }

    #[test]
    fn any_number_parses(number in "[-+]?[0-9]{0,25}(\\.[0-9]{0,25})?([eE][-+]?[0-9]{1,4})?") {
        if let Ok(json) = python_to_json(&number) {
            prop_assert!(serde_json::from_str::<Value>(&json).is_ok(), "{} -> {}", number, json);
        }
    }
}

#[test]
fn lines_of_the_2014_dump() {
    let shared = std::env::var_os("EBERT_SHARED")
        .map_or_else(|| PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../shared")), PathBuf::from);
    let path = shared.join("data/amazon/2014/meta_sample_python_dicts.json.gz");
    let Ok(file) = std::fs::File::open(&path) else {
        println!("skipped: no file `{}`; EBERT_SHARED names the folder with the real data", path.display());
        return;
    };
    let mut text = String::new();
    flate2::read::MultiGzDecoder::new(file).read_to_string(&mut text).unwrap();
    let known = ["asin", "title", "description", "brand", "price", "categories", "related", "imUrl", "salesRank"];
    let mut lines = 0;
    for line in text.lines() {
        let json = python_to_json(line).unwrap();
        let value: Value = serde_json::from_str(&json).unwrap();
        let mut found: Vec<&str> = value.as_object().unwrap().keys().map(String::as_str).collect();
        // The line's own text has each key as `'asin': `.
        let mut wanted: Vec<&str> = known.into_iter().filter(|key| line.contains(&format!("'{key}': "))).collect();
        found.sort_unstable();
        wanted.sort_unstable();
        assert_eq!(found, wanted, "{line}");
        assert_eq!(value["asin"].as_str().map(str::len), Some(10), "{line}");
        lines += 1;
    }
    assert!(lines > 0);
}
