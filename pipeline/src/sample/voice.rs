//! How a text speaks of one product: the slots of its templates.
use schemas::Draws;

use super::catalog::{Feature, List, Number, ProductType, pick, pick_other, type_named};
use super::grammar::{self, Slots};
use super::products::Product;

/// The slots of one product. Features and uses come in a drawn order and repeat only when all were told.
pub struct Voice<'a> {
    product: &'a Product,
    substitute: Option<&'a Product>,
    complement: Option<&'a Product>,
    features: Vec<Feature>,
    told: usize,
    uses: Vec<&'static str>,
    used: usize,
}

impl<'a> Voice<'a> {
    /// A voice for `product`, which may speak of one substitute and one complement.
    pub fn new(
        product: &'a Product,
        substitute: Option<&'a Product>,
        complement: Option<&'a Product>,
        draws: &mut Draws,
    ) -> Self {
        let mut features = product.features.clone();
        draws.shuffle(&mut features);
        let mut uses: Vec<&'static str> = product.kind_of.uses.split('|').collect();
        draws.shuffle(&mut uses);
        Self { product, substitute, complement, features, told: 0, uses, used: 0 }
    }

    /// Whether each selling point was told.
    pub fn told_all(&self) -> bool {
        self.told >= self.features.len()
    }

    fn complement_type(&self, draws: &mut Draws) -> &'static ProductType {
        let kind_of = self.product.kind_of;
        let any = || type_named(pick(kind_of.goes_with, draws)).unwrap_or(kind_of);
        self.complement.map_or_else(any, |other| other.kind_of)
    }

    /// What the substitute has, or another of `list` when that is what the product has as well.
    fn other(&self, of: fn(&Product) -> &'static str, list: List, draws: &mut Draws) -> String {
        let own = of(self.product);
        let theirs = self.substitute.map(of).filter(|&theirs| theirs != own);
        theirs.unwrap_or_else(|| pick_other(list, own, draws)).to_owned()
    }

    fn feature(&self) -> Feature {
        match self.features.len() {
            0 => Feature("a simple design", "use it right away"),
            count => self.features[self.told.saturating_sub(1) % count],
        }
    }
}

impl Slots for Voice<'_> {
    fn fill(&mut self, slot: &str, draws: &mut Draws) -> String {
        let product = self.product;
        let kind_of: &ProductType = product.kind_of;
        let many = kind_of.number == Number::Many;
        let agree = |one: &str, more: &str| if many { more.to_owned() } else { one.to_owned() };
        match slot {
            "it" => agree("it", "they"),
            "them" => agree("it", "them"),
            "its" => agree("its", "their"),
            "this" => agree("this", "these"),
            "that" => agree("that", "those"),
            "is" => agree("is", "are"),
            "was" => agree("was", "were"),
            "has" => agree("has", "have"),
            "does" => agree("does", "do"),
            "s" => agree("s", ""),
            "es" => agree("es", ""),
            "a" => {
                if kind_of.number == Number::One {
                    "a".to_owned()
                } else {
                    String::new()
                }
            }
            "another" => match kind_of.number {
                Number::One => "another".to_owned(),
                Number::Many => "another set of".to_owned(),
                Number::Mass => "more of this".to_owned(),
            },
            "brand" => product.brand.to_owned(),
            "line" => product.line.to_owned(),
            "name" => kind_of.name.to_owned(),
            "head" => kind_of.head.to_owned(),
            "heads" => plural_of(kind_of, kind_of.head),
            "names" => plural_of(kind_of, kind_of.name),
            "kind" => product.kind.to_owned(),
            "material" => product.material.to_owned(),
            "size" => product.size.to_owned(),
            "color" => product.color.to_owned(),
            "part" => product.part.clone(),
            "user" => pick(product.category.users, draws).to_owned(),
            "place" => pick(product.category.places, draws).to_owned(),
            "feature" => {
                self.told += 1;
                self.feature().0.to_owned()
            }
            "bare" => {
                self.told += 1;
                grammar::bare(self.feature().0).to_owned()
            }
            "benefit" => self.feature().1.to_owned(),
            "use" => {
                self.used += 1;
                self.uses[(self.used - 1) % self.uses.len()].to_owned()
            }
            "theiruse" => self.fill("use", draws).replace(" my ", " their "),
            "youruse" => self.fill("use", draws).replace(" my ", " your "),
            "comp" => {
                let other = self.complement_type(draws);
                plural_of(other, other.name)
            }
            "comphead" => self.complement_type(draws).head.to_owned(),
            "compbrand" => self.complement.map_or(product.brand, |other| other.brand).to_owned(),
            "otherbrand" => self.other(|p| p.brand, product.category.brands, draws),
            "otherkind" => self.other(|p| p.kind, kind_of.kinds, draws),
            "othermaterial" => self.other(|p| p.material, kind_of.materials, draws),
            "dims" => format!(
                "{}.{} x {}.{} x {}",
                2 + draws.below(18),
                draws.below(10),
                2 + draws.below(12),
                draws.below(10),
                1 + draws.below(9)
            ),
            "weight" => format!("{}.{}", draws.below(9), 1 + draws.below(9)),
            "months" => ["12", "18", "24", "36"][product.cents as usize / 100 % 4].to_owned(),
            "count" => (1 + draws.below(24)).to_string(),
            "upc" => format!("{:011}", draws.below(99_999_999_999)),
            "price" => format!("${}", (product.cents / 100).max(1)),
            other => other.to_owned(),
        }
    }
}

fn plural_of(kind_of: &ProductType, noun: &str) -> String {
    if kind_of.number == Number::One { grammar::plural(noun) } else { noun.to_owned() }
}
