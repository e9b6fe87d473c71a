//! Grids as whole commands: one that is killed resumes, and several processes share one.
mod support;

use std::{fs, process::Output, thread, time::Duration};

use support::{
    events,
    tasks::{Place, grid, make_model, titles},
    text_of,
};

/// The models and the files of equal grids, whose results have these names.
fn with_grids<const N: usize>(results: [&str; N]) -> Place {
    let place = Place::new();
    make_model(&place.path("other"), 2);
    for results in results {
        fs::write(place.path(&format!("{results}.toml")), grid(results)).unwrap();
    }
    place
}

#[test]
fn a_grid_that_was_killed_goes_on_and_comes_to_the_same_table() {
    let place = with_grids(["whole", "killed"]);
    let arguments = |file| ["grid", file, "--threads", "1", "--device", "cpu"];
    let output = place.run(&arguments("whole.toml"));
    assert!(output.status.success(), "{}", text_of(&output));
    let text = text_of(&output);
    assert!(text.contains("cells     8 computed, 0 up to date"), "{text}");

    let mut child = place.command(&arguments("killed.toml")).stdout(std::process::Stdio::null()).spawn().unwrap();
    let first = place.path("killed/cells/e-bert/pc/seed-0/metrics.json");
    while !first.exists() && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(10));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    assert!(first.exists() && !place.path("killed/table2.csv").exists());
    // As if it had been killed between the predictions and the scores.
    let unfinished = place.path("killed/cells/bert-raw/pc/seed-0/metrics.json");
    fs::remove_file(&unfinished).unwrap_or_else(|error| panic!("{}: {error}", unfinished.display()));
    let output = place.run(&arguments("killed.toml"));
    assert!(output.status.success(), "{}", text_of(&output));
    for table in ["table2.csv", "table2.md", "table2.html"] {
        let [whole, killed] =
            ["whole", "killed"].map(|results| fs::read_to_string(place.path(results).join(table)).unwrap());
        assert_eq!(whole, killed, "{table}");
    }
    let page = fs::read_to_string(place.path("whole/table2.html")).unwrap();
    for part in ["<h1>a test</h1>", "review aspect extraction", "E-BERT", "Cross attention", "tea to soap: "] {
        assert!(page.contains(part), "{part}");
    }
    // Screens of any width, both kinds of paper, and where the numbers come from.
    assert!(page.contains("<meta name=\"viewport\"") && page.contains("@media (prefers-color-scheme:dark)"));
    for part in ["<h2>Provenance of the scores</h2>", "<th>device</th>", "CPU, ", env!("CARGO_PKG_VERSION")] {
        assert!(page.contains(part), "{part}");
    }
    // A model has one color in the table and above its map, whose titles are named.
    let colors: Vec<&str> = page.split("</i>E-BERT</").map(|before| before.rsplit("<i ").next().unwrap()).collect();
    let colors = &colors[..colors.len() - 1];
    assert!(colors.len() >= 2 && colors.iter().all(|color| *color == colors[0]), "{colors:?}");
    assert!(page.contains("(rows) and “"));
    assert!(!page.contains("<script") && !place.path("whole/cells/e-bert/pc/seed-0/model").exists());

    let output = place.run(&arguments("whole.toml"));
    assert!(text_of(&output).contains("cells     0 computed, 8 up to date"), "{}", text_of(&output));
    // For a program: the cells, and the rows of the table.
    let lines = events(&place.run(&[&arguments("whole.toml")[..], &["--log", "json"]].concat()));
    let of = |name: &str| lines.iter().filter(|line| line["event"] == name).collect::<Vec<_>>();
    assert_eq!((of("cell").len(), &of("cells")[0]["up_to_date"]), (8, &8.into()));
    let cell = of("cell")[0];
    assert!(cell["state"] == "up_to_date" && cell["test"].as_object().unwrap().values().all(|score| score.is_f64()));
    let rows = fs::read_to_string(place.path("whole/table2.csv")).unwrap().lines().count() - 1;
    assert_eq!((of("score").len(), lines.last().unwrap()["place"].as_str()), (rows, Some("whole")));
    // Other data rebuild what they change.
    fs::write(place.path("titles.jsonl"), titles(121)).unwrap();
    let output = place.run(&arguments("whole.toml"));
    assert!(text_of(&output).contains("cells     4 computed, 4 up to date"), "{}", text_of(&output));
}

#[test]
fn tasks_that_share_a_grid_come_to_the_table_of_one_process() {
    let place = with_grids(["one", "shared"]);
    let report = |file: &str, task: &[&str]| {
        place.command(&[&["grid", file, "--threads", "1", "--device", "cpu"], task].concat())
    };
    let ended = |output: Output| {
        assert!(output.status.success(), "{}", text_of(&output));
        text_of(&output)
    };
    ended(report("one.toml", &[]).output().unwrap());

    // Three tasks at once, one of them twice: the second waits for each cell, and finds it made.
    let start = |part| report("shared.toml", &["--part", part]).stdout(std::process::Stdio::piped()).spawn().unwrap();
    let children = ["0/3", "1/3", "2/3", "1/3"].map(start);
    let said = children.map(|child| ended(child.wait_with_output().unwrap()));
    for text in &said {
        assert!(text.ends_with("next      when all parts are done: ebert grid shared.toml\n"), "{text}");
    }
    assert!(said[0].contains("cells     3 computed, 0 up to date"), "{}", said[0]);
    assert!(said[2].contains("cells     2 computed, 0 up to date"), "{}", said[2]);
    let cells = |text: &str| {
        text.lines().find_map(|line| line.strip_prefix("cells     ")?.split(" computed").next()?.parse().ok())
    };
    let made: [Option<u32>; 2] = [cells(&said[1]), cells(&said[3])];
    assert_eq!(made[0].unwrap() + made[1].unwrap(), 3, "{} {}", said[1], said[3]);
    assert!(!place.path("shared/table2.csv").exists());

    let text = ended(report("shared.toml", &[]).output().unwrap());
    assert!(text.contains("cells     0 computed, 8 up to date"), "{text}");
    for table in ["table2.csv", "table2.md", "table2.html"] {
        let [one, shared] = ["one", "shared"].map(|results| fs::read(place.path(results).join(table)).unwrap());
        assert!(one == shared, "{table}");
    }
    let output = report("shared.toml", &["--part", "3/3"]).output().unwrap();
    assert_eq!(output.status.code(), Some(2));
    assert!(text_of(&output).contains("i/n with 0 <= i < n, such as 0/4"), "{}", text_of(&output));
}

#[test]
fn replicates_splits_and_limits_are_cells_of_their_own() {
    let place = Place::new();
    make_model(&place.path("other"), 2);
    make_model(&place.path("third"), 3);
    let text = "summary = \"a test\"\nresults = \"out\"\n\
        [[model]]\nname = \"BERT-Raw\"\nfolder = \"bert\"\n\
        [[model]]\nname = \"E-BERT\"\nfolder = [\"other\", \"third\"]\n\
        [task.titles]\ntask = \"pc\"\ndata = [\"titles.jsonl\"]\nlearning_rates = [1e-3, 5e-3]\nepochs = [1, 2]\nmin_titles = 2\n\
        limit = [30, 0]\nsplit_seeds = [0, 1]\n";
    fs::write(place.path("grid.toml"), text).unwrap();
    let output = place.run(&["grid", "grid.toml", "--threads", "1", "--device", "cpu"]);
    let text = text_of(&output);
    assert!(output.status.success() && text.contains("cells     12 computed, 0 up to date"), "{text}");
    assert!(text.contains("E-BERT, titles, seed 0, replicate 2, split 1, limit 30"), "{text}");
    assert!(text.contains("over 2 replicates, 2 splits and 1 seed."), "{text}");
    assert!(text.contains("\n| model | 30 | "), "{text}");
    for figure in ["differences.svg", "learning-curves.svg"] {
        assert!(fs::read_to_string(place.path("out").join(figure)).unwrap().starts_with("<svg"), "{figure}");
    }
    let metrics = fs::read_to_string(place.path("out/cells/e-bert/titles/seed-0-split-1/metrics.json")).unwrap();
    let metrics: serde_json::Value = serde_json::from_str(&metrics).unwrap();
    assert_eq!(metrics["trials"].as_array().map(Vec::len), Some(4));
    // Other splits are other tests.
    let ids = |cell: &str| {
        let path = place.path("out/cells/e-bert/titles").join(cell).join("predictions.jsonl");
        let id = |line: &str| serde_json::from_str::<serde_json::Value>(line).unwrap()["id"].clone();
        fs::read_to_string(path).unwrap().lines().map(id).collect::<Vec<_>>()
    };
    assert_ne!(ids("seed-0"), ids("seed-0-split-1"));
    assert_eq!(ids("seed-0"), ids("seed-0-replicate-2-limit-30"));

    // Without a cell, its replicate does not count, and the cell is listed.
    fs::remove_file(place.path("out/cells/e-bert/titles/seed-0-replicate-2-split-1/metrics.json")).unwrap();
    let output = place.run(&["grid", "grid.toml", "--finished", "--threads", "1", "--device", "cpu"]);
    let text = text_of(&output);
    assert!(output.status.success() && !text.contains("cells     "), "{text}");
    assert!(text.contains("1 cell is missing:\n\n* E-BERT, titles, seed 0, replicate 2, split 1\n"), "{text}");
    assert!(!place.path("out/cells/e-bert/titles/seed-0-replicate-2-split-1/metrics.json").exists());
}

#[test]
fn tables_follow_from_records_without_models_and_data() {
    let place = with_grids(["made"]);
    let file = place.path("made.toml");
    let of_made = fs::read_to_string(&file).unwrap();
    // A page that draws attention needs the models.
    let of_made = of_made.split("[figures]").next().unwrap();
    fs::write(&file, of_made).unwrap();
    let grid = |file: &str, more: &[&str]| {
        let output = place.run(&[&["grid", file, "--threads", "1", "--device", "cpu"], more].concat());
        (output.status.success(), text_of(&output))
    };
    assert!(grid("made.toml", &[]).0);
    let records = fs::read_to_string(place.path("made/records.jsonl")).unwrap();
    // Ids and labels of the data are in the predictions, but not in the records.
    let predictions = fs::read_to_string(place.path("made/cells/e-bert/pc/seed-0/predictions.jsonl")).unwrap();
    let titles: Vec<serde_json::Value> = predictions.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let labels = titles.iter().flat_map(|title| title["gold"].as_array().unwrap());
    let names: Vec<&str> = titles.iter().map(|title| &title["id"]).chain(labels).map(|n| n.as_str().unwrap()).collect();
    assert!(names.contains(&"Beauty") && names.iter().any(|name| name.starts_with('B') && name.len() < 5), "{names:?}");
    for name in names {
        assert!(!records.contains(&format!("\"{name}\"")), "{name}");
    }

    let elsewhere =
        of_made.replace("results = \"made\"", "results = \"elsewhere\"\nrecords = [\"made/records.jsonl\"]");
    fs::write(place.path("elsewhere.toml"), &elsewhere).unwrap();
    let gone = ["bert", "other", "aspects.xml", "test.xml", "titles.jsonl", "made/cells"];
    for name in gone {
        fs::rename(place.path(name), place.path(&format!("{name}.gone"))).unwrap();
    }
    let (success, text) = grid("elsewhere.toml", &[]);
    assert!(success && text.contains("cells     0 computed, 8 up to date"), "{text}");
    for table in ["table2.csv", "table2.md", "table2.html", "records.jsonl"] {
        let [made, elsewhere] = ["made", "elsewhere"].map(|results| fs::read(place.path(results).join(table)).unwrap());
        assert!(made == elsewhere, "{table}");
    }

    // A cell that has no record is made, from its model and data, and is in the tables.
    let without: Vec<&str> = records.lines().filter(|line| !line.contains("\"seed\":1,\"split")).collect();
    assert!(without.len() < records.lines().count());
    fs::write(place.path("some.jsonl"), without.join("\n")).unwrap();
    let some = elsewhere.replace("elsewhere", "some").replace("made/records.jsonl", "some.jsonl");
    fs::write(place.path("some.toml"), &some).unwrap();
    let (success, text) = grid("some.toml", &[]);
    assert!(!success && text.contains("`bert` is not a folder"), "{text}");
    let (success, text) = grid("some.toml", &["--finished"]);
    assert!(success && text.contains("4 cells are missing:\n\n* BERT-Raw, pc, seed 1 (bert is not there)\n"), "{text}");
    for name in gone {
        fs::rename(place.path(&format!("{name}.gone")), place.path(name)).unwrap();
    }
    let (success, text) = grid("some.toml", &[]);
    assert!(success && text.contains("cells     4 computed, 4 up to date"), "{text}");
    let [made, some] = ["made", "some"].map(|results| fs::read(place.path(results).join("table2.csv")).unwrap());
    assert!(made == some);

    // Other options are another cell.
    let other =
        elsewhere.replace("epochs = 2\nmin_titles", "epochs = 1\nmin_titles").replace("elsewhere", "other-options");
    fs::write(place.path("other-options.toml"), &other).unwrap();
    let (success, text) = grid("other-options.toml", &["--finished"]);
    assert!(success && text.contains("4 cells are missing"), "{text}");

    fs::write(place.path("some.jsonl"), "{\"cell\": 3}\n").unwrap();
    let (success, text) = grid("some.toml", &[]);
    assert!(!success && text.contains("line 1 of `some.jsonl` is not a record of a grid"), "{text}");
}
