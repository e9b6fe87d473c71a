//! Keyed random numbers: a draw depends on (seed, purpose, id) and on nothing else.
//!
//! Both programs make every random choice this way, and never share a generator. So the order in
//! which threads, tasks or a resumed run reach a row cannot change the row.
//!
//! ```
//! use schemas::Draws;
//! let mut a = Draws::new(0, "example", b"B000TBZHNK");
//! let mut b = Draws::new(0, "example", b"B000TBZHNK");
//! assert_eq!(a.next_u64(), b.next_u64());
//! assert!(a.below(10) < 10);
//! ```
use xxhash_rust::xxh3::xxh3_64_with_seed;

/// A stream of random numbers for one (seed, purpose, id): SplitMix64 (Steele et al. 2014)
/// started at their xxh3 hash.
#[derive(Clone, Debug)]
pub struct Draws {
    state: u64,
}

impl Draws {
    /// The stream of `id` for one purpose, a short constant name such as `"negative"`.
    pub fn new(seed: u64, purpose: &str, id: &[u8]) -> Self {
        Self { state: xxh3_64_with_seed(id, xxh3_64_with_seed(purpose.as_bytes(), seed)) }
    }

    /// The next 64 uniform bits.
    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A uniform number in `0..n`: Lemire's multiplication with rejection, so without bias.
    ///
    /// # Panics
    /// When `n` is zero.
    pub fn below(&mut self, n: u64) -> u64 {
        assert!(n > 0, "a draw needs something to draw from");
        loop {
            let wide = u128::from(self.next_u64()) * u128::from(n);
            if wide as u64 >= n.wrapping_neg() % n {
                return (wide >> 64) as u64;
            }
        }
    }

    /// Puts items into a uniformly random order: Fisher and Yates, from the last item.
    pub fn shuffle<T>(&mut self, items: &mut [T]) {
        for last in (1..items.len()).rev() {
            items.swap(last, self.below(last as u64 + 1) as usize);
        }
    }

    /// A uniform number in `[0, 1)`, of 53 bits.
    pub fn unit(&mut self) -> f64 {
        (self.next_u64() >> 11) as f64 / (1u64 << 53) as f64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_draw_depends_on_seed_purpose_and_id_alone() {
        let first = |seed, purpose, id: &[u8]| Draws::new(seed, purpose, id).next_u64();
        assert_eq!(first(1, "order", b"x"), first(1, "order", b"x"));
        assert_ne!(first(1, "order", b"x"), first(2, "order", b"x"));
        assert_ne!(first(1, "order", b"x"), first(1, "negative", b"x"));
        assert_ne!(first(1, "order", b"x"), first(1, "order", b"y"));
    }

    #[test]
    fn small_numbers_are_drawn_evenly() {
        let mut draws = Draws::new(0, "test", b"");
        let mut seen = [0u32; 7];
        for _ in 0..70_000 {
            seen[draws.below(7) as usize] += 1;
        }
        // Chi-square with 6 degrees of freedom; 22.5 is the 0.1% point.
        let chi: f64 = seen.iter().map(|&n| (f64::from(n) - 10_000.0).powi(2) / 10_000.0).sum();
        assert!(chi < 22.5, "{seen:?}");
    }
}
