//! The ids of the requests that are being written.

use foldhash::HashSet;
use parking_lot::{Condvar, Mutex};

use crate::seen::SeenId;

/// Lets one request at a time write an id. Two requests with the same post and different authors would otherwise both find the id
/// unknown, and their records would reach two partitions.
#[derive(Debug, Default)]
pub(crate) struct InFlight {
    ids: Mutex<HashSet<SeenId>>,
    released: Condvar,
}

/// The ids that a request may write. Dropping it releases them.
#[derive(Debug)]
pub(crate) struct Claim<'a> {
    of: &'a InFlight,
    ids: Vec<SeenId>,
}

impl InFlight {
    /// Claims `ids`, which are distinct. Waits while another request has one of them. It takes all or none, so requests never wait
    /// for each other in a circle.
    pub(crate) fn claim(&self, ids: Vec<SeenId>) -> Claim<'_> {
        let mut claimed = self.ids.lock();
        while ids.iter().any(|id| claimed.contains(id)) {
            self.released.wait(&mut claimed);
        }
        claimed.extend(&ids);
        drop(claimed);
        Claim { of: self, ids }
    }
}

impl Drop for Claim<'_> {
    fn drop(&mut self) {
        let mut claimed = self.of.ids.lock();
        for id in &self.ids {
            claimed.remove(id);
        }
        drop(claimed);
        self.of.released.notify_all();
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn an_id_is_written_by_one_request_at_a_time() {
        const ROUNDS: usize = 200;
        let in_flight = InFlight::default();
        let inside: [AtomicUsize; 3] = Default::default();
        std::thread::scope(|scope| {
            for first in 0..3_u8 {
                let (in_flight, inside) = (&in_flight, &inside);
                scope.spawn(move || {
                    for _ in 0..ROUNDS {
                        // Each id is shared by two threads, in another order in each.
                        let pair = [first, (first + 1) % 3];
                        let _claim = in_flight.claim(pair.map(|id| [id; 16]).to_vec());
                        for id in pair {
                            assert_eq!(inside[usize::from(id)].fetch_add(1, Ordering::SeqCst), 0);
                        }
                        std::thread::yield_now();
                        for id in pair {
                            inside[usize::from(id)].fetch_sub(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        assert!(in_flight.ids.lock().is_empty());
    }
}
