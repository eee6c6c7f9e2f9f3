//! People who deleted a post or their account: for a time no ad reaches them.
//!
//! The compacted topic `withdrawals` has a record for each of them. It is removed when its time is over by the tenant's event time. The
//! number of records is bounded, because every instance of other stages holds them in memory.

use bytes::Bytes;
use limbic_domain::{Deletion, Envelope, TenantId, Utc, Withdrawal, event_id, topics};
use limbic_stream::{Cause, Outputs, StageError, StateSchema, Table, Timers};

use crate::person::PersonKey;

/// When each withdrawal ends. The id is its key in [`END`].
const ENDS: Timers = Timers::new("withdrawals that end", b"w");
/// When the withdrawal of a person ends.
const END: Table<PersonKey, Utc> = Table::new("withdrawals", b"v");
/// How many withdrawals of a tenant there are.
const COUNT: Table<TenantId, u64> = Table::new("number of withdrawals", b"n");
/// The most withdrawals of a tenant in a partition. Above it the oldest ends before its time.
const MOST: u64 = 10_000;
/// The most that end in one call.
const MOST_AT_ONCE: usize = 1_000;

/// Publishes that the author of what was deleted gets no ads for a time.
pub(crate) fn publish(
    cause: &Cause,
    deletion: &Envelope<Deletion>,
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    publish_within(MOST, cause, deletion, out)
}

fn publish_within(
    most: u64,
    cause: &Cause,
    deletion: &Envelope<Deletion>,
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    let (tenant, partition) = (&deletion.tenant, cause.partition);
    let person = (tenant, &deletion.data.author);
    let deleted_at = deletion.data.deleted_at;
    let end = deleted_at.plus_millis(Withdrawal::LASTS_MILLIS);
    let before = END.get(out, partition, &person)?;
    if before.is_some_and(|before| before >= end) {
        return Ok(());
    }
    let entry = END.key(&person);
    match before {
        Some(before) => ENDS.of(tenant).cancel(out, partition, before, &entry),
        None => make_room(most, partition, tenant, out)?,
    }
    ENDS.of(tenant).set(out, partition, end, &entry, &());
    END.put(out, partition, &person, &end);
    let key = Withdrawal::key(tenant, &deletion.data.author);
    let withdrawal = Withdrawal {
        person: deletion.data.author.clone(),
        deleted_at,
    };
    let id = event_id("withdrawal", &[&key, &deleted_at.as_millis().to_string()]);
    let envelope = Envelope::new(tenant.clone(), id, deleted_at, withdrawal);
    out.emit(cause, topics::WITHDRAWALS, &key, &envelope);
    Ok(())
}

/// Counts one more withdrawal, after the oldest has ended if there are too many.
fn make_room(most: u64, partition: u32, tenant: &TenantId, out: &mut Outputs<'_>) -> Result<(), StageError> {
    if COUNT.get(out, partition, &tenant)?.unwrap_or(0) >= most {
        for oldest in ENDS.of(tenant).due(out, partition, Utc::MAX, 1)? {
            end(partition, tenant, oldest.at, &oldest.id, out)?;
        }
    }
    let count = COUNT.get(out, partition, &tenant)?.unwrap_or(0) + 1;
    COUNT.put(out, partition, &tenant, &count);
    Ok(())
}

/// Removes a withdrawal from the state and from the topic.
fn end(
    partition: u32,
    tenant: &TenantId,
    at: Utc,
    entry: &Bytes,
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    ENDS.of(tenant).cancel(out, partition, at, entry);
    out.remove(partition, entry.clone());
    let count = COUNT.get(out, partition, &tenant)?.unwrap_or(0);
    COUNT.put(out, partition, &tenant, &count.saturating_sub(1));
    let PersonKey { tenant, person } = END.decode_key(partition, entry)?;
    let key = Withdrawal::key(&tenant, &person);
    out.emit_bytes(
        &Cause::of_partition(partition),
        topics::WITHDRAWALS,
        &key,
        at,
        Vec::new(),
    );
    Ok(())
}

/// Ends the withdrawals whose time is over.
pub(crate) fn sweep(
    partition: u32,
    tenant: &TenantId,
    watermark: Utc,
    out: &mut Outputs<'_>,
) -> Result<(), StageError> {
    // The end of a stream ends nothing, because the stream may be continued.
    if watermark == Utc::MAX {
        return Ok(());
    }
    for timer in ENDS.of(tenant).due(out, partition, watermark, MOST_AT_ONCE)? {
        end(partition, tenant, timer.at, &timer.id, out)?;
    }
    Ok(())
}

/// Adds the withdrawals to `schema`.
pub(crate) fn described_in(schema: StateSchema) -> StateSchema {
    schema.timers_of_tenants(&ENDS).table(&END).table(&COUNT)
}

#[cfg(test)]
mod tests {
    use limbic_domain::{Pseudonym, Slug};
    use limbic_stream::testing::MemoryState;

    use super::*;

    #[test]
    fn with_too_many_withdrawals_the_oldest_ends_early() {
        let tenant = TenantId::default();
        let network = Slug::new("bluesky").unwrap();
        let person = |name: &str| Pseudonym::of(&[1; 32], &network, name);
        let deletion = |name: &str, millis: i64| {
            let deleted_at = Utc::from_millis(millis);
            let data = Deletion {
                network: network.clone(),
                id: None,
                author: person(name),
                deleted_at,
            };
            Envelope::new(tenant.clone(), "d".to_owned(), deleted_at, data)
        };
        let mut state = MemoryState::default();
        let mut ended = Vec::new();
        for (name, millis) in [("ada", 5), ("ben", 3), ("cyd", 9), ("ada", 6), ("dan", 1)] {
            let mut out = Outputs::new(&state);
            let cause = Cause::of_partition(0);
            publish_within(2, &cause, &deletion(name, millis), &mut out).unwrap();
            let effects = out.into_effects();
            let records = effects.records.iter().map(|(_, record)| record);
            ended.extend(
                records
                    .filter(|record| record.value.is_empty())
                    .map(|record| record.key.clone()),
            );
            state.commit(&effects);
        }
        let key = |name: &str| Bytes::from(Withdrawal::key(&tenant, &person(name)));
        assert_eq!(ended, [key("ben"), key("ada")]);
        let count = COUNT.get(&Outputs::new(&state), 0, &&tenant).unwrap();
        assert_eq!(count, Some(2));
    }
}
