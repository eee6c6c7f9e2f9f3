//! How many connections there may be, in all and from one address.

use std::cmp::Reverse;
use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::watch::{Deadlines, Watch};

/// Why there is no place for a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Full {
    /// Its address has as many as it may.
    OfAddress,
    /// All places are taken by connections that have requests.
    InAll,
}

impl Full {
    pub(crate) const fn as_str(self) -> &'static str {
        match self {
            Self::OfAddress => "of_address",
            Self::InAll => "in_all",
        }
    }
}

/// The places of all connections.
#[derive(Debug)]
pub(crate) struct Places {
    in_all: usize,
    of_address: usize,
    deadlines: Deadlines,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    next: u64,
    connections: HashMap<u64, Connection>,
    by_address: HashMap<IpAddr, usize>,
    /// Connections that are being closed for another one. Their places are still counted.
    evicted: std::collections::HashSet<u64>,
}

#[derive(Debug)]
struct Connection {
    address: IpAddr,
    watch: Arc<Watch>,
}

/// The place of one connection. It is free when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    places: Arc<Places>,
    number: u64,
    address: IpAddr,
    pub(crate) watch: Arc<Watch>,
}

impl Places {
    pub(crate) fn new(in_all: usize, of_address: usize, deadlines: Deadlines) -> Self {
        Self {
            in_all,
            of_address,
            deadlines,
            taken: Mutex::default(),
        }
    }

    /// A place for a connection from `address`. If all are taken, a connection without a request is closed for it: one of the address
    /// that has most connections, and of these the one that is idle for the longest time. So a client with one connection keeps it while
    /// others open many.
    pub(crate) fn take(self: &Arc<Self>, address: IpAddr, now: Instant) -> Result<Place, Full> {
        let address = network(address);
        let mut taken = self.lock();
        let of_address = taken.by_address.get(&address).copied().unwrap_or(0);
        if of_address >= self.of_address {
            return Err(Full::OfAddress);
        }
        if taken.connections.len() - taken.evicted.len() >= self.in_all {
            taken.evict_one().ok_or(Full::InAll)?;
        }
        let number = taken.next;
        taken.next += 1;
        let watch = Arc::new(Watch::new(self.deadlines, now));
        let connection = Connection {
            address,
            watch: Arc::clone(&watch),
        };
        taken.connections.insert(number, connection);
        taken.by_address.insert(address, of_address + 1);
        Ok(Place {
            places: Arc::clone(self),
            number,
            address,
            watch,
        })
    }

    /// The number of connections.
    pub(crate) fn count(&self) -> usize {
        self.lock().connections.len()
    }

    fn lock(&self) -> MutexGuard<'_, Taken> {
        self.taken.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Taken {
    fn evict_one(&mut self) -> Option<()> {
        let idle = self.connections.iter().filter_map(|(number, connection)| {
            let since = connection.watch.idle_since()?;
            let of_address = self.by_address.get(&connection.address).copied().unwrap_or(0);
            (!self.evicted.contains(number)).then_some((Reverse(of_address), since, *number))
        });
        let (.., chosen) = idle.min()?;
        self.connections.get(&chosen)?.watch.evict();
        self.evicted.insert(chosen);
        Some(())
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock();
        taken.connections.remove(&self.number);
        taken.evicted.remove(&self.number);
        if let Some(of_address) = taken.by_address.get_mut(&self.address) {
            *of_address -= 1;
            if *of_address == 0 {
                taken.by_address.remove(&self.address);
            }
        }
    }
}

/// What counts as one address: an IPv4 address, or the 64 bits that a network gives to one place in IPv6.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => address.into(),
        IpAddr::V6(address) => {
            let [a, b, c, d, ..] = address.segments();
            Ipv6Addr::new(a, b, c, d, 0, 0, 0, 0).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Settings;

    fn places(in_all: usize, of_address: usize) -> Arc<Places> {
        let deadlines = Deadlines::of(&Settings::default());
        Arc::new(Places::new(in_all, of_address, deadlines))
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn an_address_has_its_number_of_places_and_gets_them_back() {
        let places = places(10, 2);
        let now = Instant::now();
        let one = places.take(address("2001:db8::1"), now).unwrap();
        let _two = places.take(address("2001:db8::2"), now).unwrap();
        let third = places.take(address("2001:db8::3"), now).unwrap_err();
        assert_eq!(third, Full::OfAddress, "all are in one network");
        assert!(places.take(address("2001:db8:0:1::1"), now).is_ok());
        drop(one);
        assert!(places.take(address("2001:db8::3"), now).is_ok());
    }

    #[tokio::test]
    async fn a_full_node_closes_the_connection_that_is_idle_for_the_longest_time() {
        let places = places(2, 2);
        let start = Instant::now();
        let old = places.take(address("192.0.2.1"), start).unwrap();
        let busy = places.take(address("192.0.2.2"), start).unwrap();
        let request = busy.watch.begin();
        let new = places.take(address("192.0.2.3"), start).unwrap();
        old.watch.evicted().await;
        let request_of_new = new.watch.begin();
        let refused = places.take(address("192.0.2.4"), start).unwrap_err();
        assert_eq!(refused, Full::InAll, "the others have requests");
        drop((old, request, request_of_new));
        assert_eq!(places.count(), 2);
    }

    #[tokio::test]
    async fn of_addresses_with_many_connections_one_is_closed_before_that_of_a_client_with_one() {
        let places = places(3, 2);
        let start = Instant::now();
        let _only = places.take(address("192.0.2.1"), start).unwrap();
        let second = start + std::time::Duration::from_secs(1);
        let older = places.take(address("192.0.2.2"), second).unwrap();
        let _newer = places.take(address("192.0.2.2"), second).unwrap();
        let _good = places.take(address("192.0.2.3"), second).unwrap();
        older.watch.evicted().await;
    }
}
