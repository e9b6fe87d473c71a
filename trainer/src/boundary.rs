//! The span boundary objective of SpanBERT (Joshi et al. 2020, section 3.2). It predicts each token
//! of a masked span from its position, and from the hidden states of the two tokens next to the
//! span.
//!
//! ```text
//! h0 = [x_(s-1); x_(e+1); p_(i-s+1)]
//! h1 = LayerNorm(GELU(W1 h0))      y_i = LayerNorm(GELU(W2 h1))
//! L_SBO = -log softmax(E y_i + b)  at token i
//! ```
//!
//! E are the word embeddings. The loss is added to that of the masked-LM head. Spans that touch are
//! one, so that the tokens next to a span are never masked themselves.
use ebert_bert::{BertForMaskedLm, Builder, LayerNorm, Linear, indices, upload};
use tch::Tensor;

/// Places in a span that have an embedding; those after the last share it.
const PLACES: i64 = 200;
/// Width of these embeddings, as in SpanBERT's program.
const PLACE_WIDTH: i64 = 200;

/// How the names of its weights begin.
pub(crate) const SPAN_BOUNDARY: &str = "span_boundary.";

/// What predicts tokens from the boundaries of their span. It is trained with the model, and is not
/// a part of the result.
#[derive(Debug)]
pub(crate) struct BoundaryHead {
    places: Tensor,
    first: Linear,
    first_norm: LayerNorm,
    second: Linear,
    second_norm: LayerNorm,
    bias: Tensor,
}

impl BoundaryHead {
    pub(crate) fn new(b: &mut Builder<'_>) -> Self {
        let (width, vocabulary) = (b.config().hidden_size, b.config().vocab_size);
        Self {
            places: b.embedding("span_boundary.places.weight", PLACES, PLACE_WIDTH),
            first: b.linear("span_boundary.first.dense", 2 * width + PLACE_WIDTH, width),
            first_norm: b.norm("span_boundary.first.LayerNorm"),
            second: b.linear("span_boundary.second.dense", width, width),
            second_norm: b.norm("span_boundary.second.LayerNorm"),
            bias: b.bias("span_boundary.bias", vocabulary),
        }
    }

    /// The sum of the cross entropies at the selected tokens of a row with their labels, in nats, a
    /// scalar. `hidden` `[T, d]` are the hidden states of the row.
    pub(crate) fn loss(&self, bert: &BertForMaskedLm, hidden: &Tensor, selected: &[u32], labels: &[u32]) -> Tensor {
        let (device, kind) = (hidden.device(), hidden.kind());
        let Boundaries { left, right, place } = Boundaries::of(selected);
        let beside = |tokens: &[u32]| hidden.index_select(0, &indices(tokens, device));
        let places = Tensor::embedding(&self.places, &upload(&place, device), -1, false, false).to_kind(kind);
        let x = Tensor::cat(&[beside(&left), beside(&right), places], 1);
        let x = self.first_norm.forward(&self.first.forward(&x).gelu("none"));
        let x = self.second_norm.forward(&self.second.forward(&x).gelu("none"));
        bert.decoded_loss(&x, &self.bias, labels)
    }
}

/// For each selected token of a row, the tokens next to the span, and its position in the span,
/// from 0.
#[derive(Debug, PartialEq, Eq)]
struct Boundaries {
    left: Vec<u32>,
    right: Vec<u32>,
    place: Vec<i32>,
}

impl Boundaries {
    /// Of tokens in ascending order. `[CLS]` and `[SEP]` are never selected, so that no span
    /// reaches into another sequence.
    fn of(selected: &[u32]) -> Self {
        let (mut left, mut right, mut place) = (Vec::new(), Vec::new(), Vec::new());
        for span in selected.chunk_by(|before, after| before + 1 == *after) {
            left.resize(left.len() + span.len(), span[0] - 1);
            right.resize(right.len() + span.len(), span[span.len() - 1] + 1);
            place.extend((0..span.len() as i32).map(|place| place.min(PLACES as i32 - 1)));
        }
        Self { left, right, place }
    }
}

#[cfg(test)]
mod tests {
    use ebert_bert::{BertConfig, Decision, Parameters};
    use tch::{Device, Kind};

    use super::*;

    #[test]
    fn spans_are_runs_of_selected_tokens() {
        let Boundaries { left, right, place } = Boundaries::of(&[3, 4, 5, 9, 11, 12]);
        assert_eq!(left, [2, 2, 2, 8, 10, 10]);
        assert_eq!(right, [6, 6, 6, 10, 13, 13]);
        assert_eq!(place, [0, 1, 2, 0, 0, 1]);
        let long: Vec<u32> = (1..=300).collect();
        assert_eq!(Boundaries::of(&long).place[198..201], [198, 199, 199]);
    }

    type Row = Vec<f64>;

    /// The equations once more, plainly, in float64. `parameters` are those of the head, `words`
    /// the word embeddings.
    fn plain_loss(
        parameters: &Parameters,
        words: &Tensor,
        hidden: &Tensor,
        spans: &[(usize, usize)],
        labels: &[u32],
    ) -> f64 {
        let rows = |tensor: &Tensor| -> Vec<Row> {
            let tensor = tensor.detach().to_kind(Kind::Double);
            (0..tensor.size()[0]).map(|row| Row::try_from(tensor.get(row)).unwrap()).collect()
        };
        let named =
            |name: &str| parameters.iter().find(|(found, _)| *found == format!("span_boundary.{name}")).unwrap().1;
        let vector = |name: &str| Row::try_from(named(name).detach().to_kind(Kind::Double)).unwrap();
        let layer = |name: &str, x: &Row| -> Row {
            let of_row = |(weights, bias): (&Row, &f64)| -> f64 {
                let x = weights.iter().zip(x).map(|(w, x)| w * x).sum::<f64>() + bias;
                // GELU by the error function, which is integrated here.
                let steps = 2000;
                let density = |t: f64| (-t * t / 2.0).exp() / (2.0 * std::f64::consts::PI).sqrt();
                let width = x / f64::from(steps);
                let area: f64 = (0..steps).map(|i| density((f64::from(i) + 0.5) * width) * width).sum();
                x * (0.5 + area)
            };
            let (weights, bias) = (rows(named(&format!("{name}.dense.weight"))), vector(&format!("{name}.dense.bias")));
            let x: Row = weights.iter().zip(&bias).map(of_row).collect();
            let mean = x.iter().sum::<f64>() / x.len() as f64;
            let variance = x.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / x.len() as f64;
            let (scale, shift) =
                (vector(&format!("{name}.LayerNorm.weight")), vector(&format!("{name}.LayerNorm.bias")));
            let normal = |(at, x): (usize, &f64)| (x - mean) / (variance + 1e-12).sqrt() * scale[at] + shift[at];
            x.iter().enumerate().map(normal).collect()
        };
        let (hidden, words, places, bias) = (rows(hidden), rows(words), rows(named("places.weight")), vector("bias"));
        let tokens = spans.iter().flat_map(|&(start, end)| (start..end).map(move |at| (start, end, at - start)));
        tokens
            .zip(labels)
            .map(|((start, end, place), &label)| {
                let x = [&hidden[start - 1][..], &hidden[end], &places[place]].concat();
                let y = layer("second", &layer("first", &x));
                let logit = |(word, bias): (&Row, &f64)| word.iter().zip(&y).map(|(w, y)| w * y).sum::<f64>() + bias;
                let logits: Row = words.iter().zip(&bias).map(logit).collect();
                logits.iter().map(|logit| logit.exp()).sum::<f64>().ln() - logits[label as usize]
            })
            .sum()
    }

    #[test]
    fn the_loss_and_its_gradients_are_those_of_the_equations() {
        let _alone = ebert_kernels::generator();
        let config = BertConfig {
            hidden_size: 8,
            num_hidden_layers: 1,
            num_attention_heads: 2,
            intermediate_size: 8,
            initializer_range: 0.3,
            ..BertConfig::base(11)
        };
        let bert = BertForMaskedLm::new(&config, 1, Device::Cpu, Decision::on_cpu());
        let mut parameters = Parameters::default();
        let head = BoundaryHead::new(&mut Builder::new(&mut parameters, &config, 2, Device::Cpu));
        let hidden = Tensor::randn([14, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true);
        let (selected, spans, labels) = ([2, 3, 4, 9, 11, 12], [(2, 5), (9, 10), (11, 13)], [3, 7, 10, 0, 6, 6]);
        let loss = head.loss(&bert, &hidden, &selected, &labels);
        loss.backward();
        let words = bert.encoder().words();
        let wanted = plain_loss(&parameters, words, &hidden, &spans, &labels);
        let found = loss.double_value(&[]);
        assert!((found - wanted).abs() < 1e-4 * wanted, "{found} {wanted}");
        let step = |tensor: &Tensor, row: i64, column: i64, by: f64| {
            tch::no_grad(|| drop(tensor.get(row).narrow(0, column, 1).g_add_scalar_(by)));
        };
        let first = parameters.iter().find(|(name, _)| *name == "span_boundary.first.dense.weight").unwrap().1;
        let places = parameters.iter().find(|(name, _)| *name == "span_boundary.places.weight").unwrap().1;
        for (tensor, row, column) in [
            (&hidden, 1, 2),
            (&hidden, 5, 0),
            (&hidden, 3, 1),
            (&hidden, 10, 7),
            (first, 3, 17),
            (places, 2, 5),
            (words, 6, 3),
        ] {
            let moved = |by: f64| {
                step(tensor, row, column, by);
                let loss = plain_loss(&parameters, words, &hidden, &spans, &labels);
                step(tensor, row, column, -by);
                loss
            };
            let wanted = (moved(1e-2) - moved(-1e-2)) / 2e-2;
            let found = tensor.grad().double_value(&[row, column]);
            assert!((found - wanted).abs() < 1e-3 * wanted.abs().max(1.0), "{row} {column}: {found} {wanted}");
        }
        // A masked token within a span has no part.
        assert_eq!(hidden.grad().double_value(&[3, 1]), 0.0);
    }
}
