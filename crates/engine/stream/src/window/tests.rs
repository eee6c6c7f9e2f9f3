use std::collections::BTreeMap;

use proptest::prelude::*;

use super::*;
use crate::testing::MemoryState;

#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Sum {
    count: u64,
    sum: i64,
}

impl StateValue for Sum {
    const VERSION: u8 = 1;

    fn encode(&self, to: &mut Encoder) {
        to.unsigned(self.count);
        to.signed(self.sum);
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, DecodeProblem> {
        Ok(Self {
            count: from.unsigned()?,
            sum: from.signed()?,
        })
    }
}

impl Aggregate for Sum {
    type Item = i64;

    fn add(&mut self, item: &i64) {
        self.count += 1;
        self.sum += item;
    }

    fn merge(&mut self, other: Self) {
        self.count += other.count;
        self.sum += other.sum;
    }
}

fn tenant() -> TenantId {
    TenantId::default()
}

/// The same state as programs wrote it that had one event time for all tenants.
fn former(state: &MemoryState) -> MemoryState {
    let mut former = MemoryState::default();
    for (partition, key, value) in state.entries() {
        let place = key.iter().position(|byte| *byte == 0).unwrap() + 1;
        let (name, rest) = key.split_at(place);
        let key = match rest[0] {
            b'u' => {
                let timer = &rest[rest.iter().position(|byte| *byte == 0).unwrap() + 1..];
                [name, b"t", timer].concat()
            }
            b'v' => [name, b"w"].concat(),
            b'p' => [name, b"o"].concat(),
            _ => key.to_vec(),
        };
        former.put(partition, key, value.clone());
    }
    former
}

type Item = (u8, i64, i64);
type Results = BTreeMap<(Bytes, Window), Sum>;

/// Collects the final results, after every correction. Fails if a revision of a window is repeated, or if a result replaces a
/// window that was never emitted.
fn settle(results: &mut Results, revisions: &mut BTreeMap<(Bytes, Window), u32>, closed: Vec<Closed<Sum>>) {
    for one in closed {
        let before = revisions.insert((one.key.clone(), one.window), one.revision);
        assert!(
            before.is_none_or(|before| before < one.revision),
            "a revision is repeated: {one:?}"
        );
        for replaced in one.replaces {
            assert!(
                results.remove(&(one.key.clone(), replaced)).is_some(),
                "it replaces a window that was never emitted"
            );
        }
        results.insert((one.key, one.window), one.value);
    }
}

/// Adds the records in batches. The watermark is the latest record less `disorder`. Only the state is kept between batches.
fn stream(
    kind: WindowKind,
    lateness: i64,
    items: &[Item],
    batch: usize,
    disorder: i64,
) -> (Results, u64, usize) {
    let mut committed = MemoryState::default();
    let mut results = Results::new();
    let mut revisions = BTreeMap::new();
    let mut latest = i64::MIN;
    for records in items.chunks(batch) {
        let windows = Windows::<Sum>::new("test", kind, lateness).unwrap();
        let mut out = Outputs::new(&committed);
        let keyed = records
            .iter()
            .map(|(key, at, item)| (Bytes::copy_from_slice(&[*key]), Utc::from_millis(*at), item));
        windows.add_all(&mut out, 0, &tenant(), keyed, |_, _| {}).unwrap();
        latest = records.iter().map(|(_, at, _)| *at).fold(latest, i64::max);
        let closed = windows
            .advance(&mut out, 0, &tenant(), Utc::from_millis(latest - disorder))
            .unwrap();
        let effects = out.into_effects();
        committed.commit(&effects);
        settle(&mut results, &mut revisions, closed);
    }
    let windows = Windows::<Sum>::new("test", kind, lateness).unwrap();
    let mut out = Outputs::new(&committed);
    let closed = windows.advance(&mut out, 0, &tenant(), Utc::MAX).unwrap();
    let dropped = windows.dropped_late(&out, 0).unwrap();
    let effects = out.into_effects();
    committed.commit(&effects);
    settle(&mut results, &mut revisions, closed);
    let left = committed
        .keys()
        .filter(|key| matches!(key[5], b'd' | b'u'))
        .count();
    (results, dropped, left)
}

/// The same without a stream: all records at once.
fn batch(kind: WindowKind, items: &[Item]) -> Results {
    let mut results = Results::new();
    let mut put = |key: u8, window: Window, item: i64| {
        let key = Bytes::copy_from_slice(&[key]);
        results.entry((key, window)).or_default().add(&item);
    };
    match kind {
        WindowKind::Tumbling { size: step } | WindowKind::Sliding { step, .. } => {
            let size = if let WindowKind::Sliding { size, .. } = kind {
                size
            } else {
                step
            };
            for (key, at, item) in items {
                for n in -400..400 {
                    let window = Window {
                        start: n * step,
                        end: n * step + size,
                    };
                    if (window.start..window.end).contains(at) {
                        put(*key, window, *item);
                    }
                }
            }
        }
        WindowKind::Session { gap } => {
            for key in 0..3 {
                let mut own: Vec<&Item> = items.iter().filter(|item| item.0 == key).collect();
                own.sort();
                for session in own.chunk_by(|a, b| b.1 - a.1 < gap) {
                    let window = Window {
                        start: session[0].1,
                        end: session[session.len() - 1].1 + gap,
                    };
                    for (_, _, item) in session {
                        put(key, window, *item);
                    }
                }
            }
        }
    }
    results
}

fn kinds() -> impl Strategy<Value = WindowKind> {
    prop_oneof![
        (1..40i64).prop_map(|size| WindowKind::Tumbling { size }),
        (5..40i64, 5..40i64).prop_map(|(a, b)| WindowKind::Sliding {
            size: a.max(b),
            step: a.min(b)
        }),
        (1..30i64).prop_map(|gap| WindowKind::Session { gap }),
    ]
}

fn items() -> impl Strategy<Value = Vec<Item>> {
    proptest::collection::vec((0..3u8, -100..300i64, -9..9i64), 0..60)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn order_and_restarts_do_not_change_the_final_results(
        kind in kinds(), items in items(), size in 1..20usize, disorder in 0..100i64,
    ) {
        // No record is later than 400.
        let (results, dropped, left) = stream(kind, 400, &items, size, disorder);
        prop_assert_eq!(results, batch(kind, &items));
        prop_assert_eq!((dropped, left), (0, 0), "nothing dropped, nothing left behind");
    }

    #[test]
    fn only_records_that_are_too_late_are_missing_and_they_are_counted(
        size in 1..40i64, lateness in 0..30i64, items in items(), disorder in 0..20i64,
    ) {
        let (results, dropped, left) = stream(WindowKind::Tumbling { size }, lateness, &items, 3, disorder);
        let counted: u64 = results.values().map(|sum| sum.count).sum();
        prop_assert_eq!(counted + dropped, items.len() as u64);
        prop_assert_eq!(left, 0);
    }
}

#[test]
fn a_late_record_causes_a_correction_and_a_later_one_is_dropped() {
    let committed = MemoryState::default();
    let windows = Windows::<Sum>::new("test", WindowKind::Tumbling { size: 10 }, 5).unwrap();
    let mut out = Outputs::new(&committed);
    let at = Utc::from_millis;
    assert_eq!(
        windows.add(&mut out, 0, &tenant(), b"k", at(3), &1).unwrap(),
        Added::OnTime
    );
    assert_eq!(windows.advance(&mut out, 0, &tenant(), at(9)).unwrap(), []);
    let first = windows.advance(&mut out, 0, &tenant(), at(10)).unwrap();
    assert_eq!((first.len(), first[0].revision, first[0].value.sum), (1, 0, 1));
    assert_eq!(
        windows.advance(&mut out, 0, &tenant(), at(12)).unwrap(),
        [],
        "once only"
    );
    assert_eq!(
        windows.add(&mut out, 0, &tenant(), b"k", at(9), &5).unwrap(),
        Added::Late
    );
    let second = windows.advance(&mut out, 0, &tenant(), at(12)).unwrap();
    assert_eq!((second.len(), second[0].revision, second[0].value.sum), (1, 1, 6));
    windows.advance(&mut out, 0, &tenant(), at(15)).unwrap();
    assert_eq!(
        windows.add(&mut out, 0, &tenant(), b"k", at(9), &5).unwrap(),
        Added::DroppedLate
    );
    assert_eq!(windows.dropped_late(&out, 0).unwrap(), 1);
    assert_eq!(windows.dropped_late(&out, 1).unwrap(), 0, "partitions do not mix");
}

#[test]
fn with_lateness_by_own_records_a_record_far_behind_the_watermark_counts() {
    let mut committed = MemoryState::default();
    let windows = Windows::<Sum>::new("test", WindowKind::Tumbling { size: 10 }, 5)
        .unwrap()
        .late_by_own_records();
    let mut out = Outputs::new(&committed);
    let at = Utc::from_millis;
    windows.add(&mut out, 0, &tenant(), b"k", at(3), &1).unwrap();
    let first = windows.advance(&mut out, 0, &tenant(), at(1_000)).unwrap();
    assert_eq!((first.len(), first[0].value.sum), (1, 1), "the watermark closes");
    assert_eq!(
        windows.add(&mut out, 0, &tenant(), b"k", at(9), &5).unwrap(),
        Added::Late
    );
    let second = windows.advance(&mut out, 0, &tenant(), at(1_000)).unwrap();
    assert_eq!((second.len(), second[0].revision, second[0].value.sum), (1, 1, 6));

    assert_eq!(
        windows.add(&mut out, 0, &tenant(), b"k", at(25), &2).unwrap(),
        Added::Late
    );
    let third = windows.advance(&mut out, 0, &tenant(), at(1_000)).unwrap();
    assert_eq!((third.len(), third[0].revision, third[0].value.sum), (1, 0, 2));
    assert_eq!(
        windows.add(&mut out, 0, &tenant(), b"k", at(8), &1).unwrap(),
        Added::DroppedLate,
        "later than the lateness, counted from the latest record of its kind"
    );
    windows.advance(&mut out, 0, &tenant(), at(1_001)).unwrap();
    let effects = out.into_effects();
    committed.commit(&effects);
    let kept = committed.keys().filter(|key| key[5] == b'd').count();
    assert_eq!(
        kept, 1,
        "a window that no record of its kind can change any more is removed"
    );
}

#[test]
fn a_record_between_two_closed_sessions_merges_them() {
    let committed = MemoryState::default();
    let windows = Windows::<Sum>::new("test", WindowKind::Session { gap: 10 }, 100).unwrap();
    let mut out = Outputs::new(&committed);
    let at = Utc::from_millis;
    windows.add(&mut out, 0, &tenant(), b"k", at(0), &1).unwrap();
    windows.add(&mut out, 0, &tenant(), b"k", at(15), &2).unwrap();
    assert_eq!(windows.advance(&mut out, 0, &tenant(), at(50)).unwrap().len(), 2);
    assert_eq!(
        windows.add(&mut out, 0, &tenant(), b"k", at(8), &4).unwrap(),
        Added::Late
    );
    let corrected = windows.advance(&mut out, 0, &tenant(), at(50)).unwrap();
    assert_eq!(corrected.len(), 1);
    assert_eq!(corrected[0].window, Window { start: 0, end: 25 });
    assert_eq!(corrected[0].value, Sum { count: 3, sum: 7 });
    assert_eq!(
        corrected[0].replaces,
        [Window { start: 0, end: 10 }, Window { start: 15, end: 25 }]
    );
}

#[test]
fn invalid_window_lengths_are_refused() {
    for kind in [
        WindowKind::Tumbling { size: 0 },
        WindowKind::Sliding { size: 5, step: 6 },
        WindowKind::Session { gap: -1 },
    ] {
        assert!(Windows::<Sum>::new("test", kind, 0).is_err(), "{kind:?}");
    }
}

#[test]
fn a_window_that_one_batch_opens_and_removes_is_not_written() {
    let committed = MemoryState::default();
    let windows = Windows::<Sum>::new("test", WindowKind::Tumbling { size: 10 }, 5).unwrap();
    let mut out = Outputs::new(&committed);
    let items = [(3, 1), (4, 2), (23, 4)];
    let keyed = items
        .iter()
        .map(|(at, item)| (Bytes::from_static(b"k"), Utc::from_millis(*at), item));
    windows.add_all(&mut out, 0, &tenant(), keyed, |_, _| {}).unwrap();
    let closed = windows
        .advance(&mut out, 0, &tenant(), Utc::from_millis(20))
        .unwrap();
    let sums: Vec<i64> = closed.iter().map(|one| one.value.sum).collect();
    assert_eq!(sums, [3]);
    let changes = &out.into_effects().state[&0];
    // The watermark, and the window from 20 on with its timer.
    assert_eq!(changes.len(), 3, "{changes:?}");
    assert!(changes.values().all(Option::is_some), "{changes:?}");
}

#[test]
fn a_batch_that_is_processed_again_counts_once() {
    let committed = MemoryState::default();
    let windows = Windows::<Sum>::new("test", WindowKind::Tumbling { size: 10 }, 5).unwrap();
    for _ in 0..2 {
        let mut out = Outputs::new(&committed);
        windows
            .add(&mut out, 0, &tenant(), b"k", Utc::from_millis(3), &7)
            .unwrap();
        let closed = windows
            .advance(&mut out, 0, &tenant(), Utc::from_millis(20))
            .unwrap();
        assert_eq!(closed[0].value, Sum { count: 1, sum: 7 });
        // Not committed: the next call finds the state as it was.
    }
}

#[test]
fn a_key_that_was_removed_and_set_again_is_removed_from_the_state_too() {
    let mut committed = MemoryState::default();
    let mut out = Outputs::new(&committed);
    out.put(0, &b"k"[..], &b"before"[..]);
    committed.commit(&out.into_effects());
    let mut out = Outputs::new(&committed);
    out.remove(0, &b"k"[..]);
    out.put_new(0, &b"k"[..], &b"again"[..]);
    out.remove(0, &b"k"[..]);
    assert_eq!(out.get(0, b"k").unwrap(), None);
    committed.commit(&out.into_effects());
    assert_eq!(committed.keys().count(), 0);
}

#[test]
fn windows_that_are_absorbed_go_on_with_their_sums_and_times() {
    let windows = |name| {
        Windows::<Sum>::new(name, WindowKind::Tumbling { size: 10 }, 20)
            .unwrap()
            .late_by_own_records()
    };
    let at = Utc::from_millis;
    let mut committed = MemoryState::default();
    let mut out = Outputs::new(&committed);
    for windows in [windows("one"), windows("two")] {
        for (key, time) in [(b"k", 1), (b"k", 5), (b"k", 12), (b"l", 12)] {
            windows.add(&mut out, 0, &tenant(), key, at(time), &1).unwrap();
        }
        assert_eq!(windows.advance(&mut out, 0, &tenant(), at(11)).unwrap().len(), 1);
    }
    // A key of which only the other windows know.
    windows("two")
        .add(&mut out, 0, &tenant(), b"m", at(12), &1)
        .unwrap();
    let effects = out.into_effects();
    committed.commit(&effects);
    let mut committed = former(&committed);

    let (one, two) = (windows("one"), windows("two"));
    let mut out = Outputs::new(&committed);
    for _ in 0..2 {
        let many = |sum: Sum| Sum {
            count: 100 * sum.count,
            ..sum
        };
        one.absorb(&mut out, 0, &two, many).unwrap();
    }
    let tenants = one.divide_time(&mut out, 0, |_| Some(tenant())).unwrap();
    assert_eq!(tenants.into_iter().collect::<Vec<_>>(), [tenant()]);
    assert_eq!(one.watermark(&out, 0, &tenant()).unwrap(), at(11));
    one.add(&mut out, 0, &tenant(), b"k", at(3), &1).unwrap();
    let corrected = one.advance(&mut out, 0, &tenant(), Utc::MIN).unwrap();
    let seen = |closed: &[Closed<Sum>]| -> Vec<(Bytes, u64, u32)> {
        let of = |one: &Closed<Sum>| (one.key.clone(), one.value.count, one.revision);
        closed.iter().map(of).collect()
    };
    assert_eq!(seen(&corrected), [(Bytes::from_static(b"k"), 203, 1)]);
    let closed = one.advance(&mut out, 0, &tenant(), at(25)).unwrap();
    let expected = [(b"k", 101), (b"l", 101), (b"m", 100)];
    assert_eq!(
        seen(&closed),
        expected.map(|(key, count)| (Bytes::from_static(key), count, 0))
    );
    let effects = out.into_effects();
    committed.commit(&effects);
    assert_eq!(committed.keys().filter(|key| key.starts_with(b"two")).count(), 0);
}

#[test]
fn a_window_closes_and_accepts_late_records_on_the_time_of_its_tenant() {
    let at = Utc::from_millis;
    let windows = Windows::<Sum>::new("test", WindowKind::Tumbling { size: 10 }, 5).unwrap();
    let committed = MemoryState::default();
    let mut out = Outputs::new(&committed);
    let [live, old] = ["live", "old"].map(|name| TenantId::new(name).unwrap());
    windows
        .add(&mut out, 0, &live, b"live", at(7_000_000), &1)
        .unwrap();
    assert_eq!(
        windows.advance(&mut out, 0, &live, at(7_000_010)).unwrap().len(),
        1
    );
    // Two hours behind, and on time.
    let added = windows.add(&mut out, 0, &old, b"old", at(3), &1).unwrap();
    assert_eq!(added, Added::OnTime);
    assert_eq!(windows.advance(&mut out, 0, &live, at(8_000_000)).unwrap(), []);
    let closed = windows.advance(&mut out, 0, &old, at(10)).unwrap();
    assert_eq!(closed.len(), 1);
    assert_eq!(&closed[0].key[..], b"old");
}
