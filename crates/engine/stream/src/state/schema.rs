//! What a stage's state consists of, so that it can be checked without the stage.

use limbic_domain::TenantId;

use super::table::StateKey;
use super::{StateValue, Table, Timers};

/// Decodes one entry below a prefix.
type Check = Box<dyn Fn(&[u8], &[u8]) -> Result<(), String>>;

struct Part {
    name: String,
    prefix: Vec<u8>,
    check: Check,
}

/// The tables of a stage, each with its prefix. It decodes entries of a state, and changes nothing.
#[derive(Default)]
pub struct StateSchema {
    /// Longer prefixes first.
    parts: Vec<Part>,
}

impl std::fmt::Debug for StateSchema {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names = self.parts.iter().map(|part| &part.name);
        f.debug_list().entries(names).finish()
    }
}

impl StateSchema {
    /// No tables: the stage keeps no state.
    pub fn new() -> Self {
        Self::default()
    }

    /// Whether it has no table.
    pub const fn is_empty(&self) -> bool {
        self.parts.is_empty()
    }

    /// Adds a table.
    #[must_use]
    pub fn table<K: StateKey + 'static, V: StateValue + 'static>(self, table: &Table<K, V>) -> Self {
        self.entries(table.name(), table.prefix(), |key, value| {
            K::from_key(key).ok_or("the key is damaged")?;
            V::from_bytes(value)
                .map(drop)
                .map_err(|problem| problem.to_string())
        })
    }

    /// Adds timers without tenants.
    #[must_use]
    pub fn timers<V: StateValue + 'static>(self, timers: &Timers<V>) -> Self {
        self.table(timers.table())
    }

    /// Adds timers that are kept for each tenant ([`Timers::of`]).
    #[must_use]
    pub fn timers_of_tenants<V: StateValue + 'static>(self, timers: &Timers<V>) -> Self {
        let (name, prefix) = (timers.table().name().to_owned(), timers.table().prefix().to_vec());
        self.entries(&name, &prefix, |key, value| {
            let end = key
                .iter()
                .position(|byte| *byte == 0)
                .ok_or("the key has no tenant")?;
            TenantId::from_key(&key[..end]).ok_or("the key has no tenant")?;
            Timers::<V>::check(&key[end + 1..], value)
        })
    }

    /// Adds entries that are not in a table. `check` receives the key behind the prefix, and the value.
    #[must_use]
    pub fn entries(
        mut self,
        name: &str,
        prefix: &[u8],
        check: impl Fn(&[u8], &[u8]) -> Result<(), String> + 'static,
    ) -> Self {
        self.parts.push(Part {
            name: name.to_owned(),
            prefix: prefix.to_vec(),
            check: Box::new(check),
        });
        self.parts
            .sort_by_key(|part| std::cmp::Reverse(part.prefix.len()));
        self
    }

    /// Decodes an entry. The error says what it is and what is wrong with it.
    pub fn check(&self, key: &[u8], value: &[u8]) -> Result<(), String> {
        let part = self.parts.iter().find(|part| key.starts_with(&part.prefix));
        let Some(part) = part else {
            return Err("no table of the stage has this key".to_owned());
        };
        (part.check)(&key[part.prefix.len()..], value).map_err(|problem| format!("{}: {problem}", part.name))
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use limbic_domain::Utc;

    use super::*;
    use crate::Outputs;
    use crate::testing::MemoryState;

    const COUNTS: Table<Bytes, u64> = Table::new("counts", b"c");
    const LONGER: Table<(), u64> = Table::new("longer prefix", b"cc");
    const DUE: Timers = Timers::new("due", b"d");

    #[test]
    fn what_a_stage_writes_decodes_and_anything_else_is_named() {
        let state = MemoryState::default();
        let mut out = Outputs::new(&state);
        COUNTS.put(&mut out, 0, &&b"a"[..], &300);
        LONGER.put(&mut out, 0, &(), &1);
        let due = DUE.of(&TenantId::default());
        due.set(&mut out, 0, Utc::from_millis(-5), b"id", &());
        let schema = StateSchema::new()
            .table(&COUNTS)
            .table(&LONGER)
            .timers_of_tenants(&DUE);
        let changes = out.into_effects().state.remove(&0).unwrap();
        assert_eq!(changes.len(), 3);
        for (key, value) in &changes {
            let value = value.as_ref().unwrap();
            assert_eq!(schema.check(key, value), Ok(()), "{key:?}");
            // A damaged value, and a truncated key of a timer.
            let damaged = [&value[..], b"!"].concat();
            assert!(schema.check(key, &damaged).is_err(), "{key:?}");
        }
        let damaged = |key: &[u8]| schema.check(key, b"").unwrap_err();
        assert!(damaged(b"ddefault\0short").starts_with("due: "));
        assert!(damaged(b"ddefault").contains("tenant"));
        assert!(damaged(b"x").contains("no table"));
        assert!(schema.check(b"ca", &[9, 1]).unwrap_err().contains("upgrade"));
    }
}
