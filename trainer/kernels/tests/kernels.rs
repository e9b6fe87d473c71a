//! The CUDA kernels, run on a CPU and compared with libtorch in double precision, with their
//! threads in several orders. `kernels/gpu.h` stands in for the GPU.
use std::{
    ffi::{CString, c_char, c_int, c_void},
    path::Path,
    process::Command,
    sync::{Mutex, PoisonError},
};

use tch::{Device, IndexOp, Kind, Tensor};

const CPU: Device = Device::Cpu;
/// Places behind a tensor that nothing may write to, and what stands there.
const BEHIND: i64 = 64;
const SENTINEL: f64 = 77.0;

type Launch = unsafe extern "C" fn(*const c_char, *const u32, *const u32, *mut *mut c_void, u32) -> c_int;

/// `fused.cu`, compiled for the widths of a model.
struct Gpu {
    launch: Launch,
    hidden: i64,
    inner: i64,
    /// The order of threads.
    order: u32,
}

/// As `Dropout` in `fused.cu`.
#[derive(Clone, Copy)]
struct Dropout {
    seed: u64,
    threshold: u32,
    scale: f32,
}

impl Dropout {
    fn new(probability: f64) -> Self {
        Self {
            seed: 0x1234_5678_9ABC_DEF0,
            threshold: (probability * f64::from(u32::MAX)) as u32,
            scale: (1.0 / (1.0 - probability)) as f32,
        }
    }
}

enum Argument<'a> {
    Tensor(&'a Tensor),
    Whole(i64),
    Real(f64),
    Dropout(Dropout),
}
use Argument::{Real, Whole};

/// A tensor of a function, or its out.
fn t(tensor: &Tensor) -> Argument<'_> {
    Argument::Tensor(tensor)
}

impl Gpu {
    fn compile([hidden, inner]: [i64; 2]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let library = folder.path().join("kernels.so");
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/kernels/kernels.cpp");
        let mut compiler = Command::new(std::env::var_os("CXX").unwrap_or_else(|| "c++".into()));
        compiler.args(["-std=c++17", "-O1", "-shared", "-fPIC", "-fvisibility=hidden", "-Wno-unknown-pragmas"]);
        // An address that is not aligned, or a place behind the end of an array, ends the test.
        compiler
            .args(["-fsanitize=alignment,bounds,shift,signed-integer-overflow", "-fsanitize-undefined-trap-on-error"]);
        compiler.args([format!("-DHIDDEN={hidden}"), format!("-DINNER={inner}")]).arg(source).arg("-o").arg(&library);
        assert!(compiler.status().unwrap().success(), "{compiler:?}");
        let name = CString::new(library.to_str().unwrap()).unwrap();
        // SAFETY: the library is ours, and stays loaded.
        let launch = unsafe {
            let library = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            assert!(!library.is_null(), "{name:?} does not load");
            let launch = libc::dlsym(library, c"launch".as_ptr());
            assert!(!launch.is_null(), "{name:?} has no launch");
            std::mem::transmute::<*mut c_void, Launch>(launch)
        };
        Self { launch, hidden, inner, order: 0 }
    }

    fn run(&self, name: &str, blocks: [i64; 3], threads: [i64; 3], arguments: &[Argument<'_>]) {
        static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
        let mut places: Vec<[u64; 2]> = arguments
            .iter()
            .map(|argument| match argument {
                Argument::Tensor(tensor) => [tensor.data_ptr() as u64, 0],
                Whole(whole) => [*whole as u64, 0],
                Real(real) => [u64::from((*real as f32).to_bits()), 0],
                Argument::Dropout(d) => [d.seed, u64::from(d.threshold) | u64::from(d.scale.to_bits()) << 32],
            })
            .collect();
        let mut pointers: Vec<*mut c_void> = places.iter_mut().map(|place| place.as_mut_ptr().cast()).collect();
        let (blocks, threads) = (blocks.map(|n| n as u32), threads.map(|n| n as u32));
        let name = CString::new(name).unwrap();
        let _guard = ONE_AT_A_TIME.lock().unwrap_or_else(PoisonError::into_inner);
        // SAFETY: the arguments are those of the function, as ebert_fused.cpp gives them.
        let code = unsafe {
            (self.launch)(name.as_ptr(), blocks.as_ptr(), threads.as_ptr(), pointers.as_mut_ptr(), self.order)
        };
        assert_eq!(code, 0, "{name:?} is not a function");
        for tensor in
            arguments.iter().filter_map(|a| if let Argument::Tensor(tensor) = a { Some(tensor) } else { None })
        {
            assert_behind_is_untouched(tensor);
        }
    }

    /// Adds up parts of sums, beginning with these rows.
    fn add_parts(&self, parts: &Tensor, rows: &[Tensor]) {
        let [many, width] = [parts.size()[0], parts.size()[2]];
        let row = |i: usize| t(&rows[i.min(rows.len() - 1)]);
        let blocks = [(width + 31) / 32, rows.len() as i64, 1];
        self.run("add_parts", blocks, [32, 32, 1], &[t(parts), row(0), row(1), row(2), Whole(many), Whole(width)]);
    }
}

/// A tensor to write to, with places behind it.
fn out(shape: &[i64], kind: Kind) -> Tensor {
    let many = shape.iter().product::<i64>();
    Tensor::full([many + BEHIND], SENTINEL, (kind, CPU)).i(..many).view(shape)
}

fn assert_behind_is_untouched(tensor: &Tensor) {
    let many = tensor.numel() as i64;
    let storage = tensor.as_strided([many + BEHIND], [1], None::<i64>);
    let behind = storage.i(many..).to_kind(Kind::Double);
    assert!(behind.eq(SENTINEL).all().int64_value(&[]) == 1, "something is written behind {tensor:?}");
}

/// The same numbers, with places behind them.
fn given(numbers: &Tensor, kind: Kind) -> Tensor {
    let mut tensor = out(&numbers.size(), kind);
    tensor.copy_(numbers);
    tensor
}

/// Normal numbers of this size, rounded to bfloat16.
fn normal(shape: &[i64], size: f64, seed: i64) -> Tensor {
    // libtorch's generator is one for all threads.
    static GENERATOR: Mutex<()> = Mutex::new(());
    let _alone = GENERATOR.lock();
    tch::manual_seed(seed);
    (Tensor::randn(shape, (Kind::Double, CPU)) * size).to_kind(Kind::BFloat16).to_kind(Kind::Double)
}

/// The largest error, relative to the wanted number (or to 1% of the largest wanted number).
fn error(found: &Tensor, wanted: &Tensor) -> f64 {
    let wanted = wanted.detach();
    let size = wanted.abs() + wanted.abs().max() * 1e-2;
    ((found.to_kind(Kind::Double) - &wanted) / size).abs().max().double_value(&[])
}

/// What rounding to bfloat16 may do, once, and what float32 may do to a sum.
const ROUNDED: f64 = 1.0 / 250.0;
const EXACT: f64 = 1e-5;

#[track_caller]
fn assert_near(found: &Tensor, wanted: &Tensor, bound: f64) {
    let error = error(found, wanted);
    assert!(error < bound, "{error} where {bound} is allowed");
}

/// Runs a test with several widths, and threads in so many orders, which must give the same bits.
fn for_each_gpu(widths: &[[i64; 2]], orders: u32, run: impl Fn(&Gpu) -> Vec<Tensor>) {
    for &widths in widths {
        let mut gpu = Gpu::compile(widths);
        let first = run(&gpu);
        for order in 1..orders {
            gpu.order = order;
            let again = run(&gpu);
            assert!(first.iter().zip(&again).all(|(a, b)| a.equal(b)), "it depends on the order of threads");
        }
    }
}

/// What dropout multiplies each number by: found by letting it drop ones.
fn factors(gpu: &Gpu, rows: i64, dropout: Dropout) -> Tensor {
    let (shape, row) = ([rows, gpu.hidden], [gpu.hidden]);
    let [ones, zeros] = [1.0, 0.0].map(|n| given(&Tensor::full(shape, n, (Kind::Double, CPU)), Kind::BFloat16));
    let no_bias = given(&Tensor::zeros(row, (Kind::Double, CPU)), Kind::Float);
    let (total, y, moments) = (out(&shape, Kind::BFloat16), out(&shape, Kind::BFloat16), out(&[rows, 2], Kind::Float));
    let arguments = [t(&ones), t(&no_bias), t(&zeros), t(&no_bias), t(&no_bias), t(&total), t(&y), t(&moments)];
    let last = [Whole(rows), Real(1e-5), Argument::Dropout(dropout)];
    gpu.run(
        "residual_norm",
        [(rows + 7) / 8, 1, 1],
        [32, 8, 1],
        &arguments.into_iter().chain(last).collect::<Vec<_>>(),
    );
    total.to_kind(Kind::Double)
}

#[test]
fn dropout_keeps_its_probability() {
    let gpu = Gpu::compile([256, 256]);
    let probability = 0.25;
    let factors = [0, 1].map(|more| {
        let dropout = Dropout { seed: Dropout::new(probability).seed + more, ..Dropout::new(probability) };
        factors(&gpu, 100, dropout)
    });
    let kept = factors[0].gt(0.0).to_kind(Kind::Double);
    // 25,600 draws: the standard deviation of the ratio is 0.0027.
    let found = kept.mean(Kind::Double).double_value(&[]);
    assert!((found - 0.75).abs() < 0.012, "{found}");
    assert_near(&factors[0], &(&kept * (1.0 / 0.75)), ROUNDED);
    let same = factors[0].eq_tensor(&factors[1]).to_kind(Kind::Double).mean(Kind::Double).double_value(&[]);
    assert!((same - (0.75 * 0.75 + 0.25 * 0.25)).abs() < 0.014, "another seed drops others: {same}");
    // Neither rows nor columns repeat one another.
    for (dim, many) in [(0, 100.0), (1, 256.0)] {
        let shifted = kept.roll([1], [dim]);
        let same = kept.eq_tensor(&shifted).to_kind(Kind::Double).mean_dim([1 - dim].as_slice(), false, Kind::Double);
        let most = same.max().double_value(&[]);
        assert!(most < 0.625 + 6.0 * 0.49 / f64::sqrt(25_600.0 / many), "{most}");
    }
}

#[test]
fn residual_norm_and_its_gradients() {
    for_each_gpu(&[[128, 256], [384, 256], [768, 256]], 4, |gpu| {
        let (rows, hidden, epsilon) = (21, gpu.hidden, 1e-5);
        let shape = [rows, hidden];
        let row = |size, seed| normal(&[hidden], size, seed);
        let [x, residual, dy] = [(2.0, 1), (1.0, 2), (0.1, 3)].map(|(size, seed)| normal(&shape, size, seed));
        let (bias, weight, shift) = (row(0.5, 4), row(0.5, 5) + 1.0, row(0.5, 6));
        let mut made = Vec::new();
        for dropout in [Dropout::new(0.0), Dropout::new(0.3)] {
            let factors = if dropout.threshold == 0 {
                Tensor::ones(shape, (Kind::Double, CPU))
            } else {
                // What is dropped, exactly scaled.
                factors(gpu, rows, dropout).gt(0.0).to_kind(Kind::Double) * f64::from(dropout.scale)
            };
            let (total, y, moments) =
                (out(&shape, Kind::BFloat16), out(&shape, Kind::BFloat16), out(&[rows, 2], Kind::Float));
            let [gx, gresidual, gdy] = [&x, &residual, &dy].map(|n| given(n, Kind::BFloat16));
            let [gbias, gweight, gshift] = [&bias, &weight, &shift].map(|n| given(n, Kind::Float));
            let arguments = [
                t(&gx),
                t(&gbias),
                t(&gresidual),
                t(&gweight),
                t(&gshift),
                t(&total),
                t(&y),
                t(&moments),
                Whole(rows),
                Real(epsilon),
                Argument::Dropout(dropout),
            ];
            gpu.run("residual_norm", [(rows + 7) / 8, 1, 1], [32, 8, 1], &arguments);
            assert_near(&total, &((&x + &bias) * &factors + &residual), ROUNDED);
            // From here on, of what was stored.
            let stored = total.to_kind(Kind::Double).set_requires_grad(true);
            let [weight, shift] = [&weight, &shift].map(|n| n.copy().set_requires_grad(true));
            let wanted = stored.layer_norm([hidden], Some(&weight), Some(&shift), epsilon, false);
            assert_near(&y, &wanted, ROUNDED);
            let variance = stored.var_dim([1].as_slice(), false, false);
            let wanted_moments = [stored.mean_dim([1].as_slice(), false, Kind::Double), (variance + epsilon).rsqrt()];
            assert_near(&moments, &Tensor::stack(&wanted_moments, 1), 1e-4);

            wanted.backward_with(&dy);
            let (dtotal, dx) = (out(&shape, Kind::BFloat16), out(&shape, Kind::BFloat16));
            // More than one round of the loop for a block, the last one not full.
            let blocks = 3;
            let parts = out(&[blocks, 3, hidden], Kind::Float);
            let arguments = [
                t(&gdy),
                t(&total),
                t(&moments),
                t(&gweight),
                t(&dtotal),
                t(&dx),
                t(&parts),
                Whole(rows),
                Argument::Dropout(dropout),
            ];
            gpu.run("residual_norm_backward", [blocks, 1, 1], [hidden / 4, 1, 1], &arguments);
            let before = row(1.0, 7);
            let gradients = [0, 1, 2].map(|_| given(&before, Kind::Float));
            gpu.add_parts(&parts, &gradients);
            assert_near(&dtotal, &stored.grad(), ROUNDED);
            assert_near(&dx, &(stored.grad() * &factors), ROUNDED);
            let dbias = dx.to_kind(Kind::Double).sum_dim_intlist([0].as_slice(), false, Kind::Double);
            for (found, wanted) in gradients.iter().zip([weight.grad(), shift.grad(), dbias]) {
                assert_near(found, &(wanted + &before), 1e-4);
            }
            made.extend([total, y, moments, dtotal, dx]);
            made.extend(gradients);
        }
        made
    });
}

trait BackwardWith {
    fn backward_with(&self, gradient: &Tensor);
}

impl BackwardWith for Tensor {
    /// Gradients, where this one is that of the result.
    fn backward_with(&self, gradient: &Tensor) {
        (self * gradient).sum(Kind::Double).backward();
    }
}

#[test]
fn gelu_and_its_gradients() {
    for_each_gpu(&[[128, 256], [128, 1536]], 4, |gpu| {
        let (rows, inner) = (23, gpu.inner);
        let shape = [rows, inner];
        let (x, bias, dy) = (normal(&shape, 2.0, 1), normal(&[inner], 0.5, 2), normal(&shape, 0.1, 3));
        let [gx, gdy] = [&x, &dy].map(|n| given(n, Kind::BFloat16));
        let gbias = given(&bias, Kind::Float);
        let (y, dx) = (out(&shape, Kind::BFloat16), out(&shape, Kind::BFloat16));
        let (blocks, threads) = ([4, 1, 1], [inner / 8, 1, 1]);
        gpu.run("bias_gelu", blocks, threads, &[t(&gx), t(&gbias), t(&y), Whole(rows)]);
        let [x, bias] = [x, bias].map(|n| n.set_requires_grad(true));
        let wanted = (&x + &bias).gelu("none");
        assert_near(&y, &wanted, ROUNDED);

        wanted.backward_with(&dy);
        let parts = out(&[blocks[0], 1, inner], Kind::Float);
        gpu.run("bias_gelu_backward", blocks, threads, &[t(&gdy), t(&gx), t(&gbias), t(&dx), t(&parts), Whole(rows)]);
        let before = normal(&[inner], 1.0, 4);
        let gradient = given(&before, Kind::Float);
        gpu.add_parts(&parts, &[gradient.shallow_clone()]);
        assert_near(&dx, &x.grad(), ROUNDED);
        let summed = dx.to_kind(Kind::Double).sum_dim_intlist([0].as_slice(), false, Kind::Double);
        assert_near(&gradient, &(summed + before), 1e-4);
        vec![y, dx, gradient]
    });
}

#[test]
fn column_sums_are_sums() {
    for_each_gpu(&[[128, 256], [768, 256]], 4, |gpu| {
        let (rows, hidden, blocks) = (39, gpu.hidden, 3);
        let from = [1, 2, 3].map(|seed| normal(&[rows, hidden], 1.0, seed));
        let given = from.each_ref().map(|n| given(n, Kind::BFloat16));
        let parts = out(&[blocks, 3, hidden], Kind::Float);
        let arguments = [t(&given[0]), t(&given[1]), t(&given[2]), t(&parts), Whole(rows)];
        gpu.run("column_sums", [blocks, 3, 1], [hidden / 8, 4, 1], &arguments);
        let sums = [0, 1, 2].map(|_| self::given(&Tensor::zeros([hidden], (Kind::Double, CPU)), Kind::Float));
        gpu.add_parts(&parts, &sums);
        for (found, from) in sums.iter().zip(&from) {
            assert_near(found, &from.sum_dim_intlist([0].as_slice(), false, Kind::Double), EXACT * 100.0);
        }
        sums.into()
    });
}

#[test]
fn cross_entropy_and_its_gradient() {
    for_each_gpu(&[[128, 256]], 4, |gpu| {
        // Columns that are none of the vocabulary have logits of minus infinity.
        let (rows, vocabulary, columns) = (5, 4091, 4096);
        let logits = normal(&[rows, columns], 4.0, 1);
        let _ = logits.i((.., vocabulary..)).fill_(f64::NEG_INFINITY);
        // In one row the first logits of every thread are far below the rest. In one the label is
        // the first column, in one the last.
        let _ = logits.i((1, ..2048)).g_sub_scalar_(60.0);
        let labels = [7, 3000, 0, vocabulary - 1, 2047];
        let [given_logits, dlogits] = [given(&logits, Kind::BFloat16), out(&[rows, columns], Kind::BFloat16)];
        let given_labels = given(&Tensor::from_slice(&labels), Kind::Int);
        let (losses, log_sums) = (out(&[rows], Kind::Float), out(&[rows], Kind::Float));
        let factor = given(&Tensor::from_slice(&[0.25]), Kind::Float);
        let blocks = [rows, 1, 1];
        let arguments = [t(&given_logits), t(&given_labels), t(&losses), t(&log_sums), Whole(columns)];
        gpu.run("cross_entropy", blocks, [256, 1, 1], &arguments);
        let logits = logits.set_requires_grad(true);
        let wanted =
            -logits.log_softmax(1, Kind::Double).gather(1, &Tensor::from_slice(&labels).view([rows, 1]), false);
        let wanted = wanted.view([rows]);
        assert_near(&losses, &wanted, EXACT);
        assert_near(&log_sums, &logits.logsumexp([1].as_slice(), false), EXACT);

        (wanted.sum(Kind::Double) * 0.25).backward();
        let arguments = [t(&given_logits), t(&given_labels), t(&log_sums), t(&factor), t(&dlogits), Whole(columns)];
        gpu.run("cross_entropy_backward", blocks, [256, 1, 1], &arguments);
        assert_near(&dlogits, &logits.grad(), ROUNDED);
        vec![losses, log_sums, dlogits]
    });
}
