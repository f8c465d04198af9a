//! Reconcilers: background workers that read the catalog, do a bounded piece of work, and look
//! again. They take no input, so losing a wake, a process or a lease costs time and nothing else.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::catalog::Catalog;
use crate::catalog::wake::Topic;
use crate::rules::Progress;
use crate::workers::fault::WorkFault;
use crate::workers::runner::Halt;

pub mod board;
pub mod duties;
pub mod fault;
pub mod runner;

/// What a worker is and when it works.
#[derive(Debug, Clone, Copy)]
pub struct Duty {
    /// Its name, as `dapple worker list` shows it.
    pub name: &'static str,
    /// What wakes it.
    pub topic: Option<Topic>,
    /// How long it waits for a wake before it looks by itself.
    pub period: Duration,
    /// Whether only one process does it at a time.
    pub single: bool,
}

/// Something that is done in the background, again and again.
pub trait Worker: Send {
    /// What it is and when it works. Always the same.
    fn duty(&self) -> Duty;
    /// Does one bounded piece of work, judged from the catalog alone. If only one process does it at
    /// a time, the catalog takes writes only as long as this one is it. What may go on for long looks
    /// whether it is to come to an end.
    fn work<'a>(&'a mut self, catalog: &'a Catalog, halt: &'a Halt) -> BoxFuture<'a, Result<Progress, WorkFault>>;
}
