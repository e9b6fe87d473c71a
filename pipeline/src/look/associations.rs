//! `ebert report associations`: degrees and relations of products by category.
//!
//! The degree of a product is the number of its associations. Memory holds the degrees of the products with
//! associations, about 100 bytes each.
use std::{
    collections::HashMap,
    fmt::Write as _,
    io,
    path::{Path, PathBuf},
};

use polars::prelude::{DataFrame, PolarsError, PolarsResult};
use schemas::{
    GraphEdgeRows, Manifest, ManifestError, Relation, StoreError, UnknownRelation, columns,
    manifest::{CorpusBody, GraphBody},
    open_graph_edges,
    store::{self, verify_file},
};

use super::{
    categories::{first_categories, quoted},
    figure,
};
use crate::{
    REMAKE,
    engine::{
        frames::{FrameError, read_sealed},
        progress::thousands,
    },
    hint::Hint,
};

/// The figure cannot be drawn.
#[derive(Debug, thiserror::Error)]
pub enum AssociationsError {
    #[error("{}{}", .0, .0.hint())]
    Manifest(#[from] ManifestError),
    #[error(transparent)]
    Frame(#[from] FrameError),
    #[error("cannot find the categories of products")]
    Query(#[from] PolarsError),
    #[error("an association of the graph cannot be read")]
    Relation(#[from] UnknownRelation),
    #[error("{}{}", .0, .0.hint())]
    Store(#[from] StoreError),
    #[error("the graph was made from another corpus than `{}`\nhint: run `{REMAKE}` to rebuild it from this one", folder.display())]
    OtherCorpus { folder: PathBuf },
    #[error(
        "no product has an association, so there is nothing to draw\nhint: `ebert shards --associations FILE` reads a file of your own"
    )]
    NoAssociations,
    #[error("cannot write the report")]
    Report(#[from] io::Error),
}

const RELATIONS: usize = Relation::ALL.len();

/// The smallest degree of each column of the histogram.
const DEGREES: [u64; 8] = [0, 1, 2, 4, 8, 16, 32, 64];

/// The products of a category.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct CategoryDegrees {
    products: u64,
    /// Sum of degrees, by relation.
    ends: [u64; RELATIONS],
    /// Products by degree, as [`DEGREES`] divides them.
    histogram: [u64; DEGREES.len()],
}

impl CategoryDegrees {
    fn add(&mut self, degrees: [u32; RELATIONS]) {
        self.products += 1;
        let degree: u64 = degrees.into_iter().map(u64::from).sum();
        self.histogram[DEGREES.partition_point(|&least| least <= degree) - 1] += 1;
        for (sum, degree) in self.ends.iter_mut().zip(degrees) {
            *sum += u64::from(degree);
        }
    }

    /// The degree of a product, on average.
    fn mean(&self, relation: usize) -> f64 {
        self.ends[relation] as f64 / self.products.max(1) as f64
    }
}

/// A category by its name.
type Row = (String, CategoryDegrees);

/// Draws the figure of the `most` categories with the most products into `out/report`.
///
/// # Errors
/// If a sealed file cannot be read, or a result cannot be written. Also if the graph is of another
/// corpus, or has no associations.
pub fn associations(out: &Path, most: usize, report: &mut dyn io::Write) -> Result<(), AssociationsError> {
    let (corpus_folder, graph_folder) = (out.join("corpus"), out.join("graph"));
    let graph = Manifest::<GraphBody>::read(&graph_folder)?;
    let corpus = Manifest::<CorpusBody>::read(&corpus_folder)?;
    if graph.body.corpus.blake3 != corpus.data_blake3() {
        return Err(AssociationsError::OtherCorpus { folder: corpus_folder });
    }
    let degrees = degrees(&graph_folder, &graph)?;
    if degrees.is_empty() {
        return Err(AssociationsError::NoAssociations);
    }
    let mut categories = HashMap::new();
    for entry in corpus.files.iter().filter(|entry| entry.name.starts_with("products-")) {
        let names = ["product_id", "categories"];
        let products = read_sealed(&corpus_folder, entry, &columns::corpus_products(), &names)?;
        add_products(&products, &degrees, &mut categories)?;
    }
    let rows = largest(categories, most);

    let folder = out.join("report");
    std::fs::create_dir_all(&folder).map_err(StoreError::io("create", &folder))?;
    let (csv_path, svg_path) = (folder.join("associations.csv"), folder.join("associations.svg"));
    store::write_file(&csv_path, csv(&rows).as_bytes())?;
    store::write_file(&svg_path, svg(&rows, &figure::origin(&graph_folder, &graph.self_blake3)).as_bytes())?;
    for (name, category) in &rows {
        let linked = category.products - category.histogram[0];
        let means = Relation::ALL.into_iter().enumerate().filter(|(at, _)| category.ends[*at] > 0);
        let means = means.map(|(at, relation)| format!("{relation} {:.1}", category.mean(at)));
        writeln!(
            report,
            "{name:32} {:>9} products {:>9} with associations   {}",
            thousands(category.products),
            thousands(linked),
            means.collect::<Vec<_>>().join("   ")
        )?;
    }
    writeln!(report, "figure    {}\ntable     {}", svg_path.display(), csv_path.display())?;
    Ok(())
}

/// The degree of each product with associations, by relation.
fn degrees(folder: &Path, graph: &Manifest<GraphBody>) -> Result<HashMap<String, [u32; RELATIONS]>, AssociationsError> {
    let mut degrees: HashMap<String, [u32; RELATIONS]> = HashMap::new();
    for entry in &graph.files {
        let table = open_graph_edges(&verify_file(folder, entry)?)?;
        for rows in table.read::<GraphEdgeRows>(1 << 13) {
            for edge in rows?.iter() {
                let edge = edge?;
                for end in [edge.product_a, edge.product_b] {
                    let of_product = match degrees.get_mut(end) {
                        Some(of_product) => of_product,
                        None => degrees.entry(end.to_owned()).or_default(),
                    };
                    of_product[edge.relation as usize] += 1;
                }
            }
        }
    }
    Ok(degrees)
}

/// Products without a category have the empty one.
fn add_products(
    products: &DataFrame,
    degrees: &HashMap<String, [u32; RELATIONS]>,
    categories: &mut HashMap<String, CategoryDegrees>,
) -> PolarsResult<()> {
    let named = first_categories(products)?;
    let (ids, names) = (named.column("product_id")?.str()?, named.column("category")?.str()?);
    let category_of: HashMap<&str, &str> = ids.iter().zip(names.iter()).filter_map(|(id, name)| id.zip(name)).collect();
    for id in products.column("product_id")?.str()?.iter().flatten() {
        let category = category_of.get(id).copied().unwrap_or_default();
        categories.entry(category.to_owned()).or_default().add(degrees.get(id).copied().unwrap_or_default());
    }
    Ok(())
}

fn largest(categories: HashMap<String, CategoryDegrees>, most: usize) -> Vec<Row> {
    let name = |name: String| if name.is_empty() { "(no category)".to_owned() } else { name };
    let mut rows: Vec<Row> = categories.into_iter().map(|(category, degrees)| (name(category), degrees)).collect();
    rows.sort_by(|a, b| b.1.products.cmp(&a.1.products).then_with(|| a.0.cmp(&b.0)));
    rows.truncate(most);
    rows
}

fn csv(rows: &[Row]) -> String {
    let mut text = String::from("category,products");
    Relation::ALL.iter().for_each(|relation| text += &format!(",mean_{relation}"));
    DEGREES.iter().for_each(|least| text += &format!(",degree_from_{least}"));
    text.push('\n');
    for (name, category) in rows {
        let _ = write!(text, "{},{}", quoted(name), category.products);
        (0..RELATIONS).for_each(|relation| text += &format!(",{:.4}", category.mean(relation)));
        category.histogram.iter().for_each(|products| text += &format!(",{products}"));
        text.push('\n');
    }
    text
}

/// Left: the mean degree by relation, as bars in a row. Right: the part of products of each degree, as a heat map.
fn svg(rows: &[Row], origin: &str) -> String {
    const HEIGHT: usize = 28;
    const BARS: usize = 440;
    const CELL: usize = 52;
    const TOP: usize = 44;
    const COLORS: [&str; RELATIONS] = ["#1b6ca8", "#e08e0b", "#4c9f50", "#b0609f"];
    const TITLE: &str = "Associations of a product: mean by relation, and part of products by degree";
    let left = figure::widest(rows.iter().map(|(name, _)| name.as_str())) + 8;
    let heat = left + BARS + 20;
    let mut svg = String::new();
    for (at, relation) in Relation::ALL.into_iter().enumerate() {
        let x = left + at * 110;
        let _ = writeln!(
            svg,
            "<rect x=\"{x}\" y=\"0\" width=\"10\" height=\"10\" fill=\"{}\"/><text x=\"{}\" y=\"10\">{relation}</text>",
            COLORS[at],
            x + 15
        );
    }
    for (at, least) in DEGREES.into_iter().enumerate() {
        let next = DEGREES.get(at + 1).map_or_else(|| "+".to_owned(), |next| format!("–{}", next - 1));
        let label =
            if DEGREES.get(at + 1) == Some(&(least + 1)) { least.to_string() } else { format!("{least}{next}") };
        let x = heat + at * CELL + CELL / 2;
        let _ = writeln!(svg, "<text x=\"{x}\" y=\"{}\" text-anchor=\"middle\">{label}</text>", TOP - 8);
    }
    let sum = |category: &CategoryDegrees| (0..RELATIONS).map(|at| category.mean(at)).sum::<f64>();
    let longest = rows.iter().map(|(_, category)| sum(category)).fold(f64::MIN_POSITIVE, f64::max);
    for (i, (name, category)) in rows.iter().enumerate() {
        let y = TOP + i * HEIGHT;
        let (middle, name) = (y + HEIGHT / 2 + 4, figure::name(name));
        let _ = writeln!(svg, "<text x=\"{}\" y=\"{middle}\" text-anchor=\"end\">{name}</text>", left - 8);
        let mut x = left as f64;
        for (at, color) in COLORS.into_iter().enumerate() {
            let length = BARS as f64 * category.mean(at) / longest;
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{}\" width=\"{length:.1}\" height=\"{}\" fill=\"{color}\"/>",
                y + 3,
                HEIGHT - 6
            );
            x += length;
        }
        for (at, &products) in category.histogram.iter().enumerate() {
            let part = products as f64 / category.products.max(1) as f64;
            figure::cell(&mut svg, (heat + at * CELL, y), (CELL, HEIGHT), part);
        }
    }
    figure::framed(TITLE, origin, (heat + DEGREES.len() * CELL, TOP + rows.len() * HEIGHT), &svg)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn degrees_are_counted_by_category() {
        let mut tea = CategoryDegrees::default();
        [[0, 0, 0, 0], [1, 0, 0, 0], [1, 2, 0, 0], [0, 0, 64, 40]].into_iter().for_each(|degrees| tea.add(degrees));
        assert_eq!((tea.products, tea.ends), (4, [2, 2, 64, 40]));
        assert_eq!(tea.histogram, [1, 1, 1, 0, 0, 0, 0, 1]);
        let one = CategoryDegrees { products: 1, ..Default::default() };
        let all = HashMap::from([("Tea".to_owned(), tea), (String::new(), one.clone()), ("Ale".to_owned(), one)]);
        let rows = largest(all, 2);
        assert_eq!(rows.iter().map(|row| row.0.as_str()).collect::<Vec<_>>(), ["Tea", "(no category)"]);
        assert!(csv(&rows).contains("\n\"Tea\",4,0.5000,0.5000,16.0000,10.0000,1,1,1,0,0,0,0,1\n"), "{}", csv(&rows));
        assert_eq!(svg(&rows, "data").matches("<rect").count(), 1 + 4 + 2 * (4 + 8));
    }
}
