//! What customers write: stars, a summary, and a text whose judgments follow the stars.
use schemas::Draws;

use crate::{
    catalog::{Aspect, Catalog, draw_from},
    noise,
    products::{Product, ProductIndex, Shop},
    template::{Deck, Slots, sentence},
    voice::Voice,
};

pub(crate) struct Review {
    pub(crate) product: ProductIndex,
    /// One to five.
    pub(crate) stars: u8,
    /// The headline.
    pub(crate) summary: String,
    /// Paragraphs with an empty line between them.
    pub(crate) text: String,
}

#[derive(Clone, Copy, PartialEq)]
enum Length {
    /// One of the whole short reviews.
    Short,
    Judgments(u64),
    Essay,
}

/// The slots of reviews.
struct Customer<'c, 's> {
    voice: Voice<'c, 's>,
    aspects: Vec<&'c Aspect>,
    /// The aspect under judgment, modulo their number.
    aspect: usize,
}

impl<'c> Customer<'c, '_> {
    fn aspect(&self) -> &'c Aspect {
        self.aspects[self.aspect % self.aspects.len()]
    }
}

impl Slots for Customer<'_, '_> {
    fn fill(&mut self, slot: &str, draws: &mut Draws) -> String {
        match slot {
            "aspect" | "topic" => self.aspect().subject.clone(),
            "good" => self.aspect().good.draw(draws).to_owned(),
            "bad" => self.aspect().bad.draw(draws).to_owned(),
            "benefit" => self.voice.fill(slot, draws).replace("your ", "my "),
            _ => self.voice.fill(slot, draws),
        }
    }
}

/// `count` reviews; a product is drawn in proportion to its popularity.
pub(crate) fn reviews(shop: &Shop, count: usize) -> Vec<Review> {
    let mut total = 0.0;
    let cumulative: Vec<f64> = shop
        .products
        .iter()
        .map(|product| {
            total += product.popularity;
            total
        })
        .collect();
    (0..count)
        .map(|i| {
            let mut draws = Draws::new(shop.seed, "sample review", &(i as u64).to_le_bytes());
            let at = draws.unit() * total;
            let product = cumulative.partition_point(|&end| end <= at).min(cumulative.len() - 1);
            review(shop, product, &mut draws)
        })
        .collect()
}

fn review(shop: &Shop, index: ProductIndex, draws: &mut Draws) -> Review {
    let product = &shop.products[index];
    let stars = draw_stars(product, draws);
    let length = match draws.below(100) {
        0..=16 => Length::Short,
        17..=44 => Length::Judgments(1),
        45..=66 => Length::Judgments(2),
        67..=84 => Length::Judgments(4),
        85..=96 => Length::Judgments(7),
        _ => Length::Essay,
    };
    let substitute = draw_from(&product.substitutes, draws).map(|&i| &shop.products[i]);
    let complement = draw_from(&product.complements, draws).map(|&i| &shop.products[i]);
    let aspects = draw_aspects(shop.catalog, product, draws);
    let voice = Voice::new(shop.catalog, product, substitute, complement, draws);
    let mut customer = Customer { voice, aspects, aspect: 0 };

    let templates = shop.catalog.reviews.of_stars(stars);
    let text = match length {
        Length::Short => sentence(templates.short_reviews.draw(draws), &mut customer, draws),
        _ => body(shop.catalog, product, length, stars, &mut customer, draws),
    };
    let summary = templates.summaries.draw(draws);
    customer.aspect = 0;
    let summary = sentence(summary, &mut customer, draws).trim_end_matches('.').to_owned();
    let text = if draws.below(140) == 0 { String::new() } else { noise::carelessly(text, draws) };
    Review { product: index, stars, summary, text }
}

/// Stars follow the quality of the product.
fn draw_stars(product: &Product, draws: &mut Draws) -> u8 {
    match draws.unit() * 0.75 + product.quality * 0.6 {
        x if x < 0.42 => 1,
        x if x < 0.52 => 2,
        x if x < 0.62 => 3,
        x if x < 0.78 => 4,
        _ => 5,
    }
}

/// All aspects in the order of judgment: up to four of the type first, then the general ones.
fn draw_aspects<'c>(catalog: &'c Catalog, product: &Product<'c>, draws: &mut Draws) -> Vec<&'c Aspect> {
    let mut specific: Vec<&Aspect> = product.product_type.aspects.iter().collect();
    let mut general: Vec<&Aspect> = product.department.aspects.iter().chain(&catalog.reviews.aspects).collect();
    draws.shuffle(&mut specific);
    draws.shuffle(&mut general);
    let first = specific.len().min(2 + draws.below(3) as usize);
    let last = specific.split_off(first);
    [specific, general, last].concat()
}

fn body(
    catalog: &Catalog,
    product: &Product,
    length: Length,
    stars: u8,
    customer: &mut Customer,
    draws: &mut Draws,
) -> String {
    let templates = &catalog.reviews;
    let mut openers = Deck::new(&templates.openers);
    let mut stories = Deck::new(&product.department.stories);
    let mut praise = Deck::new(&templates.praise);
    let mut blame = Deck::new(&templates.blame);
    let mut niggles = Deck::new(&templates.niggles);
    let mut neutral = Deck::new(&templates.neutral);
    let mut better = Deck::new(&templates.better);
    let mut worse = Deck::new(&templates.worse);

    let is_essay = length == Length::Essay;
    let judgments = match length {
        Length::Judgments(count) => count,
        _ => 14 + draws.below(3),
    };
    let mut paragraphs: Vec<Vec<String>> = Vec::new();
    let mut paragraph = Vec::new();
    if judgments > 1 || draws.below(2) == 0 {
        paragraph.push(sentence(openers.draw(draws), customer, draws));
    }
    for i in 0..judgments {
        let asides = if is_essay { 2 } else { u64::from(draws.below(3) == 0) };
        for _ in 0..asides {
            let template = match draws.below(4) {
                0 | 1 if !stories.is_empty() => stories.draw(draws),
                2 if stars >= 4 && !better.is_empty() => better.draw(draws),
                2 if stars <= 2 && !worse.is_empty() => worse.draw(draws),
                _ if !neutral.is_empty() => neutral.draw(draws),
                _ => continue,
            };
            paragraph.push(sentence(template, customer, draws));
        }
        let is_pleased = match stars {
            5 => draws.below(20) != 0,
            4 => draws.below(5) != 0,
            3 => draws.below(2) == 0,
            2 => draws.below(5) == 0,
            _ => draws.below(25) == 0,
        };
        let judgment = match (is_pleased, stars) {
            (true, _) => &mut praise,
            (false, 4 | 5) => &mut niggles,
            (false, _) => &mut blame,
        };
        let mut template = judgment.draw(draws);
        while i == 0 && templates.connectives.iter().any(|start| template.starts_with(start)) {
            template = judgment.draw(draws);
        }
        if judgments >= 7 && i > 0 && i % 4 == 0 {
            paragraphs.push(std::mem::take(&mut paragraph));
        }
        paragraph.push(sentence(template, customer, draws));
        customer.aspect += 1;
    }
    if judgments > 1 || draws.below(3) == 0 {
        let ending = templates.of_stars(stars).endings.draw(draws);
        if is_essay {
            paragraphs.push(std::mem::take(&mut paragraph));
        }
        paragraph.push(sentence(ending, customer, draws));
    }
    paragraphs.push(paragraph);
    let paragraphs: Vec<String> = paragraphs.into_iter().map(|sentences| sentences.join(" ")).collect();
    paragraphs.join("\n\n")
}
