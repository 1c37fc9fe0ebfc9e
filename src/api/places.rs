//! How many connections are served at once, and whose goes when there are too many.
//!
//! Nobody can be kept out by others who only hold on to their connections: whoever comes is let in, and the oldest
//! connection of the address that has the most of them is closed for it. Those who have shown that the cluster knows
//! them have places of their own, which no stranger takes.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::oneshot;

/// The places of one kind.
#[derive(Debug, Clone)]
pub(super) struct Places(Arc<Mutex<Table>>);

#[derive(Debug)]
struct Table {
    most: usize,
    most_of_one: usize,
    next: u64,
    /// By age.
    taken: BTreeMap<u64, Taken>,
}

#[derive(Debug)]
struct Taken {
    address: IpAddr,
    /// Goes with the place, which its holder notices.
    _holder: oneshot::Sender<()>,
}

/// A place that is taken as long as this lives, or until another one needs it.
#[derive(Debug)]
pub(super) struct Place {
    number: u64,
    table: Arc<Mutex<Table>>,
    gone: oneshot::Receiver<()>,
}

impl Places {
    /// So many places in all, and so many for one address.
    pub(super) fn new(most: usize, most_of_one: usize) -> Places {
        Places(Arc::new(Mutex::new(Table { most, most_of_one, next: 0, taken: BTreeMap::new() })))
    }

    /// Takes a place for a connection from this address. If there is none left, somebody else loses one.
    pub(super) fn take(&self, address: IpAddr) -> Place {
        let address = network(address);
        let (holder, gone) = oneshot::channel();
        let mut table = lock(&self.0);
        let number = table.next;
        table.next += 1;
        if table.of(address).count() >= table.most_of_one {
            table.close_oldest_of(address);
        } else if table.taken.len() >= table.most
            && let Some(heaviest) = table.heaviest()
        {
            table.close_oldest_of(heaviest);
        }
        table.taken.insert(number, Taken { address, _holder: holder });
        Place { number, table: Arc::clone(&self.0), gone }
    }
}

impl Table {
    fn of(&self, address: IpAddr) -> impl Iterator<Item = u64> {
        self.taken.iter().filter(move |(_, taken)| taken.address == address).map(|(number, _)| *number)
    }

    fn close_oldest_of(&mut self, address: IpAddr) {
        let oldest = self.of(address).next();
        oldest.map(|number| self.taken.remove(&number));
    }

    fn heaviest(&self) -> Option<IpAddr> {
        let mut counts: BTreeMap<IpAddr, usize> = BTreeMap::new();
        for taken in self.taken.values() {
            *counts.entry(taken.address).or_default() += 1;
        }
        counts.into_iter().max_by_key(|(_, count)| *count).map(|(address, _)| address)
    }
}

impl Place {
    /// Ends when the place is another's.
    pub(super) async fn lost(&mut self) {
        // Nothing is ever sent.
        let _ = (&mut self.gone).await;
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        lock(&self.table).taken.remove(&self.number);
    }
}

fn lock(table: &Mutex<Table>) -> MutexGuard<'_, Table> {
    table.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whoever has one address of IPv6 has the whole network of it.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V4(address) => IpAddr::V4(address),
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    fn is_lost(place: &mut Place) -> bool {
        place.gone.try_recv() == Err(oneshot::error::TryRecvError::Closed)
    }

    #[test]
    fn one_address_loses_its_own_oldest() {
        let places = Places::new(8, 2);
        let [mut first, mut second] = [places.take(address("192.0.2.1")), places.take(address("::ffff:192.0.2.1"))];
        let mut other = places.take(address("192.0.2.2"));
        let mut third = places.take(address("192.0.2.1"));
        assert!(is_lost(&mut first));
        assert!(![&mut second, &mut third, &mut other].into_iter().any(is_lost));
    }

    #[test]
    fn where_all_are_taken_the_address_with_the_most_loses_one() {
        let places = Places::new(4, 3);
        let mut one = places.take(address("192.0.2.1"));
        let mut many = [(); 3].map(|()| places.take(address("2001:db8::1")));
        let mut new = places.take(address("192.0.2.2"));
        assert_eq!(many.each_mut().map(is_lost), [true, false, false]);
        assert!(!is_lost(&mut one) && !is_lost(&mut new));
        // Another address of the same network is no other one.
        drop(new);
        drop(places.take(address("2001:db8::2")));
        assert_eq!(many.each_mut().map(is_lost), [true, false, false]);
        let _held = [places.take(address("2001:db8::2")), places.take(address("2001:db8::3"))];
        assert_eq!(many.each_mut().map(is_lost), [true, true, false]);
    }

    #[test]
    fn what_is_given_back_is_free() {
        let places = Places::new(1, 1);
        drop(places.take(address("192.0.2.1")));
        let mut held = places.take(address("192.0.2.2"));
        assert!(!is_lost(&mut held) && lock(&places.0).taken.len() == 1);
    }
}
