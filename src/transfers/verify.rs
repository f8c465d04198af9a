//! Compares bytes with what is registered.

use crate::model::checksum::{Algorithm, Checksum, contradiction};
use crate::transfers::blame::{Failure, wrong_bytes};
use crate::transfers::job::{Job, Source};

/// Compares what was computed over the bytes of a source with what is registered.
pub(super) fn compare(job: &Job, source: &Source, computed: &[Checksum]) -> Result<(), Failure> {
    match contradiction(&job.checksums, computed) {
        None => Ok(()),
        Some((expected, found)) => Err(wrong_bytes(source, expected, found)),
    }
}

/// The algorithms to compute for a comparison with what is registered and with what a store tells.
pub(super) fn algorithms(registered: &[Checksum], told: &[Algorithm]) -> Vec<Algorithm> {
    registered.iter().map(Checksum::algorithm).chain(told.iter().copied()).collect()
}
