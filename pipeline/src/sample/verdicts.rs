//! The sentences of reviews: openers, judgements, comparisons, endings and short reviews.
use super::catalog::Aspect;

/// Aspects of anything that is sold by mail.
pub const GENERAL: [Aspect; 10] = [
    Aspect(
        "shipping",
        "was fast, two days from order to door|was quicker than promised",
        "took three weeks|was slow and the tracking never updated",
    ),
    Aspect(
        "the packaging",
        "was neat with little waste|kept everything safe",
        "was torn and taped shut again|was ridiculous, a huge box with no padding",
    ),
    Aspect(
        "the price",
        "is more than fair|is hard to beat|was lower than in the local store",
        "is too high for what you get|went up the week after I ordered",
    ),
    Aspect(
        "customer service",
        "answered within a day and sent a replacement|could not have been nicer",
        "never wrote back|offered me ten percent off the next order, no thanks",
    ),
    Aspect(
        "the overall quality",
        "is better than I expected at this price|is excellent",
        "is disappointing|has gone downhill since my last order",
    ),
    Aspect(
        "the look",
        "is classy|matches the photos|is even nicer in person",
        "is cheap in person|does not match the photos",
    ),
    Aspect(
        "the description",
        "is accurate|told me everything I needed to know",
        "is misleading|leaves out the important part",
    ),
    Aspect("the instructions", "are clear with good pictures|were easy to follow", "are useless|are missing a page"),
    Aspect("value for money", "is outstanding|is very good", "is poor|is not there"),
    Aspect("the return process", "was painless|took five minutes", "was a hassle|cost me more than the item"),
];

/// How a sentence starts that needs one before it.
pub const CONNECTIVES: [&str; 13] = [
    "Best of all",
    "I also",
    "First,",
    "On top",
    "Also",
    "To make",
    "That said",
    "As for",
    "Half a star off",
    "If I have",
    "Unfortunately",
    "Just be",
    "The one downside",
];

/// First sentences.
pub const OPENERS: [&str; 30] = [
    "I bought {this} {head} to {use}.",
    "I have been using {this} {kind} {name} for [two weeks|a month|three months|half a year|over a year] now.",
    "After reading a lot of reviews I ordered the {brand} {name}.",
    "My [husband|wife|sister|mother|roommate|best friend] recommended {this} {head} to me.",
    "I needed {a} {head} to {use} {place}.",
    "This is my [second|third|fourth] order of {this} {head} from {brand}.",
    "My old {head} finally gave out after [six|eight|ten] years.",
    "I was skeptical about {brand} at first.",
    "I got {this} {head} as a gift [for my birthday|last Christmas|from my daughter].",
    "Bought {them} for my [dad|mom|son|husband|wife|boyfriend] who likes to {theiruse}.",
    "I wanted {a} {kind} {name} with {feature}, and there are not many.",
    "I have owned [three|four|five|many] {heads} over the years.",
    "We purchased {this} {name} in {color} [last month|in March|in the fall|before our trip].",
    "I don't usually write reviews, but here we go.",
    "I did a lot of research before I picked {this} {kind} {name}.",
    "Let me start by saying that I use {them} almost every day.",
    "I ordered the {size} version in {color}.",
    "Where do I begin with {this} {head}?",
    "I paid {price} for {this} {head}.",
    "If you want to {youruse}, read on.",
    "I am [a beginner|no expert|rather picky|new to this], so take my review with a grain of salt.",
    "[UPDATE|Update after two months|Edit]: still using {them}, and my opinion has not changed.",
    "I saw {this} {head} at a friend's house and had to look {them} up.",
    "We looked at {heads} from {brand} and {otherbrand}.",
    "What sold me on {this} {head} was {feature}.",
    "I needed a gift for someone who likes to {theiruse}.",
    "It took me a while to decide between the {kind} and the {otherkind} version.",
    "I use {this} {name} {place} and {place}.",
    "Ordered on Monday, and {it} {was} here on Wednesday.",
    "I was looking for {a} {head} made from {material}.",
];

/// What is said when an aspect pleases; `{aspect}` and `{good}` are its parts.
pub const PRAISE: [&str; 18] = [
    "{aspect} {good}.",
    "I love that {aspect} {good}.",
    "{aspect} really {good}, which surprised me.",
    "Best of all, {aspect} {good}.",
    "I also like that {aspect} {good}.",
    "For me {aspect} {good}, and that is what counts.",
    "{aspect} {good}, just as described.",
    "I can confirm that {aspect} {good}.",
    "First, {aspect} {good}.",
    "On top of that, {aspect} {good}.",
    "{aspect} {good}. What more could you ask for?",
    "Even my [husband|wife|mother in law|teenager] noticed that {aspect} {good}.",
    "Compared to my old {head}, {aspect} {good}.",
    "I worried about {topic}, but so far {aspect} {good}.",
    "As for {topic}: no complaints. {aspect} {good}.",
    "After weeks of use, {aspect} {good}.",
    "In my experience {aspect} {good}.",
    "Thanks to {feature} I can {benefit}, and {aspect} {good}.",
];

/// What is said when an aspect disappoints; `{aspect}` and `{bad}` are its parts.
pub const BLAME: [&str; 18] = [
    "{aspect} {bad}.",
    "Unfortunately, {aspect} {bad}.",
    "My biggest complaint is that {aspect} {bad}.",
    "Sad to say, {aspect} {bad}.",
    "I wanted to like {them}, but {aspect} {bad}.",
    "The problem is that {aspect} {bad}.",
    "To make matters worse, {aspect} {bad}.",
    "Be warned: {aspect} {bad}.",
    "The photos do not show that {aspect} {bad}.",
    "I can't recommend {them} because {aspect} {bad}.",
    "As for {topic}: what a let down. {aspect} {bad}.",
    "{aspect} {bad}, and I am not the only reviewer who says so.",
    "Within days I noticed that {aspect} {bad}.",
    "I expected better from {brand}: {aspect} {bad}.",
    "They promise {feature}, yet {aspect} {bad}.",
    "Also, {aspect} {bad}.",
    "I contacted the seller because {aspect} {bad}.",
    "For {price}, it is not acceptable that {aspect} {bad}.",
];

/// Small complaints inside a good review.
pub const NIGGLES: [&str; 8] = [
    "My only complaint is that {aspect} {bad}.",
    "Half a star off because {aspect} {bad}.",
    "If I have to nitpick, {aspect} {bad}.",
    "The one downside: {aspect} {bad}.",
    "Not perfect, since {aspect} {bad}.",
    "I could live without one thing: {aspect} {bad}.",
    "That said, {aspect} {bad}.",
    "Just be aware that {aspect} {bad}.",
];

/// Sentences about the product that do not judge.
pub const NEUTRAL: [&str; 16] = [
    "{it} {has} {feature}, so I can {benefit}.",
    "More than anything I use {them} to {use}.",
    "I mostly use {them} {place}.",
    "I use {them} with my {comphead} from {compbrand}.",
    "{it} come{s} with {feature} and {feature}.",
    "I also bought {comp}, and they go well together.",
    "Made of {material}, as far as I can tell.",
    "The size I have is {size}.",
    "I can {use}, {use}, or just {use}.",
    "Mine {is} the {kind} {head} in {color}.",
    "What I use most is the {bare}, because I like to {benefit}.",
    "The box also mentions {feature}, but I have not tried that yet.",
    "I would say {it} {is} best for {user}.",
    "So far I have used {them} to {use} and to {use}.",
    "The box says {material}, and the part number is {part}.",
    "I wrote the date on the bottom to see how long {it} last{s}.",
];

/// Comparisons which the reviewed product wins, and those it loses.
pub const BETTER: [&str; 9] = [
    "Much better than the {otherbrand} {head} I had before.",
    "I also tried the {otherkind} {head} from {otherbrand} and sent it back.",
    "The {otherbrand} version is made of {othermaterial} and does not compare.",
    "My sister has the {otherbrand} {head}, and now she wants mine.",
    "Compared with {otherbrand}, {this} {head} feel{s} sturdier and cost{s} less.",
    "I was about to buy the {otherkind} {head} by {otherbrand}, and I am glad I did not.",
    "We had {otherbrand} for years, but {brand} wins.",
    "{it} work{s} even better together with my {compbrand} {comphead}.",
    "Out of the three {heads} I tested, the {brand} came first.",
];

/// See [`BETTER`].
pub const WORSE: [&str; 8] = [
    "My old {otherbrand} {head} was far better.",
    "I went back to the {otherkind} {head} from {otherbrand}.",
    "Spend a little more and get the {otherbrand} {head}.",
    "The {otherbrand} version in {othermaterial} costs the same and works.",
    "I replaced {them} with a {otherkind} {head} by {otherbrand}, which is great.",
    "Next to my friend's {otherbrand} {head}, {this} {head} look{s} like a toy.",
    "{it} did not even fit with my {compbrand} {comphead}.",
    "Out of the three {heads} I tested, the {brand} came last.",
];

/// Last sentences by stars: one, two, three, four and five.
pub const ENDINGS: [&[&str]; 5] = [
    &[
        "Do not buy {this} {head}.",
        "Save your money.",
        "Total waste of money, going back tomorrow.",
        "Zero stars if I could.",
        "I want a refund.",
        "Stay away from {brand}.",
        "Straight to the trash.",
    ],
    &[
        "I would not buy {them} again.",
        "Two stars because {it} {was} cheap.",
        "I expected more from {brand}.",
        "I will be looking for {another} {head}.",
        "Returned.",
        "Not worth {price}.",
    ],
    &[
        "It's ok for the price.",
        "Not great, not terrible.",
        "Three stars seems fair.",
        "{it} do{es} the job, barely.",
        "I might try {otherbrand} next time.",
        "You get what you pay for.",
        "Good idea, average execution.",
    ],
    &[
        "Overall a good buy.",
        "Four stars from me.",
        "I would buy {them} again.",
        "Happy with the purchase so far.",
        "Recommended for {user} with small reservations.",
        "Nearly perfect.",
        "Glad I bought {them}.",
    ],
    &[
        "Highly recommend!",
        "I will definitely buy {another} {head}.",
        "Worth every penny.",
        "I could not be happier with {this} {head}.",
        "Five stars, and I would give six.",
        "If you want to {youruse}, get {this} {head}.",
        "Already ordered more for my [mom|sister|neighbor|brother].",
        "Thank you, {brand}!",
        "Buy {them}, you will not regret it.",
        "Best {head} I have ever owned.",
    ],
];

/// Whole short reviews by stars.
pub const SHORT: [&[&str]; 5] = [
    &[
        "Junk.",
        "Broke after [one use|a week|two days].",
        "Terrible {head}.",
        "Do not waste your money",
        "Awful. {aspect} {bad}.",
        "Did not work at all.",
        "Very disappointed",
        "Not as described.",
    ],
    &[
        "Meh.",
        "Not what I expected.",
        "Too small and {aspect} {bad}.",
        "Disappointed in {this} {head}.",
        "{aspect} {bad}",
        "poor quality",
    ],
    &["It's okay", "Average {head}.", "ok for the price", "Works, but {aspect} {bad}.", "so so", "Fine, I guess."],
    &[
        "Good {head}.",
        "Works well",
        "Nice, but {aspect} {bad}.",
        "Pretty good for the price",
        "good quality",
        "Does what it should.",
        "Like {them} a lot.",
    ],
    &[
        "Great.",
        "Five Stars",
        "Love it!",
        "Perfect",
        "Great {head}!",
        "Excellent {name}, {aspect} {good}.",
        "works great",
        "Just what I needed to {use}.",
        "Awesome {head} 👍",
        "As described. Fast shipping.",
        "Exactly what I wanted, thank you.",
        "{aspect} {good}!",
        "Great gift",
        "A+",
        "Love my new {kind} {head} ❤",
    ],
];

/// Summaries by stars.
pub const SUMMARIES: [&[&str]; 5] = [
    &[
        "One Star",
        "Don't buy",
        "Junk",
        "Waste of money",
        "{aspect} {bad}",
        "Terrible {head}",
        "Save your money!",
        "Broke right away",
        "Very disappointed with {brand}",
    ],
    &[
        "Two Stars",
        "Not impressed",
        "Disappointing {head}",
        "Expected more from {brand}",
        "{aspect} {bad}",
        "Would not buy again",
        "Meh",
    ],
    &[
        "Three Stars",
        "It's OK",
        "Average {head}",
        "Good and bad",
        "Just okay",
        "Mixed feelings about {this} {head}",
        "{aspect} {bad}",
    ],
    &[
        "Four Stars",
        "Good {head}",
        "Pretty good",
        "Nice {kind} {head}",
        "Good value",
        "Almost perfect",
        "Works well",
        "{aspect} {good}",
    ],
    &[
        "Five Stars",
        "Love {this} {head}!",
        "Great {name}",
        "Perfect to {use}",
        "Excellent quality",
        "Best {head} ever",
        "{aspect} {good}",
        "Highly recommended",
        "Great {head} for {user}",
        "Exactly as described",
        "{feature}: a game changer",
        "Works great!",
        "So happy with {this} {kind} {head}",
    ],
];
