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

/// Which names of other data sets mean a field, in lower case and without other characters than letters and digits. The
/// best come first, and parts before whole names.
struct Meaning {
    name: &'static str,
    /// A part of the name.
    has: &'static [&'static str],
    /// The whole name.
    is: &'static [&'static str],
}

const PRODUCT_ID: Meaning = Meaning {
    name: "asin",
    has: &[
        "asin",
        "productid",
        "sku",
        "itemid",
        "productuid",
        "productcode",
        "goodsid",
        "articleid",
        "movieid",
        "bookid",
        "listingid",
    ],
    is: &["id", "item", "pid", "gtin", "ean", "upc", "uniqid", "businessid", "identifier", "handle"],
};

/// Fields of products, the most telling first.
const OF_PRODUCTS: &[Meaning] = &[
    Meaning { name: "brand", has: &["brand", "manufacturer"], is: &["store", "maker", "vendor"] },
    Meaning { name: "category", has: &["categor", "breadcrumb", "producttype"], is: &["department", "genres"] },
    Meaning { name: "feature", has: &["bullet", "feature", "highlight"], is: &[] },
    Meaning { name: "description", has: &["descr", "bodyhtml"], is: &["desc", "about", "body", "content"] },
    Meaning {
        name: "title",
        has: &["producttitle", "productname", "title", "itemname", "nameofproduct"],
        is: &["name"],
    },
];

/// Fields of reviews, the most telling first.
const OF_REVIEWS: &[Meaning] = &[
    Meaning { name: "overall", has: &["rating", "overall", "reviewscore"], is: &["stars", "score"] },
    Meaning {
        name: "reviewerID",
        has: &["userid", "reviewerid", "customerid", "authorid"],
        is: &["user", "author", "nickname"],
    },
    Meaning {
        name: "summary",
        has: &["reviewtitle", "reviewheadline", "commenttitle", "summary"],
        is: &["headline", "subject"],
    },
    Meaning {
        name: "reviewText",
        has: &["reviewtext", "reviewbody", "reviewcontent", "reviewcomment", "commenttext", "customerreview"],
        is: &["review", "text", "comment", "comments", "content", "body", "sentence", "message", "feedback"],
    },
    Meaning {
        name: "unixReviewTime",
        has: &["reviewtime", "reviewdate", "createdat", "datecreated", "creationdate", "submissiontime", "timestamp"],
        is: &["time", "date"],
    },
];

/// The text of a review where its stars and its author are named, as Magento does.
const TEXT_OF_RATED: Meaning = Meaning { name: "reviewText", has: &[], is: &["detail"] };

/// What a name ends with whose values say something about the values of a field, and are none of it.
const ABOUT: &[&str] = &["id", "length", "lenght", "count", "url", "image", "date"];

/// A name in lower case, without other characters than letters and digits.
fn plain(name: &str) -> String {
    name.chars().filter(|c| c.is_alphanumeric()).flat_map(char::to_lowercase).collect()
}

impl Meaning {
    fn of(&self, name: &str) -> bool {
        self.rank(name).is_some()
    }

    /// How well a name fits, the best first.
    fn rank(&self, name: &str) -> Option<usize> {
        if name == self.name {
            return Some(0);
        }
        let plain = plain(name);
        if plain == self.name.to_lowercase() {
            return Some(1);
        }
        let is_text = OF_PRODUCTS.iter().chain(OF_REVIEWS).any(|meaning| meaning.name == self.name)
            && !["reviewerID", "unixReviewTime"].contains(&self.name);
        if is_text && ABOUT.iter().any(|end| plain.ends_with(end)) {
            return None;
        }
        let has = self.has.iter().position(|part| plain.contains(part));
        let is = || self.is.iter().position(|whole| plain == *whole).map(|at| self.has.len() + at);
        has.or_else(is).map(|at| at + 2)
    }

    fn find<'f>(&self, found: &'f [String], taken: &[Renamed<'f>]) -> Option<Renamed<'f>> {
        let free = |name: &&String| !taken.iter().any(|known| known.found == **name);
        // A quote could not be typed.
        let can_be_typed = |name: &&String| !name.contains(['\'', '"', '\\', '`', '$']);
        let fits = found.iter().filter(free).filter(can_be_typed).filter_map(|name| Some((self.rank(name)?, name)));
        // A product has one id, and some variants have none.
        let is_of_variant = |name: &str| self.name == PRODUCT_ID.name && plain(name).contains("variant");
        let (_, found) = fits.min_by_key(|(rank, name)| (is_of_variant(name), *rank))?;
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
    if has(&all, "overall") && has(&all, "reviewerID") && !has(&all, "reviewText") {
        all.extend(TEXT_OF_RATED.find(found, &all));
    }
    if has(&all, "reviewText") && !is_of_product(found, &all) && !is_product_with_reviews(found) {
        // The title of something with a text is its summary.
        if !has(&all, "summary") {
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

fn has(all: &[Renamed<'_>], name: &str) -> bool {
    all.iter().any(|field| field.name == name)
}

/// Whether the text that was found for a review is more likely that of a product, or a number: its name is used for
/// both, something else is named that only products have, and nothing that only reviews have.
fn is_of_product(found: &[String], all: &[Renamed<'_>]) -> bool {
    let text = all.iter().find(|field| field.name == "reviewText").map(|field| plain(field.found));
    // A number of comments often stands next to an average of stars.
    let of_reviews: &[&str] = match text.as_deref() {
        Some("body" | "content") => &["overall", "reviewerID", "summary", "unixReviewTime"],
        Some("comments") => &["reviewerID", "summary", "unixReviewTime"],
        _ => return false,
    };
    let mut of_products = OF_PRODUCTS.iter().filter(|meaning| meaning.name != "title");
    !of_reviews.iter().any(|name| has(all, name)) && of_products.any(|meaning| meaning.find(found, all).is_some())
}

/// Whether these are the fields of a product that has its reviews inside, as JSON-LD does.
pub(super) fn is_product_with_reviews(found: &[String]) -> bool {
    let is = |names: &[&str]| found.iter().any(|name| names.contains(&plain(name).as_str()));
    let is_flat = is(&["rating", "stars", "score", "overall", "userid", "reviewerid", "customerid"]);
    is(&["review", "reviews"]) && is(&["description"]) && is(&["name", "title"]) && !is_flat
}

/// Whether a name means the stars of a review.
pub(super) fn is_rating(name: &str) -> bool {
    OF_REVIEWS[0].of(name)
}

/// Whether a name means any field of a dump.
pub(super) fn is_known(name: &str) -> bool {
    PRODUCT_ID.of(name) || OF_PRODUCTS.iter().chain(OF_REVIEWS).any(|meaning| meaning.of(name))
}

/// The field that may be the time of a review.
pub(super) fn time(found: &[String]) -> Option<&str> {
    OF_REVIEWS.last()?.find(found, &[]).map(|field| field.found)
}

/// The field that most likely is a reviewer's id.
pub(super) fn reviewer(found: &[String]) -> Option<&str> {
    OF_REVIEWS[1].find(found, &[]).map(|field| field.found)
}

/// The field that most likely is a product's id.
pub(super) fn product_id(found: &[String]) -> Option<&str> {
    PRODUCT_ID.find(found, &[]).map(|field| field.found)
}

/// Whether a field that the dumps do not have is a product's id.
pub(super) fn names_product(found: &[String]) -> bool {
    let others = found.iter().filter(|name| !is_field(name));
    others.into_iter().any(|name| PRODUCT_ID.rank(name).is_some_and(|rank| rank < 2 + PRODUCT_ID.has.len()))
}

/// Whether fields are those of orders: what was bought together, without a text.
pub(super) fn are_of_orders(found: &[String]) -> bool {
    const ORDERS: [&str; 6] = ["orderid", "orderno", "basketid", "cartid", "transactionid", "invoiceno"];
    found.iter().any(|name| ORDERS.contains(&plain(name).as_str())) && names_product(found) && renamed(found).is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_best_name_is_taken_and_not_the_first() {
        let all = |names: &str| {
            let names: Vec<String> = names.split(',').map(str::to_owned).collect();
            let found = renamed(&names);
            let mut found: Vec<String> = found.iter().map(|it| format!("{}={}", it.name, it.found)).collect();
            found.sort();
            found.join(" ")
        };
        for (names, wanted) in [
            (
                "Id,ProductId,UserId,ProfileName,Score,Time,Summary,Text",
                "asin=ProductId overall=Score reviewText=Text reviewerID=UserId summary=Summary unixReviewTime=Time",
            ),
            (
                "review_id,review_score,review_comment_title,review_comment_message,review_creation_date",
                "overall=review_score reviewText=review_comment_message summary=review_comment_title \
                 unixReviewTime=review_creation_date",
            ),
            (
                "Handle,Title,Body (HTML),Vendor,Product Category,Type,Variant SKU",
                "asin=Handle brand=Vendor category=Product Category description=Body (HTML) title=Title",
            ),
            (
                "ID,SKU,Name,Short description,Description,Categories",
                "asin=SKU category=Categories description=Description title=Name",
            ),
            (
                "product_id,product_name,brand_id,brand_name,rating_count",
                "asin=product_id brand=brand_name title=product_name",
            ),
            ("id,product_uid,product_title", "asin=product_uid title=product_title"),
            ("sku,name,body,vendor", "asin=sku brand=vendor description=body title=name"),
            ("item_id,title,content,brand", "asin=item_id brand=brand description=content title=title"),
            (
                "product_id,title,description,comments,rating,category",
                "asin=product_id category=category description=description title=title",
            ),
            ("sku,brand,body,stars", "asin=sku overall=stars reviewText=body"),
            ("product_id,brand,review", "asin=product_id reviewText=review"),
            (
                "review_id,created_at,title,detail,nickname,sku,rating",
                "asin=sku overall=rating reviewText=detail reviewerID=nickname summary=title unixReviewTime=created_at",
            ),
            ("sku,name,detail,rating", "asin=sku title=name"),
            (
                "@context,@type,sku,name,description,brand,aggregateRating,review",
                "asin=sku brand=brand description=description title=name",
            ),
            ("sku,name,description,review,rating", "asin=sku overall=rating reviewText=review"),
            ("order_id,product_id,quantity", ""),
        ] {
            assert_eq!(all(names), wanted, "{names}");
        }
    }

    #[test]
    fn orders_are_told_from_products() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        assert!(are_of_orders(&names(&["order_id", "product_id", "quantity"])));
        assert!(!are_of_orders(&names(&["order_id", "product_id", "product_name"])));
        assert!(!are_of_orders(&names(&["order_id", "user_id"])));
    }
}
