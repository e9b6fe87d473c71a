//! `ebert attention`: how the tokens of two products' titles attend to each other (the paper's
//! Figure 8).
//!
//! A cell is alpha_ij of eq. 9: the softmax over the second title's tokens j of w_i . o_j, where
//! w_i and o_j are the last hidden states of each title alone, projected and normalized if the model
//! was trained so. Neighbor Product Reconstruction rebuilds w_i from the o_j with exactly these
//! weights.
use std::{fmt::Write as _, path::Path};

use tch::{Device, Kind, Tensor};

use ebert_batches::pack;
use ebert_bert::{
    BertConfig, BertForMaskedLm, ConfigError, Decision, Packed, Phase,
    tokens::{Tokens, TokensError},
    weights,
    weights::WeightsError,
};
use ebert_report::{chart::escape, color};
use trainer::neighbor::{Scale, project};

use crate::{
    shortened,
    trained::{RecipeError, Trained},
};

/// The figure cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum AttentionError {
    /// Its configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// Its weights.
    #[error(transparent)]
    Weights(#[from] WeightsError),
    /// Its tokenizer.
    #[error(transparent)]
    Tokens(#[from] TokensError),
    /// The recipe next to the model.
    #[error(transparent)]
    Recipe(#[from] RecipeError),
    /// A title.
    #[error(
        "the title `{}` has {tokens} tokens, expected 1 to {most}\nhint: name a title of a product",
        shortened(title, 61)
    )]
    Length {
        /// The title.
        title: String,
        /// How many it has.
        tokens: usize,
        /// What the model takes.
        most: usize,
    },
}

impl AttentionError {
    /// Whether another command line would do.
    pub fn is_usage(&self) -> bool {
        matches!(self, Self::Length { .. })
    }
}

/// The shares of attention from one title to another.
#[derive(Clone, Debug, PartialEq)]
pub struct CrossAttention {
    /// The titles that are compared.
    pub titles: [String; 2],
    /// What dot products are divided by.
    pub scale: Scale,
    /// Tokens of the first title: rows.
    pub from: Vec<String>,
    /// Tokens of the second title: columns.
    pub to: Vec<String>,
    /// Row by row; each row adds up to 1.
    pub shares: Vec<Vec<f64>>,
}

impl CrossAttention {
    /// Computes it with the model in a Hugging Face folder. Shares of different scales cannot be
    /// compared: without one shares are nearly 0 or 1.
    ///
    /// # Errors
    /// When the folder holds no BERT with a tokenizer, or a title is empty or too long for it.
    pub fn of(folder: &Path, titles: [&str; 2], scale: Scale) -> Result<Self, AttentionError> {
        let config = BertConfig::read(folder)?;
        let Titles { row, lengths, tokens: [from, to] } = Titles::read(folder, &config, titles)?;
        let width = config.hidden_size as f64;
        let model = BertForMaskedLm::new(&config, 0, Device::Cpu, Decision::on_cpu());
        weights::load(folder, &config.family, model.parameters())?;
        let packed = Packed::new(&row, &lengths, model.encoder().device());
        let hidden = tch::no_grad(|| model.encoder().encode(&packed, Phase::Evaluate));
        let trained = Trained::read(folder)?;
        let projection = trained.projection(folder, hidden.device())?;
        let hidden = projection.map_or_else(|| hidden.shallow_clone(), |weights| project(&hidden, &weights));
        let hidden = trained.neighbor.states.of(hidden);
        let content = |start: usize, length: usize| hidden.narrow(0, start as i64 + 1, length as i64 - 2);
        let (w, o) = (content(0, lengths[0]), content(lengths[0], lengths[1]));
        let mut scores: Tensor = w.matmul(&o.tr()).to_kind(Kind::Double);
        if scale == Scale::SqrtD {
            scores /= width.sqrt();
        }
        let shares = scores.softmax(1, Kind::Double);
        let shares = (0..shares.size()[0]).map(|i| Vec::try_from(shares.get(i)).unwrap_or_default()).collect();
        Ok(Self { titles: titles.map(str::to_owned), scale, from, to, shares })
    }

    /// Whether [`CrossAttention::of`] can read the titles, without its weights.
    ///
    /// # Errors
    /// As there.
    pub fn check(folder: &Path, titles: [&str; 2]) -> Result<(), AttentionError> {
        Titles::read(folder, &BertConfig::read(folder)?, titles).map(drop)
    }

    /// For each token of the first title the one of the second that it attends to most, with its
    /// share.
    pub fn strongest(&self) -> impl Iterator<Item = (&str, &str, f64)> {
        self.from.iter().zip(&self.shares).filter_map(|(from, shares)| {
            let (at, share) = shares.iter().enumerate().max_by(|a, b| a.1.total_cmp(b.1))?;
            Some((from.as_str(), self.to.get(at)?.as_str(), *share))
        })
    }

    /// Draws it as a heat map, with the titles and the name of the model.
    pub fn svg(&self, model: &str) -> String {
        const CELL: usize = 30;
        /// The height of a line of text.
        const LINE: usize = 18;
        let widest = |tokens: &[String]| 9 * tokens.iter().map(|t| t.chars().count()).max().unwrap_or(0) + 20;
        let divided = match self.scale {
            Scale::None => "",
            Scale::SqrtD => ", logits divided by the root of the hidden size",
        };
        let [rows, columns] = &self.titles;
        let head = [format!("Rows: {rows}"), format!("Columns: {columns}")];
        let foot = format!("{model}{divided}, ebert {}", env!("CARGO_PKG_VERSION"));
        // A wide character takes the place of two.
        let length = |text: &str| text.chars().map(|c| if c.is_ascii() { 8 } else { 14 }).sum::<usize>();
        let text_width = head.iter().chain([&foot]).map(|text| length(text)).max().unwrap_or(0);
        let (left, top) = (widest(&self.from), widest(&self.to) + head.len() * LINE + 8);
        let bottom = top + CELL * self.from.len();
        let (width, height) = ((left + CELL * self.to.len()).max(text_width) + 24, bottom + LINE + 18);
        let mut svg = format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\" font-family=\"sans-serif\" font-size=\"13\">\n\
             <title>Attention between two titles</title>\n<style>{}</style>\n\
             <rect class=\"paper\" width=\"100%\" height=\"100%\" fill=\"white\"/>\n<g class=\"ink\">\n",
            color::style()
        );
        for (at, line) in head.iter().enumerate() {
            let _ = writeln!(svg, "<text x=\"12\" y=\"{}\">{}</text>", 20 + at * LINE, escape(line));
        }
        for (j, token) in self.to.iter().enumerate() {
            let (x, y) = (left + j * CELL + CELL / 2 + 4, top - 8);
            let _ =
                writeln!(svg, "<text x=\"{x}\" y=\"{y}\" transform=\"rotate(-90 {x} {y})\">{}</text>", escape(token));
        }
        for (i, (token, shares)) in self.from.iter().zip(&self.shares).enumerate() {
            let y = top + i * CELL;
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" text-anchor=\"end\">{}</text>",
                left - 8,
                y + CELL / 2 + 4,
                escape(token)
            );
            for (j, share) in shares.iter().enumerate() {
                // From white to a dark blue.
                let mix = |from: f64, to: f64| (from + (to - from) * share).round() as u8;
                let fill = format!("#{:02x}{:02x}{:02x}", mix(247.0, 8.0), mix(251.0, 48.0), mix(255.0, 107.0));
                let _ = writeln!(
                    svg,
                    "<rect x=\"{}\" y=\"{y}\" width=\"{CELL}\" height=\"{CELL}\" style=\"fill:{fill}\" stroke=\"#888\" stroke-width=\"0.5\"><title>{} to {}: {:.1}%</title></rect>",
                    left + j * CELL,
                    escape(token),
                    escape(&self.to[j]),
                    100.0 * share
                );
            }
        }
        let _ = writeln!(
            svg,
            "<text class=\"faint\" x=\"12\" y=\"{}\" fill=\"#666\">{}</text>",
            bottom + LINE + 4,
            escape(&foot)
        );
        svg + "</g>\n</svg>\n"
    }
}

/// Two titles as a model takes them.
struct Titles {
    row: Vec<u32>,
    lengths: Vec<usize>,
    tokens: [Vec<String>; 2],
}

impl Titles {
    fn read(folder: &Path, config: &BertConfig, titles: [&str; 2]) -> Result<Self, AttentionError> {
        let most = config.longest_sequence() - 2;
        let tokenizer = Tokens::of(folder, config)?;
        let mut ids = Vec::new();
        for title in titles {
            let encoded = tokenizer.encode(title)?.ids;
            if encoded.is_empty() || encoded.len() > most {
                return Err(AttentionError::Length { title: title.to_owned(), tokens: encoded.len(), most });
            }
            ids.push(encoded);
        }
        let names = |ids: &Vec<u32>| ids.iter().map(|&id| tokenizer.name(id)).collect();
        let tokens = [names(&ids[0]), names(&ids[1])];
        let (row, lengths) = pack(ids.iter().map(Vec::as_slice), [tokenizer.cls(), tokenizer.sep()]);
        Ok(Self { row, lengths, tokens })
    }
}

/// How the recipe in a model's folder scales e_ij; as the paper prints it where there is none.
///
/// # Errors
/// If it has a recipe that cannot be read.
pub fn scale_of(folder: &Path) -> Result<Scale, RecipeError> {
    Ok(Trained::read(folder)?.neighbor.scale)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_map_has_a_row_for_each_token() {
        let map = CrossAttention {
            titles: ["Tea <cup>".into(), "Green tea".into()],
            scale: Scale::SqrtD,
            from: vec!["tea".into(), "<cup>".into()],
            to: vec!["green".into(), "tea".into()],
            shares: vec![vec![0.1, 0.9], vec![0.6, 0.4]],
        };
        assert_eq!(map.strongest().collect::<Vec<_>>(), [("tea", "tea", 0.9), ("<cup>", "green", 0.6)]);
        let svg = map.svg("mine");
        for wanted in [
            ">Rows: Tea &lt;cup&gt;<",
            ">Columns: Green tea<",
            ">mine, logits divided by",
            "(prefers-color-scheme:dark)",
        ] {
            assert!(svg.contains(wanted), "{wanted}: {svg}");
        }
        assert_eq!(svg.matches("<rect x=").count(), 4);
        assert!(svg.contains("&lt;cup&gt; to tea: 40.0%") && !svg.contains("<cup>"), "{svg}");
    }
}
