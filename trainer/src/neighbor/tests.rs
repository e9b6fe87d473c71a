use tch::Device;

use super::*;

type Matrix = Vec<Vec<f64>>;

/// The equations once more, plainly, in float64.
fn plain_distance(w: &Matrix, o: &Matrix, options: &NeighborOptions) -> f64 {
    let width = w[0].len();
    let states = |rows: &Matrix| -> Matrix {
        let length = |row: &Vec<f64>| row.iter().map(|x| x * x).sum::<f64>().sqrt();
        match options.states {
            States::Raw => rows.clone(),
            States::Normalized => rows.iter().map(|row| row.iter().map(|x| x / length(row)).collect()).collect(),
        }
    };
    let (w, o) = (&states(w), &states(o));
    let scale = if options.scale == Scale::SqrtD { (width as f64).sqrt() } else { 1.0 };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(x, y)| x * y).sum::<f64>() / scale;
    let rebuild = |from: &Matrix, to: &[f64]| -> Vec<f64> {
        let scores: Vec<f64> = from.iter().map(|x| dot(to, x)).collect();
        let most = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = scores.iter().map(|s| (s - most).exp()).sum();
        (0..width).map(|k| from.iter().zip(&scores).map(|(x, s)| (s - most).exp() / sum * x[k]).sum()).collect()
    };
    let apart = |x: &[f64], y: &[f64]| x.iter().zip(y).map(|(a, b)| (a - b).powi(2)).sum::<f64>();
    let total = w.iter().map(|x| apart(x, &rebuild(o, x))).sum::<f64>()
        + o.iter().map(|x| apart(x, &rebuild(w, x))).sum::<f64>();
    match options.reduction {
        Reduction::Sum => total,
        Reduction::Mean if options.states == States::Normalized => total / (w.len() + o.len()) as f64,
        Reduction::Mean => total / ((w.len() + o.len()) * width) as f64,
    }
}

fn hidden(rows: i64, width: i64) -> Tensor {
    tch::manual_seed(5);
    Tensor::randn([rows, width], (Kind::Float, Device::Cpu)) * 0.7
}

fn rows(hidden: &Tensor, from: usize, to: usize) -> Matrix {
    (from..to).map(|row| Vec::<f64>::try_from(hidden.get(row as i64).to_kind(Kind::Double)).unwrap()).collect()
}

#[test]
fn distances_from_one_product_are_those_of_the_equations() {
    let _alone = ebert_kernels::generator();
    let hidden = hidden(20, 6);
    let contents = [(0, 4), (4, 5), (5, 12), (12, 20)];
    let content = |(start, end): (i64, i64)| hidden.narrow(0, start, end - start);
    for (reduction, states) in [(Reduction::Sum, States::Raw), (Reduction::Mean, States::Normalized)] {
        let options = NeighborOptions { reduction, states, ..Default::default() };
        let others: Vec<Tensor> = contents[1..].iter().map(|&at| content(at)).collect();
        let found = Vec::<f64>::try_from(distances_from(&content(contents[0]), &others, &options)).unwrap();
        for (found, &(start, end)) in found.into_iter().zip(&contents[1..]) {
            let wanted = plain_distance(&rows(&hidden, 0, 4), &rows(&hidden, start as usize, end as usize), &options);
            assert!((found - wanted).abs() < 1e-4 * wanted, "{found} is not {wanted}");
        }
    }
}

#[test]
fn ragged_pairs_have_the_loss_of_the_equations() {
    let _alone = ebert_kernels::generator();
    let lengths = [9, 7, 7, 5, 4, 3];
    let pairs = [[0, 3, 5], [4, 1, 2], [5, 0, 4]];
    let hidden = hidden(35, 6);
    let starts = [0, 9, 16, 23, 28, 32];
    let content = |s: usize| rows(&hidden, starts[s] + 1, starts[s] + lengths[s] - 1);
    for reduction in [Reduction::Sum, Reduction::Mean] {
        for (scale, states) in
            [(Scale::None, States::Raw), (Scale::SqrtD, States::Raw), (Scale::None, States::Normalized)]
        {
            let options = NeighborOptions { reduction, scale, states, margin: 5.0, ..Default::default() };
            let wanted: f64 = pairs
                .iter()
                .map(|&[a, b, c]| {
                    let near = plain_distance(&content(a), &content(b), &options);
                    (near - plain_distance(&content(a), &content(c), &options) + options.margin).max(0.0)
                })
                .sum::<f64>()
                / 3.0;
            let states = PairStates { hidden: &hidden, lengths: &lengths, pairs: &pairs, further_negatives: &[] };
            for found in [states.loss(&options), states.distances_at_once(&options).hinge(options.margin)] {
                let found = found.mean(None).double_value(&[]);
                assert!((found - wanted).abs() < 1e-5 * wanted.max(1.0), "{reduction:?} {scale:?} {found} {wanted}");
            }
        }
    }
}

#[test]
fn a_pair_does_not_depend_on_what_is_beside_it() {
    let _alone = ebert_kernels::generator();
    let lengths = [9, 7, 7, 5, 4, 3];
    let hidden = hidden(35, 6);
    let options = NeighborOptions { margin: 50.0, ..Default::default() };
    let alone = |pair| {
        let states = PairStates { hidden: &hidden, lengths: &lengths, pairs: &[pair], further_negatives: &[] };
        states.loss(&options).double_value(&[])
    };
    let pairs = [[0, 3, 5], [4, 1, 2]];
    let states = PairStates { hidden: &hidden, lengths: &lengths, pairs: &pairs, further_negatives: &[] };
    let together = states.distances_at_once(&options).hinge(options.margin).mean(None).double_value(&[]);
    assert!((together - (alone([0, 3, 5]) + alone([4, 1, 2])) / 2.0).abs() < 1e-4);
}

#[test]
fn further_negatives_add_to_the_mean_of_a_pairs_hinges() {
    let _alone = ebert_kernels::generator();
    let lengths = [9, 7, 7, 5, 4, 3, 6, 5, 8];
    let pairs = [[0, 3, 5], [4, 1, 2], [8, 6, 7]];
    let further = [vec![1, 2], vec![], vec![0]];
    let hidden = hidden(54, 6);
    let starts = starts(&lengths);
    let content = |s: usize| rows(&hidden, starts[s] + 1, starts[s] + lengths[s] - 1);
    // Some hinges are met, and some are not.
    let options =
        NeighborOptions { reduction: Reduction::Mean, scale: Scale::SqrtD, margin: 0.2, ..Default::default() };
    let hinge = |a: usize, b: usize, c: usize| {
        let near = plain_distance(&content(a), &content(b), &options);
        (near - plain_distance(&content(a), &content(c), &options) + options.margin).max(0.0)
    };
    let wanted = [
        (hinge(0, 3, 5) + hinge(0, 3, 1) + hinge(0, 3, 6)) / 3.0,
        hinge(4, 1, 2),
        (hinge(8, 6, 7) + hinge(8, 6, 3)) / 2.0,
    ];
    let hinges = [hinge(0, 3, 5), hinge(0, 3, 1), hinge(0, 3, 6), hinge(4, 1, 2), hinge(8, 6, 7), hinge(8, 6, 3)];
    assert!(hinges.contains(&0.0) && hinges.iter().filter(|hinge| **hinge > 0.0).count() > 2, "{hinges:?}");
    let states = PairStates { hidden: &hidden, lengths: &lengths, pairs: &pairs, further_negatives: &further };
    for found in [states.distances(&options), states.distances_at_once(&options)] {
        let found = Vec::<f64>::try_from(found.hinge(options.margin).to_kind(Kind::Double)).unwrap();
        assert!(found.iter().zip(&wanted).all(|(a, b)| (a - b).abs() < 1e-6), "{found:?} {wanted:?}");
    }
    let loss = states.loss(&options).double_value(&[]);
    assert!((loss - wanted.iter().sum::<f64>() / 3.0).abs() < 1e-6);
}

#[test]
fn gradients_are_those_of_small_steps() {
    let alone = |states| check_gradients(states, &[6, 5, 4], (&[[0, 1, 2]], &[]));
    // Three pairs, whose neighbors are negatives of one another: a title has gradients as neighbor
    // and as negative.
    let in_batch = |states| {
        let further = [vec![1, 2], vec![], vec![0]];
        check_gradients(states, &[6, 5, 4, 3, 7, 5, 4, 4, 6], (&[[0, 3, 5], [4, 1, 2], [8, 6, 7]], &further));
    };
    for states in [States::Raw, States::Normalized] {
        alone(states);
        in_batch(states);
    }
}

/// The projection of rows, plainly.
fn plain_projection(rows: &Matrix, weights: &Matrix) -> Matrix {
    let of_row = |row: &Vec<f64>| -> Vec<f64> {
        weights
            .iter()
            .zip(row)
            .map(|(weights, x)| x + weights.iter().zip(row).map(|(w, x)| w * x).sum::<f64>())
            .collect()
    };
    rows.iter().map(of_row).collect()
}

#[test]
fn a_projection_comes_before_the_equations_and_is_trained_by_them() {
    let _alone = ebert_kernels::generator();
    let (lengths, pairs) = ([6, 5, 4], [[0, 1, 2]]);
    let (scale, reduction) = (Scale::SqrtD, Reduction::Mean);
    for states in [States::Raw, States::Normalized] {
        let options = NeighborOptions { scale, reduction, states, margin: 5.0, ..Default::default() };
        let hidden = hidden(15, 4).set_requires_grad(true);
        let weights = (Tensor::randn([4, 4], (Kind::Float, Device::Cpu)) * 0.3).set_requires_grad(true);
        let loss = |weights: &Tensor| {
            let projected = project(&hidden, weights);
            PairStates { hidden: &projected, lengths: &lengths, pairs: &pairs, further_negatives: &[] }.loss(&options)
        };
        loss(&weights).backward();
        let plain = |hidden: &Tensor, weights: &Tensor| {
            let weights = rows(weights, 0, 4);
            let [a, b, c] = [(0, 6), (6, 5), (11, 4)]
                .map(|(start, length)| plain_projection(&rows(hidden, start + 1, start + length - 1), &weights));
            (plain_distance(&a, &b, &options) - plain_distance(&a, &c, &options) + options.margin).max(0.0)
        };
        let wanted = plain(&hidden, &weights);
        assert!((loss(&weights).double_value(&[]) - wanted).abs() < 1e-5 && wanted > 0.0, "{wanted}");
        // Weights of zero are the identity.
        let zeros = loss(&weights.zeros_like()).double_value(&[]);
        assert!((zeros - plain(&hidden, &weights.zeros_like())).abs() < 1e-5);
        let moved = |of: &Tensor, row, column, by: f64| {
            let moved = of.detach().to_kind(Kind::Double).copy();
            let _ = moved.get(row).get(column).g_add_scalar_(by);
            moved
        };
        for (row, column) in (0..4).flat_map(|row| (0..4).map(move |column| (row, column))) {
            let step = |by| plain(&hidden, &moved(&weights, row, column, by));
            let wanted = (step(1e-5) - step(-1e-5)) / 2e-5;
            assert!((weights.grad().double_value(&[row, column]) - wanted).abs() < 1e-5, "{row} {column}");
            let step = |by| plain(&moved(&hidden, row + 1, column, by), &weights);
            let wanted = (step(1e-5) - step(-1e-5)) / 2e-5;
            assert!((hidden.grad().double_value(&[row + 1, column]) - wanted).abs() < 1e-5, "{row} {column}");
        }
    }
}

#[test]
fn the_spread_is_the_plain_ratio_of_variances() {
    let _alone = ebert_kernels::generator();
    let (lengths, titles) = ([9, 7, 5, 4], [0, 2, 3]);
    let hidden = hidden(25, 6);
    let starts = [0, 9, 16, 21];
    let content = |s: usize| rows(&hidden, starts[s] + 1, starts[s] + lengths[s] - 1);
    let mean = |rows: &Matrix| -> Vec<f64> {
        (0..6).map(|k| rows.iter().map(|row| row[k]).sum::<f64>() / rows.len() as f64).collect()
    };
    let from = |rows: &Matrix, mean: &[f64]| -> f64 {
        rows.iter().flat_map(|row| row.iter().zip(mean).map(|(x, m)| (x - m).powi(2))).sum()
    };
    let all: Matrix = titles.iter().flat_map(|&title| content(title)).collect();
    let within: f64 = titles.iter().map(|&title| from(&content(title), &mean(&content(title)))).sum();
    let wanted = within / from(&all, &mean(&all));
    // In two batches.
    let sums = [&titles[..1], &titles[1..]].map(|some| Spread::of(&hidden, &lengths, some.iter().copied()).sums);
    let sums = Vec::<f64>::try_from(&sums[0] + &sums[1]).unwrap();
    assert!((Spread::within(&sums) - wanted).abs() < 1e-6, "{wanted}");
    // Titles whose tokens are alike have none.
    let alike = Tensor::cat(&[hidden.narrow(0, 0, 1).repeat([9, 1]), hidden.narrow(0, 9, 1).repeat([7, 1])], 0);
    let sums = Vec::<f64>::try_from(Spread::of(&alike, &[9, 7], 0..2).sums).unwrap();
    assert!(Spread::within(&sums).abs() < 1e-9);
}

/// Compares the gradient of the mean hinge of pairs, with these further negatives, with small steps
/// of the plain equations in float64.
fn check_gradients(states: States, lengths: &[usize], (pairs, further): (&[[usize; 3]], &[Vec<usize>])) {
    let _alone = ebert_kernels::generator();
    let (scale, reduction) = (Scale::SqrtD, Reduction::Mean);
    let options = NeighborOptions { scale, reduction, states, ..Default::default() };
    let tokens = lengths.iter().sum::<usize>();
    let hidden = hidden(tokens as i64, 4).set_requires_grad(true);
    PairStates { hidden: &hidden, lengths, pairs, further_negatives: further }.loss(&options).backward();
    let gradient = hidden.grad();
    let starts = starts(lengths);
    let plain = |hidden: &Tensor| {
        let content = |s: usize| rows(hidden, starts[s] + 1, starts[s] + lengths[s] - 1);
        let mean_hinge = |(number, &[anchor, neighbor, negative]): (usize, &[usize; 3])| {
            let others = further.get(number).into_iter().flatten().map(|&pair| pairs[pair][1]);
            let negatives: Vec<usize> = [negative].into_iter().chain(others).collect();
            let near = plain_distance(&content(anchor), &content(neighbor), &options);
            let hinge = |&negative: &usize| {
                (near - plain_distance(&content(anchor), &content(negative), &options) + 1.0).max(0.0)
            };
            negatives.iter().map(hinge).sum::<f64>() / negatives.len() as f64
        };
        pairs.iter().enumerate().map(mean_hinge).sum::<f64>() / pairs.len() as f64
    };
    for (row, column) in (0..tokens as i64).flat_map(|row| (0..4).map(move |column| (row, column))) {
        let moved = |by: f64| {
            let moved = hidden.detach().to_kind(Kind::Double).copy();
            let _ = moved.get(row).get(column).g_add_scalar_(by);
            plain(&moved)
        };
        let wanted = (moved(1e-5) - moved(-1e-5)) / 2e-5;
        let found = gradient.double_value(&[row, column]);
        assert!((found - wanted).abs() < 1e-5, "{row} {column}: {found} {wanted}");
    }
}
