//! The desk where visitors get in: what a browser's cookie stands for, and codes that sign in once.
//!
//! A browser never keeps an API key. Its cookie is the token of a session, or a ticket that stands for
//! the key in this process's memory alone; whoever holds one is judged by the key at every request, so
//! a key that ends lets nobody in any more. Tickets go with the process.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;

use crate::clock::SharedClock;

/// How tickets begin.
const TICKET_PREFIX: &str = "ticket_";
/// How long a ticket lasts: as long as a session.
const TICKET_SPAN: Duration = Duration::from_hours(12);
/// How long a code waits to be used.
const CODE_SPAN: Duration = Duration::from_mins(15);
/// The most slips of one kind that are kept; the one that ends first makes room.
const SLIPS_MAX: usize = 10_000;

/// Knows what tickets and codes stand for.
pub struct Desk {
    clock: SharedClock,
    tickets: Slips,
    codes: Slips,
}

/// Words that stand for keys for a while.
#[derive(Default)]
struct Slips(Mutex<HashMap<String, Slip>>);

struct Slip {
    key: String,
    ends: Duration,
}

impl Desk {
    /// A desk without visitors.
    pub fn new(clock: SharedClock) -> Self {
        Self { clock, tickets: Slips::default(), codes: Slips::default() }
    }

    /// A code that signs in once, within a few minutes, by a key.
    pub fn code(&self, key: String) -> String {
        let code = self.random();
        self.codes.put(code.clone(), key, self.clock.monotonic(), CODE_SPAN);
        code
    }

    /// The key of a code, which is spent by this.
    pub(super) fn redeem(&self, code: &str) -> Option<String> {
        self.codes.take(code, self.clock.monotonic())
    }

    /// A ticket that stands for a key.
    pub(super) fn ticket(&self, key: String) -> String {
        let ticket = format!("{TICKET_PREFIX}{}", self.random());
        self.tickets.put(ticket.clone(), key, self.clock.monotonic(), TICKET_SPAN);
        ticket
    }

    /// The key or session token that a cookie stands for.
    pub(super) fn key(&self, cookie: &str) -> Option<String> {
        if cookie.starts_with(TICKET_PREFIX) {
            return self.tickets.get(cookie, self.clock.monotonic());
        }
        Some(cookie.to_owned())
    }

    /// Forgets a ticket; `false` if the cookie is none.
    pub(super) fn forget(&self, cookie: &str) -> bool {
        self.tickets.take(cookie, self.clock.monotonic());
        cookie.starts_with(TICKET_PREFIX)
    }

    fn random(&self) -> String {
        let mut bytes = [0; 32];
        self.clock.fill(&mut bytes);
        BASE64_URL_SAFE_NO_PAD.encode(bytes)
    }
}

impl Slips {
    fn put(&self, word: String, key: String, now: Duration, span: Duration) {
        let mut slips = self.0.lock().expect("nothing panics while holding it");
        slips.retain(|_, slip| slip.ends > now);
        if slips.len() >= SLIPS_MAX {
            let first = slips.iter().min_by_key(|(_, slip)| slip.ends).map(|(word, _)| word.clone());
            first.and_then(|word| slips.remove(&word));
        }
        slips.insert(word, Slip { key, ends: now + span });
    }

    fn get(&self, word: &str, now: Duration) -> Option<String> {
        let slips = self.0.lock().expect("nothing panics while holding it");
        slips.get(word).filter(|slip| slip.ends > now).map(|slip| slip.key.clone())
    }

    fn take(&self, word: &str, now: Duration) -> Option<String> {
        let mut slips = self.0.lock().expect("nothing panics while holding it");
        slips.remove(word).filter(|slip| slip.ends > now).map(|slip| slip.key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock::SystemClock;

    #[test]
    fn a_code_signs_in_once_and_a_ticket_until_it_is_forgotten() {
        let desk = Desk::new(SystemClock::shared());
        let code = desk.code("key".to_owned());
        assert_eq!(desk.redeem("another"), None);
        assert_eq!(desk.redeem(&code).as_deref(), Some("key"));
        assert_eq!(desk.redeem(&code), None, "it is spent");
        let ticket = desk.ticket("key".to_owned());
        assert!(!ticket.contains("key"));
        assert_eq!(desk.key(&ticket).as_deref(), Some("key"));
        assert!(desk.forget(&ticket));
        assert_eq!(desk.key(&ticket), None);
        assert_eq!(desk.key("dapples_token").as_deref(), Some("dapples_token"), "a session stands for itself");
        assert!(!desk.forget("dapples_token"));
    }

    #[test]
    fn slips_end_and_their_number_has_a_bound() {
        let slips = Slips::default();
        let second = Duration::from_secs(1);
        slips.put("first".to_owned(), "key".to_owned(), Duration::ZERO, second);
        assert_eq!(slips.get("first", second / 2).as_deref(), Some("key"));
        assert_eq!(slips.get("first", second), None);
        for number in 0..=SLIPS_MAX {
            slips.put(number.to_string(), String::new(), Duration::ZERO, second);
        }
        assert_eq!(slips.0.lock().expect("no panic").len(), SLIPS_MAX);
    }
}
