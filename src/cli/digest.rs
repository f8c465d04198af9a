//! Checksums of local files, read rather than mapped: a mapped file that somebody truncates would
//! end the process, and here it shall only fail that file.

use std::fs::File;
use std::io::{self, Read as _};

use sha2::Digest as _;

use crate::model::checksum::{Algorithm, Checksum};

/// From this length on a file is hashed on all cores; below it, that costs more than it gives.
const PARALLEL_BYTES_MIN: usize = 1 << 20;

/// A checksum that is being computed.
pub(crate) enum Digest {
    Blake3(Box<blake3::Hasher>),
    Sha256(sha2::Sha256),
    Md5(md5::Md5),
    Adler32(adler2::Adler32),
}

impl Digest {
    pub(crate) fn new(algorithm: Algorithm) -> Self {
        match algorithm {
            Algorithm::Blake3 => Digest::Blake3(Box::default()),
            Algorithm::Sha256 => Digest::Sha256(sha2::Sha256::new()),
            Algorithm::Md5 => Digest::Md5(md5::Md5::new()),
            Algorithm::Adler32 => Digest::Adler32(adler2::Adler32::new()),
        }
    }

    pub(crate) fn update(&mut self, bytes: &[u8]) {
        match self {
            Digest::Blake3(hasher) if bytes.len() >= PARALLEL_BYTES_MIN => {
                hasher.update_rayon(bytes);
            }
            Digest::Blake3(hasher) => {
                hasher.update(bytes);
            }
            Digest::Sha256(hasher) => hasher.update(bytes),
            Digest::Md5(hasher) => hasher.update(bytes),
            Digest::Adler32(hasher) => hasher.write_slice(bytes),
        }
    }

    pub(crate) fn finish(self) -> Checksum {
        let (algorithm, bytes) = match self {
            Digest::Blake3(hasher) => (Algorithm::Blake3, hasher.finalize().as_bytes().to_vec()),
            Digest::Sha256(hasher) => (Algorithm::Sha256, hasher.finalize().to_vec()),
            Digest::Md5(hasher) => (Algorithm::Md5, hasher.finalize().to_vec()),
            Digest::Adler32(hasher) => (Algorithm::Adler32, hasher.checksum().to_be_bytes().to_vec()),
        };
        Checksum::new(algorithm, bytes).expect("each digest has its algorithm's length")
    }
}

/// Hashes the rest of a file, and says how many bytes that was. Blocks.
pub(crate) fn digest_file(file: &mut File, algorithm: Algorithm, length_hint: u64) -> io::Result<(u64, Checksum)> {
    let mut digest = Digest::new(algorithm);
    let room = usize::try_from(length_hint).unwrap_or(usize::MAX);
    let mut buffer = vec![0; room.clamp(1, 4 * PARALLEL_BYTES_MIN)];
    let mut bytes = 0;
    loop {
        // Filled whole, so that large files reach the length from which all cores help.
        let mut filled = 0;
        while filled < buffer.len() {
            match file.read(&mut buffer[filled..]) {
                Ok(0) => break,
                Ok(taken) => filled += taken,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        digest.update(&buffer[..filled]);
        bytes += filled as u64;
        if filled < buffer.len() {
            return Ok((bytes, digest.finish()));
        }
    }
}

/// The checksum to go by: the one that is hardest to meet by accident.
pub(crate) fn strongest(checksums: &[Checksum]) -> Option<&Checksum> {
    checksums.iter().min_by_key(|checksum| match checksum.algorithm() {
        Algorithm::Blake3 => 0,
        Algorithm::Sha256 => 1,
        Algorithm::Md5 => 2,
        Algorithm::Adler32 => 3,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_vectors_hold() {
        let table = [
            "blake3:6437b3ac38465133ffb63b75273a8db548c558465d79db03fd359c6cd5bd9d85",
            "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
            "md5:900150983cd24fb0d6963f7d28e17f72",
            "adler32:024d0127",
        ];
        for text in table {
            let expected: Checksum = text.parse().expect("valid");
            let mut digest = Digest::new(expected.algorithm());
            digest.update(b"a");
            digest.update(b"bc");
            assert_eq!(digest.finish(), expected);
        }
    }

    #[test]
    fn a_large_file_hashes_as_its_bytes_do() {
        let content: Vec<u8> = (0..9_000_001_u32).map(|i| (i % 251) as u8).collect();
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let path = scratch.path().join("file");
        std::fs::write(&path, &content).expect("writable");
        let mut file = File::open(&path).expect("readable");
        let (bytes, checksum) = digest_file(&mut file, Algorithm::Blake3, 9_000_001).expect("readable");
        assert_eq!(bytes, 9_000_001);
        assert_eq!(checksum.bytes(), blake3::hash(&content).as_bytes());
    }
}
