//! Work on all threads whose result does not depend on their number.

use std::sync::Mutex;

/// Rows per unit of work. Sums are computed for each unit and added in order.
pub(super) const PIECE: usize = 1 << 14;

/// The result of each job, in the order of the jobs.
pub(super) fn run<J: Send, R: Send>(
    jobs: impl Iterator<Item = J> + Send,
    threads: usize,
    work: impl Fn(J) -> R + Sync,
) -> Vec<R> {
    let queue = Mutex::new(jobs.enumerate());
    let next = || match queue.lock() {
        Ok(mut queue) => queue.next(),
        // Another worker panicked; its panic is resumed below.
        Err(_) => None,
    };
    let mut results: Vec<(usize, R)> = std::thread::scope(|scope| {
        let workers: Vec<_> = (0..threads.max(1))
            .map(|_| {
                scope.spawn(|| {
                    let mut done = Vec::new();
                    while let Some((index, job)) = next() {
                        done.push((index, work(job)));
                    }
                    done
                })
            })
            .collect();
        workers
            .into_iter()
            .flat_map(|worker| match worker.join() {
                Ok(done) => done,
                Err(panic) => std::panic::resume_unwind(panic),
            })
            .collect()
    });
    results.sort_unstable_by_key(|&(index, _)| index);
    results.into_iter().map(|(_, result)| result).collect()
}

/// Gives each piece of the items, and the index of its first item, to `work`.
pub(super) fn on_pieces<T: Send, R: Send>(
    items: &mut [T],
    threads: usize,
    work: impl Fn(usize, &mut [T]) -> R + Sync,
) -> Vec<R> {
    let pieces = items.chunks_mut(PIECE).enumerate();
    run(pieces, threads, |(index, piece)| work(index * PIECE, piece))
}
