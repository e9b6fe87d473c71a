//! What a GPU gives, beside what a CPU gives. Without a GPU each test says that it is skipped.
mod support;

use std::{net::TcpListener, path::Path, process::Stdio, thread, time::Duration};

use support::{Place, RUN, assert_alike, numbers, text_of};
use tch::{Device, Kind, Tensor};
use trainer::{
    device::Machine,
    native::group::{Group, Meeting},
};

/// Says why nothing is tested where there is no GPU.
fn without_gpu() -> bool {
    let none = Machine::look().usable == 0;
    if none {
        println!("skipped: this needs a GPU");
    }
    none
}

fn run(place: &Place, device: &str, run: &str, more: &[&str]) {
    let output = place.command_on(device, &RUN).args(["--run", run]).args(more).output().unwrap();
    assert_eq!(output.status.code(), Some(0), "{}", text_of(&output));
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
    let place = Place::new();
    for compute in ["float32", "auto"] {
        let compute_in = format!("compute={compute}");
        run(&place, "cuda", compute, &["--set", &compute_in, "--set", "optimizer.learning_rate=1e-3"]);
    }
    let [found, wanted] = ["auto", "float32"].map(|run| numbers(&place, run));
    let mut worst = 0.0f64;
    for (found, wanted) in found.iter().zip(&wanted) {
        assert_eq!((found.0, &found.1), (wanted.0, &wanted.1));
        worst = worst.max((found.2[0] / wanted.2[0] - 1.0).abs());
    }
    println!("largest difference of a loss: {:.2}%", 100.0 * worst);
    assert!(worst < 0.02, "{worst}");
}

#[test]
fn a_stopped_run_goes_on() {
    if without_gpu() {
        return;
    }
    let place = Place::new();
    run(&place, "cuda", "whole", &["--set", "compute=float32"]);
    let mut command = place.command_on("cuda", &RUN);
    command.args(["--run", "cut", "--set", "compute=float32", "--set", "checkpoint.every=10"]);
    let mut child = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while place.metrics("cut").len() < 30 && child.try_wait().unwrap().is_none() {
        thread::sleep(Duration::from_millis(2));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    run(&place, "cuda", "cut", &["--set", "compute=float32", "--set", "checkpoint.every=10"]);
    assert_alike(&place, "cut", "whole", 5e-3);
}

/// NCCL wants a GPU for each process, so here one process talks to itself: the library loads, meets, sums and spreads.
#[test]
fn nccl_sums_and_spreads() {
    let library = Path::new(env!("CARGO_BIN_EXE_trainer")).with_file_name("libebert_nccl.so");
    if without_gpu() || !library.is_file() {
        println!("skipped: this needs a build with NCCL");
        return;
    }
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let meeting = Meeting {
        rank: 0,
        size: 1,
        host: "127.0.0.1",
        port,
        serve: true,
        name: "test",
        join: Duration::from_secs(60),
        exchange: Duration::from_secs(60),
    };
    let group = Group::join(&meeting, Some(&library)).unwrap();
    let tensors: Vec<Tensor> = [3, 5_000_000, 7].map(|n| Tensor::arange(n, (Kind::Float, Device::Cuda(0)))).into();
    let wanted: Vec<Tensor> = tensors.iter().map(Tensor::copy).collect();
    group.sum(&tensors).unwrap();
    group.spread(&tensors).unwrap();
    assert!(tensors.iter().zip(&wanted).all(|(found, wanted)| found.equal(wanted)));
    group.tell("name", "said").unwrap();
    assert_eq!(group.hear("name").unwrap(), "said");
}
