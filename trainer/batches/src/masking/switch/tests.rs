use super::*;

/// A loss that starts at `from` and falls by `by`, ever slower: by 63% of it after a part `pace`
/// of all steps, counted in updates.
#[derive(Clone, Copy)]
struct Curve {
    from: f64,
    by: f64,
    pace: f64,
}

impl Curve {
    const fn new(from: f64, by: f64, pace: f64) -> Self {
        Self { from, by, pace }
    }

    fn at(self, updates: u64, steps: u64) -> f64 {
        self.from - self.by * (1.0 - (-(updates as f64) / (self.pace * steps as f64)).exp())
    }
}

/// A pair of curves, of words and phrases.
struct Case {
    name: &'static str,
    word: Curve,
    phrase: Curve,
}

const fn case(name: &'static str, word: Curve, phrase: Curve) -> Case {
    Case { name, word, phrase }
}

/// From a BERT that has its head, from a fresh model, and a small fall that lasts. Of the first two
/// kinds word mode is early in the first case, and phrase mode in the third.
const CASES: [Case; 10] = [
    case("BERT, words fit early", Curve::new(2.4, 0.5, 1.0 / 20.0), Curve::new(4.0, 1.0, 1.0 / 3.0)),
    case("BERT, alike", Curve::new(2.4, 0.5, 1.0 / 6.0), Curve::new(4.0, 1.0, 1.0 / 6.0)),
    case("BERT, phrases fit early", Curve::new(2.4, 0.5, 1.0 / 3.0), Curve::new(4.0, 1.0, 1.0 / 20.0)),
    case("fresh, words fit early", Curve::new(6.0, 3.0, 0.08), Curve::new(6.0, 3.0, 0.4)),
    case("fresh, alike", Curve::new(6.0, 3.0, 0.4), Curve::new(6.0, 3.0, 0.4)),
    case("fresh, phrases fit early", Curve::new(6.0, 3.0, 0.4), Curve::new(6.0, 3.0, 0.08)),
    case("fresh, words stall", Curve::new(6.0, 3.0, 0.015), Curve::new(6.0, 3.0, 0.4)),
    case("fresh, phrases stall", Curve::new(6.0, 3.0, 0.4), Curve::new(6.0, 3.0, 0.015)),
    case("BERT, both stall", Curve::new(2.4, 0.5, 0.015), Curve::new(4.0, 1.0, 0.015)),
    case("BERT, alike and slow", Curve::new(2.4, 0.5, 0.4), Curve::new(2.4, 0.5, 0.4)),
];
const WORDS_EARLY: [usize; 2] = [0, 3];
const NOISES: [f64; 2] = [0.12, 0.15];
const SEEDS: u64 = 20;

const MEASURED: SwitchOptions = SwitchOptions { rule: Rule::Measured, ..SMOOTHED };
const LITERAL: SwitchOptions = SwitchOptions { rule: Rule::Literal, ..SMOOTHED };
const SMOOTHED: SwitchOptions = SwitchOptions { rule: Rule::Smoothed, alpha0: 0.75, warmup_epochs: 1.0, floor: None };

fn gauss(draws: &mut Draws) -> f64 {
    (-2.0 * (1.0 - draws.unit()).ln()).sqrt() * (std::f64::consts::TAU * draws.unit()).cos()
}

/// Mean and standard deviation of alpha over the steps after the warm-up, a tenth of all.
#[derive(Clone, Copy, Debug, Default)]
struct Path {
    mean: f64,
    deviation: f64,
}

fn simulate(mut switch: Switch, case: &Case, steps: u64, noise: f64, seed: u64) -> Path {
    switch.begin_stage(steps, false);
    let mut draws = Draws::new(seed, "simulation", b"");
    let (mut sum, mut squares) = (0.0, 0.0);
    let mut updates = [0, 0];
    for step in 0..steps {
        let (mode, index, curve) = match draws.unit() < switch.alpha(step) {
            true => (MaskMode::Word, 0, case.word),
            false => (MaskMode::Phrase, 1, case.phrase),
        };
        switch.update(step, mode, curve.at(updates[index], steps) + noise * gauss(&mut draws));
        updates[index] += 1;
        if step >= steps / 10 {
            let alpha = switch.alpha(step + 1);
            (sum, squares) = (sum + alpha, squares + alpha * alpha);
        }
    }
    let n = (steps - steps / 10) as f64;
    Path { mean: sum / n, deviation: (squares / n - (sum / n).powi(2)).max(0.0).sqrt() }
}

/// Means over the seeds, which take turns at the noises.
fn over_seeds(switch: &Switch, case: &Case, steps: u64) -> Path {
    (1..=SEEDS).zip(NOISES.into_iter().cycle()).fold(Path::default(), |sum, (seed, noise)| {
        let path = simulate(switch.clone(), case, steps, noise, seed);
        let n = SEEDS as f64;
        Path { mean: sum.mean + path.mean / n, deviation: sum.deviation + path.deviation / n }
    })
}

/// What a switch does wrong in a run of so many steps.
fn faults(switch: &Switch, steps: u64) -> Vec<String> {
    let mut faults = Vec::new();
    let paths = CASES.map(|case| {
        let clean = simulate(switch.clone(), &case, steps, 0.0, 1);
        let noisy = over_seeds(switch, &case, steps);
        if (noisy.mean - clean.mean).abs() > 0.05 || noisy.deviation > clean.deviation + 0.05 {
            faults.push(format!("{steps} steps, {}: {clean:.3?} without noise, {noisy:.3?}", case.name));
        }
        noisy
    });
    for words_early in WORDS_EARLY {
        let gap = paths[words_early + 2].mean - paths[words_early].mean;
        if gap < 0.3 {
            faults.push(format!("{steps} steps: a gap of {gap:.3} from {}", CASES[words_early].name));
        }
    }
    faults
}

#[test]
fn alpha_follows_the_mode_that_learns_and_not_noise() {
    for steps in [2_000, 10_000, 40_000, 300_000] {
        let faults = faults(&Switch::new(SMOOTHED, steps / 10), steps);
        assert!(faults.is_empty(), "{faults:#?}");
    }
}

#[test]
fn a_constant_and_the_literal_rule_do_not_follow() {
    assert_eq!(faults(&Switch::new(SMOOTHED, u64::MAX), 2_000).len(), WORDS_EARLY.len());
    let floor = SwitchOptions { floor: Some(0.05), ..LITERAL };
    for (options, least) in [(LITERAL, CASES.len() + WORDS_EARLY.len()), (floor, WORDS_EARLY.len())] {
        let faults = faults(&Switch::new(options, 200), 2_000);
        assert!(faults.len() >= least, "{faults:#?}");
    }
}

/// `cargo test --release -p ebert-batches --lib -- --ignored --nocapture table_of_simulations`
#[test]
#[ignore = "prints the table of docs/switch.md in some minutes"]
fn table_of_simulations() {
    println!("| curves | steps | alpha without noise (sd) | alpha (sd) |\n|---|---|---|---|");
    for case in &CASES {
        for steps in [2_000, 10_000, 40_000, 300_000, 4_700_000] {
            let switch = Switch::new(SMOOTHED, steps / 10);
            let paths = [simulate(switch.clone(), case, steps, 0.0, 1), over_seeds(&switch, case, steps)];
            let [clean, noisy] = paths.map(|path| format!("{:.2} ({:.2})", path.mean, path.deviation));
            println!("| {} | {steps} | {clean} | {noisy} |", case.name);
        }
    }
}

#[test]
fn alpha_moves_in_a_second_stage_and_does_not_jump() {
    // Words get harder. (Steps of a stage, the least move from one end of the stage to the other.)
    for (steps, least) in [(600, 0.1), (40_000, 0.25)] {
        for (second, sign) in [
            ([Curve::new(2.9, 0.5, 0.05), Curve::new(4.0, 1.0, 0.33)], -1.0),
            ([Curve::new(2.9, 0.5, 0.33), Curve::new(4.0, 1.0, 0.05)], 1.0),
        ] {
            let mut switch = Switch::new(SMOOTHED, steps / 10);
            switch.begin_stage(steps, false);
            let mut draws = Draws::new(1, "simulation", b"");
            let alike = [Curve::new(2.4, 0.5, 0.3), Curve::new(4.0, 1.0, 0.3)];
            let (mut updates, span) = ([0, 0], (steps / 20).min(1_000));
            let (mut before, mut start) = (0.75, 0.0);
            for step in 0..2 * steps {
                if step == steps {
                    switch.begin_stage(steps, true);
                    (updates, start) = ([0, 0], switch.alpha(step));
                    assert_eq!((switch.eta(MaskMode::Word), switch.eta(MaskMode::Phrase)), (None, None));
                }
                let curve = if step < steps { alike } else { second };
                let index = usize::from(draws.unit() >= switch.alpha(step));
                let mode = [MaskMode::Word, MaskMode::Phrase][index];
                switch.update(step, mode, curve[index].at(updates[index], steps) + 0.05 * gauss(&mut draws));
                updates[index] += 1;
                let alpha = switch.alpha(step + 1);
                assert!((alpha - before).abs() <= 0.1 / span as f64 + 1e-12, "step {step}: {before} to {alpha}");
                if step >= steps && updates.iter().any(|&updates| updates < span) {
                    assert_eq!(alpha, start, "held");
                }
                before = alpha;
            }
            assert!(sign * (before - start) > least, "{steps} steps: {start} to {before}");
        }
    }
}

#[test]
fn the_literal_rule_is_absorbed() {
    let after = |options, losses: [(MaskMode, f64); 3]| {
        let mut switch = Switch::new(options, 0);
        (0..).zip(losses).for_each(|(step, (mode, loss))| switch.update(step, mode, loss));
        switch.alpha(3)
    };
    let (word, phrase) = (MaskMode::Word, MaskMode::Phrase);
    // Absorbing state: after a phrase step that improved, eta_word = 0, so alpha = 0.
    let absorbing = [(word, 6.0), (phrase, 6.0), (phrase, 5.0)];
    // Undrawn mode: after a word step that improved, phrase mode has no reduction, so alpha = 1.
    let undrawn = [(phrase, 6.0), (word, 6.0), (word, 5.0)];
    assert_eq!((after(LITERAL, absorbing), after(LITERAL, undrawn)), (0.0, 1.0));
    let floor = SwitchOptions { floor: Some(0.1), ..LITERAL };
    assert_eq!((after(floor, absorbing), after(floor, undrawn)), (0.1, 0.9));
}

#[test]
fn the_measured_rule_follows_held_out_losses() {
    let alpha = |case: &Case| {
        let mut switch = Switch::new(MEASURED, 0);
        let alphas = (0..50).map(|time| {
            switch.begin_stage(1_000, time % 10 == 9);
            switch.learn_measured(case.word.at(time, 50), case.phrase.at(time, 50));
            switch.update(time, MaskMode::Word, 100.0);
            switch.alpha(time)
        });
        let alphas: Vec<f64> = alphas.collect();
        assert_eq!(alphas[0], 0.75);
        assert!(alphas.iter().all(|alpha| (0.05..=0.95).contains(alpha)));
        alphas.iter().sum::<f64>() / 50.0
    };
    let [words_early, alike, phrases_early] = [&CASES[0], &CASES[1], &CASES[2]].map(alpha);
    assert!((alike - 1f64.tanh()).abs() < 0.001, "{alike}");
    assert!(words_early + 0.3 < phrases_early, "{words_early} {phrases_early}");
    // A mode that gets worse is not lost: it improves later.
    let mut switch = Switch::new(MEASURED, 0);
    switch.learn_measured(3.0, 4.0);
    switch.learn_measured(2.5, 4.5);
    assert_eq!(switch.alpha(0), 0.95);
    switch.learn_measured(2.5, 3.5);
    assert_eq!(switch.alpha(0), 0.05);
    switch.learn_measured(f64::NAN, 3.0);
    assert_eq!((switch.alpha(0), switch.last_loss(MaskMode::Word)), (0.05, None));
}

#[test]
fn the_warm_up_keeps_alpha_0() {
    let mut switch = Switch::new(SMOOTHED, 10);
    switch.begin_stage(40, false);
    for step in 0..10 {
        assert_eq!(switch.alpha(step), 0.75);
        let mode = if step % 2 == 0 { MaskMode::Word } else { MaskMode::Phrase };
        switch.update(step, mode, 6.0 - step as f64 / 10.0);
    }
    assert_eq!(switch.alpha(10), 0.75);
    switch.update(10, MaskMode::Word, 3.0);
    assert_ne!(switch.alpha(11), 0.75);
    let fresh = Switch::new(SMOOTHED, u64::MAX);
    let words = (0..10_000).filter(|&step| fresh.draw(1, step) == MaskMode::Word).count();
    assert!((7_300..7_700).contains(&words), "{words}");
}

#[test]
fn a_mode_without_an_eta_holds_alpha() {
    let mut switch = Switch::new(SMOOTHED, 0);
    switch.begin_stage(2_000, false);
    (0..500).for_each(|step| switch.update(step, MaskMode::Word, 3.0 - step as f64 / 1e3));
    assert_eq!((switch.alpha(500), switch.eta(MaskMode::Phrase)), (0.75, None));
    assert!(switch.eta(MaskMode::Word).is_some());
}

#[test]
fn a_checkpoint_changes_nothing() {
    for options in [SMOOTHED, MEASURED, LITERAL] {
        let mut switch = Switch::new(options, 10);
        switch.begin_stage(100, false);
        let mut resumed = switch.clone();
        for step in 0..200 {
            if step % 17 == 0 {
                let text = serde_json::to_string(&resumed).unwrap();
                resumed = serde_json::from_str(&text).unwrap();
            }
            for switch in [&mut switch, &mut resumed] {
                switch.learn_for(step);
                if step == 100 {
                    switch.begin_stage(100, true);
                }
                let loss = 6.0 / (step as f64 + 1.3).sqrt();
                switch.tell(step, switch.draw(3, step), loss);
                if step % 20 == 0 {
                    switch.learn_measured(loss, 1.5 * loss.sqrt());
                }
            }
            assert_eq!(resumed, switch, "step {step}");
        }
        assert_ne!(switch.alpha(200), 0.75);
    }
}

#[test]
fn the_state_of_older_checkpoints_is_read() {
    let old = r#"{"options":{"rule":"smoothed","alpha0":0.75,"warmup_epochs":1.0,"fast":0.99,"slow":0.999,
        "first_after":50,"least_fall":0.05,"floor":0.05},"warmup_steps":10,
        "word":{"updates":2,"fast":0.1,"slow":0.01,"first":6.0,"last":5.0,"eta":1.0},
        "phrase":{"updates":0,"fast":0.0,"slow":0.0,"first":0.0,"last":0.0,"eta":1.0},"alpha":0.76}"#;
    let switch: Switch = serde_json::from_str(old).unwrap();
    assert_eq!((switch.alpha(10), switch.eta(MaskMode::Word)), (0.76, Some(1.0)));
}

/// A stage of products, then a longer one with the same corpora and budget.
#[test]
fn a_longer_stage_with_the_same_losses_keeps_the_first_loss() {
    let mut switch = Switch::new(SMOOTHED, 0);
    let fall = |switch: &mut Switch, updates: std::ops::Range<u64>| {
        for n in updates {
            for mode in [MaskMode::Word, MaskMode::Phrase] {
                switch.update(n, mode, 5.0 - 0.002 * n as f64);
            }
        }
    };
    switch.begin_stage(400, false);
    fall(&mut switch, 0..200);
    let (first, eta) = (switch.word.first, switch.word.eta);
    switch.begin_stage(20_000, false);
    fall(&mut switch, 200..210);
    assert_ne!(switch.word.eta, eta, "eta follows the loss from the first update on");
    fall(&mut switch, 210..1_500);
    assert_eq!(switch.word.first, first);
}

/// Otherwise a mode that is never drawn would never have an eta.
#[test]
fn alpha_is_within_its_bounds_after_the_warm_up() {
    for (alpha0, after) in [(0.0, 0.05), (0.5, 0.5), (1.0, 0.95)] {
        let switch = Switch::new(SwitchOptions { alpha0, ..SMOOTHED }, 10);
        assert_eq!([switch.alpha(9), switch.alpha(10)], [alpha0, after]);
    }
}
