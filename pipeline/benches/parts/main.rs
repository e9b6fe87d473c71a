//! Times each part of the stream on one core, compared with the libraries that people use for it.
//!
//! `parts RAW POOL TOKENIZER ROUNDS`: RAW is a gz file of reviews. Prints one JSON object. Rates are marginal, from
//! two amounts of the same text. So the time to fill caches and build tables is not in them. The parts alternate, and
//! the rates are medians. Before anything is timed, ids and matches are compared one by one.
use std::{
    collections::BTreeMap,
    hint::black_box,
    path::{Path, PathBuf},
    sync::Arc,
};

use aho_corasick::{AhoCorasick, AhoCorasickKind};
use anyhow::{Context, Result, anyhow, ensure};
use ebert_dumps::{LineReader, clean::clean, open, parse};
use ebert_english::Model;
use pipeline::{
    engine::hashes::Hashes,
    phrase::{
        matcher::{Matcher, Occurrence, Scratch},
        pool::{self, Pool},
    },
    settings::{Settings, StepSettings},
    text::{Document, Encoder, Tokenizer, language::Language, nouns::NounFinder, segment::cut},
};
use schemas::{DocumentId, PhraseSpan, Segment, SegmentBuilder, TextId, TokenRange, create_segments};

/// CPU seconds of this process so far.
fn cpu_seconds() -> f64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the struct is written to and owned here.
    unsafe { libc::clock_gettime(libc::CLOCK_PROCESS_CPUTIME_ID, &raw mut time) };
    time.tv_sec as f64 + time.tv_nsec as f64 * 1e-9
}

fn seconds(work: impl FnOnce()) -> f64 {
    let since = cpu_seconds();
    work();
    cpu_seconds() - since
}

/// The texts of reviews, cleaned, up to `bytes`.
fn read_texts(raw: &Path, bytes: usize) -> Result<Vec<String>> {
    let mut lines = LineReader::of_records(open(raw, Arc::default())?.bytes);
    let (mut texts, mut total) = (Vec::new(), 0);
    while let Some(batch) = lines.next_batch(1 << 20) {
        for line in batch.iter() {
            let mut text = String::new();
            parse(line.bytes, |record| record.review_pieces().for_each(|piece| clean(piece, &mut text)))?;
            total += text.len();
            texts.push(text);
            if total >= bytes {
                return Ok(texts);
            }
        }
    }
    Ok(texts)
}

/// Something that is timed: its name and what it does with some texts.
struct Part<'a> {
    name: &'static str,
    /// Of all texts, the share that a slow part is given.
    share: f64,
    work: Box<dyn FnMut(&[String]) + 'a>,
}

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [raw, pool, tokenizer_file, rounds] = &arguments[..] else {
        return Err(anyhow!("expected RAW POOL TOKENIZER ROUNDS"));
    };
    let rounds: usize = rounds.parse().context("ROUNDS is a number")?;
    let tokenizer = Tokenizer::load(Path::new(tokenizer_file))?;
    let pool = import(Path::new(pool), &tokenizer)?;
    let texts = read_texts(Path::new(raw), 48 << 20)?;
    let mut report: BTreeMap<String, f64> = BTreeMap::new();

    let mut made = None;
    let construction = seconds(|| made = Some(Matcher::new(&pool, &tokenizer)));
    let (matcher, lexicon) = made.context("the closure ran")??;
    report.insert("matcher_cpu_s".into(), construction);
    report.insert("matcher_mb".into(), matcher.bytes() as f64 / 1e6);
    let patterns: Vec<&str> = pool.phrases.iter().map(|p| p.text.as_str()).collect();
    let mut built = None;
    let aho_seconds = seconds(|| {
        built = Some(AhoCorasick::builder().kind(Some(AhoCorasickKind::ContiguousNFA)).build(&patterns));
    });
    let aho = built.context("the closure ran")??;
    report.insert("aho_corasick_cpu_s".into(), aho_seconds);
    report.insert("aho_corasick_mb".into(), aho.memory_usage() as f64 / 1e6);

    let json = tokenizer.json();
    let theirs = {
        let mut theirs = tokenizers::Tokenizer::from_bytes(json).map_err(|e| anyhow!("{e}"))?;
        theirs.set_encode_special_tokens(true);
        theirs
    };
    let canonical = tokenizers_next::canonicalize_str(std::str::from_utf8(json)?)
        .map_err(|e| anyhow!("the release candidate: {e}"))?;
    let next = tokenizers_next::from_json(&canonical).map_err(|e| anyhow!("the release candidate: {e}"))?;
    let options = tokenizers_next::pipeline::EncodeOptions::default();

    // Equal, one by one.
    let (mut encoder, mut document) = (Encoder::new(&lexicon), Document::default());
    let (mut scratch, mut found) = (Scratch::default(), Vec::new());
    for text in texts.iter().take(20_000) {
        encoder.encode(text, &mut document);
        let wanted = theirs.encode(text.as_str(), false).map_err(|e| anyhow!("{e}"))?;
        ensure!(wanted.get_ids().iter().copied().eq(document.ids.iter().map(|id| u32::from(*id))), "ids of {text:?}");
        matcher.find(&document, &mut scratch, &mut found);
        let spaced = spaced_words(&document, text, &tokenizer);
        ensure!(found.len() == count_by_bytes(&aho, &spaced), "matches in {text:?}");
    }

    // What later parts take is made before they are timed.
    let amounts = [texts.len() / 4, texts.len()];
    let documents: Vec<Document> = texts
        .iter()
        .map(|text| {
            encoder.encode(text, &mut document);
            document.clone()
        })
        .collect();
    let spaced: Vec<String> = texts
        .iter()
        .zip(&documents)
        .take(texts.len() / 4)
        .map(|(text, document)| spaced_words(document, text, &tokenizer))
        .collect();
    let spans: Vec<Vec<Occurrence>> = documents
        .iter()
        .map(|document| {
            matcher.find(document, &mut scratch, &mut found);
            found.clone()
        })
        .collect();
    let folder = std::env::temp_dir().join(format!("parts-{}", std::process::id()));
    std::fs::create_dir_all(&folder)?;
    let table = folder.join("reviews-00000.parquet");

    let mut parts = vec![
        Part {
            name: "wordpiece",
            share: 1.0,
            work: {
                let (mut encoder, mut document) = (Encoder::new(&lexicon), Document::default());
                Box::new(move |texts| {
                    for text in texts {
                        encoder.encode(text, &mut document);
                        black_box(&document);
                    }
                })
            },
        },
        Part {
            name: "tokenizers_0_23",
            share: 0.06,
            work: Box::new(|texts| {
                for text in texts {
                    black_box(theirs.encode(text.as_str(), false).is_ok());
                }
            }),
        },
        Part {
            name: "tokenizers_1_0_rc",
            share: 0.15,
            work: Box::new(|texts| {
                let mut ids = Vec::new();
                for text in texts {
                    ids.clear();
                    black_box(next.encode_into(text, &options, &mut ids).is_ok());
                }
            }),
        },
        Part {
            name: "phrases",
            share: 1.0,
            work: {
                let (documents, matcher) = (&documents, &matcher);
                let (mut scratch, mut found) = (Scratch::default(), Vec::new());
                Box::new(move |texts| {
                    for document in &documents[..texts.len()] {
                        matcher.find(document, &mut scratch, &mut found);
                        black_box(&found);
                    }
                })
            },
        },
        Part {
            name: "noun_phrases",
            share: 0.2,
            work: {
                let documents = &documents;
                let (mut nouns, mut found) = (NounFinder::new(Model::embedded()), Vec::new());
                Box::new(move |texts| {
                    for (text, document) in texts.iter().zip(documents) {
                        nouns.find(text, document, &mut found);
                        black_box(&found);
                    }
                })
            },
        },
        Part {
            name: "aho_corasick_bytes",
            share: 0.2,
            work: Box::new(|texts| {
                for text in &spaced[..texts.len()] {
                    black_box(count_by_bytes(&aho, text));
                }
            }),
        },
        Part {
            name: "segments_and_parquet",
            share: 1.0,
            work: {
                let (documents, spans, pool) = (&documents, &spans, &pool);
                Box::new(move |texts| write(&documents[..texts.len()], spans, pool, &table).expect("room for a table"))
            },
        },
    ];
    let mut times: BTreeMap<&str, [Vec<f64>; 2]> = BTreeMap::new();
    for _ in 0..rounds {
        for part in &mut parts {
            for (which, amount) in amounts.iter().enumerate() {
                let amount = (*amount as f64 * part.share) as usize;
                let took = seconds(|| (part.work)(&texts[..amount]));
                times.entry(part.name).or_default()[which].push(took);
            }
        }
        // The raw file's own parts, as a stream.
        for (which, amount) in amounts.iter().enumerate() {
            for (name, took) in from_the_file(Path::new(raw), *amount)? {
                times.entry(name).or_default()[which].push(took);
            }
        }
    }
    std::fs::remove_dir_all(&folder)?;
    let bytes = |share: f64, amount: usize| -> f64 {
        texts[..(amount as f64 * share) as usize].iter().map(|t| t.len() as f64).sum::<f64>() / 1e6
    };
    for (name, times) in &mut times {
        let share = parts.iter().find(|p| p.name == *name).map_or(1.0, |p| p.share);
        let [small, large] = times.each_mut().map(|times| {
            times.sort_by(f64::total_cmp);
            times[times.len() / 2]
        });
        let rate = (bytes(share, amounts[1]) - bytes(share, amounts[0])) / (large - small);
        report.insert(format!("{name}_mb_per_s"), (rate * 100.0).round() / 100.0);
    }
    println!("{}", serde_json::to_string(&report)?);
    Ok(())
}

/// CPU seconds of inflating, of reading records, and of cleaning them, for so many records of a file.
fn from_the_file(raw: &Path, records: usize) -> Result<[(&'static str, f64); 3]> {
    let (mut inflate, mut read, mut cleaning, mut left) = (0.0, 0.0, 0.0, records);
    let mut lines = LineReader::of_records(open(raw, Arc::default())?.bytes);
    let mut text = String::new();
    while left > 0 {
        let mut next = None;
        inflate += seconds(|| next = lines.next_batch(1 << 20));
        let Some(batch) = next else { break };
        let mut pieces: Vec<String> = Vec::new();
        for line in batch.iter().take(left) {
            parse(line.bytes, |record| pieces.extend(record.review_pieces().map(str::to_owned)))?;
        }
        read += seconds(|| {
            for line in batch.iter().take(left) {
                black_box(parse(line.bytes, |record| record.review_pieces().count()).is_ok());
            }
        });
        cleaning += seconds(|| {
            for piece in &pieces {
                text.clear();
                clean(piece, &mut text);
                black_box(&text);
            }
        });
        left -= batch.iter().count().min(left);
    }
    Ok([("inflate", inflate), ("records", read), ("clean", cleaning)])
}

/// The pool as the pipeline imports it.
fn import(file: &Path, tokenizer: &Tokenizer) -> Result<Pool> {
    let out: PathBuf = std::env::temp_dir().join(format!("parts-pool-{}", std::process::id()));
    let settings = Settings { out: out.clone(), ..Settings::default() };
    let settings = StepSettings { settings: &settings, tokenizer, language: Language::default() };
    let pool::Made { manifest, .. } = pool::make(settings, &pool::Source::Import(file), &mut Hashes::load(&out))?;
    let pool = pool::load(&out, &manifest)?;
    std::fs::remove_dir_all(&out)?;
    Ok(pool)
}

/// The words that matching sees, with a space before, between and after them: what a search over bytes needs to agree.
fn spaced_words(document: &Document, text: &str, tokenizer: &Tokenizer) -> String {
    let mut words = pipeline::text::Words::new(tokenizer);
    words.find(text);
    let mut spaced = String::from(" ");
    for (range, number) in words.ranges().iter().zip(&document.pool_words) {
        if *number != Document::TRANSPARENT {
            spaced.push_str(words.word(*range));
            spaced.push(' ');
        }
    }
    spaced
}

/// Overlapping search over bytes, and whether words end on both sides.
fn count_by_bytes(aho: &AhoCorasick, spaced: &str) -> usize {
    let bytes = spaced.as_bytes();
    aho.find_overlapping_iter(spaced).filter(|m| bytes[m.start() - 1] == b' ' && bytes[m.end()] == b' ').count()
}

/// Cuts documents, collects their segments and writes the table.
fn write(documents: &[Document], spans: &[Vec<Occurrence>], pool: &Pool, table: &Path) -> Result<()> {
    let mut table = create_segments(table)?;
    let mut phrases = Vec::new();
    for (chunk, spans) in documents.chunks(2_000).zip(spans.chunks(2_000)) {
        let mut segments = SegmentBuilder::default();
        for (number, (document, found)) in chunk.iter().zip(spans).enumerate() {
            for (segment, tokens) in
                cut(&document.word_starts, found.iter().map(|s| s.start..s.end), 254).iter().enumerate()
            {
                phrases.clear();
                let inside = found.iter().filter(|s| s.start as usize >= tokens.start && s.end as usize <= tokens.end);
                phrases.extend(inside.filter_map(|s| {
                    let range = s.start as usize - tokens.start..s.end as usize - tokens.start;
                    let score = pool.phrases[s.phrase.get() as usize].score;
                    Some(PhraseSpan { tokens: TokenRange::new(range)?, phrase: s.phrase, score })
                }));
                segments.push(&Segment {
                    document: DocumentId::new(number as u64),
                    text_id: TextId::new(number as u64),
                    product: Some("B000000000"),
                    segment: segment as u32,
                    input_ids: &document.ids[tokens.clone()],
                    phrases: &phrases,
                    noun_phrases: &[],
                });
            }
        }
        table.write(&segments.finish()?)?;
    }
    table.commit()?;
    Ok(())
}
