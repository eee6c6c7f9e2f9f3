//! A log whose transactions wait until the next batch is available, so that sharing does not depend on speed.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use limbic_stream::testing::Wrapped;
use limbic_stream::{
    BatchLimits, Committed, Consumer, Error, Log, NewRecord, Polled, Record, Result, StateReader,
    TopicPartition, Transaction,
};
use limbic_stream_kafka::KafkaLog;

/// The number of batches of the transactions, and the transaction that must fail.
#[derive(Debug, Default)]
pub(crate) struct Notes(Mutex<Said>);

#[derive(Debug, Default)]
struct Said {
    committed: Vec<usize>,
    aborted: Vec<usize>,
    abort_next: bool,
}

impl Notes {
    /// The number of batches in each committed transaction.
    pub(crate) fn committed(&self) -> Vec<usize> {
        self.0.lock().unwrap().committed.clone()
    }

    /// The number of batches in each transaction that was aborted by the test.
    pub(crate) fn aborted(&self) -> Vec<usize> {
        self.0.lock().unwrap().aborted.clone()
    }

    /// Aborts the commit of the next transaction with a batch.
    pub(crate) fn abort_next(&self) {
        self.0.lock().unwrap().abort_next = true;
    }
}

/// `log` with one input partition of `records` records, whose transactions wait.
pub(crate) fn patient(log: KafkaLog, notes: Arc<Notes>, records: u64) -> impl Log {
    Wrapped::new(log, move |_, inner| {
        Box::new(Member {
            inner,
            notes: Arc::clone(&notes),
            records,
            position: 0,
            in_hand: 0,
        })
    })
}

struct Member {
    inner: Box<dyn Consumer>,
    notes: Arc<Notes>,
    records: u64,
    /// The offset after the last record that was returned.
    position: u64,
    /// The number of batches that were returned since the last transaction.
    in_hand: usize,
}

impl Consumer for Member {
    fn poll(&mut self, limits: &BatchLimits) -> Result<Polled> {
        let polled = self.inner.poll(limits)?;
        self.in_hand = 0;
        if let Polled::Records(records) = &polled {
            self.in_hand = 1;
            self.position = after(records);
        }
        Ok(polled)
    }

    fn positions(&self) -> Result<Vec<(TopicPartition, u64, u64)>> {
        self.inner.positions()
    }

    fn committed(&self, partition: &TopicPartition) -> Result<Option<Committed>> {
        self.inner.committed(partition)
    }

    fn state(&self) -> &dyn StateReader {
        self.inner.state()
    }

    fn begin(&mut self) -> Result<Box<dyn Transaction + '_>> {
        Ok(Box::new(Open {
            inner: self.inner.begin()?,
            notes: &self.notes,
            records: self.records,
            position: &mut self.position,
            batches: std::mem::take(&mut self.in_hand),
        }))
    }

    fn rewind(&mut self) -> Result<()> {
        self.inner.rewind()
    }

    fn seek(&mut self, partition: &TopicPartition, offset: u64) -> Result<()> {
        self.inner.seek(partition, offset)
    }

    fn close(self: Box<Self>) -> Result<()> {
        self.inner.close()
    }
}

struct Open<'a> {
    inner: Box<dyn Transaction + 'a>,
    notes: &'a Notes,
    records: u64,
    position: &'a mut u64,
    batches: usize,
}

impl Transaction for Open<'_> {
    fn append(&mut self, record: NewRecord) -> Result<()> {
        self.inner.append(record)
    }

    fn put_state(&mut self, partition: u32, key: Bytes, value: Option<Bytes>) -> Result<()> {
        self.inner.put_state(partition, key, value)
    }

    fn ready(&mut self, limits: &BatchLimits) -> Result<Option<Vec<Record>>> {
        // The rest at the end may be too small for a batch.
        while self.records - *self.position >= limits.records as u64 / 2 {
            if let Some(records) = self.inner.ready(limits)? {
                *self.position = after(&records);
                self.batches += 1;
                return Ok(Some(records));
            }
            std::thread::yield_now();
        }
        Ok(None)
    }

    fn state(&self) -> &dyn StateReader {
        self.inner.state()
    }

    fn commit_offset(&mut self, committed: Committed) -> Result<()> {
        self.inner.commit_offset(committed)
    }

    fn commit(self: Box<Self>) -> Result<()> {
        let mut said = self.notes.0.lock().unwrap();
        if self.batches == 0 {
            return self.inner.commit();
        }
        if std::mem::take(&mut said.abort_next) {
            said.aborted.push(self.batches);
            self.inner.abort()?;
            return Err(Error::Aborted("forced by the test".into()));
        }
        self.inner.commit()?;
        said.committed.push(self.batches);
        Ok(())
    }

    fn abort(self: Box<Self>) -> Result<()> {
        self.inner.abort()
    }
}

fn after(records: &[Record]) -> u64 {
    records.last().map_or(0, |record| record.offset + 1)
}
