//! Hashes bytes while they pass, read back, or lie in a local file.
//!
//! BLAKE3 always, and whatever else a registration or a peer speaks, in one pass. Never judges what
//! it finds: comparing is the caller's.

use std::fs::File;
use std::io::{self, Read};
use std::sync::{Arc, Mutex};

use crc_fast::CrcAlgorithm;
use futures::{StreamExt, TryStreamExt};
use md5::Md5;
use sha2::{Digest, Sha256};

use crate::model::checksum::{Algorithm, Checksum};
use crate::storage::backend::{ByteStream, StorageError};

/// From this length on a local file is hashed on all cores; below it, that costs more than it
/// gives.
const PARALLEL_BYTES_MIN: u64 = 1 << 20;
/// Bytes of a local file that are read, and hashed on all cores, at once.
const READ_BYTES: u64 = 4 << 20;

/// What hashing gave.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hashed {
    /// How many bytes passed.
    pub bytes: u64,
    /// BLAKE3 always, first, and what else was asked for.
    pub checksums: Vec<Checksum>,
}

impl Hashed {
    /// The checksum of an algorithm, if it was asked for.
    pub fn checksum(&self, algorithm: Algorithm) -> Option<&Checksum> {
        self.checksums.iter().find(|checksum| checksum.algorithm() == algorithm)
    }
}

/// Computes several checksums over the same bytes.
#[derive(Clone, Default)]
pub struct Hasher {
    blake3: blake3::Hasher,
    sha256: Option<Sha256>,
    md5: Option<Md5>,
    adler32: Option<adler2::Adler32>,
    crc32c: Option<crc_fast::Digest>,
}

impl Hasher {
    /// A hasher for BLAKE3 and `algorithms`; naming one twice, or BLAKE3, changes nothing.
    pub fn new(algorithms: &[Algorithm]) -> Self {
        Self {
            blake3: blake3::Hasher::new(),
            sha256: algorithms.contains(&Algorithm::Sha256).then(Sha256::new),
            md5: algorithms.contains(&Algorithm::Md5).then(Md5::new),
            adler32: algorithms.contains(&Algorithm::Adler32).then(adler2::Adler32::new),
            crc32c: algorithms.contains(&Algorithm::Crc32c).then(|| crc_fast::Digest::new(CrcAlgorithm::Crc32Iscsi)),
        }
    }

    /// Takes the next bytes.
    pub fn update(&mut self, bytes: &[u8]) {
        self.blake3.update(bytes);
        self.update_others(bytes);
    }

    /// Gives the checksums of all bytes taken.
    pub fn finish(self) -> Hashed {
        let bytes = self.blake3.count();
        let found = [
            Some((Algorithm::Blake3, self.blake3.finalize().as_bytes().to_vec())),
            self.sha256.map(|hash| (Algorithm::Sha256, hash.finalize().to_vec())),
            self.md5.map(|hash| (Algorithm::Md5, hash.finalize().to_vec())),
            self.adler32.map(|hash| (Algorithm::Adler32, hash.checksum().to_be_bytes().to_vec())),
            self.crc32c.map(|hash| (Algorithm::Crc32c, crc32c_bytes(&hash).to_vec())),
        ];
        let checksums = found
            .into_iter()
            .flatten()
            .map(|(algorithm, digest)| Checksum::new(algorithm, digest).expect("digests have their algorithm's length"))
            .collect();
        Hashed { bytes, checksums }
    }

    fn update_others(&mut self, bytes: &[u8]) {
        if let Some(sha256) = &mut self.sha256 {
            sha256.update(bytes);
        }
        if let Some(md5) = &mut self.md5 {
            md5.update(bytes);
        }
        if let Some(adler32) = &mut self.adler32 {
            adler32.write_slice(bytes);
        }
        if let Some(crc32c) = &mut self.crc32c {
            crc32c.update(bytes);
        }
    }
}

fn crc32c_bytes(hash: &crc_fast::Digest) -> [u8; 4] {
    u32::try_from(hash.finalize()).expect("a CRC-32 has 32 bits").to_be_bytes()
}

/// What a stream given out by [`hashing`] has seen so far.
pub struct Passing(Arc<Mutex<Hasher>>);

impl Passing {
    /// The checksums of what has passed. Ask once the stream's consumer has finished: of a stream
    /// that was dropped half-way this tells the first half, and `bytes` says so.
    pub fn finish(self) -> Hashed {
        let mut hasher = self.0.lock().expect("hashing does not panic");
        std::mem::take(&mut *hasher).finish()
    }
}

/// Hashes a stream while it passes through, for instance to
/// [`Backend::stage`](crate::storage::backend::Backend::stage).
pub fn hashing(stream: ByteStream, algorithms: &[Algorithm]) -> (ByteStream, Passing) {
    let hasher = Arc::new(Mutex::new(Hasher::new(algorithms)));
    let passing = Passing(hasher.clone());
    let stream = stream.inspect_ok(move |chunk| hasher.lock().expect("hashing does not panic").update(chunk));
    (stream.boxed(), passing)
}

/// Hashes a stream to its end, for reading back.
pub async fn hash_stream(mut stream: ByteStream, algorithms: &[Algorithm]) -> Result<Hashed, StorageError> {
    let mut hasher = Hasher::new(algorithms);
    while let Some(chunk) = stream.try_next().await? {
        hasher.update(&chunk);
    }
    Ok(hasher.finish())
}

/// Hashes the rest of a local file, a large one on all cores. Blocks. The file is read rather than
/// mapped: a mapped file that somebody truncates meanwhile would end the process, where this only
/// tells fewer bytes.
pub fn hash_file(file: &mut File, algorithms: &[Algorithm]) -> io::Result<Hashed> {
    let mut hasher = Hasher::new(algorithms);
    let length = file.metadata()?.len();
    let parallel = length >= PARALLEL_BYTES_MIN;
    let mut buffer = vec![0; usize::try_from(length.clamp(1, READ_BYTES)).expect("a few MiB")];
    loop {
        let taken = fill(file, &mut buffer)?;
        if parallel {
            hasher.blake3.update_rayon(&buffer[..taken]);
            hasher.update_others(&buffer[..taken]);
        } else {
            hasher.update(&buffer[..taken]);
        }
        if taken < buffer.len() {
            return Ok(hasher.finish());
        }
    }
}

/// Reads until the buffer is full or the file ends: cores can share only what is there at once.
fn fill(file: &mut File, buffer: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < buffer.len() {
        match file.read(&mut buffer[filled..]) {
            Ok(0) => break,
            Ok(taken) => filled += taken,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use futures::{FutureExt, stream};

    use super::*;

    const ALL: [Algorithm; 5] =
        [Algorithm::Blake3, Algorithm::Sha256, Algorithm::Md5, Algorithm::Adler32, Algorithm::Crc32c];

    fn block_on<T>(future: impl Future<Output = T>) -> T {
        future.now_or_never().expect("nothing in it waits")
    }

    fn texts(hashed: &Hashed) -> Vec<String> {
        hashed.checksums.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn published_test_vectors_hold() {
        let mut hasher = Hasher::new(&ALL);
        hasher.update(b"a");
        hasher.update(b"bc");
        let hashed = hasher.finish();
        assert_eq!(hashed.bytes, 3);
        assert_eq!(
            texts(&hashed),
            [
                "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
                "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
                "md5:900150983cd24fb0d6963f7d28e17f72",
                "adler32:024d0127",
                "crc32c:364b3fb7",
            ]
        );
    }

    #[test]
    fn blake3_is_always_there_and_the_rest_only_if_asked() {
        let hashed = Hasher::new(&[]).finish();
        assert_eq!(texts(&hashed), ["blake3:af1349b9f5f9a1a6a0404dea36dcc9499bcb25c9adc112b7cc9a93cae41f3262"]);
        assert!(hashed.checksum(Algorithm::Blake3).is_some() && hashed.checksum(Algorithm::Md5).is_none());
    }

    #[test]
    fn a_passing_stream_a_read_back_one_and_a_file_agree() {
        let content: Vec<u8> = (0..9_000_001_u32).map(|i| (i % 251) as u8).collect();
        let directory = tempfile::tempdir().expect("a scratch directory");
        for length in [0, 1, 5_000, content.len()] {
            let content = Bytes::copy_from_slice(&content[..length]);
            let path = directory.path().join("file");
            std::fs::write(&path, &content).expect("writable");
            let chunks: Vec<_> = content.chunks(70_000).map(|c| Ok(Bytes::copy_from_slice(c))).collect();
            for algorithms in [&ALL[..], &[]] {
                let (stream, passing) = hashing(stream::iter(chunks.clone()).boxed(), algorithms);
                let read_back = block_on(hash_stream(stream, algorithms)).expect("no errors in it");
                assert_eq!(read_back.bytes, length as u64);
                assert_eq!(passing.finish(), read_back);
                assert_eq!(hash_file(&mut File::open(&path).expect("there"), algorithms).expect("readable"), read_back);
            }
        }
    }
}
