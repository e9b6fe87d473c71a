//! What a shop writes about a product: title, description and bullet points, first clean, then as dumps have it.
use schemas::Draws;

use super::catalog::choose;
use super::grammar::{self, Slots, expand, sentence};
use super::products::Product;
use super::voice::Voice;

/// The clean text of one product page.
#[derive(Clone, Default)]
pub struct Listing {
    /// The title, or nothing.
    pub title: String,
    /// The paragraphs of the description.
    pub description: Vec<String>,
    /// The bullet points.
    pub features: Vec<String>,
}

const TITLES: [&str; 12] = [
    "{brand} {kind} {name}, {material}, {size}",
    "{brand} {line} {kind} {name} with {bare}, {color}",
    "{kind} {name} by {brand} - {size} - {color}",
    "{brand} {name} {part} - {kind}, {material} ({size})",
    "{brand} {kind} {name} - {bare} and {bare} - {size}",
    "{name} | {kind} | {bare}, {bare} | {brand} {part}",
    "{brand} {line} {name} ({color}, {size})",
    "{brand} {kind} {name} for {user}, {color}",
    "{kind} {name}, {size}, {material}, {bare} - Perfect for {user}",
    "{brand} {kind} {name}",
    "{line} {kind} {name} with {bare}, {size} [New Version|2-Pack|3-Pack|Gift Box|Value Pack]",
    "{brand}® {line}™ {name} - {kind} - {size}",
];

const INTROS: [&str; 14] = [
    "Meet the {brand} {line} {kind} {name}, made for {user} who want to {use}.",
    "Looking for {a} {kind} {name} that last{s}? {brand} built {this} {head} from {material} with {feature}.",
    "When you want to {use}, you need {a} {head} you can count on.",
    "The {kind} {name} from {brand} combine{s} {material} with {feature} and {feature}.",
    "{user} asked for a better way to {use}, and the {line} {name} {is} our answer.",
    "Upgrade to {a} {kind} {name} with {feature}.",
    "Whether you want to {use} or {use}, {this} {kind} {name} will not let you down.",
    "Say goodbye to second rate {heads}: the {brand} {line} {is} made from {material} and a favorite of {user}.",
    "{brand} has been making {names} for {user} since [1968|1984|1997|2003|2009].",
    "{this} {kind} {name} make{s} it easy to {use} {place}.",
    "About the {line} {name}: {size}, {color}, {material}, and {feature}.",
    "Simple, honest and well made: {this} {name} {does} one job and {does} it well.",
    "Our best selling {kind} {name} {is} now available in {color}.",
    "Quality varies a lot among {names}. Ours start{s} with {material} and end{s} with {feature}.",
];

const FEATURES: [&str; 14] = [
    "{it} come{s} with {feature}, so you can {benefit}.",
    "Thanks to {feature} you can {benefit}.",
    "With {feature}, it is easy to {benefit}.",
    "{feature} help{x} you {benefit}.",
    "Want to {benefitnext}? {feature} [make{x} it simple|take{x} care of that].",
    "We added {feature} because you should be able to {benefit}.",
    "The {bare} let{x} you {benefit}, even {place}.",
    "You will appreciate {feature} every time you want to {benefit}.",
    "Unlike ordinary {heads}, {it} offer{s} {feature}, so you can {benefit}.",
    "Count on {feature} to {benefit}.",
    "A favorite with {user}: {feature} to {benefit}.",
    "{feature} and {feature} are standard, not an extra.",
    "No more compromises: {feature} to {benefit}, and {feature} to {benefit}.",
    "Also included: {feature}, ready when you need to {benefit}.",
];

const DETAILS: [&str; 16] = [
    "Use {them} to {use}, or to {use}.",
    "Perfect for {user} and anyone who wants to {use} {place}.",
    "Made with {material}, {it} [set{s} a new standard|{is} a step above the rest|deliver{s} every time].",
    "Shown in {color}; the size on the photo is {size}.",
    "Great {place}, and just as good {place}.",
    "Pair {them} with {comp} from {compbrand} for the best results.",
    "Customers who buy {them} often buy {comp} too.",
    "The {size} version suits {user}; see our store for other sizes.",
    "Quality {material} makes all the difference, today and a year from now.",
    "Model {part} replaces [all earlier|our earlier|last year's] {brand} {heads}.",
    "Each {head2} is inspected by hand before it leaves our warehouse.",
    "Compare {them} with other {othermaterial} {heads} and feel the difference.",
    "Choose the {kind} version to {use}, or try the {otherkind} version.",
    "Actual color may vary slightly due to your monitor and lighting.",
    "Recommended for {user}, {user} and anyone with a love for good design.",
    "What is included: 1 x {name} ({size}), user guide and our friendly customer service.",
];

const CLOSINGS: [&str; 10] = [
    "Click add to cart and {use} with confidence today.",
    "If you are not happy with your {head}, contact us for a full refund within [30|60|90] days.",
    "100% satisfaction guarantee: love your {name} or send {them} back.",
    "A great gift for [Mother's Day|Father's Day|Christmas|a birthday|graduation|a housewarming] and every occasion in between.",
    "Backed by the {brand} {months} month warranty.",
    "Designed in our studio and quality checked three times.",
    "Order now and find out why {user} recommend {brand}.",
    "Questions? Our customer service team answers within one business day.",
    "Ships in recyclable packaging.",
    "Thank you for supporting a small family business.",
];

const BULLETS: [&str; 16] = [
    "{BARE}: [so you can|let{x} you|made to help you] {benefit}",
    "{feature} to {benefit}",
    "{bare} - {benefit} with ease",
    "PREMIUM QUALITY: made with {material} for you to enjoy {place}",
    "MULTI PURPOSE: use {them} to {use} or {use}",
    "PERFECT GIFT - a practical and thoughtful present for {user}",
    "Made with {material}",
    "Size: {size}; color: {color}",
    "EASY TO USE: {use} in minutes",
    "Ideal for {user} who want to {use}",
    "{months} month warranty and lifetime customer support from {brand}",
    "Dimensions: {dims} inches, model {part}",
    "{bare} and {bare} for everyday use",
    "WORKS WITH {comp}, sold separately",
    "{kind} design, {material}, {bare}",
    "RISK FREE - if you do not like your {head}, we will [replace|refund] {them} within [30|60|90] days",
];

/// Slots that only listings have: agreement with the feature that was told last, and shouting.
struct Seller<'a> {
    voice: Voice<'a>,
    feature: String,
    next: Option<String>,
}

impl Slots for Seller<'_> {
    fn fill(&mut self, slot: &str, draws: &mut Draws) -> String {
        match slot {
            "benefitnext" => {
                let feature = self.voice.fill("feature", draws);
                self.next = Some(feature);
                self.voice.fill("benefit", draws)
            }
            "feature" => {
                self.feature = self.next.take().unwrap_or_else(|| self.voice.fill("feature", draws));
                self.feature.clone()
            }
            "bare" => {
                self.feature = self.voice.fill("feature", draws);
                grammar::bare(&self.feature).to_owned()
            }
            "BARE" => {
                self.feature = self.voice.fill("feature", draws);
                grammar::bare(&self.feature).to_uppercase()
            }
            "x" => {
                if many(&self.feature) {
                    String::new()
                } else {
                    "s".to_owned()
                }
            }
            "use" => self.voice.fill("use", draws).replace(" my ", " your "),
            "head2" => "[one|unit|piece|order]".to_owned(),
            _ => self.voice.fill(slot, draws),
        }
    }
}

/// Whether a feature is a plural: "conical steel burrs", but not "a glass" or "portion control".
fn many(feature: &str) -> bool {
    let main = feature.split(" of ").next().unwrap_or(feature);
    let main = main.split(" for ").next().unwrap_or(main);
    !feature.starts_with("a ") && main.ends_with('s') && !main.ends_with("ss")
}

/// Writes the page of one product.
pub fn listing(product: &Product, complement: Option<&Product>, substitute: Option<&Product>, seed: u64) -> Listing {
    let mut draws = Draws::new(seed, "sample listing", product.asin.as_bytes());
    let draws = &mut draws;
    if draws.below(330) == 0 {
        return Listing::default();
    }
    let voice = Voice::new(product, substitute, complement, draws);
    let mut seller = Seller { voice, feature: String::new(), next: None };
    let mut page = Listing::default();
    if draws.below(70) != 0 {
        let template = choose(&TITLES, draws).copied().unwrap_or_default();
        page.title = grammar::title_case(&expand(template, &mut seller, draws));
    }
    if draws.below(8) != 0 {
        page.description = description(product, &mut seller, draws);
    }
    if draws.below(9) != 0 {
        let mut bullets = Drawer::new(&BULLETS);
        for _ in 0..2 + draws.below(5) {
            let bullet = bullets.next(draws);
            page.features.push(grammar::finish(&expand(bullet, &mut seller, draws)));
        }
    }
    page
}

fn description(product: &Product, seller: &mut Seller, draws: &mut Draws) -> Vec<String> {
    let (mut features, mut details, mut closings) =
        (Drawer::new(&FEATURES), Drawer::new(&DETAILS), Drawer::new(&CLOSINGS));
    let mut pitches = Drawer::new(product.category.pitches);
    let intro = choose(&INTROS, draws).copied().unwrap_or_default();
    let mut paragraphs = vec![vec![sentence(intro, seller, draws)]];
    for _ in 0..[0, 1, 1, 2, 2, 3, 4][draws.below(7) as usize] {
        paragraphs.push(Vec::new());
    }
    let last = paragraphs.len() - 1;
    for (i, paragraph) in paragraphs.iter_mut().enumerate() {
        for _ in 0..1 + draws.below(4) {
            let template = match draws.below(5) {
                0 | 1 if !seller.voice.told_all() => features.next(draws),
                0 | 2 => details.next(draws),
                _ if !pitches.is_empty() => pitches.next(draws),
                _ if !details.is_empty() => details.next(draws),
                _ => continue,
            };
            paragraph.push(sentence(template, seller, draws));
        }
        if i == last && draws.below(2) == 0 {
            paragraph.push(sentence(closings.next(draws), seller, draws));
        }
    }
    paragraphs.into_iter().map(|sentences| sentences.join(" ")).collect()
}

/// Templates drawn without repetition until all were drawn.
pub struct Drawer<'a> {
    all: &'a [&'static str],
    left: Vec<&'static str>,
}

impl<'a> Drawer<'a> {
    /// A full drawer.
    pub fn new(all: &'a [&'static str]) -> Self {
        Self { all, left: all.to_vec() }
    }

    /// Whether all were drawn.
    pub fn is_empty(&self) -> bool {
        self.left.is_empty()
    }

    /// One template.
    pub fn next(&mut self, draws: &mut Draws) -> &'static str {
        if self.left.is_empty() {
            self.left = self.all.to_vec();
        }
        if self.left.is_empty() { "" } else { self.left.swap_remove(draws.below(self.left.len() as u64) as usize) }
    }
}
