use super::*;
use crate::{
    Gold,
    predictions::{Judged, Prediction},
};

fn judged(right: usize, of: usize) -> Vec<Judged> {
    let each = (0..of).map(|at| Judged {
        id: at.to_string(),
        document: at.to_string(),
        prediction: Prediction::Class(if at < right { "x" } else { "y" }.into()),
        gold: Gold::Class("x".into()),
    });
    each.collect()
}

fn asc(models: Vec<Vec<Option<Replicate>>>, limit: Option<usize>) -> TestResults {
    TestResults { name: "asc".into(), task: Task::Asc, limit, train: limit.unwrap_or(900), models }
}

fn results(tests: Vec<TestResults>) -> Results {
    Results {
        models: vec!["BERT-Raw".into(), "E-BERT \"x\"".into()],
        tests,
        missing: Vec::new(),
        contamination: Vec::new(),
    }
}

#[test]
fn the_table_has_the_papers_layout() {
    let one = |seeds: Vec<Vec<Judged>>| vec![Some(vec![seeds])];
    let models = vec![one(vec![judged(40, 100), judged(42, 100)]), one(vec![judged(60, 100), judged(60, 100)])];
    let table = Table::of(&results(vec![asc(models, None)])).unwrap();
    let markdown = table.markdown();
    let lines: Vec<&str> = markdown.lines().collect();
    assert_eq!(lines[0], "| model | ASC Acc | ASC MaF1 |");
    assert!(lines[2].starts_with("| BERT-Raw | 41.00 ± 1.41 | "), "{markdown}");
    assert!(lines[3].starts_with("| E-BERT \"x\" | **60.00† ± 0.00** | "), "{markdown}");
    assert!(
        lines[5].contains("over 1 replicate, 1 split and 2 seeds.")
            && lines[5].ends_with("ASC 100 different sentences.")
    );
    assert!(markdown.contains("\n| E-BERT \"x\" | +19.00 ["), "{markdown}");
    let csv = table.csv();
    assert!(csv.contains("\n\"BERT-Raw\",asc,asc,,900,accuracy,0.410000,0.014142,1,1,2,100,100,,,,,\n"), "{csv}");
    assert!(
        csv.contains("\n\"E-BERT \"\"x\"\"\",asc,asc,,900,accuracy,0.600000,0.000000,1,1,2,100,100,0.190000,"),
        "{csv}"
    );
    let html = table.html();
    assert!(html.contains("E-BERT &quot;x&quot;</th><td class=\"task\" title=\"+19.00 from the first"), "{html}");
    // One color in the table and in the figure.
    let class = html.split("\"></i>E-BERT").next().unwrap().rsplit('"').next().unwrap();
    let figure = &table.figures()[0].1;
    assert!(figure.contains(&format!(">E-BERT &quot;x&quot;</text><g class=\"{class}\" ")), "{class}: {figure}");
}

#[test]
fn replicates_limits_and_missing_cells_are_shown() {
    let replicates = |right: [usize; 3]| right.map(|right| Some(vec![vec![judged(right, 100)]])).to_vec();
    let few = vec![replicates([30, 31, 32]), replicates([40, 41, 42])];
    let all = vec![replicates([60, 61, 62]), Vec::new()];
    let mut results = results(vec![asc(few, Some(64)), asc(all, None)]);
    results.missing.push("E-BERT, asc, seed 0, replicate 3".to_owned());
    let table = Table::of(&results).unwrap();
    let markdown = table.markdown();
    // The main table is of all examples; the deviation is that of replicates.
    assert!(markdown.contains("\n| BERT-Raw | 61.00 ± 1.00 | "), "{markdown}");
    assert!(markdown.contains("\n| E-BERT \"x\" | – | – |"), "{markdown}");
    assert!(markdown.contains("ASC Acc by training examples:\n\n| model | 64 | 900 |"), "{markdown}");
    assert!(markdown.ends_with("1 cell is missing:\n\n* E-BERT, asc, seed 0, replicate 3\n"), "{markdown}");
    assert_eq!(table.figures().iter().map(|(name, _)| *name).collect::<Vec<_>>(), ["learning-curves.svg"]);
}
