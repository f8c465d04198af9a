//! Transfers: claim what is ready, copy it the cheapest way both ends can do, verify, publish, and
//! settle the outcome in the catalog. Copying sees a [`job::Job`] and storage alone, never the
//! catalog, so that the same code can run where the catalog is out of reach.

mod blame;
pub mod claim;
pub mod execute;
pub mod job;
pub mod mover;
pub mod permit;
pub mod recover;
mod relay;
pub mod settle;
mod stall;
mod verify;
