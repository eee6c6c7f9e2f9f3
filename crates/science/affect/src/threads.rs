//! Work on all cores.

/// Does the items on all cores, in parts of up to `most` at a time. The results are in the order of the items.
pub(crate) fn in_threads<I: Sync, T: Send>(
    items: &[I],
    most: usize,
    work: impl Fn(&[I]) -> Vec<T> + Sync,
) -> Vec<T> {
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let share = items.len().div_ceil(threads).max(1);
    let work = |part: &[I]| part.chunks(most).flat_map(&work).collect::<Vec<T>>();
    let work = &work;
    std::thread::scope(|scope| {
        let parts: Vec<_> = items
            .chunks(share)
            .map(|part| scope.spawn(move || work(part)))
            .collect();
        parts
            .into_iter()
            .flat_map(|part| {
                part.join()
                    .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
            })
            .collect()
    })
}
