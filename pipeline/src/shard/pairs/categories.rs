//! The products of the graph by category.
use std::{collections::BTreeMap, iter, ops::Range, path::Path};

use schemas::{ProductCategoryRows, open_corpus_products};

use super::texts::FirstSegments;
use crate::{
    engine::hashes::Hashes,
    graph::products::{ProductRank, ProductTable},
    shard::{ShardError, encode},
};

/// A category: the path of names that leads to it. So `Accessories` of cameras and of clothing are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct CategoryNumber(u32);

impl CategoryNumber {
    fn index(self) -> usize {
        self.0 as usize
    }
}

/// The products with tokens and a category, by category. A product is in its most specific category, its leaf, and in
/// all those above. The corpus does not separate several paths of a record. So they count as one, and the leaf is the
/// end of the last.
pub(super) struct Categories {
    /// In the order of a walk through the tree: those of a category stand in a row.
    products: Vec<ProductRank>,
    categories: Vec<Category>,
    /// For each product of the graph.
    leaves: Vec<Option<CategoryNumber>>,
}

struct Category {
    parent: Option<CategoryNumber>,
    /// Where its products are in `products`.
    range: Range<usize>,
}

impl Categories {
    /// Reads the categories of the graph's products from the corpus tables of these shards.
    pub(super) fn load(
        corpus: &Path,
        shards: &[encode::PlannedShard],
        products: &ProductTable,
        texts: &FirstSegments,
        hashes: &mut Hashes,
    ) -> Result<Self, ShardError> {
        let mut tree = Tree::default();
        for table in shards.iter().map(encode::PlannedShard::corpus_table).filter(|t| t.name.starts_with("products-")) {
            hashes.verify(corpus, table)?;
            for rows in open_corpus_products(&corpus.join(&table.name))?.read::<ProductCategoryRows>(1 << 14) {
                for row in rows?.iter() {
                    if let Some(product) = products.rank(row.product_id)? {
                        tree.add(product, row.categories);
                    }
                }
            }
        }
        Ok(tree.finish(texts))
    }

    /// The products of each category of a product, from its leaf upwards.
    pub(super) fn of(&self, product: ProductRank) -> impl Iterator<Item = &[ProductRank]> {
        let category = |number: CategoryNumber| &self.categories[number.index()];
        iter::successors(self.leaves[product.index()], move |&number| category(number).parent)
            .map(move |number| &self.products[category(number).range.clone()])
    }
}

/// Categories while they are read.
pub(super) struct Tree {
    /// The first has no name and is the parent of the most general ones. Parents come before children.
    nodes: Vec<Node>,
}

#[derive(Default)]
struct Node {
    parent: Option<CategoryNumber>,
    /// By name, so that the walk does not depend on the order of reading.
    children: BTreeMap<String, CategoryNumber>,
    /// The products whose leaf it is.
    products: Vec<ProductRank>,
}

impl Default for Tree {
    fn default() -> Self {
        Self { nodes: vec![Node::default()] }
    }
}

impl Tree {
    const ROOT: CategoryNumber = CategoryNumber(0);

    pub(super) fn add<'a>(&mut self, product: ProductRank, path: impl IntoIterator<Item = &'a str>) {
        let leaf = path.into_iter().fold(Self::ROOT, |parent, name| self.child(parent, name));
        self.nodes[leaf.index()].products.push(product);
    }

    fn child(&mut self, parent: CategoryNumber, name: &str) -> CategoryNumber {
        if let Some(&known) = self.nodes[parent.index()].children.get(name) {
            return known;
        }
        let number = CategoryNumber(self.nodes.len() as u32);
        self.nodes[parent.index()].children.insert(name.to_owned(), number);
        self.nodes.push(Node { parent: (parent != Self::ROOT).then_some(parent), ..Node::default() });
        number
    }

    pub(super) fn finish(self, texts: &FirstSegments) -> Categories {
        let mut products = Vec::new();
        let mut leaves = vec![None; texts.len()];
        let mut categories: Vec<Category> =
            self.nodes.iter().map(|node| Category { parent: node.parent, range: 0..0 }).collect();
        let mut open = vec![Self::ROOT];
        while let Some(number) = open.pop() {
            let node = &self.nodes[number.index()];
            let start = products.len();
            if number != Self::ROOT {
                products.extend(node.products.iter().copied().filter(|&product| texts.has_tokens(product)));
                products[start..].sort_unstable();
                node.products.iter().for_each(|product| leaves[product.index()] = Some(number));
            }
            categories[number.index()].range = start..products.len();
            open.extend(node.children.values().rev());
        }
        // The walk visits what is below a category right after it, and children have higher numbers.
        for number in (0..categories.len()).rev() {
            if let Category { parent: Some(parent), ref range } = categories[number] {
                let end = range.end;
                let above = &mut categories[parent.index()].range;
                above.end = above.end.max(end);
            }
        }
        Categories { products, categories, leaves }
    }
}
