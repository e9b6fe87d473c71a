use super::*;
use ebert_batches::StepSize;

#[test]
fn every_recipe_of_the_project_is_whole_and_resolves_to_itself() {
    for (name, _) in KNOWN {
        let recipe = Recipe::load(name, &[]).unwrap();
        assert_eq!(toml::from_str::<Recipe>(&recipe.to_toml()).unwrap(), recipe, "{name}");
    }
    assert_eq!(Recipe::name_of("e-bert"), "e-bert");
    assert_eq!(Recipe::name_of("some/where/mine.toml"), "mine");
}

#[test]
fn e_bert_has_the_numbers_of_the_paper() {
    let recipe = Recipe::load("e-bert", &[]).unwrap();
    assert_eq!((recipe.optimizer.learning_rate, recipe.optimizer.step_size()), (1e-5, StepSize::Sequences(32)));
    assert_eq!(recipe.stage.iter().map(|s| s.epochs).collect::<Vec<_>>(), [Some(5.0), Some(5.0)]);
    assert_eq!(recipe.stage.iter().map(|s| s.neighbor).collect::<Vec<_>>(), [false, true]);
    assert_eq!((recipe.masking.budget, recipe.switch.alpha0, recipe.scheme), (0.15, 0.75, Scheme::Adaptive));
    assert!(recipe.model.is_none());
}

#[test]
fn recipes_differ_in_what_their_row_says_alone() {
    let whole = Recipe::load("e-bert", &[]).unwrap();
    for (name, scheme, epochs) in [
        ("bert-raw", Scheme::None, None),
        ("bert", Scheme::Word, Some(10.0)),
        ("bert-np", Scheme::Noun, Some(10.0)),
        ("spanbert", Scheme::Span, Some(10.0)),
        ("e-bert-dp", Scheme::Phrase, Some(10.0)),
        ("e-bert-ahm", Scheme::Adaptive, Some(10.0)),
    ] {
        let recipe = Recipe::load(name, &[]).unwrap();
        let stage = epochs.map(|epochs| Stage { epochs: Some(epochs), ..whole.stage[0].clone() });
        let wanted =
            Recipe { summary: recipe.summary.clone(), scheme, stage: stage.into_iter().collect(), ..whole.clone() };
        assert_eq!(recipe, wanted, "{name}");
    }
    // The control of E-BERT differs in its pairs alone.
    let control = Recipe::load("e-bert-products", &[]).unwrap();
    let mut wanted = Recipe { summary: control.summary.clone(), ..whole.clone() };
    wanted.stage.iter_mut().for_each(|stage| stage.neighbor = false);
    assert!(whole.stage[1].neighbor && control == wanted);
    // A ModernBERT's differs in what it was pre-trained with.
    let modern = Recipe::load("e-bert-modern", &[]).unwrap();
    let mut wanted = Recipe { summary: modern.summary.clone(), dropout: 0.0, ..whole.clone() };
    wanted.masking.budget = 0.3;
    assert_eq!(modern, wanted);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("mine.toml");
    let load = |text: &str| {
        fs::write(&path, text).unwrap();
        Recipe::load(path.to_str().unwrap(), &["seed=3".to_owned()])
    };
    let mine = load("base = \"e-bert\"\nsummary = \"mine\"\n[optimizer]\nlearning_rate = 3e-5\n").unwrap();
    assert_eq!(
        (mine.optimizer.learning_rate, mine.optimizer.step_size(), mine.seed),
        (3e-5, StepSize::Sequences(32), 3)
    );
    assert_eq!(mine.stage, whole.stage);
    let on_a_base = load("base = \"e-bert-modern\"\n[optimizer]\nlearning_rate = 3e-5\n").unwrap();
    assert_eq!((on_a_base.masking.budget, on_a_base.optimizer.learning_rate), (modern.masking.budget, 3e-5));
    assert_eq!(on_a_base.stage, whole.stage);
    let both = load("base = \"e-bert\"\n[optimizer]\nsequences = 32\ntokens = 4096\n");
    assert!(both.unwrap_err().to_string().contains("not both"));
    assert!(load("base = \"bart\"\n").unwrap_err().to_string().contains("base is \"bart\""));
    assert!(load("base = \"e-bert\"\nscheme = \"none\"\n").unwrap_err().to_string().contains("stage"));
}

#[test]
fn overrides_reach_every_value() {
    let set = |text: &str| Recipe::load("e-bert", &[text.to_owned()]);
    assert_eq!(set("optimizer.learning_rate=5e-5").unwrap().optimizer.learning_rate, 5e-5);
    assert_eq!(set("scheme=word").unwrap().scheme, Scheme::Word);
    assert_eq!(set("stage.1.epochs=0.5").unwrap().stage[1].epochs, Some(0.5));
    assert_eq!(
        set("stage.0.steps=7").unwrap().stage[0],
        Stage { epochs: None, steps: Some(7), ..set("seed=0").unwrap().stage[0].clone() }
    );
    assert_eq!(set("optimizer.tokens=65536").unwrap().optimizer.step_size(), StepSize::Tokens(65_536));
    assert_eq!(set("measure.every = 10").unwrap().measure.every, 10);
    let said = |text| set(text).unwrap_err().to_string();
    assert!(said("stage.7.epochs=1").contains("stage.7 is none of the 2 that there are"));
    assert!(said("stage.0.epochs=1e300").contains("at most 1e6"));
    for text in ["optimizer.rate=1", "nothing", "seed=-1", "stage.7.epochs=1", "optimizer.sequences=0", "=1"] {
        assert!(set(text).is_err(), "{text}");
    }
}

#[test]
fn mistakes_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let load = |change: &dyn Fn(&str) -> String| {
        let path = folder.path().join("mine.toml");
        fs::write(&path, change(text_of("sample").unwrap())).unwrap();
        Recipe::load(path.to_str().unwrap(), &[]).unwrap_err().to_string()
    };
    let error = load(&|text| text.replace("learning_rate", "lerning_rate"));
    assert!(error.contains("unknown field `lerning_rate`") && error.contains("learning_rate"), "{error}");
    let error = load(&|text| text.replace("scheme = \"adaptive\"", "scheme = \"both\""));
    assert!(error.contains("`both`"), "{error}");
    let error = load(&|text| text.to_owned() + "\n[[stage]]\ncorpora = [\"products\"]\n");
    assert!(
        error.contains("stage.2 is {\"corpora\":[\"products\"],\"neighbor\":false}, expected either `epochs`, above 0"),
        "{error}"
    );
    // Options of an earlier switch.
    let error = load(&|text| text.replace("warmup_epochs", "first_after"));
    assert!(error.contains("unknown field `first_after`") && error.contains("`warmup_epochs`"), "{error}");
    let refused = |texts: &[&str]| {
        let overrides: Vec<String> = texts.iter().map(ToString::to_string).collect();
        Recipe::load("e-bert", &overrides).unwrap_err().to_string()
    };
    assert!(refused(&["switch.least_fall=0.05"]).contains("unknown field `least_fall`, expected one of `rule`"));
    assert!(refused(&["switch.floor=0.5"]).contains("switch.floor is 0.5, expected a number from 0"));
    for (key, wanted) in [
        ("measure.every", "measure.every is 0, expected at least 1"),
        ("measure.segments", "measure.segments is 0, expected at least 1"),
        ("data.held_out", "data.held_out is 0.0, expected above 0"),
    ] {
        let printed = refused(&["switch.rule=measured", &format!("{key}=0")]);
        assert!(printed.contains(wanted), "{printed}");
    }
    assert!(
        refused(&["stage.1.trains=head"]).contains("stage.1.neighbor is true, expected false with trains = \"head\"")
    );
    assert!(refused(&["data.text_pairs=2"]).contains("data.text_pairs is 2.0, expected a fraction"));
    assert!(refused(&["masking.span_boundary=true"]).contains("span_boundary is true, expected false but for scheme"));
    assert!(refused(&["neighbor.group=1"]).contains("neighbor.group is 1, expected a number of pairs from 2"));
    assert!(refused(&["stage.1.budget=1.5"]).contains("stage.1.budget is 1.5, expected a part of the tokens"));
    let shape = |text: &str| Recipe::load("sample", &[text.to_owned()]).unwrap_err().to_string();
    assert!(shape("model.heads=3").contains("model.heads is 3, expected a divisor of hidden_size"));
    assert!(
        shape("model.positions=10000000000").contains("model.positions is 10000000000, expected a number from 1 to")
    );
    assert!(Recipe::load("bart", &[]).unwrap_err().to_string().contains("recipes are bert-raw, bert, "));
    assert!(Recipe::load("no/such.toml", &[]).unwrap_err().to_string().contains("cannot read the recipe"));
}
