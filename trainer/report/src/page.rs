//! A page of HTML that needs nothing else, for screens of any width, in light and dark.
use crate::{chart::escape, color};

/// A page with a heading and a body of HTML. `more` are rules of its own style.
pub fn page(title: &str, more: &str, body: &str) -> String {
    let title = escape(title);
    format!(
        "<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <meta name=\"color-scheme\" content=\"light dark\"><title>{title}</title>\n<style>{STYLE}{}{more}</style></head><body>\n\
         <h1>{title}</h1>\n{body}</body></html>\n",
        color::style()
    )
}

/// Something wide, such as a table or a figure with a fixed scale. A narrow screen scrolls it.
pub fn scrolled(content: &str) -> String {
    format!("<div class=\"scroll\">\n{content}</div>\n")
}

/// A table of rows under a line of heads. Cells are texts.
pub fn table<C: AsRef<str>>(heads: &[&str], rows: impl IntoIterator<Item = Vec<C>>) -> String {
    let cells = |cells: Vec<String>| cells.concat();
    let head = cells(heads.iter().map(|head| format!("<th>{}</th>", escape(head))).collect());
    let row = |row: Vec<C>| {
        let cell = |(at, cell): (usize, &C)| {
            let name = if at == 0 { "th" } else { "td" };
            format!("<{name}>{}</{name}>", escape(cell.as_ref()))
        };
        format!("<tr>{}</tr>\n", cells(row.iter().enumerate().map(cell).collect()))
    };
    let rows = cells(rows.into_iter().map(row).collect());
    scrolled(&format!("<table class=\"texts\"><thead><tr>{head}</tr></thead>\n<tbody>{rows}</tbody></table>\n"))
}

const STYLE: &str = ":root{color-scheme:light dark;--page:#fff;--text:#222;--soft:#555;--rule:#ddd}\
@media (prefers-color-scheme:dark){:root{--page:#15181e;--text:#d8dce3;--soft:#9aa3b0;--rule:#343a45}}\
*{box-sizing:border-box}\
body{font:15px/1.45 system-ui,sans-serif;max-width:1180px;margin:2em auto;padding:0 1em;color:var(--text);background:var(--page);overflow-wrap:anywhere}\
h1{font-size:1.4em}h2{font-size:1.1em;margin-top:2em}\
.scroll{overflow-x:auto;max-width:100%}.scroll svg{display:block;max-width:none}\
table{border-collapse:collapse;overflow-wrap:normal}td,th{padding:.25em .8em;border-bottom:1px solid var(--rule);text-align:right;font-weight:normal}td{white-space:nowrap}\
thead th{color:var(--soft)}tbody th{text-align:left;white-space:nowrap}tbody th i{display:inline-block;width:.7em;height:.7em;margin-right:.5em;background:currentColor}small{color:var(--soft)}\
.texts td,.texts th{text-align:left}\
.charts{display:grid;grid-template-columns:repeat(auto-fill,minmax(min(100%,460px),1fr));gap:1.5em}\
figure{margin:0;min-width:0}figcaption{font-weight:600}.charts svg{display:block;width:100%;height:auto}.charts svg text{font-size:12px;fill:var(--soft)}\
@media (max-width:600px){.charts svg text{font-size:15px}}\
.line{fill:none;stroke:currentColor;stroke-width:1.6}\
.legend{margin:.2em 0 0;font-size:.85em}.legend span{display:inline-block;margin-right:1em}.legend i{display:inline-block;width:1.6em;margin-right:.4em;vertical-align:middle}";
