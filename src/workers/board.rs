//! The board on which workers say what they did, and people say who shall pause.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use tokio::sync::watch;

use crate::model::time::Timestamp;
use crate::policy::decision::Action;
use crate::service::Context;

/// What a worker is doing.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Activity {
    /// It waits for a wake.
    Idle,
    /// It works.
    Busy,
    /// Another process does its work.
    Standby,
}

/// What is known of a worker.
#[derive(Debug, Clone)]
pub struct Status {
    /// What it is doing.
    pub activity: Activity,
    /// Whether somebody paused it.
    pub paused: bool,
    /// Activations since the process started.
    pub runs: u64,
    /// When it was last activated.
    pub last_run_at: Option<Timestamp>,
    /// Its last fault, until it works well again.
    pub last_fault: Option<String>,
}

impl Status {
    /// Its last fault, as it is told to somebody: what it says may name any DID, and is for who looks
    /// after the lake.
    pub fn fault_for(&self, ctx: &Context) -> Option<String> {
        self.fault(ctx.permit(Action::Administer, "workers").is_ok())
    }

    fn fault(&self, whole: bool) -> Option<String> {
        let fault = self.last_fault.as_ref()?;
        Some(if whole { fault.clone() } else { "it failed; admins are told how".to_owned() })
    }
}

#[derive(Debug)]
struct Entry {
    status: Status,
    paused: watch::Sender<bool>,
}

/// All workers of this process by name.
#[derive(Debug, Clone, Default)]
pub struct Board(Arc<Mutex<BTreeMap<&'static str, Entry>>>);

impl Board {
    /// Adds a worker; the answer tells it when it is to pause.
    pub(super) fn add(&self, name: &'static str) -> watch::Receiver<bool> {
        let (paused, receiver) = watch::channel(false);
        let status = Status { activity: Activity::Idle, paused: false, runs: 0, last_run_at: None, last_fault: None };
        self.0.lock().expect("nothing panics while holding it").insert(name, Entry { status, paused });
        receiver
    }

    /// Changes what is known of a worker.
    pub(super) fn note(&self, name: &str, change: impl FnOnce(&mut Status)) {
        if let Some(entry) = self.0.lock().expect("nothing panics while holding it").get_mut(name) {
            change(&mut entry.status);
        }
    }

    /// What is known of all workers, by name.
    pub fn list(&self) -> Vec<(&'static str, Status)> {
        let entries = self.0.lock().expect("nothing panics while holding it");
        entries.iter().map(|(name, entry)| (*name, entry.status.clone())).collect()
    }

    /// Pauses a worker after what it is doing, or lets it go on. `None` if there is no such worker.
    pub fn pause(&self, name: &str, pause: bool) -> Option<Status> {
        let mut entries = self.0.lock().expect("nothing panics while holding it");
        let entry = entries.get_mut(name)?;
        entry.status.paused = pause;
        entry.paused.send_replace(pause);
        Some(entry.status.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn that_a_worker_failed_is_told_to_all_and_how_to_admins() {
        let board = Board::default();
        drop(board.add("mover"));
        let told = |whole| board.list()[0].1.fault(whole);
        assert_eq!((told(true), told(false)), (None, None));
        board.note("mover", |status| status.last_fault = Some("s:secret is gone".to_owned()));
        assert_eq!(told(true).as_deref(), Some("s:secret is gone"));
        assert_eq!(told(false).as_deref(), Some("it failed; admins are told how"));
    }
}
