//! Reconcilers: background workers that read the catalog, do a bounded piece of work, and look
//! again. They take no input, so losing a wake, a process or a lease costs time and nothing else.

use std::time::Duration;

use futures::future::BoxFuture;

use crate::catalog::wake::Topic;
use crate::rules::Progress;
use crate::workers::fault::WorkFault;

pub mod board;
pub mod duties;
pub mod fault;
pub mod runner;

/// Something that is done in the background, again and again.
pub trait Worker: Send {
    /// Its name, as `dapple worker list` shows it.
    fn name(&self) -> &'static str;
    /// What wakes it.
    fn topic(&self) -> Option<Topic>;
    /// How long it waits for a wake before it looks by itself.
    fn period(&self) -> Duration;
    /// Whether only one process does it at a time.
    fn is_single(&self) -> bool;
    /// Does one bounded piece of work, judged from the catalog alone.
    fn work(&mut self) -> BoxFuture<'_, Result<Progress, WorkFault>>;
}
