//! Tests of quotes: what they enclose, and what they must not take.
use std::io::Cursor;

use proptest::prelude::*;

use super::*;

fn table(delimiter: char, columns: &[&str]) -> Delimited {
    Delimited {
        delimiter: delimiter as u8,
        quoted: delimiter != '\t',
        escaped: false,
        preface: false,
        header: true,
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
    }
}

/// The rows of a text or what is wrong with them, each with its line, for reads of any size.
fn read(table: &Delimited, text: &str) -> Vec<(u64, Result<Vec<String>, String>)> {
    let of = |size: usize| {
        let mut rows = Rows { read: size, ..Rows::new(Box::new(Cursor::new(text.to_owned())), table) };
        let mut all = Vec::new();
        loop {
            let mut row = Vec::new();
            match rows.next(&mut row) {
                None => return all,
                Some(Err(error)) => {
                    all.push((rows.last, Err(error.to_string())));
                    return all;
                }
                Some(Ok((line, Found::Record))) => {
                    let row: serde_json::Map<String, serde_json::Value> = serde_json::from_slice(&row).unwrap();
                    let cell =
                        |name: &String| row.get(name).and_then(|cell| cell.as_str()).unwrap_or_default().to_owned();
                    all.push((line, Ok(table.columns.iter().map(cell).collect())));
                }
                Some(Ok((line, Found::Malformed(why)))) => all.push((line, Err(why))),
                Some(Ok((line, Found::TooLong))) => all.push((line, Err("too long".to_owned()))),
            }
        }
    };
    let all = of(READ);
    for size in [1, 7, 1 << 10] {
        if text.len() / size < 1 << 12 {
            assert_eq!(of(size), all, "reads of {size} bytes");
        }
    }
    all
}

/// The rows, without their lines.
fn rows(table: &Delimited, text: &str) -> Vec<Result<String, String>> {
    read(table, text).into_iter().map(|(_, row)| row.map(|cells| cells.join("|"))).collect()
}

fn row(cells: &str) -> Result<String, String> {
    Ok(cells.to_owned())
}

const WIDTH: &str = "4 values in a row, expected 3";

#[test]
fn escapes_are_recognized_where_they_occur() {
    let csv = table(',', &["id", "name", "text"]);
    for (line, wanted) in [
        (r#"1,a,"say ""hi"", twice""#, row(r#"1|a|say "hi", twice"#)),
        (r#"1,a,"say \"hi\" twice""#, row(r#"1|a|say "hi" twice"#)),
        (r#"1,"5\"",b"#, row(r#"1|5"|b"#)),
        (r#"1,a,"pipes of 5\"""#, row(r#"1|a|pipes of 5""#)),
        (r#"1,"5\", \"wide\"",b"#, row(r#"1|5", "wide"|b"#)),
        // A backslash at the end of a value, and before doubled quotes.
        (r#"1,"C:\",b"#, row(r"1|C:\|b")),
        (r#"1,"C:\","D:\""#, row(r"1|C:\|D:\")),
        (r#"1,"C:\\",b"#, row(r"1|C:\\|b")),
        (r#"1,"{""size"": ""5\"", wide""}",b"#, row(r#"1|{"size": "5\", wide"}|b"#)),
        (r#"1,"a\""b",c"#, row(r#"1|a\"b|c"#)),
        (r#"1,"a\\\"b",c"#, row(r#"1|a\"b|c"#)),
        // Quotes that enclose nothing.
        (r#"1,5" wide,b"#, row(r#"1|5" wide|b"#)),
        (r#"1,"Best" box,b"#, row("1|Best box|b")),
        (r#"1,"",b"#, row("1||b")),
        (r#"1,"a","b","c""#, Err(WIDTH.to_owned())),
    ] {
        assert_eq!(rows(&csv, &format!("id,name,text\n{line}\n2,x,y\n")), [wanted, row("2|x|y")], "{line}");
    }
    let spark = Delimited { escaped: true, ..csv };
    let text = "id,name,text\n1,\"a\\\"\nb\",c\n2,\"C:\\\",d\n3,\"a\\\\\",c\n";
    assert_eq!(rows(&spark, text), [row("1|a\"\nb|c"), row("2|C:\\|d"), row("3|a\\\\|c")]);
}

/// Lines of a table with three columns.
fn boxes(numbers: std::ops::Range<usize>) -> String {
    numbers.map(|number| format!("S{number},Box {number},Holds {number} bags of tea.\n")).collect()
}

#[test]
fn a_quote_that_is_not_closed_takes_no_rows() {
    let csv = table(',', &["id", "name", "text"]);
    for (line, behind) in [
        // Closed by a quote that opens a value, by one behind a value, and not at all.
        ("X,Box,\"Best box of the year\n", "Y,\"Tin, red\",Small\n"),
        ("X,Box,\"Best box of the year\n", "Y,Tin,Holds 5\"\n"),
        ("X,Box,\"Best box of the year\n", ""),
        ("\"X,Box,Best box of the year\n", "Y,Tin,\"Small\"\n"),
        ("X,\"Box, Best, \"\"box\n", "Y,Tin,\"Small\"\n"),
    ] {
        for number in [20, 5_000] {
            let text = format!("id,name,text\n{}{line}{}{behind}", boxes(0..3), boxes(3..number));
            let all = read(&csv, &text);
            let wrong: Vec<_> = all.iter().filter(|(_, row)| row.is_err()).collect();
            assert_eq!(wrong, [&(5, Err(NOT_CLOSED.to_owned()))], "{line}{behind}");
            assert_eq!(all.len(), number + 1 + behind.lines().count(), "{line}{behind}");
            let numbers: Vec<u64> = all.iter().map(|(number, _)| *number).collect();
            assert!(numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]));
        }
    }
    // Few rows below it are enough where nothing else closes the quote.
    let text = format!("id,name,text\nX,Box,\"Best\n{}Y,\"Tin, red\",Small\n", boxes(0..2));
    assert_eq!(rows(&csv, &text).iter().filter(|row| row.is_ok()).count(), 3);
    let quoted: String = (0..3_000).map(|number| format!("\"S{number}\",\"Box\",\"Holds {number} bags.\"\n")).collect();
    let text = format!("id,name,text\n\"X\",\"Box\",\"Best\n{quoted}");
    assert_eq!(rows(&csv, &text).iter().filter(|row| row.is_ok()).count(), 3_000);
    // A file that was cut off.
    let text = "id,name,text\n1,a,b\n2,a,\"The first line,\nand a second";
    let cut_off = "the quote that opens in the row at line 3 is not closed".to_owned();
    assert_eq!(read(&csv, text)[1], (2, Err(cut_off)));
}

#[test]
fn values_over_many_lines_are_read_whole() {
    let csv = table(',', &["id", "name", "text"]);
    let prose = "Cedar, oak, or pine.\nHolds tea, salt, and more.\n\n<ul>\n<li>Red,</li>\n</ul>\n".repeat(2_000);
    let sizes = "S,10,20\nM,20,30\nL,30,40".to_owned();
    let list = (0..400).map(|n| format!("Part {n}, of wood\n")).collect::<String>();
    for value in [prose, sizes, list, "\n\n\n".to_owned(), ",\n,\n,".to_owned()] {
        let text = format!("id,name,text\n1,\"{value}\",b\n2,a,\"{value}\"\n3,x,y\n");
        let wanted = [row(&format!("1|{value}|b")), row(&format!("2|a|{value}")), row("3|x|y")];
        assert!(rows(&csv, &text) == wanted, "{value:.60}");
    }
    // Quotes that should be doubled.
    let text = "id,name,text\n1,\"A \"\"box\"\"\nwith \"tea\" inside\",b\n2,x,y\n";
    assert_eq!(rows(&csv, text), [row("1|A \"box\"\nwith tea\" inside\"|b"), row("2|x|y")]);
}

#[test]
fn quotes_in_tables_with_tabs_enclose_values_where_that_fits() {
    let tsv = table('\t', &["id", "text", "stars"]);
    let text = "id\ttext\tstars\n1\t\"Great\" tea\t5\n2\t\"All \"\"of\"\" it\"\t4\n3\t\"Two\nlines,\n\"\"three\"\"\"\t3\n\
        4\t\"A tab\there\"\t2\n5\t\"Best tea\t1\n6\tGood \"tea\"\t1\n7\t\"A \\\"good\\\" tea\"\t1\n8\t\"Never closed\t1\n\
        9\tx\t1\n";
    let wanted = [
        row("1|\"Great\" tea|5"),
        row("2|All \"of\" it|4"),
        row("3|Two\nlines,\n\"three\"|3"),
        row("4|A tab\there|2"),
        row("5|\"Best tea|1"),
        row("6|Good \"tea\"|1"),
        row("7|A \"good\" tea|1"),
        row("8|\"Never closed|1"),
        row("9|x|1"),
    ];
    assert_eq!(rows(&tsv, text), wanted);
    let text = "id\ttext\tstars\n1\t5\t\"Two\nlines\"\n2\t5\t\"One\n3\t5\tTwo\"\n";
    assert_eq!(rows(&tsv, text), [row("1|5|Two\nlines"), row("2|5|\"One"), row("3|5|Two\"")]);
}

#[test]
fn names_of_columns_between_concatenated_tables_are_not_a_row() {
    let csv = table(',', &["id", "name"]);
    let text = "id,name\n1,Tea\n\u{feff}id,name\n2,Salt\n";
    assert_eq!(rows(&csv, text), [row("1|Tea"), row("2|Salt")]);
    let unnamed = Delimited { header: false, ..csv };
    assert_eq!(rows(&unnamed, "id,name\nid,name\n"), [row("id|name"), row("id|name")]);
}

#[test]
fn columns_of_joined_tables_may_have_another_order() {
    let csv = table(',', &["id", "name", "name.1"]);
    let text = "id,name,name\n1,Tea,hot\nname,id,name\nSalt,2,dry\nid,name,name\n3,Oil,wet\nname,name,id\n";
    assert_eq!(rows(&csv, text), [row("1|Tea|hot"), row("2|Salt|dry"), row("3|Oil|wet")]);
    // Other names, and values that are names.
    let text = "id,name,name\nname,id,text\nid,id,name\nid,name,\n";
    assert_eq!(rows(&csv, text), [row("name|id|text"), row("id|id|name"), row("id|name|")]);
}

#[test]
fn lines_between_rows_are_no_rows() {
    let bars = table('|', &["", "id", "name", ".1"]);
    let text = "| id | name |\n|----|:----:|\n| 1 | Tea - hot |\n|  | -- a |\n";
    assert_eq!(rows(&bars, text), [row("| 1 | Tea - hot |"), row("|  | -- a |")]);
    let client = table('|', &["id", "name"]);
    let text = "id | name\n----+-----\n1 | Tea\n----+-----\n(1 row)\n(2 rows)\n";
    assert_eq!(rows(&client, text), [row("1 | Tea")]);
    let text = "id | name\n(many rows)\n(2 rows)|x\n";
    assert_eq!(rows(&client, text), [Err("1 values in a row, expected 2".to_owned()), row("(2 rows)|x")]);
}

#[test]
fn values_that_r_writes_as_missing_are_empty() {
    let csv = table(',', &["id", "name", "text"]);
    let text = "id,name,text\n1,NA,Tea\n2,\"NA\",NA\nNA,NA,NA\n3,NA box,na\n\"4\",NA,\"NA, or not\"\n";
    assert_eq!(rows(&csv, text), [row("1||Tea"), row("2|NA|"), row("3|NA box|na"), row("4||NA, or not")]);
    let tsv = table('\t', &["id", "name", "text"]);
    assert_eq!(rows(&tsv, "id\tname\ttext\n1\tNA\t5\" NA\n"), [row("1||5\" NA")]);
}

#[test]
fn a_line_that_is_too_long_is_counted_and_the_next_one_read() {
    let csv = table(',', &["id", "name"]);
    for open in ["", "\""] {
        let text = format!("id,name\n1,{open}{}\n2,Salt\n", "x".repeat(MAX_LINE));
        assert_eq!(read(&csv, &text)[..], [(2, Err("too long".to_owned())), (3, Ok(vec!["2".into(), "Salt".into()]))]);
    }
}

proptest! {
    #[test]
    fn what_is_written_is_read(
        cells in proptest::collection::vec(proptest::collection::vec("[ab,;\n\r\" ]{0,6}", 3), 1..8),
        escapes in any::<bool>(),
    ) {
        let written = |cell: &String| match escapes {
            true => format!("\"{}\"", cell.replace('"', "\\\"")),
            false => format!("\"{}\"", cell.replace('"', "\"\"")),
        };
        let line = |cells: &Vec<String>| cells.iter().map(written).collect::<Vec<_>>().join(",") + "\n";
        let text = "id,name,text\n".to_owned() + &cells.iter().map(line).collect::<String>();
        let csv = Delimited { escaped: escapes, ..table(',', &["id", "name", "text"]) };
        let wanted: Vec<Vec<String>> =
            cells.into_iter().filter(|cells| cells.iter().any(|cell| !cell.is_empty())).collect();
        let found: Vec<Vec<String>> = read(&csv, &text).into_iter().map(|(_, row)| row.unwrap()).collect();
        prop_assert_eq!(found, wanted);
    }
}
