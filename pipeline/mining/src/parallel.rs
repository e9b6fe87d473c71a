//! Work on all threads of the current rayon pool, with one state per thread.
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

/// Calls `work` once with each number below `count`. `finish` gets the state of each thread that has worked.
///
/// # Errors
/// One of the errors of `work` and `finish`. Numbers that no thread has begun are then left out.
pub(crate) fn for_each<S, E: Send>(
    count: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> Result<(), E> + Sync,
    finish: impl Fn(S) -> Result<(), E> + Sync,
) -> Result<(), E> {
    let next = AtomicUsize::new(0);
    let outcomes = rayon::broadcast(|_| {
        let mut own = None;
        loop {
            let number = next.fetch_add(1, Relaxed);
            if number >= count {
                return own.map_or(Ok(()), &finish);
            }
            if let Err(error) = work(own.get_or_insert_with(&state), number) {
                next.store(count, Relaxed);
                return Err(error);
            }
        }
    });
    outcomes.into_iter().collect()
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn each_number_is_worked_on_once_and_each_state_is_finished() {
        for threads in [1, 3] {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
            let run = |fail_at: Option<usize>| {
                let done = Mutex::new(Vec::new());
                let outcome = pool.install(|| {
                    for_each(
                        1000,
                        Vec::new,
                        |own, number| {
                            own.push(number);
                            if Some(number) == fail_at { Err(number) } else { Ok(()) }
                        },
                        |own| {
                            done.lock().unwrap().extend(own);
                            Ok(())
                        },
                    )
                });
                let mut done = done.into_inner().unwrap();
                done.sort_unstable();
                (outcome, done)
            };
            assert_eq!(run(None), (Ok(()), (0..1000).collect()));
            assert_eq!(run(Some(500)).0, Err(500));
        }
    }
}
