//! How much faster than `tokenizers` is encoding, on one thread?
//!
//! `encode TEXTS BYTES TOKENIZER...`: TEXTS has a text per line, plain, .gz or .zst. Of it BYTES are
//! read. First all ids are compared. Then the two take turns, three rounds each. Encoding includes
//! the words of the text and their tokens, and the library has its own cache. The rates are medians
//! of CPU time, printed as CSV.
use std::{fs, hint::black_box, path::Path, sync::Arc};

use anyhow::{Context, Result, anyhow, ensure};
use ebert_dumps::{LineReader, open};
use pipeline::text::{DocumentOf, Encoder, Lexicon, Tokenizer};
use schemas::TokenId;

/// Rounds, of which the median counts.
const ROUNDS: usize = 3;

/// The library gets this part of the texts, since it is slow.
const PART: usize = 8;

fn main() -> Result<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [texts, bytes, tokenizers @ ..] = &arguments[..] else {
        return Err(anyhow!("expected TEXTS BYTES TOKENIZER..."));
    };
    let texts = read_texts(Path::new(texts), bytes.parse().context("BYTES is a number")?)?;
    println!("tokenizer,texts,bytes,tokens,mb_per_s,tokenizers_mb_per_s,ratio");
    for file in tokenizers {
        let tokenizer = Tokenizer::load(Path::new(file))?;
        let row = match tokenizer.has_wide_ids() {
            true => measure::<u32>(&tokenizer, &texts)?,
            false => measure::<u16>(&tokenizer, &texts)?,
        };
        let name = Path::new(file).file_stem().unwrap_or_default().to_string_lossy();
        println!("{name},{row}");
    }
    Ok(())
}

fn measure<I: TokenId>(tokenizer: &Tokenizer, texts: &[String]) -> Result<String> {
    let lexicon = Lexicon::<I>::new(tokenizer, ["stainless", "steel"].into_iter());
    let (mut encoder, mut document) = (Encoder::new(&lexicon), DocumentOf::default());
    let by_library = |text: &str| tokenizer.oracle().encode(text, false).map_err(|e| anyhow!("{e}"));
    let mut tokens = 0;
    for text in texts {
        encoder.encode(text, &mut document);
        let wanted = by_library(text)?;
        ensure!(wanted.get_ids().iter().copied().eq(document.ids.iter().map(|id| id.get())), "ids of {text:?}");
        tokens += document.ids.len();
    }
    let some = &texts[..texts.len() / PART];
    let size = |texts: &[String]| texts.iter().map(String::len).sum::<usize>() as f64;
    let (mut ours, mut theirs) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let seconds = cpu_seconds(|| {
            for text in texts {
                encoder.encode(text, &mut document);
                black_box(&document);
            }
        })?;
        ours.push(size(texts) / seconds / 1e6);
        let seconds = cpu_seconds(|| some.iter().for_each(|text| drop(black_box(by_library(text)))))?;
        theirs.push(size(some) / seconds / 1e6);
    }
    let [ours, theirs] = [ours, theirs].map(|mut rates| {
        rates.sort_by(f64::total_cmp);
        rates[ROUNDS / 2]
    });
    Ok(format!("{},{},{tokens},{ours:.1},{theirs:.2},{:.1}", texts.len(), size(texts), ours / theirs))
}

/// CPU seconds that this thread needs.
fn cpu_seconds(work: impl FnOnce()) -> Result<f64> {
    let now = || -> Result<f64> {
        let statistics = fs::read_to_string("/proc/thread-self/schedstat")?;
        let nanoseconds: f64 = statistics.split(' ').next().context("the kernel counts CPU time")?.parse()?;
        Ok(nanoseconds * 1e-9)
    };
    let since = now()?;
    work();
    Ok(now()? - since)
}

/// The lines of a file, up to so many bytes.
fn read_texts(path: &Path, bytes: usize) -> Result<Vec<String>> {
    let mut lines = LineReader::new(open(path, Arc::default())?.bytes);
    let (mut texts, mut total) = (Vec::new(), 0);
    while let Some(batch) = lines.next_batch(1 << 20) {
        for line in batch.iter() {
            let text = String::from_utf8(line.bytes.to_vec())?;
            total += text.len();
            texts.push(text);
            if total >= bytes {
                return Ok(texts);
            }
        }
    }
    Ok(texts)
}
