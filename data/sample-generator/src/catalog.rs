//! The catalog: departments, their product types, and the sentences about them.
use std::collections::{HashMap, hash_map::Entry};

use anyhow::{Context, bail, ensure};
use schemas::Draws;
use serde::{Deserialize, de::DeserializeOwned};

/// Product ids follow this order.
const DEPARTMENTS: [(&str, &str); 10] = [
    ("kitchen.toml", include_str!("../catalog/kitchen.toml")),
    ("beauty.toml", include_str!("../catalog/beauty.toml")),
    ("electronics.toml", include_str!("../catalog/electronics.toml")),
    ("outdoor.toml", include_str!("../catalog/outdoor.toml")),
    ("pets.toml", include_str!("../catalog/pets.toml")),
    ("toys.toml", include_str!("../catalog/toys.toml")),
    ("office.toml", include_str!("../catalog/office.toml")),
    ("grocery.toml", include_str!("../catalog/grocery.toml")),
    ("styling.toml", include_str!("../catalog/styling.toml")),
    ("gifts.toml", include_str!("../catalog/gifts.toml")),
];

/// A list that is never empty, from which one entry is drawn evenly.
#[derive(Debug, Deserialize)]
#[serde(try_from = "Vec<String>")]
pub(crate) struct Choices(Vec<String>);

impl TryFrom<Vec<String>> for Choices {
    type Error = &'static str;

    fn try_from(entries: Vec<String>) -> Result<Self, Self::Error> {
        if entries.is_empty() { Err("a list without entries") } else { Ok(Self(entries)) }
    }
}

impl Choices {
    pub(crate) fn iter(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(String::as_str)
    }

    pub(crate) fn draw(&self, draws: &mut Draws) -> &str {
        &self.0[draws.below(self.0.len() as u64) as usize]
    }

    /// Draws an entry that differs from `taken`; `taken` if no other entry exists.
    pub(crate) fn draw_other<'a>(&'a self, taken: &'a str, draws: &mut Draws) -> &'a str {
        let others: Vec<&str> = self.iter().filter(|&entry| entry != taken).collect();
        draw_from(&others, draws).copied().unwrap_or(taken)
    }
}

/// Draws one element evenly. `None` for an empty slice, which takes no draw.
pub(crate) fn draw_from<'a, T>(items: &'a [T], draws: &mut Draws) -> Option<&'a T> {
    if items.is_empty() { None } else { items.get(draws.below(items.len() as u64) as usize) }
}

/// How the name of a product type agrees with its verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Number {
    /// "this kettle is"
    Singular,
    /// "these markers are"
    Plural,
    /// "this olive oil is", without an article
    Mass,
}

/// Something that a review judges, with the predicates of a pleased and of a disappointed customer.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Aspect {
    pub(crate) subject: String,
    pub(crate) good: Choices,
    pub(crate) bad: Choices,
}

/// A selling point.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Feature {
    /// A noun phrase.
    pub(crate) name: String,
    /// A verb phrase that can follow "so you can".
    pub(crate) benefit: String,
}

/// A range of whole dollars.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct PriceRange {
    pub(crate) low: u32,
    pub(crate) high: u32,
}

/// A kind of product. All products of a type are substitutes of each other.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ProductType {
    /// In lower case, and unique in the catalog.
    pub(crate) name: String,
    /// The short name that reviewers use.
    pub(crate) head: String,
    pub(crate) number: Number,
    /// The last entry of the category path.
    pub(crate) shelf: String,
    pub(crate) price: PriceRange,
    /// Variants, which stand before the name.
    pub(crate) kinds: Choices,
    pub(crate) materials: Choices,
    /// Sizes, counts or capacities.
    pub(crate) sizes: Choices,
    pub(crate) features: Vec<Feature>,
    pub(crate) aspects: Vec<Aspect>,
    /// Verb phrases.
    pub(crate) uses: Choices,
    /// Names of the complementary types.
    pub(crate) goes_with: Choices,
}

/// A line of a product's `details`.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Detail {
    pub(crate) key: String,
    /// A template.
    pub(crate) value: String,
}

/// A department of the shop: product types that share brands, customers and places.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Department {
    /// The first entry of the category path.
    pub(crate) name: String,
    /// The second entry of the category path.
    pub(crate) aisles: Choices,
    pub(crate) brands: Choices,
    /// Model lines.
    pub(crate) lines: Choices,
    /// Colors, scents or flavors.
    pub(crate) colors: Choices,
    /// Plural nouns.
    pub(crate) users: Choices,
    /// Phrases such as "in the kitchen".
    pub(crate) places: Choices,
    pub(crate) details: Vec<Detail>,
    /// Sentences of descriptions.
    pub(crate) pitches: Choices,
    /// Sentences of reviews without a judgment.
    pub(crate) stories: Choices,
    /// Aspects that all types of the department share.
    pub(crate) aspects: Vec<Aspect>,
    pub(crate) types: Vec<ProductType>,
}

/// Templates of product pages.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ListingTemplates {
    pub(crate) titles: Choices,
    pub(crate) introductions: Choices,
    pub(crate) features: Choices,
    pub(crate) details: Choices,
    pub(crate) closings: Choices,
    pub(crate) bullets: Choices,
}

/// Templates of reviews.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ReviewTemplates {
    /// Aspects of anything that is sold by mail.
    pub(crate) aspects: Vec<Aspect>,
    /// Beginnings of sentences that refer to the sentence before.
    pub(crate) connectives: Choices,
    pub(crate) openers: Choices,
    pub(crate) praise: Choices,
    pub(crate) blame: Choices,
    /// Small complaints in a good review.
    pub(crate) niggles: Choices,
    pub(crate) neutral: Choices,
    /// Comparisons that the reviewed product wins.
    pub(crate) better: Choices,
    /// Comparisons that the reviewed product loses.
    pub(crate) worse: Choices,
    one_star: StarTemplates,
    two_stars: StarTemplates,
    three_stars: StarTemplates,
    four_stars: StarTemplates,
    five_stars: StarTemplates,
}

/// Templates of reviews with one number of stars.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StarTemplates {
    pub(crate) endings: Choices,
    pub(crate) short_reviews: Choices,
    pub(crate) summaries: Choices,
}

impl ReviewTemplates {
    /// The templates for `stars` from 1 to 5.
    pub(crate) fn of_stars(&self, stars: u8) -> &StarTemplates {
        match stars {
            1 => &self.one_star,
            2 => &self.two_stars,
            3 => &self.three_stars,
            4 => &self.four_stars,
            _ => &self.five_stars,
        }
    }
}

/// Everything that the generator draws from.
#[derive(Debug)]
pub(crate) struct Catalog {
    pub(crate) departments: Vec<Department>,
    pub(crate) listings: ListingTemplates,
    pub(crate) reviews: ReviewTemplates,
    /// Positions of a type's department and of the type in it, by name.
    types: HashMap<String, (usize, usize)>,
}

impl Catalog {
    /// Reads and checks the files of `catalog/` and `templates/`, which are part of this program.
    pub(crate) fn load() -> anyhow::Result<Self> {
        let departments: Vec<Department> =
            DEPARTMENTS.iter().map(|(file, text)| read(file, text)).collect::<Result<_, _>>()?;
        let mut types = HashMap::new();
        for (i, department) in departments.iter().enumerate() {
            for (j, product_type) in department.types.iter().enumerate() {
                match types.entry(product_type.name.clone()) {
                    Entry::Occupied(entry) => bail!("two product types are called `{}`", entry.key()),
                    Entry::Vacant(entry) => entry.insert((i, j)),
                };
            }
        }
        for product_type in departments.iter().flat_map(|department| &department.types) {
            for other in product_type.goes_with.iter() {
                let name = &product_type.name;
                ensure!(types.contains_key(other), "`{name}` goes with `{other}`, which is not a product type");
                ensure!(other != name, "`{name}` goes with itself");
            }
        }
        Ok(Self {
            departments,
            listings: read("listings.toml", include_str!("../templates/listings.toml"))?,
            reviews: read("reviews.toml", include_str!("../templates/reviews.toml"))?,
            types,
        })
    }

    /// The type with a name from [`ProductType::goes_with`].
    pub(crate) fn product_type(&self, name: &str) -> &ProductType {
        let (department, product_type) = self.types[name];
        &self.departments[department].types[product_type]
    }
}

fn read<T: DeserializeOwned>(file: &str, text: &str) -> anyhow::Result<T> {
    toml::from_str(text).with_context(|| format!("in `{file}`"))
}
