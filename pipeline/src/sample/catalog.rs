//! The vocabulary of the sample's shops: categories, their product types, and what is said about them.
//!
//! One file a category. A [`List`] is a string of alternatives between `|`; every entry may hold slots and
//! brackets, which [`crate::sample::grammar`] fills in. Everything is invented: brands, lines and people.
use schemas::Draws;

mod beauty;
mod electronics;
mod gifts;
mod grocery;
mod kitchen;
mod office;
mod outdoor;
mod pets;
mod styling;
mod toys;

/// Alternatives between `|`.
pub type List = &'static str;

/// How the name of a product type agrees with its verb.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Number {
    /// "this kettle is"
    One,
    /// "these markers are"
    Many,
    /// "this olive oil is", without an article
    Mass,
}

/// Something that a review judges: the subject, what is said when it pleases, and when it does not.
#[derive(Clone, Copy, Debug)]
pub struct Aspect(pub &'static str, pub List, pub List);

/// A selling point (a noun phrase) and what it is good for (a verb phrase that follows "so you can").
#[derive(Clone, Copy, Debug)]
pub struct Feature(pub &'static str, pub &'static str);

/// A kind of product: all products of a type are substitutes of each other.
#[derive(Debug)]
pub struct ProductType {
    /// The full name, lower case.
    pub name: &'static str,
    /// What a reviewer calls it.
    pub head: &'static str,
    /// The agreement of both names.
    pub number: Number,
    /// The leaf of the category path.
    pub shelf: &'static str,
    /// Lowest and highest price in dollars.
    pub price: (u32, u32),
    /// Variants, which stand before the name.
    pub kinds: List,
    /// What it is made of, or made with.
    pub materials: List,
    /// Sizes, counts, capacities.
    pub sizes: List,
    /// Selling points.
    pub features: &'static [Feature],
    /// What reviews judge.
    pub aspects: &'static [Aspect],
    /// What one does with it: verb phrases.
    pub uses: List,
    /// Names of the types that go with it: its complements.
    pub goes_with: List,
}

/// A category of the shop.
#[derive(Debug)]
pub struct Category {
    /// The first entry of the category path.
    pub name: &'static str,
    /// The second entry of the category path.
    pub aisle: List,
    /// Invented brands.
    pub brands: List,
    /// Invented model lines.
    pub lines: List,
    /// Colors, scents or flavors.
    pub colors: List,
    /// Who uses these products (plural).
    pub users: List,
    /// Where they are used ("in the kitchen").
    pub places: List,
    /// Keys of `details` with templates of their values.
    pub attributes: &'static [(&'static str, &'static str)],
    /// Sentences of descriptions.
    pub pitches: &'static [&'static str],
    /// Sentences of reviews without a judgement.
    pub stories: &'static [&'static str],
    /// Aspects shared by all types of the category.
    pub aspects: &'static [Aspect],
    /// The product types.
    pub types: &'static [ProductType],
}

/// All categories, in the order of the product ids.
pub const CATEGORIES: [&Category; 10] = [
    &kitchen::KITCHEN,
    &beauty::BEAUTY,
    &electronics::ELECTRONICS,
    &outdoor::OUTDOOR,
    &pets::PETS,
    &toys::TOYS,
    &office::OFFICE,
    &grocery::GROCERY,
    &styling::STYLING,
    &gifts::GIFTS,
];

/// The type of that name.
pub fn type_named(name: &str) -> Option<&'static ProductType> {
    CATEGORIES.iter().flat_map(|category| category.types).find(|kind_of| kind_of.name == name)
}

/// One alternative of a list other than `taken`, or `taken` where there is no other.
pub fn pick_other(list: List, taken: &'static str, draws: &mut Draws) -> &'static str {
    let others: Vec<&'static str> = list.split('|').filter(|&entry| entry != taken).collect();
    choose(&others, draws).copied().unwrap_or(taken)
}

/// One alternative of a list, drawn evenly.
pub fn pick(list: List, draws: &mut Draws) -> &'static str {
    let count = list.split('|').count() as u64;
    list.split('|').nth(draws.below(count) as usize).unwrap_or(list)
}

/// One element of a slice, drawn evenly; `None` of an empty slice.
pub fn choose<'a, T>(items: &'a [T], draws: &mut Draws) -> Option<&'a T> {
    if items.is_empty() { None } else { items.get(draws.below(items.len() as u64) as usize) }
}
