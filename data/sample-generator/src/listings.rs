//! What a shop writes about a product: title, description and bullet points, without noise.
use schemas::Draws;

use crate::{
    english,
    products::{Product, ProductIndex, Shop},
    template::{Deck, Slots, expand, sentence},
    voice::Voice,
};

/// The text of one product page.
#[derive(Default)]
pub(crate) struct Listing {
    pub(crate) title: String,
    pub(crate) paragraphs: Vec<String>,
    pub(crate) bullets: Vec<String>,
}

/// The slots of product pages.
struct Seller<'c, 's> {
    voice: Voice<'c, 's>,
    /// The feature with which a verb agrees: the one that was named last.
    feature: String,
    /// The feature to name next, where its benefit came first.
    upcoming: Option<String>,
}

impl Seller<'_, '_> {
    /// Moves to the next feature and returns its name without an article.
    fn name_bare_feature(&mut self) -> &str {
        self.feature.clone_from(&self.voice.next_feature().name);
        english::without_article(&self.feature)
    }
}

impl Slots for Seller<'_, '_> {
    fn fill(&mut self, slot: &str, draws: &mut Draws) -> String {
        match slot {
            "benefitnext" => {
                let feature = self.voice.next_feature();
                self.upcoming = Some(feature.name.clone());
                feature.benefit.clone()
            }
            "feature" => {
                self.feature = self.upcoming.take().unwrap_or_else(|| self.voice.next_feature().name.clone());
                self.feature.clone()
            }
            "bare" => self.name_bare_feature().to_owned(),
            "BARE" => self.name_bare_feature().to_uppercase(),
            "x" => if english::is_plural(&self.feature) { "" } else { "s" }.to_owned(),
            "use" => self.voice.fill("youruse", draws),
            "head2" => "[one|unit|piece|order]".to_owned(),
            _ => self.voice.fill(slot, draws),
        }
    }
}

/// Writes the page of one product. One in 330 pages is empty, and others lack a part.
pub(crate) fn listing(shop: &Shop, product: &Product) -> Listing {
    let mut draws = Draws::new(shop.seed, "sample listing", product.asin.as_bytes());
    let draws = &mut draws;
    if draws.below(330) == 0 {
        return Listing::default();
    }
    let first = |others: &[ProductIndex]| others.first().map(|&i| &shop.products[i]);
    let (substitute, complement) = (first(&product.substitutes), first(&product.complements));
    let voice = Voice::new(shop.catalog, product, substitute, complement, draws);
    let mut seller = Seller { voice, feature: String::new(), upcoming: None };
    let mut page = Listing::default();
    if draws.below(70) != 0 {
        let template = shop.catalog.listings.titles.draw(draws);
        page.title = english::title_case(&expand(template, &mut seller, draws));
    }
    if draws.below(8) != 0 {
        page.paragraphs = description(shop, product, &mut seller, draws);
    }
    if draws.below(9) != 0 {
        let mut bullets = Deck::new(&shop.catalog.listings.bullets);
        for _ in 0..2 + draws.below(5) {
            page.bullets.push(sentence(bullets.draw(draws), &mut seller, draws));
        }
    }
    page
}

/// Writes one to five paragraphs of one to four sentences, plus an introduction and a closing.
fn description(shop: &Shop, product: &Product, seller: &mut Seller, draws: &mut Draws) -> Vec<String> {
    let templates = &shop.catalog.listings;
    let mut features = Deck::new(&templates.features);
    let mut details = Deck::new(&templates.details);
    let mut closings = Deck::new(&templates.closings);
    let mut pitches = Deck::new(&product.department.pitches);

    let introduction = templates.introductions.draw(draws);
    let introduction = sentence(introduction, seller, draws);
    let count = 1 + [0, 1, 1, 2, 2, 3, 4][draws.below(7) as usize];
    let mut paragraphs = vec![Vec::new(); count];
    paragraphs[0].push(introduction);
    for (i, paragraph) in paragraphs.iter_mut().enumerate() {
        for _ in 0..1 + draws.below(4) {
            let template = match draws.below(5) {
                0 | 1 if !seller.voice.has_used_all_features() => features.draw(draws),
                0 | 2 => details.draw(draws),
                _ if !pitches.is_empty() => pitches.draw(draws),
                _ if !details.is_empty() => details.draw(draws),
                _ => continue,
            };
            paragraph.push(sentence(template, seller, draws));
        }
        if i + 1 == count && draws.below(2) == 0 {
            paragraph.push(sentence(closings.draw(draws), seller, draws));
        }
    }
    paragraphs.into_iter().map(|sentences| sentences.join(" ")).collect()
}
