use std::sync::{Arc, Mutex};

use indicatif::TermLike;
use serde_json::Value;

use super::*;

/// A terminal that records what is written to it.
#[derive(Clone, Debug, Default)]
struct Paper(Arc<Mutex<String>>);

impl TermLike for Paper {
    fn width(&self) -> u16 {
        100
    }

    fn move_cursor_up(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_down(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_right(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn move_cursor_left(&self, _: usize) -> io::Result<()> {
        Ok(())
    }

    fn write_line(&self, text: &str) -> io::Result<()> {
        self.write_str(text)
    }

    fn write_str(&self, text: &str) -> io::Result<()> {
        self.0.lock().unwrap().push_str(text);
        Ok(())
    }

    fn clear_line(&self) -> io::Result<()> {
        Ok(())
    }

    fn flush(&self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn a_bar_says_how_far_and_how_fast() {
    let paper = Paper::default();
    let bar = ProgressBar::with_draw_target(
        Some(14_999_898),
        ProgressDrawTarget::term_like_with_hz(Box::new(paper.clone()), 255),
    );
    bar.set_style(style(COUNT));
    bar.set_prefix("encoding");
    bar.set_position(110_050);
    std::thread::sleep(Duration::from_millis(20));
    bar.inc(1);
    bar.tick();
    let drawn = paper.0.lock().unwrap().clone();
    let last = drawn.rsplit("encoding").next().unwrap();
    assert!(last.contains("110,051 of 14,999,898"), "{drawn}");
    let rate = last.split("/s").next().unwrap().rsplit("  ").next().unwrap().trim().to_owned();
    let of_a_rate = |c: char| c.is_ascii_digit() || ",. KMG".contains(c);
    assert!((1..=8).contains(&rate.len()) && rate.chars().all(of_a_rate), "{drawn}");
}

#[test]
fn a_log_says_where_a_step_is() {
    let bar = ProgressBar::with_draw_target(Some(14_999_898), ProgressDrawTarget::hidden());
    bar.set_position(3_750_000);
    let elapsed = Duration::from_secs(60);
    let at = Position { step: "encoding", unit: Some(Unit::Items), bar: &bar, elapsed };
    assert_eq!(at.text(), "encoding  3,750,000 of 14,999,898   25%   3 minutes left");
    let line: Value = serde_json::from_str(&at.facts().json()).unwrap();
    assert_eq!((&line["event"], &line["unit"]), (&"progress".into(), &"items".into()));
    assert_eq!((line["position"].as_u64(), line["length"].as_u64()), (Some(3_750_000), Some(14_999_898)));
    let bytes = Position { step: "reading", unit: Some(Unit::Bytes), bar: &bar, elapsed };
    assert_eq!(bytes.text(), "reading   3.58 MiB of 14.31 MiB   25%   3 minutes left");
    bar.set_message("counting words");
    let mining = Position { step: "mining", unit: None, bar: &bar, elapsed };
    assert_eq!(mining.text(), "mining    counting words   60 seconds");
}

#[test]
fn percents_have_the_digits_that_were_written() {
    for (share, wanted) in [(0.034, "3.4"), (0.01, "1"), (0.00005, "0.005"), (0.07, "7"), (1.0, "100")] {
        assert_eq!(percent(share).to_string(), wanted);
    }
}

#[test]
fn numbers_read_well() {
    for (number, apart, brief) in [
        (0, "0", "0"),
        (999, "999", "999"),
        (1_204, "1,204", "1,204"),
        (131_900_000, "131,900,000", "131.9 M"),
        (23_456, "23,456", "23.5 K"),
    ] {
        assert_eq!((thousands(number).as_str(), short(number).as_str()), (apart, brief));
    }
}
