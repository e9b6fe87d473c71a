//! What customers write: stars, a summary, and a text whose judgements go with the stars.
use schemas::Draws;

use super::catalog::{Aspect, choose, pick};
use super::grammar::{Slots, sentence};
use super::listing::Drawer;
use super::products::Product;
use super::verdicts::{
    BETTER, BLAME, CONNECTIVES, ENDINGS, GENERAL, NEUTRAL, NIGGLES, OPENERS, PRAISE, SHORT, SUMMARIES, WORSE,
};
use super::voice::Voice;

/// One review of a product.
#[derive(Clone)]
pub struct Review {
    /// Index of the product.
    pub product: usize,
    /// One to five stars.
    pub stars: u8,
    /// The headline.
    pub summary: String,
    /// The body; paragraphs are separated by empty lines.
    pub text: String,
}

/// How long a review is, in judgements.
#[derive(Clone, Copy, PartialEq)]
enum Length {
    Words,
    Sentences(u64),
    Essay,
}

/// Slots that only reviews have: the aspect under judgement.
struct Customer<'a> {
    voice: Voice<'a>,
    aspects: Vec<Aspect>,
    judged: usize,
}

impl Customer<'_> {
    fn turn(&mut self) {
        self.judged += 1;
    }

    fn aspect(&self) -> Aspect {
        self.aspects.get(self.judged % self.aspects.len().max(1)).copied().unwrap_or(GENERAL[0])
    }
}

impl Slots for Customer<'_> {
    fn fill(&mut self, slot: &str, draws: &mut Draws) -> String {
        match slot {
            "aspect" => self.aspect().0.to_owned(),
            "topic" => self.aspect().0.to_owned(),
            "good" => pick(self.aspect().1, draws).to_owned(),
            "bad" => pick(self.aspect().2, draws).to_owned(),
            "benefit" => self.voice.fill(slot, draws).replace("your ", "my "),
            _ => self.voice.fill(slot, draws),
        }
    }
}

/// `count` reviews of `products`, popular ones more often; about one in 140 repeats another word for word.
pub fn reviews(products: &[Product], count: usize, seed: u64) -> Vec<Review> {
    let mut reach: Vec<f64> = Vec::with_capacity(products.len());
    let mut total = 0.0;
    for product in products {
        total += product.popularity;
        reach.push(total);
    }
    let mut reviews: Vec<Review> = Vec::with_capacity(count);
    for i in 0..count {
        let mut draws = Draws::new(seed, "sample review", &(i as u64).to_le_bytes());
        let at = draws.unit() * total;
        let product = reach.partition_point(|&end| end <= at).min(products.len().saturating_sub(1));
        reviews.push(review(products, product, &mut draws));
    }
    reviews
}

fn review(products: &[Product], index: usize, draws: &mut Draws) -> Review {
    let product = &products[index];
    let stars = stars(product, draws);
    let length = match draws.below(100) {
        0..=16 => Length::Words,
        17..=44 => Length::Sentences(1),
        45..=66 => Length::Sentences(2),
        67..=84 => Length::Sentences(4),
        85..=96 => Length::Sentences(7),
        _ => Length::Essay,
    };
    let near = |edges: &[usize], draws: &mut Draws| choose(edges, draws).map(|&i| &products[i]);
    let (substitute, complement) = (near(&product.substitutes, draws), near(&product.complements, draws));
    let mut aspects = product.kind_of.aspects.to_vec();
    let mut wider = product.category.aspects.to_vec();
    wider.extend(GENERAL);
    draws.shuffle(&mut aspects);
    draws.shuffle(&mut wider);
    let known = aspects.len().min(2 + draws.below(3) as usize);
    let rest = aspects.split_off(known);
    aspects.extend(wider);
    aspects.extend(rest);
    let mut customer = Customer { voice: Voice::new(product, substitute, complement, draws), aspects, judged: 0 };
    let tone = usize::from(stars - 1);
    let text = match length {
        Length::Words => sentence(choose(SHORT[tone], draws).copied().unwrap_or_default(), &mut customer, draws),
        _ => body(product, length, stars, &mut customer, draws),
    };
    let summary = choose(SUMMARIES[tone], draws).copied().unwrap_or_default();
    customer.judged = 0;
    let summary = sentence(summary, &mut customer, draws).trim_end_matches('.').to_owned();
    let text = if draws.below(140) == 0 { String::new() } else { careless(text, draws) };
    Review { product: index, stars, summary, text }
}

/// Stars follow the quality of the product.
fn stars(product: &Product, draws: &mut Draws) -> u8 {
    let luck = draws.unit() * 0.75 + product.quality * 0.6;
    match luck {
        x if x < 0.42 => 1,
        x if x < 0.52 => 2,
        x if x < 0.62 => 3,
        x if x < 0.78 => 4,
        _ => 5,
    }
}

fn body(product: &Product, length: Length, stars: u8, customer: &mut Customer, draws: &mut Draws) -> String {
    let (mut openers, mut stories) = (Drawer::new(&OPENERS), Drawer::new(product.category.stories));
    let (mut praise, mut blame, mut niggles) = (Drawer::new(&PRAISE), Drawer::new(&BLAME), Drawer::new(&NIGGLES));
    let (mut neutral, mut better, mut worse) = (Drawer::new(&NEUTRAL), Drawer::new(&BETTER), Drawer::new(&WORSE));
    let judgements = match length {
        Length::Sentences(count) => count,
        _ => 14 + draws.below(3),
    };
    let essay = length == Length::Essay;
    let mut paragraphs: Vec<Vec<String>> = vec![Vec::new()];
    let mut say = |template: &str, customer: &mut Customer, draws: &mut Draws, fresh: bool| {
        if fresh || paragraphs.is_empty() {
            paragraphs.push(Vec::new());
        }
        let said = sentence(template, customer, draws);
        if let Some(last) = paragraphs.last_mut() {
            last.push(said);
        }
    };
    if judgements > 1 || draws.below(2) == 0 {
        say(openers.next(draws), customer, draws, false);
    }
    for i in 0..judgements {
        let asides = if essay { 2 } else { u64::from(draws.below(3) == 0) };
        for _ in 0..asides {
            let template = match draws.below(4) {
                0 | 1 if !stories.is_empty() => stories.next(draws),
                2 if stars >= 4 && !better.is_empty() => better.next(draws),
                2 if stars <= 2 && !worse.is_empty() => worse.next(draws),
                _ if !neutral.is_empty() => neutral.next(draws),
                _ => continue,
            };
            say(template, customer, draws, false);
        }
        let pleased = match stars {
            5 => draws.below(20) != 0,
            4 => draws.below(5) != 0,
            3 => draws.below(2) == 0,
            2 => draws.below(5) == 0,
            _ => draws.below(25) == 0,
        };
        let drawer = match (pleased, stars) {
            (true, _) => &mut praise,
            (false, 4 | 5) => &mut niggles,
            (false, _) => &mut blame,
        };
        let mut template = drawer.next(draws);
        while i == 0 && CONNECTIVES.iter().any(|start| template.starts_with(start)) {
            template = drawer.next(draws);
        }
        say(template, customer, draws, judgements >= 7 && i > 0 && i % 4 == 0);
        customer.turn();
    }
    if (judgements > 1 || draws.below(3) == 0)
        && let Some(&ending) = choose(ENDINGS[usize::from(stars - 1)], draws)
    {
        say(ending, customer, draws, essay);
    }
    let paragraphs: Vec<String> = paragraphs.into_iter().map(|sentences| sentences.join(" ")).collect();
    paragraphs.join("\n\n")
}

/// One review in seven is typed in haste: lower case, missing apostrophes, swapped or doubled letters, or shouting.
fn careless(text: String, draws: &mut Draws) -> String {
    match draws.below(28) {
        0 => text.to_lowercase(),
        1 => text.replace('\'', ""),
        2 => text.replace(". ", "! "),
        3 if text.len() < 80 => text.to_uppercase(),
        4 => text.replacen(" the ", " teh ", 1),
        5 | 6 => {
            let mut letters: Vec<char> = text.chars().collect();
            for _ in 0..1 + letters.len() / 150 {
                let at = draws.below(letters.len().max(2) as u64 - 1) as usize;
                if at + 1 < letters.len() && letters[at].is_ascii_lowercase() && letters[at + 1].is_ascii_lowercase() {
                    letters.swap(at, at + 1);
                }
            }
            letters.into_iter().collect()
        }
        _ => text,
    }
}
