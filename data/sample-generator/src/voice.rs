//! The slots that product pages and reviews share.
use schemas::Draws;

use crate::{
    catalog::{Catalog, Choices, Feature, Number, ProductType},
    english,
    products::Product,
    template::Slots,
};

/// Fills slots with words about one product.
///
/// Features and uses come in a drawn order and repeat only after all were used.
pub(crate) struct Voice<'c, 's> {
    catalog: &'c Catalog,
    product: &'s Product<'c>,
    /// A product to compare with.
    substitute: Option<&'s Product<'c>>,
    /// A product to use it with.
    complement: Option<&'s Product<'c>>,
    features: Vec<&'c Feature>,
    features_used: usize,
    uses: Vec<&'c str>,
    uses_used: usize,
}

impl<'c, 's> Voice<'c, 's> {
    pub(crate) fn new(
        catalog: &'c Catalog,
        product: &'s Product<'c>,
        substitute: Option<&'s Product<'c>>,
        complement: Option<&'s Product<'c>>,
        draws: &mut Draws,
    ) -> Self {
        let mut features = product.features.clone();
        draws.shuffle(&mut features);
        let mut uses: Vec<&str> = product.product_type.uses.iter().collect();
        draws.shuffle(&mut uses);
        Self { catalog, product, substitute, complement, features, features_used: 0, uses, uses_used: 0 }
    }

    /// Whether every feature was used.
    pub(crate) fn has_used_all_features(&self) -> bool {
        self.features_used >= self.features.len()
    }

    pub(crate) fn next_feature(&mut self) -> &'c Feature {
        self.features_used += 1;
        self.current_feature()
    }

    /// The feature that was used last, or the first one.
    fn current_feature(&self) -> &'c Feature {
        self.features[self.features_used.saturating_sub(1) % self.features.len()]
    }

    fn next_use(&mut self) -> &'c str {
        self.uses_used += 1;
        self.uses[(self.uses_used - 1) % self.uses.len()]
    }

    fn complement_type(&self, draws: &mut Draws) -> &'c ProductType {
        match self.complement {
            Some(complement) => complement.product_type,
            None => self.catalog.product_type(self.product.product_type.goes_with.draw(draws)),
        }
    }

    /// The `field` of the substitute if it differs from the product's, or else another entry of `all`.
    fn other(&self, field: fn(&Product<'c>) -> &'c str, all: &'c Choices, draws: &mut Draws) -> String {
        let own = field(self.product);
        let theirs = self.substitute.map(field).filter(|&theirs| theirs != own);
        theirs.unwrap_or_else(|| all.draw_other(own, draws)).to_owned()
    }
}

impl Slots for Voice<'_, '_> {
    fn fill(&mut self, slot: &str, draws: &mut Draws) -> String {
        let Product { department, product_type, .. } = self.product;
        let product = self.product;
        let number = product_type.number;
        let agree = |one: &str, many: &str| if number == Number::Plural { many } else { one }.to_owned();
        match slot {
            "it" => agree("it", "they"),
            "them" => agree("it", "them"),
            "its" => agree("its", "their"),
            "this" => agree("this", "these"),
            "is" => agree("is", "are"),
            "was" => agree("was", "were"),
            "has" => agree("has", "have"),
            "does" => agree("does", "do"),
            "s" => agree("s", ""),
            "es" => agree("es", ""),
            "a" => if number == Number::Singular { "a" } else { "" }.to_owned(),
            "another" => match number {
                Number::Singular => "another",
                Number::Plural => "another set of",
                Number::Mass => "more of this",
            }
            .to_owned(),
            "brand" => product.brand.to_owned(),
            "line" => product.line.to_owned(),
            "name" => product_type.name.clone(),
            "names" => plural(product_type, &product_type.name),
            "head" => product_type.head.clone(),
            "heads" => plural(product_type, &product_type.head),
            "kind" => product.kind.to_owned(),
            "material" => product.material.to_owned(),
            "size" => product.size.to_owned(),
            "color" => product.color.to_owned(),
            "part" => product.part.clone(),
            "user" => department.users.draw(draws).to_owned(),
            "place" => department.places.draw(draws).to_owned(),
            "feature" => self.next_feature().name.clone(),
            "bare" => english::without_article(&self.next_feature().name).to_owned(),
            "benefit" => self.current_feature().benefit.clone(),
            "use" => self.next_use().to_owned(),
            "theiruse" => self.next_use().replace(" my ", " their "),
            "youruse" => self.next_use().replace(" my ", " your "),
            "comp" => {
                let other = self.complement_type(draws);
                plural(other, &other.name)
            }
            "comphead" => self.complement_type(draws).head.clone(),
            "compbrand" => self.complement.map_or(product.brand, |other| other.brand).to_owned(),
            "otherbrand" => self.other(|product| product.brand, &department.brands, draws),
            "otherkind" => self.other(|product| product.kind, &product_type.kinds, draws),
            "othermaterial" => self.other(|product| product.material, &product_type.materials, draws),
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
            _ => panic!("no slot is called `{slot}`"),
        }
    }
}

/// The plural of a name of `product_type`, which may be one already.
fn plural(product_type: &ProductType, name: &str) -> String {
    if product_type.number == Number::Singular { english::plural(name) } else { name.to_owned() }
}
