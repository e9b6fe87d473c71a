//! Process groups on CPUs, compared with the same sums on one process. The ranks are threads of
//! this process.
#[path = "support/port.rs"]
mod port;

use std::{thread, time::Duration};

use ebert_kernels::group::{Group, Rendezvous, has_gloo};
use port::free_port;
use tch::{Device, Kind, Tensor};

/// Runs `body` as each rank of a group. Without Gloo, prints that the test is skipped.
fn with_ranks(world_size: usize, body: impl Fn(usize, &Group) + Sync) {
    if !has_gloo() {
        println!("skipped: built without Gloo (its headers are in Debian's libgloo-dev)");
        return;
    }
    let port = free_port();
    thread::scope(|scope| {
        for rank in 0..world_size {
            let body = &body;
            scope.spawn(move || {
                let rendezvous = Rendezvous {
                    rank,
                    world_size,
                    host: "127.0.0.1",
                    port,
                    serves_store: rank == 0,
                    prefix: "test",
                    join_timeout: Duration::from_secs(60),
                    exchange_timeout: Duration::from_secs(60),
                };
                let group = Group::join(&rendezvous, None).unwrap();
                body(rank, &group);
                group.shutdown().unwrap();
            });
        }
    });
}

/// Tensors of several buckets and shapes, one of them empty and one wider than a bucket.
fn tensors(rank: usize) -> Vec<Tensor> {
    let shapes = [&[3, 5][..], &[7_000_000], &[0], &[2, 2, 2]];
    let number = |(i, shape): (usize, &&[i64])| {
        // Whole numbers, so that sums are exact.
        let count = shape.iter().product::<i64>();
        (Tensor::arange(count, (Kind::Float, Device::Cpu)).remainder(1000.0) * (rank + 1) as f64 + i as f64)
            .view(*shape)
    };
    shapes.iter().enumerate().map(number).collect()
}

#[test]
fn all_reduce_is_the_sum_over_ranks() {
    with_ranks(3, |rank, group| {
        let found = tensors(rank);
        group.all_reduce(&found).unwrap();
        let all: Vec<Vec<Tensor>> = (0..3).map(tensors).collect();
        for (i, found) in found.iter().enumerate() {
            assert!(found.equal(&(&all[0][i] + &all[1][i] + &all[2][i])), "tensor {i} on rank {rank}");
        }
    });
}

#[test]
fn broadcast_gives_the_tensors_of_rank_0() {
    with_ranks(3, |rank, group| {
        let found = tensors(rank);
        group.broadcast(&found).unwrap();
        assert!(found.iter().zip(tensors(0)).all(|(found, wanted)| found.equal(&wanted)), "rank {rank}");
    });
}

#[test]
fn a_key_has_the_value_that_another_rank_sets() {
    with_ranks(2, |rank, group| {
        let value = "a text\nof two lines, \u{e9}";
        if rank == 0 {
            assert_eq!(group.get("key").unwrap(), value);
            group.set("empty", "").unwrap();
        } else {
            group.set("key", value).unwrap();
            assert_eq!(group.get("empty").unwrap(), "");
        }
    });
}
