//! A GPU compared with a CPU. Without a GPU each test prints that it is skipped, or fails if
//! EBERT_REQUIRE_GPU is 1.
#[path = "../../kernels/tests/support/port.rs"]
mod port;
mod support;

use std::{path::Path, process::Stdio, sync::Mutex, time::Duration};

use ebert_bert::{BertConfig, BertForMaskedLm, Compute, Decision, Packed, Path as LayerPath, Phase};
use ebert_kernels::{
    device::Machine,
    group::{Group, Rendezvous},
};
use port::free_port;
use support::{Place, RUN, assert_alike, assert_bfloat16_is_near, text_of};
use tch::{Device, Kind, Tensor};
use trainer::optimizer::{Optimizer, OptimizerOptions};

/// Prints why nothing is tested without a GPU. With EBERT_REQUIRE_GPU=1, that is a failure.
fn without_gpu() -> bool {
    let machine = Machine::look();
    if machine.usable > 0 {
        return false;
    }
    let required = std::env::var("EBERT_REQUIRE_GPU").is_ok_and(|value| value == "1");
    assert!(!required, "EBERT_REQUIRE_GPU is 1, and no GPU can be used:\n{machine}");
    println!("skipped: this needs a GPU");
    true
}

/// Runs to the end, and returns the output.
fn run(place: &Place, device: &str, run: &str, more: &[&str]) -> String {
    let mut command = place.command_on(device, &RUN);
    let output = command.args(["--out", run]).args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
    text_of(&output)
}

#[test]
fn losses_in_float32_are_those_of_a_cpu() {
    if without_gpu() {
        return;
    }
    let place = Place::new();
    for device in ["cpu", "cuda"] {
        run(&place, device, device, &["--set", "compute=float32"]);
    }
    assert_alike(&place, "cuda", "cpu", 5e-3);
}

#[test]
fn bfloat16_with_flash_attention_stays_near_float32() {
    if without_gpu() {
        return;
    }
    // Layers of 16 are plain, layers of 128 are fused.
    for (hidden, inner, fused) in [(16, 32, false), (128, 256, true)] {
        let place = Place::new();
        let [hidden, inner] = [("hidden", hidden), ("intermediate", inner)].map(|(k, n)| format!("model.{k}_size={n}"));
        let wide = ["--set", &hidden, "--set", &inner, "--set", "optimizer.learning_rate=1e-3"];
        run(&place, "cuda", "float32", &[&wide[..], &["--set", "compute=float32"]].concat());
        let said = run(&place, "cuda", "auto", &wide);
        assert_eq!(said.contains("bfloat16, fused layers"), fused, "{said}");
        assert_bfloat16_is_near(&place, "auto", "float32");
    }
}

#[test]
fn a_stopped_run_goes_on() {
    if without_gpu() {
        return;
    }
    let place = Place::new();
    run(&place, "cuda", "whole", &["--set", "compute=float32"]);
    let mut command = place.command_on("cuda", &RUN);
    command.args(["--out", "cut", "--set", "compute=float32", "--set", "checkpoint.every=10"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    place.wait_for("cut", 30, &mut child);
    child.kill().unwrap();
    assert_eq!(child.wait().unwrap().code(), None, "it was killed before its end");
    run(&place, "cuda", "cut", &["--set", "compute=float32", "--set", "checkpoint.every=10"]);
    assert_alike(&place, "cut", "whole", 5e-3);
}

/// libtorch's generator is one for all threads: who draws from it holds this.
static GENERATOR: Mutex<()> = Mutex::new(());

/// A model with weights that are nowhere 0 or 1, and an optimizer, so that there are gradients.
fn model(dropout: f64, compute: Kind, fused: bool) -> BertForMaskedLm {
    let config = serde_json::json!({
        "vocab_size": 1001, "hidden_size": 384, "num_hidden_layers": 3, "num_attention_heads": 6, "intermediate_size": 1536,
        "max_position_embeddings": 256, "hidden_dropout_prob": dropout, "attention_probs_dropout_prob": dropout,
    });
    let config: BertConfig = serde_json::from_value(config).unwrap();
    let _alone = GENERATOR.lock();
    let device = Device::Cuda(0);
    let decision = if fused { Decision::on(Compute::Auto, device, &config).unwrap() } else { Decision::plain(compute) };
    let model = BertForMaskedLm::new(&config, 7, device, decision);
    assert_eq!(model.encoder().decision().path, if fused { LayerPath::Fused } else { LayerPath::Plain });
    for (_, parameter) in model.parameters().iter() {
        let noise = Tensor::randn(parameter.size(), (Kind::Float, Device::Cpu)).to_device(Device::Cuda(0));
        let _ = tch::no_grad(|| parameter.shallow_clone().g_add_(&(noise * 0.05)));
    }
    let options: OptimizerOptions = serde_json::from_str(r#"{"learning_rate": 1e-4, "sequences": 1}"#).unwrap();
    let _ = Optimizer::new(model.parameters(), options, Device::Cuda(0));
    model
}

/// The loss of a ragged batch.
fn loss(model: &BertForMaskedLm) -> Tensor {
    let _alone = GENERATOR.lock();
    let lengths = [200, 130, 129, 64, 33, 7, 2];
    let tokens = lengths.iter().sum::<usize>();
    let ids: Vec<u32> = (0..tokens).map(|i| (i * i % 997) as u32).collect();
    let selected: Vec<u32> = (0..tokens as u32).step_by(6).collect();
    let labels: Vec<u32> = selected.iter().map(|&at| at * 7 % 1001).collect();
    tch::manual_seed(5);
    let packed = Packed::new(&ids, &lengths, model.encoder().device());
    model.loss_at(&packed, &selected, &labels, Phase::Train) / selected.len() as f64
}

fn gradients(model: &BertForMaskedLm) -> Vec<(String, Tensor)> {
    let gradient = |(name, parameter): (&str, &Tensor)| (name.to_owned(), parameter.grad().to_kind(Kind::Double));
    model.parameters().iter().map(gradient).collect()
}

fn length(tensor: &Tensor) -> f64 {
    tensor.square().sum(Kind::Double).double_value(&[]).sqrt()
}

#[test]
fn fused_layers_have_the_gradients_of_plain_ones() {
    if without_gpu() {
        return;
    }
    let [wanted, plain, fused] =
        [(Kind::Float, false), (Kind::BFloat16, false), (Kind::BFloat16, true)].map(|(compute, fused)| {
            let model = model(0.0, compute, fused);
            let loss = loss(&model);
            loss.backward();
            (loss.double_value(&[]), gradients(&model))
        });
    println!("losses in float32, plain, fused: {:.5} {:.5} {:.5}", wanted.0, plain.0, fused.0);
    assert!((fused.0 - wanted.0).abs() < 0.01 * wanted.0);
    for (((name, wanted), (_, plain)), (_, fused)) in wanted.1.iter().zip(&plain.1).zip(&fused.1) {
        // The gradient of a key's bias is 0 but for rounding.
        if name.ends_with("key.bias") {
            continue;
        }
        let [plain, fused] = [plain, fused].map(|found| length(&(found - wanted)) / length(wanted));
        println!("{name:60} {plain:.4} {fused:.4}");
        assert!(fused < 1.5 * plain + 0.005, "{name}: {fused} where plain layers have {plain}");
    }
}

#[test]
fn fused_dropout_is_the_same_both_ways() {
    if without_gpu() {
        return;
    }
    let model = model(0.3, Kind::BFloat16, true);
    let [first, again] = [0, 1].map(|_| tch::no_grad(|| loss(&model).double_value(&[])));
    assert_eq!(first, again);
    loss(&model).backward();
    let gradients = gradients(&model);
    let whole = gradients.iter().map(|(_, g)| length(g).powi(2)).sum::<f64>().sqrt();
    // A step along the gradient and one against it, with the same mask: the losses differ by its
    // length.
    let step = 0.1 * first / whole;
    let [up, down] = [1.0, -2.0].map(|times| {
        for ((_, parameter), (_, gradient)) in model.parameters().iter().zip(&gradients) {
            let step = gradient.to_kind(Kind::Float) * (times * step / whole);
            let _ = tch::no_grad(|| parameter.shallow_clone().g_add_(&step));
        }
        tch::no_grad(|| loss(&model).double_value(&[]))
    });
    let found = (up - down) / (2.0 * step);
    println!("slope along the gradient {found:.4}, its length {whole:.4}");
    assert!((found / whole - 1.0).abs() < 0.1, "{found} {whole}");
}

/// NCCL needs a GPU for each process, so this group has one: the library loads, joins and
/// exchanges.
#[test]
fn nccl_reduces_and_broadcasts() {
    let library = Path::new(env!("CARGO_BIN_EXE_ebert-trainer")).with_file_name("libebert_nccl.so");
    if without_gpu() || !library.is_file() {
        println!("skipped: this needs a build with NCCL");
        return;
    }
    let port = free_port();
    let rendezvous = Rendezvous {
        rank: 0,
        world_size: 1,
        host: "127.0.0.1",
        port,
        serves_store: true,
        prefix: "test",
        join_timeout: Duration::from_secs(60),
        exchange_timeout: Duration::from_secs(60),
    };
    let group = Group::join(&rendezvous, Some(&library)).unwrap();
    let tensors: Vec<Tensor> = [3, 5_000_000, 7].map(|n| Tensor::arange(n, (Kind::Float, Device::Cuda(0)))).into();
    let wanted: Vec<Tensor> = tensors.iter().map(Tensor::copy).collect();
    group.all_reduce(&tensors).unwrap();
    group.broadcast(&tensors).unwrap();
    assert!(tensors.iter().zip(&wanted).all(|(found, wanted)| found.equal(wanted)));
    group.set("key", "value").unwrap();
    assert_eq!(group.get("key").unwrap(), "value");
    group.shutdown().unwrap();
}
