//! Guards the door for passwords: few slow hashes at once, and few wrong guesses.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tokio::sync::{Semaphore, SemaphorePermit};

use crate::model::account::ACCOUNT_BYTES_MAX;
use crate::model::network::Origin;
use crate::service::accounts::authenticate::Peer;
use crate::service::error::ServiceError;

/// How many hashes are made at once; each takes 64 MiB.
const HASHES_MAX: usize = 2;
/// How many more may wait for their turn.
const WAITING_MAX: usize = 32;
/// For how long guesses are counted together.
const SPAN: Duration = Duration::from_mins(15);
/// Guesses at one account from one address.
const GUESSES_MAX: u32 = 10;
/// Guesses at one account from everywhere, and from one address at every account.
const GUESSES_ALL_MAX: u32 = 100;
/// How many counts are remembered; those of the fewest guesses make room for new ones, so that nobody has
/// theirs forgotten by coming from many places once.
const COUNTS_MAX: usize = 10_000;

/// What a guess is counted by.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum By {
    AccountFrom(String, Option<Origin>),
    Account(String),
    Address(Option<Origin>),
}

impl By {
    /// How many guesses there may be.
    const fn most(&self) -> u32 {
        match self {
            By::AccountFrom(..) => GUESSES_MAX,
            By::Account(_) | By::Address(_) => GUESSES_ALL_MAX,
        }
    }
}

/// Guesses since a time.
#[derive(Debug, Clone, Copy)]
struct Count {
    since: Duration,
    guesses: u32,
}

/// Guards the door for passwords. What it remembers goes with the process.
#[derive(Debug)]
pub struct Doorkeeper {
    hashes: Semaphore,
    waiting: Semaphore,
    counts: Mutex<HashMap<By, Count>>,
}

impl Default for Doorkeeper {
    fn default() -> Self {
        Self {
            hashes: Semaphore::new(HASHES_MAX),
            waiting: Semaphore::new(HASHES_MAX + WAITING_MAX),
            counts: Mutex::default(),
        }
    }
}

/// A turn to make a slow hash.
pub(super) struct Turn<'a> {
    _waiting: SemaphorePermit<'a>,
    _hashing: SemaphorePermit<'a>,
}

impl Doorkeeper {
    /// Waits for a turn to make a hash; refuses when too many wait already.
    pub(super) async fn turn(&self) -> Result<Turn<'_>, ServiceError> {
        let waiting = self.waiting.try_acquire().map_err(|_| ServiceError::TooMany {
            code: "too-many-logins",
            detail: "too many passwords are being checked at once".to_owned(),
        })?;
        let hashing = self.hashes.acquire().await.expect("it is never closed");
        Ok(Turn { _waiting: waiting, _hashing: hashing })
    }

    /// Counts a guess, before it is known to be right or wrong, so that guesses made at the same time
    /// cannot slip through together. Refuses one too many.
    pub(super) fn knock(&self, account: &str, peer: Peer, now: Duration) -> Result<(), ServiceError> {
        let mut counts = self.counts.lock().expect("nothing panics while holding it");
        let account: String = account.chars().take(ACCOUNT_BYTES_MAX + 1).collect();
        let from = peer.map(Origin::from);
        let all = [By::AccountFrom(account.clone(), from), By::Account(account), By::Address(from)];
        let fresh = |count: &Count| now.saturating_sub(count.since) < SPAN;
        if all.iter().any(|by| counts.get(by).is_some_and(|count| fresh(count) && count.guesses >= by.most())) {
            return Err(ServiceError::TooMany {
                code: "too-many-logins",
                detail: "too many wrong passwords: wait a quarter of an hour".to_owned(),
            });
        }
        for by in all {
            if counts.len() >= COUNTS_MAX && !counts.contains_key(&by) {
                make_room(&mut counts, fresh);
            }
            let count = counts.entry(by).or_insert(Count { since: now, guesses: 0 });
            if !fresh(count) {
                *count = Count { since: now, guesses: 0 };
            }
            count.guesses += 1;
        }
        Ok(())
    }

    /// Takes back the guess of somebody who was right.
    pub(super) fn welcome(&self, account: &str, peer: Peer) {
        let mut counts = self.counts.lock().expect("nothing panics while holding it");
        let from = peer.map(Origin::from);
        counts.remove(&By::AccountFrom(account.to_owned(), from));
        for by in [By::Account(account.to_owned()), By::Address(from)] {
            if let Some(count) = counts.get_mut(&by) {
                count.guesses = count.guesses.saturating_sub(1);
            }
        }
    }
}

/// Forgets what is no longer fresh, and then the quarter that is farthest from too many, of these the
/// oldest: a quarter, so that this is seldom done.
fn make_room(counts: &mut HashMap<By, Count>, fresh: impl Fn(&Count) -> bool) {
    counts.retain(|_, count| fresh(count));
    if counts.len() < COUNTS_MAX {
        return;
    }
    let share = |by: &By, count: &Count| count.guesses * GUESSES_ALL_MAX / by.most();
    let mut harmless: Vec<_> = counts.iter().map(|(by, count)| ((share(by, count), count.since), by.clone())).collect();
    harmless.sort_by_key(|(order, _)| *order);
    for (_, by) in harmless.into_iter().take(COUNTS_MAX / 4) {
        counts.remove(&by);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> std::net::IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn guesses_are_few_for_each_account_and_address_and_again_after_a_while() {
        let (keeper, here, there) = (Doorkeeper::default(), Some(address("192.0.2.1")), Some(address("192.0.2.2")));
        let at = |minutes| Duration::from_mins(minutes);
        for _ in 0..GUESSES_MAX {
            keeper.knock("ada", here, at(0)).expect("not yet too many");
        }
        keeper.knock("ada", here, at(14)).expect_err("too many");
        keeper.knock("ada", there, at(14)).expect("from elsewhere");
        keeper.knock("bob", here, at(14)).expect("another account");
        keeper.knock("ada", here, at(15)).expect("a while later");
        keeper.welcome("ada", here);
        for _ in 0..GUESSES_MAX {
            keeper.knock("ada", here, at(15)).expect("who was right begins afresh");
        }
    }

    #[test]
    fn one_address_cannot_try_every_account_and_memory_is_bounded() {
        let (keeper, here) = (Doorkeeper::default(), Some(address("192.0.2.1")));
        for number in 0..GUESSES_ALL_MAX {
            keeper.knock(&format!("a{number}"), here, Duration::ZERO).expect("not yet too many");
        }
        keeper.knock("another", here, Duration::ZERO).expect_err("too many");
        for _ in 0..GUESSES_MAX {
            keeper.knock("eve", Some(address("192.0.2.9")), Duration::ZERO).expect("not yet too many");
        }
        for number in 0..20_000_u32 {
            let from = Some(std::net::Ipv4Addr::from(number).into());
            keeper.knock("ada", from, Duration::from_secs(1)).ok();
            keeper.knock(&format!("b{number}"), from, Duration::from_secs(1)).expect("one each");
        }
        assert!(keeper.counts.lock().expect("whole").len() <= COUNTS_MAX);
        keeper.knock("another", here, Duration::from_secs(2)).expect_err("nobody is forgotten for all that");
        keeper.knock("eve", Some(address("192.0.2.9")), Duration::from_secs(2)).expect_err("nor is this one");
    }

    #[test]
    fn a_network_of_ipv6_is_one_address() {
        let keeper = Doorkeeper::default();
        for number in 0..GUESSES_MAX {
            keeper.knock("ada", Some(address(&format!("2001:db8::{number:x}"))), Duration::ZERO).expect("not yet");
        }
        keeper.knock("ada", Some(address("2001:db8::ffff")), Duration::ZERO).expect_err("too many");
        keeper.knock("ada", Some(address("2001:db8:0:1::1")), Duration::ZERO).expect("another network");
    }
}
