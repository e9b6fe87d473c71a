//! Corpora without names, and in other languages, as whole commands: what is mined, and what the run states.
mod support;

use std::{
    fmt::Write as _,
    fs,
    path::{Path, PathBuf},
};

use schemas::{
    Draws, Manifest, PoolPhraseRows,
    manifest::{PoolBody, PoolSource, ShardsBody},
    open_pool_phrases,
};
use support::{TOKENIZER, ebert, said, shared, succeed};

/// Runs all steps and returns what the run prints.
fn run(corpus: &Path, out: &Path, options: &[&str]) -> String {
    succeed(ebert(["shards", "--corpus"]).arg(corpus).arg("--out").arg(out).args(TOKENIZER).args(options))
}

/// The phrases of a pool, by score.
fn phrases(out: &Path) -> Vec<String> {
    let table = open_pool_phrases(&out.join("pool/phrases.parquet")).unwrap();
    let rows = table.read::<PoolPhraseRows>(1000).map(Result::unwrap);
    rows.flat_map(|rows| rows.iter().map(|row| row.phrase.to_owned()).collect::<Vec<_>>()).collect()
}

fn shards(out: &Path) -> ShardsBody {
    Manifest::read(&out.join("shards")).unwrap().body
}

/// The language in the manifests of pool and shards, which agree.
fn language(out: &Path) -> Option<String> {
    let PoolSource::Mined(mined) = Manifest::<PoolBody>::read(&out.join("pool")).unwrap().body.source else {
        panic!("the pool is mined")
    };
    let shards = shards(out).options;
    assert_eq!(mined.language, shards.language);
    assert_eq!((mined.tagger.is_some(), shards.nouns), (mined.language.is_none(), mined.language.is_none()));
    mined.language
}

/// A small language: things, of which the first half are categories, and descriptions of them.
struct Shop {
    things: [&'static str; 8],
    /// `{}` is a thing.
    sentences: [&'static str; 6],
}

const GERMAN: Shop = Shop {
    things: [
        "rostfreier Stahl",
        "elektrische Zahnbürste",
        "faltbarer Rucksack",
        "gläserne Teekanne",
        "schnurlose Lampe",
        "wollene Decke",
        "hölzerner Löffel",
        "magnetische Leiste",
    ],
    sentences: [
        "Unsere Kunden loben {} und bestellen gern noch einmal.",
        "Für den Alltag ist {} eine gute Wahl.",
        "Wer viel reist, nimmt {} einfach mit.",
        "Im Karton liegt {} sicher verpackt.",
        "Seit vielen Jahren fertigen wir {} in der eigenen Werkstatt.",
        "Auch nach dem Waschen bleibt {} schön.",
    ],
};

const FRENCH: Shop = Shop {
    things: [
        "planche à découper",
        "brosse à dents",
        "sac à dos",
        "acier inoxydable",
        "tasse à café",
        "lampe de bureau",
        "cuillère en bois",
        "couverture en laine",
    ],
    sentences: [
        "Nos clients apprécient cet article : {} convient à toute la famille.",
        "Pour tous les jours, {} est un bon choix.",
        "Quand on voyage beaucoup, {} trouve toujours sa place.",
        "Dans le carton, {} est bien protégé.",
        "Depuis des années nous fabriquons {} dans notre atelier.",
        "Même après le lavage, {} reste en bon état.",
    ],
};

const SPANISH: Shop = Shop {
    things: [
        "tabla de cortar",
        "cepillo de dientes",
        "acero inoxidable",
        "taza de café",
        "mochila plegable",
        "lámpara inalámbrica",
        "cuchara de madera",
        "manta de lana",
    ],
    sentences: [
        "Nuestros clientes recomiendan {} y vuelven a comprar.",
        "Para el uso diario, {} es una buena elección.",
        "Quien viaja mucho siempre lleva {} en la maleta.",
        "En la caja, {} llega bien protegido.",
        "Desde hace muchos años fabricamos {} en nuestro taller.",
        "También después del lavado, {} queda como nuevo.",
    ],
};

/// Writes 400 products with things and sentences that are drawn independently.
fn write(shop: &Shop, folder: &Path) -> PathBuf {
    let mut lines = String::new();
    let mut draws = Draws::new(0, "test", b"languages");
    for i in 0..400 {
        let category = shop.things[draws.below(4) as usize];
        let title = shop.things[draws.below(8) as usize];
        let mut sentence = || {
            let thing = shop.things[draws.below(8) as usize];
            shop.sentences[draws.below(6) as usize].replace("{}", thing)
        };
        let description = [sentence(), sentence(), sentence()].join(" ");
        writeln!(
            lines,
            r#"{{"asin":"X{i:04}","title":"{title} {i}","description":"{description}","category":["{category}"]}}"#
        )
        .unwrap();
    }
    let corpus = folder.join("corpus");
    fs::create_dir(&corpus).unwrap();
    fs::write(corpus.join("products.jsonl"), lines).unwrap();
    corpus
}

#[test]
fn other_languages_are_mined_without_tags_on_any_number_of_threads() {
    for (shop, code, name) in [(GERMAN, "deu", "German"), (FRENCH, "fra", "French"), (SPANISH, "spa", "Spanish")] {
        let folder = tempfile::tempdir().unwrap();
        let (corpus, out) = (write(&shop, folder.path()), folder.path().join("out"));
        let said = run(&corpus, &out, &["--threads", "1"]);
        assert!(said.contains(&format!("language  {name}. Noun phrases")), "{said}");
        assert_eq!(language(&out).as_deref(), Some(code));
        let counts = shards(&out).counts.of_segments;
        assert!(counts.noun_phrases == 0 && counts.phrase_spans > 1_000, "{counts:?}");
        // The sample's tokenizer removes accents. Half of the things are not categories.
        let found = phrases(&out);
        let fold = |text: &str| text.to_lowercase().replace(['à', 'á'], "a").replace(['é', 'è'], "e").replace('ü', "u");
        let is_found = |thing: &&&str| found.contains(&fold(thing).replace('ö', "o").replace('ä', "a"));
        let [learnt, similar] = [&shop.things[..4], &shop.things[4..]].map(|half| half.iter().filter(is_found).count());
        assert!(learnt == 4 && similar >= 2, "{name}: {found:?}");

        let again = folder.path().join("again");
        run(&corpus, &again, &["--threads", "3"]);
        assert_eq!((phrases(&again), shards(&again)), (found, shards(&out)), "{name}");
        // The command line decides.
        assert!(!run(&corpus, &again, &["--language", "en"]).contains("language  "));
        assert_eq!(language(&again), None);
        assert!(shards(&again).counts.of_segments.noun_phrases > 0);
        assert!(run(&corpus, &again, &["--language", "other"]).contains("another language than English"));
        assert_eq!((language(&again).as_deref(), phrases(&again)), (Some("other"), phrases(&out)));
    }
}

#[test]
fn languages_without_spaces_have_no_mined_phrases() {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, out) = (folder.path().join("corpus"), folder.path().join("out"));
    let line = |i: usize, text: &str| format!(r#"{{"asin":"X{i}","title":"{text}{i}","description":"{text}"}}"#) + "\n";
    fs::create_dir(&corpus).unwrap();
    for (text, name, code) in [
        ("这个水壶有一个宽大的把手，倒水时不会滴漏，我们每天早上都用它来泡茶。", "Chinese", "cmn"),
        ("このやかんは取っ手が広く、注ぐときに垂れません。毎朝お茶をいれるのに使っています。", "Japanese", "jpn"),
        ("กาต้มน้ำนี้มีที่จับกว้างและเทน้ำได้โดยไม่หยด เราใช้ชงชาทุกเช้า", "Thai", "tha"),
    ] {
        fs::write(corpus.join("products.jsonl"), (0..60).map(|i| line(i, text)).collect::<String>()).unwrap();
        let said = run(&corpus, &out, &[]);
        assert!(said.contains(&format!("since {name} puts no spaces between words")), "{said}");
        assert!(said.contains("no phrases") && phrases(&out).is_empty());
        assert_eq!(language(&out).as_deref(), Some(code));
        assert!(shards(&out).counts.of_segments.documents == 60);
        // `mine` has nothing else to write.
        let lines = folder.path().join("lines");
        fs::write(&lines, format!("{text}\n").repeat(60)).unwrap();
        let output = ebert(["mine"]).arg(&lines).output().unwrap();
        let said = support::said(&output, &[]);
        assert!(said.starts_with("exit 1") && said.contains(&format!("in {name}, which puts no spaces")), "{said}");
    }
}

#[test]
fn products_without_names_learn_from_the_built_in_list() {
    let folder = tempfile::tempdir().unwrap();
    let (corpus, out) = (folder.path().join("corpus"), folder.path().join("out"));
    fs::create_dir(&corpus).unwrap();
    let things = ["cutting board", "water bottle", "table lamp", "phone stand"];
    let line = |i: usize| {
        let thing = things[i % 4];
        format!(
            r#"{{"asin":"W{i}","title":"Oak {thing} {i}","description":"This {thing} is made to last. It ships today."}}"#
        ) + "\n"
    };
    fs::write(corpus.join("products.jsonl"), (0..80).map(line).collect::<String>()).unwrap();
    let said = run(&corpus, &out, &[]);
    assert_eq!(language(&out), None);
    let found = phrases(&out);
    assert!(things.iter().all(|thing| found.iter().any(|phrase| phrase == thing)), "{found:?}\n{said}");
    // No word is learned from, so no phrase has one word.
    assert!(found.iter().all(|phrase| phrase.contains(' ')), "{found:?}");

    // Where nothing can be learned, shards are built without phrases, and the run prints a warning.
    let nothing = run(&corpus, &out, &["--min-support", "500"]);
    assert!(nothing.contains("WARNING   no sequence of words occurs 500 times or more"), "{nothing}");
    assert!(nothing.contains("hint: ") && nothing.contains("no phrases are learned"), "{nothing}");
    assert!(phrases(&out).is_empty() && shards(&out).counts.of_segments.noun_phrases > 0);
    for command in ["verify", "inspect"] {
        succeed(ebert([command]).arg(&out));
    }
    let nothing = run(&corpus, &out, &["--min-score", "1", "--min-score-single", "1"]);
    assert!(nothing.contains("mined phrases reaches the minimum score, 1 or 1"), "{nothing}");
}

#[test]
fn the_case_of_products_with_little_more_than_a_title() {
    let Some(cases) = shared("cases/13-little-without-names") else { return };
    let folder = tempfile::tempdir().unwrap();
    for (file, wanted, code) in [("products", 5, None), ("deutsch", 0, Some("deu"))] {
        let (corpus, out) = (folder.path().join(file), folder.path().join(format!("{file}-out")));
        fs::create_dir(&corpus).unwrap();
        fs::copy(cases.join(format!("{file}.jsonl")), corpus.join("products.jsonl")).unwrap();
        let output =
            ebert(["shards", "--corpus"]).arg(&corpus).args(TOKENIZER).arg("--out").arg(&out).output().unwrap();
        let said = said(&output, &[]);
        assert!(said.starts_with("exit 0") && said.contains("shards    3 files"), "{said}");
        assert_eq!((phrases(&out).len(), language(&out).as_deref()), (wanted, code), "{said}");
        assert_eq!(said.contains("WARNING   none of the"), wanted == 0, "{said}");
        assert_eq!(said.contains("language  German"), code.is_some(), "{said}");
    }
}
