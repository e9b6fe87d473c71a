//! No modules of a crate form a cycle: among the children of each module, imports lead one way.
//!
//! A module may use what its parent defines, and a parent its children. What a parent only re-exports counts as the
//! child's. Test modules do not count.
mod support;

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use support::workspace;

/// A module path below the crate root: `["phrase", "pool"]`.
type ModulePath = Vec<String>;

/// The sources of a crate by module.
fn modules(src: &Path) -> BTreeMap<ModulePath, String> {
    fn walk(folder: &Path, above: &[String], into: &mut BTreeMap<ModulePath, String>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
            if path.is_dir() {
                walk(&path, &[above, &[stem]].concat(), into);
            } else if path.extension().is_some_and(|extension| extension == "rs") {
                let module = match stem.as_str() {
                    "lib" | "mod" => above.to_vec(),
                    // Test modules in files of their own.
                    "tests" | "testing" => continue,
                    // The program is a crate of its own.
                    "main" if above.is_empty() => continue,
                    _ => [above, &[stem]].concat(),
                };
                into.insert(module, without_tests(&fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = BTreeMap::new();
    walk(src, &[], &mut found);
    found
}

/// The folders of all crates of the workspace.
fn crates() -> Vec<String> {
    let manifest = fs::read_to_string(workspace().join("Cargo.toml")).unwrap();
    let manifest: toml::Table = toml::from_str(&manifest).unwrap();
    let members = manifest["workspace"]["members"].as_array().unwrap();
    members.iter().map(|member| member.as_str().unwrap().to_owned()).collect()
}

/// A source without comments, without names of test modules in files of their own, and without a test module with a
/// body, which comes last in our files.
fn without_tests(text: &str) -> String {
    let code = text.lines().filter(|line| !line.trim_start().starts_with("//")).collect::<Vec<_>>().join("\n");
    let mut parts = code.split("#[cfg(test)]\nmod ");
    let mut kept = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        match (part.find(';'), part.find('{')) {
            (Some(end), body) if body.is_none_or(|body| end < body) => kept += &part[end + 1..],
            _ => break,
        }
    }
    kept
}

/// All paths of `use` trees and the paths in code that start with `crate`, each with the name it is imported by.
fn paths(code: &str) -> Vec<Vec<String>> {
    let mut found = Vec::new();
    for statement in code.split(';') {
        let Some(at) = statement.rfind("use ") else { continue };
        let before = statement[..at].trim_end();
        if before.is_empty() || before.ends_with(['}', ']', ')', '{']) || before.ends_with("pub") {
            leaves(&statement[at + 4..], &[], &mut found);
        }
    }
    for (at, _) in code.match_indices("crate::") {
        let path: String = code[at..].chars().take_while(|c| c.is_alphanumeric() || matches!(c, '_' | ':')).collect();
        found.push(path.split("::").filter(|part| !part.is_empty()).map(str::to_owned).collect());
    }
    found
}

fn leaves(tree: &str, above: &[String], into: &mut Vec<Vec<String>>) {
    let (mut depth, mut part) = (0, String::new());
    let mut parts = Vec::new();
    for c in tree.chars() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            _ => {}
        }
        if c == ',' && depth == 0 { parts.push(std::mem::take(&mut part)) } else { part.push(c) }
    }
    parts.push(part);
    for part in parts.iter().map(|part| part.trim()).filter(|part| !part.is_empty()) {
        match part.split_once('{') {
            Some((prefix, inner)) => {
                let prefix = prefix.trim_end().trim_end_matches("::").split("::").filter(|name| !name.is_empty());
                let above = [above, &prefix.map(|name| name.trim().to_owned()).collect::<Vec<_>>()].concat();
                leaves(inner.trim_end().trim_end_matches('}'), &above, into);
            }
            None => {
                let path = part.split(" as ").next().unwrap_or_default();
                let names: Vec<String> = path.split("::").map(|name| name.trim().to_owned()).collect();
                into.push([above, &names].concat());
            }
        }
    }
}

/// The module that a path leads to, re-exports followed.
fn target(from: &[String], path: &[String], all: &BTreeMap<ModulePath, String>) -> Option<ModulePath> {
    let (mut module, mut rest) = match path.first()?.as_str() {
        "crate" => (Vec::new(), &path[1..]),
        "self" => (from.to_vec(), &path[1..]),
        "super" => {
            let up = path.iter().take_while(|name| *name == "super").count();
            (from[..from.len().checked_sub(up)?].to_vec(), &path[up..])
        }
        // The child of this module, in a `pub use child::Item`.
        child if all.contains_key(&[from, &[child.to_owned()]].concat()) => (from.to_vec(), path),
        _ => return None,
    };
    while let [name, after @ ..] = rest {
        let child = [module.as_slice(), std::slice::from_ref(name)].concat();
        if all.contains_key(&child) {
            (module, rest) = (child, after);
            continue;
        }
        let reexported = all.get(&module).into_iter().flat_map(|code| paths(code)).find_map(|path| {
            let names_it = path.len() > 1 && path.last() == Some(name) && path[0] != "super" && path[0] != "crate";
            names_it.then(|| target(&module, &path, all)).flatten()
        });
        return reexported.or(Some(module));
    }
    Some(module)
}

/// A cycle among the children of one module, as a row of names; children and the imports between them are given.
fn cycle(edges: &BTreeMap<String, BTreeSet<String>>) -> Option<Vec<String>> {
    fn visit(
        node: &str,
        edges: &BTreeMap<String, BTreeSet<String>>,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> Option<Vec<String>> {
        if let Some(at) = way.iter().position(|name| name == node) {
            return Some(way[at..].to_vec());
        }
        if !done.contains(node) {
            way.push(node.to_owned());
            for next in edges.get(node).into_iter().flatten() {
                if let Some(found) = visit(next, edges, way, done) {
                    return Some(found);
                }
            }
            way.pop();
            done.insert(node.to_owned());
        }
        None
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|node| visit(node, edges, &mut Vec::new(), &mut done))
}

/// The imports between siblings, by their parent.
fn imports(all: &BTreeMap<ModulePath, String>) -> BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> {
    let mut edges: BTreeMap<ModulePath, BTreeMap<String, BTreeSet<String>>> = BTreeMap::new();
    for (from, code) in all {
        for to in paths(code).iter().filter_map(|path| target(from, path, all)) {
            let common = from.iter().zip(&to).take_while(|(a, b)| a == b).count();
            if let (Some(a), Some(b)) = (from.get(common), to.get(common)) {
                edges.entry(from[..common].to_vec()).or_default().entry(a.clone()).or_default().insert(b.clone());
            }
        }
    }
    edges
}

#[test]
fn modules_form_no_cycles() {
    let mut cycles = Vec::new();
    for name in crates() {
        let all = modules(&workspace().join(&name).join("src"));
        for (parent, edges) in imports(&all) {
            if let Some(cycle) = cycle(&edges) {
                cycles.push(format!("{name}, in `{}`: {}", parent.join("::"), cycle.join(" -> ")));
            }
        }
    }
    assert!(cycles.is_empty(), "modules that import each other in a circle:\n{}", cycles.join("\n"));
}

#[test]
fn a_cycle_is_found_through_reexports_and_nested_imports() {
    let sources = |files: &[(&str, &str)]| -> BTreeMap<ModulePath, String> {
        let module = |path: &str| path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect();
        files.iter().map(|(path, code)| (module(path), without_tests(code))).collect()
    };
    let found = |files: &[(&str, &str)]| imports(&sources(files)).values().find_map(cycle);
    let root = ("", "mod a;\nmod b;\npub use b::Thing;");
    assert_eq!(found(&[root, ("a", "use super::Thing;"), ("b", "fn f() {}")]), None);
    let root_with_tests = ("", "#[cfg(test)]\nmod tests;\nmod a;\nmod b;\npub use b::Thing;");
    assert!(found(&[root_with_tests, ("a", "use super::Thing;"), ("b", "use super::a;")]).is_some());
    assert_eq!(
        found(&[root, ("a", "use super::Thing;"), ("b", "use std::io;\nuse crate::{a::{self, X}, c};")]).unwrap().len(),
        2
    );
    assert_eq!(
        found(&[
            root,
            ("a", "fn f() { crate::b::g() }"),
            ("b", "fn g() {}\n#[cfg(test)]\nmod tests { use crate::a; }")
        ]),
        None
    );
    assert!(found(&[root, ("a", "fn f() { crate::b::g() }"), ("b", "fn g() { crate::a::f() }")]).is_some());
    assert!(
        found(&[root, ("a/x", "use crate::b::y::Z;"), ("a", ""), ("b/y", "use crate::a::x;"), ("b", "")]).is_some()
    );
}
