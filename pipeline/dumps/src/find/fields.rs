//! Fields of other data sets, and the names that they have in the dumps.

/// A field of a dump and the field of another data set with its values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Renamed<'f> {
    /// The name in the dumps.
    pub(super) name: &'static str,
    /// The name that was found.
    pub(super) found: &'f str,
}

impl Renamed<'_> {
    /// Whether its values are text of a document.
    pub(super) fn is_text(&self) -> bool {
        matches!(self.name, "title" | "description" | "feature" | "reviewText" | "summary")
    }
}

/// Names of the dumps that identify little: other data have them, too.
const FIELDS: &[&str] = &[
    "asin",
    "parent_asin",
    "title",
    "description",
    "feature",
    "features",
    "category",
    "categories",
    "brand",
    "store",
    "details",
    "price",
    "images",
    "summary",
    "text",
    "reviewText",
    "reviewerID",
    "user_id",
    "overall",
    "rating",
];

/// Whether a field of the dumps has this name.
pub(super) fn is_field(name: &str) -> bool {
    FIELDS.contains(&name)
}

/// Which names of other data sets mean a field.
struct Meaning {
    name: &'static str,
    /// The whole name, in lower case and without other characters than letters and digits.
    is: &'static [&'static str],
    /// A part of the name.
    has: &'static [&'static str],
}

const PRODUCT_ID: Meaning = Meaning {
    name: "asin",
    is: &["asin", "parentasin", "id", "item", "pid", "gtin", "ean", "upc", "uniqid", "businessid", "identifier"],
    has: &["sku", "productid", "itemid", "productcode", "goodsid", "articleid", "movieid", "bookid", "listingid"],
};

/// Fields of products, the most telling first.
const OF_PRODUCTS: &[Meaning] = &[
    Meaning { name: "brand", is: &["store", "maker"], has: &["brand", "manufacturer"] },
    Meaning { name: "category", is: &["department", "genres"], has: &["categor", "breadcrumb", "producttype"] },
    Meaning { name: "feature", is: &[], has: &["bullet", "feature", "highlight"] },
    Meaning { name: "description", is: &["desc", "about"], has: &["descr"] },
    Meaning { name: "title", is: &["name"], has: &["title", "productname", "itemname", "nameofproduct"] },
];

/// Fields of reviews, the most telling first.
const OF_REVIEWS: &[Meaning] = &[
    Meaning { name: "overall", is: &["stars", "score"], has: &["rating", "overall", "starrating"] },
    Meaning { name: "reviewerID", is: &["user", "author"], has: &["userid", "reviewerid", "customerid", "authorid"] },
    Meaning { name: "summary", is: &["headline"], has: &["reviewtitle", "reviewheadline", "summary"] },
    Meaning {
        name: "reviewText",
        is: &["review", "text", "comment", "content", "body", "sentence", "message"],
        has: &["reviewtext", "reviewbody", "reviewcontent", "commenttext", "reviewcomment"],
    },
];

impl Meaning {
    fn of(&self, name: &str) -> bool {
        let name: String = name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect();
        self.is.contains(&name.as_str()) || self.has.iter().any(|part| name.contains(part))
    }

    fn find<'f>(&self, found: &'f [String], taken: &[Renamed<'f>]) -> Option<Renamed<'f>> {
        let free = |name: &&String| !taken.iter().any(|known| known.found == **name);
        // A quote could not be typed.
        let can_be_typed = |name: &&String| !name.contains(['\'', '"', '\\', '`', '$']);
        let mut free = found.iter().filter(free).filter(can_be_typed);
        let found = free.clone().find(|found| *found == self.name).or_else(|| free.find(|found| self.of(found)))?;
        Some(Renamed { name: self.name, found })
    }
}

/// The fields of a dump among those found. Empty if none has text.
pub(super) fn renamed(found: &[String]) -> Vec<Renamed<'_>> {
    let mut all = Vec::new();
    all.extend(PRODUCT_ID.find(found, &all));
    let id = all.len();
    for meaning in OF_REVIEWS {
        all.extend(meaning.find(found, &all));
    }
    if all.iter().any(|field| field.name == "reviewText") {
        // The title of something with a text is its summary.
        if !all.iter().any(|field| field.name == "summary") {
            let title = OF_PRODUCTS.iter().find(|meaning| meaning.name == "title");
            let title = title.and_then(|meaning| meaning.find(found, &all));
            all.extend(
                title
                    .filter(|title| title.found.eq_ignore_ascii_case("title"))
                    .map(|title| Renamed { name: "summary", ..title }),
            );
        }
        return all;
    }
    all.truncate(id);
    for meaning in OF_PRODUCTS {
        all.extend(meaning.find(found, &all));
    }
    if all.iter().any(|field| matches!(field.name, "title" | "description" | "feature")) { all } else { Vec::new() }
}

/// Whether a name means the stars of a review.
pub(super) fn is_rating(name: &str) -> bool {
    OF_REVIEWS[0].of(name)
}

/// Whether a name means any field of a dump.
pub(super) fn is_known(name: &str) -> bool {
    PRODUCT_ID.of(name) || OF_PRODUCTS.iter().chain(OF_REVIEWS).any(|meaning| meaning.of(name))
}

/// The first field that may be a reviewer's id.
pub(super) fn reviewer(found: &[String]) -> Option<&str> {
    OF_REVIEWS[1].find(found, &[]).map(|field| field.found)
}

/// The first field that may be a product's id.
pub(super) fn product_id(found: &[String]) -> Option<&str> {
    PRODUCT_ID.find(found, &[]).map(|field| field.found)
}
