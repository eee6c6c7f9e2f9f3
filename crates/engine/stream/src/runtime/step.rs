//! One step of an instance: batches (or a tick, or time itself) in, one transaction out.
//!
//! Where a commit is dear, batches that lie ready share one ([`Transaction::ready`]): each is processed over what those
//! before it changed, its outputs are on their way while the next one is done, and offsets and state are committed once.
//! An abort is about all of them. One that the stage cannot do now ends the sharing: what came before it is committed.

use std::collections::BTreeMap;
use std::time::Instant;

use super::dead::dead_letter;
use super::tally::Tally;
use super::work::{Books, Work};
use super::worker::{Trouble, Worker};
use crate::overlay::{Changes, Overlay};
use crate::record::header;
use crate::{Committed, Consumer, Record, TopicPartition, Transaction};

/// Most records that batches of one transaction may have together, and most bytes: what a killed process leaves to be
/// done again, and readers to skip.
const SHARED_RECORDS: usize = 100_000;
const SHARED_BYTES: usize = 64 << 20;

/// What a transaction holds so far.
struct Open {
    started: Instant,
    books: Books,
    /// Where to read on.
    next: BTreeMap<TopicPartition, u64>,
    /// State as changed by all batches, to be written once.
    changes: Changes,
    tallies: Vec<Tally>,
    records: usize,
    bytes: usize,
}

impl Open {
    /// Writes what follows from a batch, but for its state.
    fn write(
        &mut self,
        transaction: &mut dyn Transaction,
        stage: &str,
        work: Work,
    ) -> Result<(), crate::Error> {
        self.tallies.push(Tally::of(&work));
        self.records += work.data.len();
        self.bytes += work.data.iter().map(Record::size).sum::<usize>();
        for mark in work.marks.before {
            transaction.append(mark)?;
        }
        for (_, record) in work.effects.records {
            transaction.append(record)?;
        }
        for letter in &work.effects.dead {
            tracing::warn!(
                topic = %letter.record.topic, partition = letter.record.partition, offset = letter.record.offset,
                trace = letter.record.headers.text(header::TRACE_PARENT), reason = letter.reason, detail = %letter.detail, "dead letter"
            );
            transaction.append(dead_letter(stage, letter))?;
        }
        for mark in work.marks.after {
            transaction.append(mark)?;
        }
        for (number, changes) in work.effects.state {
            self.changes.entry(number).or_default().extend(changes);
        }
        self.next.extend(work.next);
        Ok(())
    }

    fn is_full(&self) -> bool {
        self.records >= SHARED_RECORDS || self.bytes >= SHARED_BYTES
    }
}

impl Worker {
    /// Processes `records` (or nothing but time, or a tick) and what may share their transaction; commits everything that
    /// follows, or nothing.
    pub(super) fn step(
        &mut self,
        consumer: &mut dyn Consumer,
        records: Vec<Record>,
        tick: bool,
    ) -> Result<(), Trouble> {
        let started = Instant::now();
        let is_batch = !records.is_empty();
        let was_alone = self.alone;
        let mut books: Books = self
            .held
            .iter()
            .map(|(partition, held)| (partition.clone(), held.book.clone()))
            .collect();
        let work = self.work(consumer.state(), &mut books, records, tick)?;
        if work.is_silent() && self.changed(&books, &work.next).is_empty() {
            return Ok(());
        }
        let mut open = Open {
            started,
            books,
            next: BTreeMap::new(),
            changes: Changes::new(),
            tallies: Vec::new(),
            records: 0,
            bytes: 0,
        };
        // Should anything fail from here on, the batches come again one by one: each on its own stands a better chance.
        self.alone = true;
        let mut transaction = consumer.begin()?;
        open.write(&mut *transaction, &self.spec.name, work)?;
        let trouble = if is_batch && !was_alone {
            self.share(&mut *transaction, &mut open)?
        } else {
            None
        };
        self.commit(transaction, open)?;
        self.alone = trouble.is_some() || (was_alone && !is_batch);
        trouble.map_or(Ok(()), Err)
    }

    /// Does batches that lie ready in the same transaction, until it is time to commit. One that the stage cannot do
    /// leaves no trace in it; its trouble is answered.
    fn share(
        &mut self,
        transaction: &mut dyn Transaction,
        open: &mut Open,
    ) -> Result<Option<Trouble>, crate::Error> {
        let limits = self.limits();
        while open.started.elapsed() < self.options.share_for && !open.is_full() && !self.is_stopping() {
            let Some(records) = transaction.ready(&limits)? else {
                break;
            };
            let mut books = open.books.clone();
            let before = Overlay {
                below: transaction.state(),
                changes: &open.changes,
            };
            let work = match self.work(&before, &mut books, records, false) {
                Ok(work) => work,
                Err(trouble) => return Ok(Some(trouble)),
            };
            open.books = books;
            open.write(transaction, &self.spec.name, work)?;
        }
        Ok(None)
    }

    /// The partitions whose book or offset has changed.
    fn changed(&self, books: &Books, next: &BTreeMap<TopicPartition, u64>) -> Vec<TopicPartition> {
        books
            .iter()
            .filter(|(partition, book)| {
                next.contains_key(*partition)
                    || self.held.get(*partition).is_none_or(|held| held.book != **book)
            })
            .map(|(partition, _)| partition.clone())
            .collect()
    }

    /// Adds state and offsets, and commits; then the books hold.
    fn commit(&mut self, mut transaction: Box<dyn Transaction + '_>, open: Open) -> Result<(), Trouble> {
        for (number, changes) in open.changes {
            for (key, value) in changes {
                transaction.put_state(number, key, value)?;
            }
        }
        for partition in self.changed(&open.books, &open.next) {
            let held_next = self.held.get(&partition).map_or(0, |held| held.next);
            transaction.commit_offset(Committed {
                next: open.next.get(&partition).copied().unwrap_or(held_next),
                metadata: open.books[&partition].to_metadata(),
                partition,
            })?;
        }
        transaction.commit()?;
        for tally in &open.tallies {
            tally.report(&self.spec.name, &self.meters);
        }
        for (partition, book) in open.books {
            if let Some(held) = self.held.get_mut(&partition) {
                held.book = book;
                if let Some(next) = open.next.get(&partition) {
                    held.next = *next;
                    held.caught_up = None;
                }
            }
        }
        Ok(())
    }
}
