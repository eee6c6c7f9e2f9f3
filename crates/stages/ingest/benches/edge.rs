//! Decoding, validation and routing on one core: JSON Lines in, records for the log out. The log accepts them and stores
//! nothing, so that only the edge is measured. Input: posts of 140 characters with a hashtag, a mention and all fields.
#![expect(clippy::print_stdout, reason = "a benchmark prints its figures")]

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Instant;

use limbic_domain::TenantId;
use limbic_ingest::{Edge, RecentIds, Settings};
use limbic_stream::{
    Consumer, GroupProgress, GroupState, Log, NewRecord, Record, Result, Subscription, TopicInfo,
    TopicPartition, TopicSpec,
};

#[derive(Default)]
struct Sink(AtomicU64);

impl Log for Sink {
    fn identity(&self) -> Result<Arc<str>> {
        Ok("sink".into())
    }

    fn ensure_topics(&self, _: &[TopicSpec]) -> Result<()> {
        Ok(())
    }
    fn topics(&self) -> Result<Vec<TopicInfo>> {
        Ok(Vec::new())
    }
    fn publish(&self, records: Vec<NewRecord>) -> Result<()> {
        self.0.fetch_add(
            records.iter().map(NewRecord::size).sum::<usize>() as u64,
            Ordering::Relaxed,
        );
        Ok(())
    }
    fn subscribe(&self, _: Subscription) -> Result<Box<dyn Consumer>> {
        Err(limbic_stream::Error::Closed)
    }
    fn read(&self, _: &TopicPartition, _: u64, _: usize) -> Result<Vec<Record>> {
        Ok(Vec::new())
    }
    fn progress(&self, _: &str, _: &[Arc<str>]) -> Result<Vec<GroupProgress>> {
        Ok(Vec::new())
    }
    fn state_of(&self, _: &str, _: u32) -> Result<Box<dyn GroupState>> {
        Err(limbic_stream::Error::Closed)
    }
    fn close(&self) -> Result<()> {
        Ok(())
    }
}

fn main() {
    const POSTS: usize = 200_000;
    let settings = Settings::default();
    let mut rates = Vec::new();
    for run in 0..7 {
        let log = Arc::new(Sink::default());
        let keys = [(TenantId::default(), [7; 32])].into_iter().collect();
        let seen = vec![Arc::new(RecentIds::new(1_000_000)) as _];
        let edge = Edge::new(log, 3, settings.clone(), keys, seen);
        let lines: Vec<String> = (0..POSTS)
            .map(|i| {
                format!(
                    "{{\"network\":\"bluesky\",\"id\":\"r{run}p{i}\",\"author\":\"did:plc:{}\",\"text\":\"What a goal by \
                     @number{} in the last minute, nobody saw that coming 😂 the whole stadium is on its feet and so am I \
                     #cup\",\"created_at\":\"2026-11-21T08:59:00.123Z\",\"lang\":\"en\",\"meta\":{{\"likes\":{}}}}}",
                    i % 5_000,
                    i % 11,
                    i % 100
                )
            })
            .collect();
        let started = Instant::now();
        for chunk in lines.chunks(1_000) {
            let items = chunk
                .iter()
                .map(|line| serde_json::from_str(line).map_err(|error| error.to_string()));
            let receipt = edge
                .accept_posts(&TenantId::default(), items, None)
                .expect("a log that takes all");
            assert_eq!(receipt.accepted, 1_000);
        }
        rates.push(POSTS as f64 / started.elapsed().as_secs_f64());
    }
    rates.sort_by(f64::total_cmp);
    println!(
        "decode + validate + route: {:.0} posts/s on one core (median of {}; {:.0} to {:.0})",
        rates[rates.len() / 2],
        rates.len(),
        rates[0],
        rates[rates.len() - 1]
    );
}
