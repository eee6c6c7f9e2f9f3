//! What the tests of the stage share.

use crate::harness::{Harness, at};
use bytes::Bytes;
use limbic_domain::{Envelope, Outcome, OutcomeKind, TenantId, topics};

/// A conversion with the given value.
pub(crate) fn sale(decision: &str, value: f64, minutes: i64) -> (&'static str, Vec<u8>) {
    let sale = Outcome {
        value: Some(value),
        ..Outcome::new(decision, OutcomeKind::Conversion, "sale")
    };
    let envelope = Envelope::new(TenantId::default(), "sale".into(), at(minutes), sale);
    (topics::OUTCOMES, envelope.encode())
}

/// How an earlier version kept timers.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Earlier {
    /// In an index of its own.
    Index,
    /// In timers of all tenants.
    Timers,
}

/// Replaces what the state keeps for each tenant by what an earlier version kept for all.
pub(crate) fn to_former(harness: &mut Harness, earlier: Earlier) {
    const DUE: &[u8] = b"due_of/default\0";
    let entries: Vec<(Bytes, Bytes)> = harness
        .state
        .entries()
        .map(|(_, key, value)| (key.clone(), value.clone()))
        .collect();
    for (key, value) in entries {
        let former = if let Some(timer) = key.strip_prefix(DUE) {
            let (time, target) = timer.split_at(8);
            match earlier {
                Earlier::Index => {
                    let time = u64::from_be_bytes(time.try_into().unwrap());
                    format!("due/{time:016x}/{}", std::str::from_utf8(target).unwrap()).into_bytes()
                }
                Earlier::Timers => [b"timer/", timer].concat(),
            }
        } else if key == "count/default" || key == "clock/default" {
            key[..5].to_vec()
        } else {
            continue;
        };
        harness.state.put(0, former, value);
        harness.state.remove(0, &key);
    }
    assert_eq!(harness.divide_time(), [TenantId::default()]);
}
