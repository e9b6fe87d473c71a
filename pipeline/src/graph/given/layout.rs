//! What the fields of a row are.
use super::relation::relation_of;
use crate::graph::products::ProductTable;

/// Where the ids of a row are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// Two products and their relation.
    Associations { one: usize, other: usize, relation: usize, weight: Option<usize> },
    /// An order and one of its products.
    OrderProducts { order: usize, product: usize },
    /// The products of an order.
    Orders,
}

const RELATIONS: &[&str] = &["relation", "relationtype", "type", "kind"];
const WEIGHTS: &[&str] = &["weight", "score"];
const ORDERS: &[&str] = &["order", "basket", "cart", "transaction", "invoice", "receipt", "session"];
const PRODUCTS: &[&str] = &["asin", "parentasin", "sku", "stockcode", "productcode", "product", "item", "article"];
/// Two products whose names have nothing in common.
const PAIRS: &[(&str, &str)] = &[("product", "other"), ("anchor", "neighbor"), ("source", "target"), ("from", "to")];
/// The ends of the names of two products, such as those of `sku_1` and `sku_2`. pandas numbers the second of two
/// equal names.
const PAIR_ENDS: &[(&str, &str)] = &[("a", "b"), ("1", "2"), ("", "1"), ("", "2")];

/// What the names of columns tell.
pub(super) enum Header {
    Layout(Layout),
    /// The products of an order, numbered.
    Orders,
    /// Two products, without a relation.
    NoRelation,
    /// A product, but neither an order nor another product.
    OnlyProduct,
    /// Nothing.
    Unknown,
}

impl Layout {
    /// The layout that columns of these names have.
    pub(super) fn of_names(names: &[&str]) -> Header {
        let names: Vec<String> = names.iter().map(|name| plain(name)).collect();
        let find = |wanted: &str| names.iter().position(|name| *name == wanted);
        let any = |wanted: &[&str]| wanted.iter().find_map(|name| find(name));
        let numbered = PRODUCTS.iter().chain(&["id"]).find_map(|product| {
            let find = |end: &str| find(&format!("{product}{end}"));
            let pair = PAIR_ENDS.iter().find_map(|(one, other)| find(one).zip(find(other)))?;
            Some((pair, find("3").is_some()))
        });
        if let Some((_, true)) = numbered {
            return Header::Orders;
        }
        let pair = numbered.map(|(pair, _)| pair);
        if let Some((one, other)) = pair.or_else(|| PAIRS.iter().find_map(|(one, other)| find(one).zip(find(other)))) {
            return match any(RELATIONS) {
                Some(relation) => Header::Layout(Self::Associations { one, other, relation, weight: any(WEIGHTS) }),
                None => Header::NoRelation,
            };
        }
        match (any(ORDERS), any(PRODUCTS)) {
            (Some(order), Some(product)) => Header::Layout(Self::OrderProducts { order, product }),
            (None, Some(_)) if names.len() > 1 => Header::OnlyProduct,
            _ => Header::Unknown,
        }
    }

    /// Whether one of these names is that of a relation.
    pub(super) fn has_relation(names: &[&str]) -> bool {
        names.iter().any(|name| RELATIONS.contains(&plain(name).as_str()))
    }

    /// The column of these names that most likely has the ids of products.
    pub(super) fn product_of(names: &[&str]) -> Option<usize> {
        first_of(PRODUCTS, names)
    }

    /// The column of these names that has relations.
    pub(super) fn relation_of(names: &[&str]) -> Option<usize> {
        first_of(RELATIONS, names)
    }

    /// The column of these names that has weights.
    pub(super) fn weight_of(names: &[&str]) -> Option<usize> {
        first_of(WEIGHTS, names)
    }

    /// The columns of these names that may be products.
    pub(super) fn products_of(names: &[&str]) -> Vec<usize> {
        let may_be = |name: &&str| PRODUCTS.contains(&plain(name).as_str());
        names.iter().enumerate().filter(|(_, name)| may_be(name)).map(|(at, _)| at).collect()
    }

    /// The same layout, with the column of products that has most products of the corpus in these rows.
    pub(super) fn with_known_products(self, names: &[&str], rows: &[Vec<&str>], products: &ProductTable) -> Self {
        let Self::OrderProducts { order, product } = self else { return self };
        let known = |column: usize| {
            let fields = rows.iter().filter_map(|row| row.get(column));
            fields.filter(|field| products.has_given(field)).count()
        };
        let others = Self::products_of(names).into_iter().filter(|&column| column != order);
        let product = others.fold(product, |best, other| if known(other) > known(best) { other } else { best });
        Self::OrderProducts { order, product }
    }

    /// The layout that rows without names have. `None` if no field is a product.
    pub(super) fn of_rows(rows: &[Vec<&str>], products: &ProductTable) -> Option<Self> {
        // If the ids cannot be read, reading the rows reports that.
        let is_product = |field: &&str| products.has_given(field);
        let is_relation = |row: &&Vec<&str>| row.get(2).is_some_and(|field| relation_of(field).is_some());
        if rows.iter().all(|row| (3..=4).contains(&row.len()))
            && 2 * rows.iter().filter(is_relation).count() > rows.len()
        {
            let weight = rows.iter().all(|row| row.len() == 4).then_some(3);
            return Some(Self::Associations { one: 0, other: 1, relation: 2, weight });
        }
        let second_only = |row: &&Vec<&str>| is_product(&row[1]) && !is_product(&row[0]);
        if rows.iter().all(|row| row.len() == 2) && rows.iter().filter(second_only).count() * 2 > rows.len() {
            return Some(Self::OrderProducts { order: 0, product: 1 });
        }
        rows.iter().flatten().any(is_product).then_some(Self::Orders)
    }

    /// The fewest fields of a row, if that is known.
    pub(super) fn fields(self) -> Option<usize> {
        match self {
            Self::Associations { one, other, relation, .. } => Some(one.max(other).max(relation) + 1),
            Self::OrderProducts { order, product } => Some(order.max(product) + 1),
            Self::Orders => None,
        }
    }

    /// The name in manifests.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Associations { .. } => "associations",
            Self::OrderProducts { .. } => "order_products",
            Self::Orders => "orders",
        }
    }
}

/// The column that has the first of the wanted names.
fn first_of(wanted: &[&str], names: &[&str]) -> Option<usize> {
    wanted.iter().find_map(|wanted| names.iter().position(|name| plain(name) == *wanted))
}

/// A name in lower case, without `id` or `no` at its end, or before the number at its end.
fn plain(name: &str) -> String {
    let name: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
    let letters = name.trim_end_matches(|c: char| c.is_ascii_digit());
    let short = ["number", "id", "no"].into_iter().find_map(|end| letters.strip_suffix(end));
    let short = short.filter(|short| !short.is_empty()).unwrap_or(letters);
    format!("{short}{}", &name[letters.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_columns_tell_the_layout() {
        let layout = |names: &str| match Layout::of_names(&names.split(',').collect::<Vec<_>>()) {
            Header::Layout(layout) => Some(layout),
            Header::Orders | Header::NoRelation | Header::OnlyProduct | Header::Unknown => None,
        };
        let orders = |order, product| Some(Layout::OrderProducts { order, product });
        for (names, wanted) in [
            (
                "product_a,product_b,relation",
                Some(Layout::Associations { one: 0, other: 1, relation: 2, weight: None }),
            ),
            (
                "Weight,Relation,asin1,asin2",
                Some(Layout::Associations { one: 2, other: 3, relation: 1, weight: Some(0) }),
            ),
            (
                "product_id_1,product_id_2,relation",
                Some(Layout::Associations { one: 0, other: 1, relation: 2, weight: None }),
            ),
            ("id1,id2,type", Some(Layout::Associations { one: 0, other: 1, relation: 2, weight: None })),
            (
                "product_id,product_id.1,relation",
                Some(Layout::Associations { one: 0, other: 1, relation: 2, weight: None }),
            ),
            ("Item(s),Item 1,Item 2,Item 3", None),
            ("order,product", orders(0, 1)),
            ("InvoiceNo,StockCode,Description", orders(0, 1)),
            ("item_id,order_id", orders(1, 0)),
            ("order_id,product,sku", orders(0, 2)),
            ("customer_id,product_id,quantity", None),
            ("product_a,product_b", None),
            ("B01,B02", None),
            ("id,number", None),
        ] {
            assert_eq!(layout(names), wanted, "{names}");
        }
    }
}
