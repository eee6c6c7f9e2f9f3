//! The runs.

use std::collections::BTreeMap;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};

use super::schedule::{run, started};

fn setting(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

/// `LIMBIC_SIMULATE_SCHEDULES` schedules from the seed `LIMBIC_SIMULATE_FROM` on `LIMBIC_SIMULATE_THREADS` threads; or the
/// one of `LIMBIC_SIMULATE_SEED`.
#[test]
fn nothing_is_lost_or_doubled_in_any_schedule() {
    if let Some(seed) = setting("LIMBIC_SIMULATE_SEED") {
        let outcome = run(seed, true);
        assert_eq!(outcome.violation, None, "seed {seed}: {outcome:?}");
        return;
    }
    let schedules = setting("LIMBIC_SIMULATE_SCHEDULES").unwrap_or(400);
    let from = setting("LIMBIC_SIMULATE_FROM").unwrap_or(0);
    let next = AtomicU64::new(0);
    let total: Mutex<BTreeMap<&str, u64>> = Mutex::default();
    let start = started();
    std::thread::scope(|scope| {
        for _ in 0..setting("LIMBIC_SIMULATE_THREADS").unwrap_or(1) {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= schedules {
                        return;
                    }
                    let seed = from + number;
                    let outcome = run(seed, false);
                    assert!(
                        outcome.violation.is_none(),
                        "seed {seed}: {}. `LIMBIC_SIMULATE_SEED={seed} cargo test -p limbic-stream-embedded --lib simulation` repeats it",
                        outcome.violation.unwrap_or_default()
                    );
                    let mut total = total.lock().expect("no thread panics with it");
                    *total.entry("posts").or_default() += outcome.posts as u64;
                    for (kind, times) in outcome.met {
                        *total.entry(kind).or_default() += times;
                    }
                    if number.is_multiple_of(20_000) && number > 0 {
                        eprintln!("{number} of {schedules} schedules, {} s", start.elapsed().as_secs());
                    }
                }
            });
        }
    });
    let total = total.into_inner().expect("no thread has panicked");
    eprintln!(
        "{schedules} schedules from seed {from}, {} s: {total:?}",
        start.elapsed().as_secs()
    );
    // The run means something only if faults happen.
    for kind in [
        "died",
        "power lost",
        "flush failed",
        "write failed",
        "interrupted",
        "database stepped back",
    ] {
        assert!(
            total.get(kind).is_some_and(|times| *times > 0),
            "no schedule has met `{kind}`"
        );
    }
}

#[test]
fn a_seed_repeats_its_run() {
    for seed in 0..30 {
        assert_eq!(run(seed, false), run(seed, false), "seed {seed}");
    }
}
