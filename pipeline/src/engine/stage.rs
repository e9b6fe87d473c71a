//! The streaming stage: a reader, N workers and an ordered writer, connected by bounded channels.
//!
//! [`run`] starts them. The reader numbers its items, and the workers take them as they come. The
//! writer takes the results in the order of reading, on the calling thread. So the output does not
//! depend on the number of workers.
//!
//! Each item in flight holds a permit, which the writer returns to the reader. Without permits, one
//! slow item would let the results of all later ones pile up in front of the writer.
//!
//! ```text
//!  reader ──items──► worker 1..N ──results──► writer
//!    ▲                                          │
//!    └────────────────permits◄──────────────────┘
//! ```
//!
//! ```
//! use pipeline::engine::stage::{self, Threads};
//!
//! let (mut numbers, mut squares) = (0..5u32, Vec::new());
//! let written: Result<(), ()> = stage::run(
//!     Threads::new(2),
//!     || Ok(numbers.next()),
//!     || (),
//!     |(), number| Ok(number * number),
//!     |square| Ok(squares.push(square)),
//! );
//! assert_eq!((written, squares), (Ok(()), vec![0, 1, 4, 9, 16]));
//! ```
use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind, resume_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use crossbeam_channel::bounded;

/// Number of workers, at least one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Threads(usize);

impl Threads {
    /// This many workers; one instead of none.
    pub fn new(workers: usize) -> Self {
        Self(workers.max(1))
    }

    pub const fn get(self) -> usize {
        self.0
    }
}

/// Runs items through workers, in order.
///
/// * `read` returns the next item, and `None` after the last. It runs on its own thread.
/// * `new_worker` creates a worker's state on the worker's thread. `work` turns an item into a
///   result.
/// * `write` takes the results in the order of their items, on the calling thread.
///
/// At most `2 * threads + 2` items are in flight. A panic of a worker continues on the calling
/// thread.
///
/// # Errors
/// The first error in the order of reading. Nothing after it is written.
pub fn run<T: Send, R: Send, W, E: Send>(
    threads: Threads,
    mut read: impl FnMut() -> Result<Option<T>, E> + Send,
    new_worker: impl Fn() -> W + Sync,
    work: impl Fn(&mut W, T) -> Result<R, E> + Sync,
    mut write: impl FnMut(R) -> Result<(), E>,
) -> Result<(), E> {
    let in_flight = 2 * threads.get() + 2;
    let (permit, permits) = bounded::<()>(in_flight);
    let (item, items) = bounded::<(u64, Result<T, E>)>(in_flight);
    let (result, results) = bounded::<(u64, thread::Result<Result<R, E>>)>(in_flight);
    for _ in 0..in_flight {
        // Cannot fail: the channel has room for exactly these.
        let _ = permit.send(());
    }
    let stopped = AtomicBool::new(false);
    thread::scope(|scope| {
        let stopped = &stopped;
        scope.spawn(move || {
            for number in 0.. {
                if permits.recv().is_err() || stopped.load(Ordering::Relaxed) {
                    return;
                }
                let next = match read() {
                    Ok(Some(next)) => Ok(next),
                    Ok(None) => return,
                    Err(error) => Err(error),
                };
                let failed = next.is_err();
                if item.send((number, next)).is_err() || failed {
                    return;
                }
            }
        });
        for _ in 0..threads.get() {
            let (items, result) = (items.clone(), result.clone());
            let (new_worker, work) = (&new_worker, &work);
            scope.spawn(move || {
                let mut worker = None;
                for (number, item) in items {
                    // A panic is sent as a result. Otherwise the writer would wait for this item
                    // forever.
                    let done = catch_unwind(AssertUnwindSafe(|| {
                        item.and_then(|item| work(worker.get_or_insert_with(new_worker), item))
                    }));
                    let panicked = done.is_err();
                    if result.send((number, done)).is_err() || panicked {
                        return;
                    }
                }
            });
        }
        drop((items, result));
        let mut early = BTreeMap::new();
        let mut next = 0;
        let mut outcome = Ok(());
        'results: for (number, result) in &results {
            early.insert(number, result);
            while let Some(result) = early.remove(&next) {
                next += 1;
                outcome = match result {
                    Ok(result) => result.and_then(&mut write),
                    Err(panic) => resume_unwind(panic),
                };
                if outcome.is_err() {
                    break 'results;
                }
                // Fails when the reader is done, and then no permit is needed.
                let _ = permit.try_send(());
            }
        }
        stopped.store(true, Ordering::Relaxed);
        // Closed channels end the threads that wait on them. An unwinding panic closes them as
        // well.
        drop((results, permit));
        outcome
    })
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicUsize;

    use super::*;

    fn squares(threads: usize, n: u64, fail_at: Option<u64>) -> (Vec<u64>, Result<(), u64>) {
        let mut next = 0;
        let mut written = Vec::new();
        let outcome = run(
            Threads::new(threads),
            || {
                next += 1;
                Ok((next <= n).then_some(next - 1))
            },
            || (),
            |(), i| {
                if i % 7 == 0 {
                    thread::yield_now();
                }
                if Some(i) == fail_at { Err(i) } else { Ok(i * i) }
            },
            |r| {
                written.push(r);
                Ok(())
            },
        );
        (written, outcome)
    }

    #[test]
    fn results_come_in_order_for_any_number_of_workers() {
        for threads in [1, 2, 5] {
            let (written, outcome) = squares(threads, 1000, None);
            assert_eq!(outcome, Ok(()));
            assert_eq!(written, (0..1000).map(|i| i * i).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_first_failure_ends_the_stream() {
        for threads in [1, 3] {
            let (written, outcome) = squares(threads, 10_000, Some(500));
            assert_eq!(outcome, Err(500));
            assert_eq!(written.len(), 500);
        }
    }

    #[test]
    fn a_reader_or_writer_that_fails_ends_the_stream() {
        let read = run(Threads::new(2), || Err::<Option<u8>, _>("read"), || (), |(), i| Ok(i), |_| Ok(()));
        assert_eq!(read, Err("read"));
        let write = run(Threads::new(2), || Ok(Some(1)), || (), |(), i| Ok(i), |_| Err("write"));
        assert_eq!(write, Err("write"));
    }

    #[test]
    fn a_worker_that_panics_ends_the_stream() {
        for threads in [1, 3] {
            let stream = || {
                let mut next = 0;
                let read = || -> Result<_, ()> {
                    next += 1;
                    Ok((next < 10_000).then_some(next))
                };
                run(
                    Threads::new(threads),
                    read,
                    || (),
                    |(), i| if i == 100 { panic!("at 100") } else { Ok(i) },
                    |_| Ok(()),
                )
            };
            let panic = catch_unwind(AssertUnwindSafe(stream)).unwrap_err();
            assert_eq!(panic.downcast_ref(), Some(&"at 100"));
        }
    }

    #[test]
    fn a_slow_item_holds_up_a_bounded_number() {
        let read = AtomicUsize::new(0);
        let mut most = 0;
        let mut written = 0;
        let outcome: Result<(), ()> = run(
            Threads::new(2),
            || {
                let n = read.fetch_add(1, Ordering::SeqCst);
                Ok((n < 100).then_some(n))
            },
            || (),
            |(), n| {
                if n == 0 {
                    thread::sleep(std::time::Duration::from_millis(50));
                }
                Ok(n)
            },
            |_| {
                most = most.max(read.load(Ordering::SeqCst) - written);
                written += 1;
                Ok(())
            },
        );
        assert_eq!((outcome, written), (Ok(()), 100));
        assert!(most <= 7, "{most}");
    }
}
