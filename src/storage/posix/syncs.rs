//! Syncs directories, one call for all who wait for the same one.
//!
//! Publishing a thousand small files into a directory would sync it a thousand times. Here a sync
//! that begins after a change covers it, whoever asked for it; while one runs, all others wait and
//! share the next.

use std::collections::BTreeMap;
use std::os::fd::AsFd;
use std::sync::{Condvar, Mutex, MutexGuard};

use rustix::io::{Errno, Result};

/// Device and inode: a directory, however it was reached.
type Directory = (u64, u64);

/// The syncs of one root.
#[derive(Default)]
pub(super) struct Syncs {
    turns: Mutex<BTreeMap<Directory, Turn>>,
    ended: Condvar,
}

/// The syncs of one directory, counted, while somebody waits.
#[derive(Default)]
struct Turn {
    waiting: usize,
    running: bool,
    begun: u64,
    done: u64,
    /// The last turn that failed, and how.
    failed: Option<(u64, Errno)>,
}

impl Syncs {
    /// Returns when all changes made to the directory before the call are durable.
    pub(super) fn sync(&self, directory: impl AsFd) -> Result<()> {
        self.share(key(&directory)?, || rustix::fs::fsync(&directory))
    }

    fn share(&self, directory: Directory, sync: impl Fn() -> Result<()>) -> Result<()> {
        let mut turns = self.lock();
        let turn = turns.entry(directory).or_default();
        turn.waiting += 1;
        let needed = turn.begun + 1;
        let outcome = loop {
            let turn = turns.get_mut(&directory).expect("it stays while somebody waits");
            if turn.done >= needed {
                break match turn.failed {
                    Some((number, errno)) if number >= needed => Err(errno),
                    _ => Ok(()),
                };
            }
            if turn.running {
                turns = self.ended.wait(turns).expect("no holder of the lock panics");
                continue;
            }
            turn.running = true;
            turn.begun += 1;
            let number = turn.begun;
            drop(turns);
            let synced = tolerate(sync());
            turns = self.lock();
            let turn = turns.get_mut(&directory).expect("it stays while somebody waits");
            turn.running = false;
            turn.done = number;
            if let Err(errno) = synced {
                turn.failed = Some((number, errno));
            }
            self.ended.notify_all();
        };
        let turn = turns.get_mut(&directory).expect("it stays while somebody waits");
        turn.waiting -= 1;
        if turn.waiting == 0 {
            turns.remove(&directory);
        }
        outcome
    }

    fn lock(&self) -> MutexGuard<'_, BTreeMap<Directory, Turn>> {
        self.turns.lock().expect("no holder of the lock panics")
    }
}

fn key(directory: impl AsFd) -> Result<Directory> {
    let stat = rustix::fs::fstat(directory)?;
    Ok((stat.st_dev, stat.st_ino))
}

/// Some network file systems cannot sync directories: their servers do it at each change.
fn tolerate(synced: Result<()>) -> Result<()> {
    match synced {
        Err(Errno::INVAL | Errno::OPNOTSUPP | Errno::NOSYS) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn those_who_come_during_a_sync_share_the_next_one() {
        let syncs = Syncs::default();
        let calls = AtomicUsize::new(0);
        let (begun, has_begun) = mpsc::channel();
        let (release, released) = mpsc::channel::<()>();
        let released = Mutex::new(released);
        let slow = || {
            calls.fetch_add(1, Ordering::SeqCst);
            begun.send(()).expect("the test listens");
            released.lock().expect("unpoisoned").recv().expect("the test releases");
            Ok(())
        };
        let quick = || {
            calls.fetch_add(1, Ordering::SeqCst);
            Ok(())
        };
        std::thread::scope(|scope| {
            let syncs = &syncs;
            scope.spawn(move || syncs.share((1, 1), slow));
            has_begun.recv().expect("the first one began");
            for _ in 0..8 {
                scope.spawn(|| syncs.share((1, 1), quick));
            }
            while syncs.lock()[&(1, 1)].waiting < 9 {
                std::thread::yield_now();
            }
            release.send(()).expect("the first one listens");
        });
        assert_eq!(calls.load(Ordering::SeqCst), 2);
        assert!(syncs.lock().is_empty(), "nothing is kept when nobody waits");
    }

    #[test]
    fn a_failed_sync_fails_those_who_needed_it_and_nobody_later() {
        let syncs = Syncs::default();
        assert_eq!(syncs.share((1, 1), || Err(Errno::IO)), Err(Errno::IO));
        assert_eq!(syncs.share((1, 1), || Ok(())), Ok(()));
        assert_eq!(syncs.share((1, 1), || Err(Errno::INVAL)), Ok(()));
    }
}
