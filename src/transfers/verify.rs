//! Compares bytes with what is registered.

use crate::model::checksum::{Algorithm, Checksum, contradiction};
use crate::storage::backend::ByteStream;
use crate::storage::hash::hash_stream;
use crate::transfers::blame::{Failure, at_destination, wrong_bytes};
use crate::transfers::job::{Job, Source};

/// Hashes what was staged, and compares. Returns what was computed: what is registered needs, and
/// what the destination tells.
pub(super) async fn verify(
    job: &Job,
    source: &Source,
    back: ByteStream,
    told: &[Algorithm],
) -> Result<Vec<Checksum>, Failure> {
    let hashed = hash_stream(back, &[&algorithms(&job.checksums), told].concat()).await;
    let hashed = hashed.map_err(|error| at_destination(&job.destination, &error))?;
    compare(job, source, &hashed.checksums)?;
    Ok(hashed.checksums)
}

/// Compares what was computed over the bytes of a source with what is registered.
pub(super) fn compare(job: &Job, source: &Source, computed: &[Checksum]) -> Result<(), Failure> {
    match contradiction(&job.checksums, computed) {
        None => Ok(()),
        Some((expected, found)) => Err(wrong_bytes(source, expected, found)),
    }
}

/// The algorithms to compute for a comparison with what is registered.
pub(super) fn algorithms(registered: &[Checksum]) -> Vec<Algorithm> {
    registered.iter().map(Checksum::algorithm).collect()
}
