//! Training on a CPU: dropout drawn by all threads, and attention over packed sequences.
use std::ffi::c_int;

use tch::{Kind, Tensor};

use super::{NativeError, TorchError, checked, seeds, torch_sys_pointer::C_tensor};

unsafe extern "C" {
    fn ebert_cpu_dropout(
        x: *const C_tensor,
        probability: f64,
        seed: i64,
        out: *mut *mut C_tensor,
        error: *mut NativeError,
    ) -> c_int;
    fn ebert_cpu_attention(
        queries: *const C_tensor,
        keys: *const C_tensor,
        values: *const C_tensor,
        lengths: *const i64,
        sequences: usize,
        heads: i64,
        dropout: f64,
        seed: i64,
        out: *mut *mut C_tensor,
        error: *mut NativeError,
    ) -> c_int;
}

/// Dropout of float32 or float64 numbers: each becomes 0 with this probability, rounded to
/// 1/65536, and the others are scaled so that the mean stays the same. Autograd sees it.
/// libtorch's generator gives the seed, and the result does not depend on the number of threads.
///
/// # Errors
/// If the probability is not from 0 to 1, or libtorch refuses.
pub fn dropout(x: &Tensor, probability: f64) -> Result<Tensor, TorchError> {
    let seed = seeds(1)?[0];
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointer is that of a live tensor.
    checked(|error| unsafe { ebert_cpu_dropout(x.as_ptr().cast(), probability, seed, &mut out, error) })?;
    // SAFETY: the function made a tensor that is ours now.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}

/// Self-attention within each sequence of a packed row: queries, keys and values are `[tokens,
/// heads * head_size]`, and so is the result, of the same kind. Dropout zeroes attention
/// probabilities. Autograd sees it. Each thread holds the logits of one head of one sequence,
/// `[length, length]`.
///
/// # Errors
/// If the shapes differ, the lengths do not add up to the row, or libtorch refuses.
pub fn attention(qkv: [&Tensor; 3], lengths: &[i64], heads: i64, dropout: f64) -> Result<Tensor, TorchError> {
    let kind = qkv[0].kind();
    if kind != Kind::Float && kind != Kind::Double {
        let [q, k, v] = qkv.map(|x| x.to_kind(Kind::Float));
        return Ok(attention([&q, &k, &v], lengths, heads, dropout)?.to_kind(kind));
    }
    let [q, k, v] = qkv.map(|tensor| tensor.as_ptr().cast());
    let seed = if dropout > 0.0 { seeds(1)?[0] } else { 0 };
    let mut out = std::ptr::null_mut();
    // SAFETY: the pointers are those of live tensors, and there are as many lengths as stated.
    checked(|error| unsafe {
        ebert_cpu_attention(q, k, v, lengths.as_ptr(), lengths.len(), heads, dropout, seed, &mut out, error)
    })?;
    // SAFETY: the function made a tensor that is ours now.
    Ok(unsafe { Tensor::from_ptr(out.cast()) })
}

#[cfg(test)]
mod tests {
    use tch::Device;

    use super::*;
    use crate::generator;

    const MANY: i64 = 100_003;

    /// Dropout of ones, and the gradient of its sum.
    fn dropped(seed: i64, probability: f64, kind: Kind) -> [Tensor; 2] {
        tch::manual_seed(seed);
        let ones = Tensor::ones([MANY], (kind, Device::Cpu)).set_requires_grad(true);
        let dropped = dropout(&ones, probability).unwrap();
        dropped.sum(Kind::Double).backward();
        [dropped.detach(), ones.grad()]
    }

    fn fraction_of_zeros(x: &Tensor) -> f64 {
        x.eq(0.0).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
    }

    #[test]
    fn dropout_keeps_its_probability_and_the_mean() {
        let _alone = generator();
        for probability in [0.1, 0.5, 0.9] {
            let [found, gradient] = dropped(1, probability, Kind::Double);
            let off = (probability * (1.0 - probability) / MANY as f64).sqrt();
            let zeros = fraction_of_zeros(&found);
            assert!((zeros - probability).abs() < 4.0 * off + 1.0 / 65_536.0, "{probability}: {zeros}");
            assert!((found.max().double_value(&[]) - 1.0 / (1.0 - probability)).abs() < 1e-3 / (1.0 - probability));
            assert!(found.equal(&gradient), "both ways the same");
            // Draws are independent: of the next number, and of other lanes and streams.
            for apart in [1, 7, 8, 16, 4096] {
                let [here, there] = [0, apart].map(|start| found.narrow(0, start, MANY - apart).eq(0.0));
                let both = here.logical_and(&there).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
                assert!((both - probability * probability).abs() < 6.0 * off, "{probability}, {apart} apart: {both}");
            }
        }
        assert_eq!(fraction_of_zeros(&dropped(1, 0.0, Kind::Float)[0]), 0.0);
    }

    #[test]
    fn dropout_is_drawn_by_the_seed_alone() {
        let _alone = generator();
        let [first, _] = dropped(1, 0.3, Kind::Float);
        assert!(first.equal(&dropped(1, 0.3, Kind::Float)[0]));
        assert!(first.to_kind(Kind::Double).eq(0.0).equal(&dropped(1, 0.3, Kind::Double)[0].eq(0.0)));
        let other = dropped(2, 0.3, Kind::Float)[0].ne_tensor(&first).to_kind(Kind::Double).mean(Kind::Double);
        assert!((other.double_value(&[]) - 2.0 * 0.3 * 0.7).abs() < 0.01);
    }

    /// Which attention probabilities are kept, `[2, 2, 64, 64]`, for two sequences of 64 tokens
    /// and two heads. All logits are equal, and the values are one-hot by position.
    fn kept(probability: f64) -> Tensor {
        let alike = Tensor::zeros([128, 128], (Kind::Float, Device::Cpu));
        let eye = Tensor::eye(64, (Kind::Float, Device::Cpu)).repeat([2, 2]);
        tch::manual_seed(3);
        let seen = attention([&alike, &alike, &eye], &[64, 64], 2, probability).unwrap();
        seen.view([2, 64, 2, 64]).transpose(1, 2).ne(0.0)
    }

    #[test]
    fn heads_sequences_and_rows_are_dropped_independently() {
        let _alone = generator();
        let probability = 0.3;
        let dropped = kept(probability).logical_not();
        let both = |one: &Tensor, other: &Tensor| {
            one.logical_and(other).to_kind(Kind::Double).mean(Kind::Double).double_value(&[])
        };
        let rows = |start| dropped.narrow(2, start, 63);
        for (what, found) in [
            ("sequences", both(&dropped.get(0), &dropped.get(1))),
            ("heads", both(&dropped.select(1, 0), &dropped.select(1, 1))),
            ("rows", both(&rows(0), &rows(1))),
        ] {
            // Of 8,192 pairs.
            assert!((found - probability * probability).abs() < 0.016, "{what}: {found}");
        }
        assert!((both(&dropped, &dropped) - probability).abs() < 0.016);
    }

    #[test]
    fn what_does_not_fit_is_refused() {
        let _alone = generator();
        let x = |rows: i64, width: i64| Tensor::zeros([rows, width], (Kind::Float, Device::Cpu));
        let refused = |qkv: [Tensor; 3], lengths: &[i64], heads| {
            attention(qkv.each_ref(), lengths, heads, 0.0).unwrap_err().to_string()
        };
        assert!(refused([x(4, 8), x(6, 8), x(4, 8)], &[4], 2).contains("one shape"));
        assert!(refused([x(4, 8), x(4, 8), x(4, 8)], &[3], 2).contains("add up"));
        assert!(refused([x(4, 8), x(4, 8), x(4, 8)], &[4], 3).contains("whole heads"));
        for probability in [-0.1, 1.1, f64::NAN] {
            assert!(
                dropout(&x(2, 2), probability).unwrap_err().to_string().contains("a probability from 0 to 1"),
                "{probability}"
            );
        }
    }

    #[test]
    fn threads_do_not_matter() {
        let _alone = generator();
        let once = || {
            let lengths = [70, 3, 1, 55];
            let qkv = [1, 2, 3].map(|seed| {
                tch::manual_seed(seed);
                Tensor::randn([129, 8], (Kind::Float, Device::Cpu)).set_requires_grad(true)
            });
            let seen = attention(qkv.each_ref(), &lengths, 2, 0.3).unwrap();
            let [drop, _] = dropped(1, 0.3, Kind::Float);
            let mut all = Tensor::run_backward(&[seen.square().sum(Kind::Float)], &qkv, false, false);
            all.extend([seen.detach(), drop]);
            all
        };
        /// Puts the number of threads back.
        struct Threads(i32);
        impl Drop for Threads {
            fn drop(&mut self) {
                tch::set_num_threads(self.0);
            }
        }
        let _threads = Threads(tch::get_num_threads());
        let found = [1, 2, 3].map(|threads| {
            tch::set_num_threads(threads);
            once()
        });
        for other in &found[1..] {
            assert!(found[0].iter().zip(other).all(|(one, other)| one.equal(other)));
        }
    }
}
