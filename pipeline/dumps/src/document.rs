//! From a record to a document: its clean text, without the boilerplate of the shop's pages.
use memchr::memchr;

mod distinct;
#[cfg(test)]
mod tests;

use distinct::DistinctStrings;

use super::{
    Generation, Record, Removals, Rule,
    boilerplate::{
        CategoryList, FeatureIndex, Field, Items, is_excerpt, is_notice, is_switch, may_hold_code, rating_headline,
        strip_code, strip_lines_of_review, undecorated,
    },
    clean::{clean, clean_line, clean_name, is_script},
};

/// Makes the documents of records. Its buffers are reused from record to record.
#[derive(Debug, Default)]
pub struct DocumentBuilder {
    text: String,
    title: String,
    brand: String,
    headline: String,
    categories: DistinctStrings,
    attributes: DistinctStrings,
    items: Items,
    removals: Removals,
}

/// The clean fields of a product.
#[derive(Clone, Copy, Debug)]
pub struct ProductDocument<'a> {
    /// The title, on one line; empty if there is none.
    pub title: &'a str,
    /// Title, subtitle, authors, features, description and values of the details, one per line.
    pub text: &'a str,
    /// The brand, if the product has one.
    pub brand: Option<&'a str>,
    /// What was removed from the record.
    pub removed: &'a Removals,
    categories: &'a DistinctStrings,
    attributes: &'a DistinctStrings,
}

impl<'a> ProductDocument<'a> {
    /// The categories: flattened, without repeats, in the order of the record.
    pub fn categories(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.categories.iter()
    }

    /// The names of the details, without repeats, in the order of the record.
    pub fn attributes(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.attributes.iter()
    }
}

/// The clean text of a review.
#[derive(Clone, Copy, Debug)]
pub struct ReviewDocument<'a> {
    /// The headline, then the body, one per line; empty if nothing is by the reviewer.
    pub text: &'a str,
    /// What was removed from the record.
    pub removed: &'a Removals,
}

impl DocumentBuilder {
    /// A builder whose documents also hold the removed texts, in [`Removals::log`].
    pub fn logging() -> Self {
        Self { removals: Removals::logging(), ..Self::default() }
    }

    /// The document of a product.
    pub fn product<'a>(&'a mut self, record: &'a Record<'_>) -> ProductDocument<'a> {
        self.removals.clear();
        self.fill_title(record);
        self.text.clear();
        self.text.push_str(&self.title);
        self.items.clear();
        for piece in record.subtitle().chain(record.author()) {
            add_lines(piece, &mut self.text);
        }
        for piece in record.features() {
            self.add_item(Field::Features, piece);
        }
        // Before items are rewritten, for categories repeat them as they were.
        self.fill_categories(record);
        for piece in record.description.iter() {
            self.add_item(Field::Description, piece);
        }
        self.items.strip(&mut self.text, &mut self.removals);
        self.add_details(record);
        self.attributes.clear();
        for key in &record.attributes {
            // Keys of the 2018 dump end with a colon: `Shipping Weight:`.
            self.attributes.insert_cleaned(key, |key| key.trim_end_matches([':', ' ']));
        }
        self.brand.clear();
        let raw = record.brand().unwrap_or_default();
        clean_name(raw, &mut self.brand);
        strip_code_of_line(&mut self.brand, &mut self.removals);
        let brand = undecorated(&self.brand, raw, &mut self.removals);
        ProductDocument {
            title: &self.title,
            text: &self.text,
            brand,
            removed: &self.removals,
            categories: &self.categories,
            attributes: &self.attributes,
        }
    }

    /// The document of a review.
    pub fn review<'a>(&'a mut self, record: &'a Record<'_>) -> ReviewDocument<'a> {
        self.removals.clear();
        self.text.clear();
        self.headline.clear();
        for headline in record.headline() {
            add_lines(headline, &mut self.headline);
        }
        let generated = rating_headline(&self.headline, record.rating()).unwrap_or(0);
        if generated > 0 {
            self.removals.remove(Rule::RatingHeadlines, &self.headline[..generated]);
        }
        self.text.push_str(&self.headline[generated..]);
        let headline_end = self.text.len();
        for piece in record.body() {
            add_lines(piece, &mut self.text);
        }
        let body_start = if headline_end > 0 { (headline_end + 1).min(self.text.len()) } else { 0 };
        if self.text[..headline_end].ends_with(" ...") {
            let (headline, body) = (&self.text[..headline_end], &self.text[body_start..]);
            if is_excerpt(headline, body) {
                self.removals.remove(Rule::HeadlineExcerpts, headline);
                self.text.drain(..body_start);
            }
        }
        strip_lines_of_review(&mut self.text, &mut self.removals);
        ReviewDocument { text: &self.text, removed: &self.removals }
    }

    fn fill_title(&mut self, record: &Record<'_>) {
        self.title.clear();
        for piece in record.title.iter() {
            if is_script(piece) {
                self.removals.remove(Rule::Scripts, piece);
                continue;
            }
            let before = self.title.len();
            if before > 0 {
                self.title.push(' ');
            }
            let start = self.title.len();
            clean_line(piece, &mut self.title);
            if self.title.len() == start {
                self.title.truncate(before);
            }
        }
        strip_code_of_line(&mut self.title, &mut self.removals);
    }

    fn add_item(&mut self, field: Field, raw: &str) {
        let range = add_lines(raw, &mut self.text);
        if !range.is_empty() {
            self.items.push(field, range);
        }
    }

    /// Appends the values of the details, without the shop's notices about shipping and prices.
    fn add_details(&mut self, record: &Record<'_>) {
        for (key, value) in record.detail_texts() {
            if is_notice(key) {
                self.removals.remove(Rule::DetailNotices, value);
                continue;
            }
            if is_switch(value) {
                self.removals.remove(Rule::DetailSwitches, value);
                continue;
            }
            // A link `(View shipping rates and policies)` follows some weights of 2018.
            add_lines(value.trim_end().strip_suffix('(').unwrap_or(value), &mut self.text);
        }
    }

    fn fill_categories(&mut self, record: &Record<'_>) {
        self.categories.clear();
        for category in record.categories() {
            self.categories.insert_cleaned(category, |category| category);
        }
        if self.categories.is_empty() {
            return;
        }
        let index = FeatureIndex::new(self.items.texts(Field::Features, &self.text));
        // In other dumps than that of 2018, one category such as `T-Shirts` may also be a feature.
        let is_of_2018 = record.record_type().is_some_and(|found| found.generation == Generation::Y2018);
        let repeats_features =
            is_of_2018 || self.categories.iter().filter(|category| index.is_feature(category)).count() > 1;
        let mut list = CategoryList::new(repeats_features);
        let mut features = Vec::new();
        self.categories.retain(|category| {
            let is_none = index.is_no_category(category, &mut list, &mut self.removals);
            if is_none && !index.is_feature(category) {
                features.push(category.to_owned());
            }
            !is_none
        });
        // These labels are features that the product's list of features does not have.
        for feature in features {
            self.add_item(Field::Features, &feature);
        }
    }
}

/// Removes the code of a line. Few lines hold a brace.
fn strip_code_of_line(line: &mut String, removals: &mut Removals) {
    if (memchr(b'{', line.as_bytes()).is_some() || memchr(b'(', line.as_bytes()).is_some()) && may_hold_code(line) {
        let stripped = strip_code(line, removals).replace('\n', " ");
        *line = stripped;
    }
}

/// Appends the clean lines of a field, on lines of their own, and returns where they are.
fn add_lines(raw: &str, text: &mut String) -> std::ops::Range<usize> {
    let before = text.len();
    if before > 0 {
        text.push('\n');
    }
    let start = text.len();
    clean(raw, text);
    if text.len() == start {
        text.truncate(before);
        return before..before;
    }
    start..text.len()
}
