//! Seals what a cursor would tell of hidden things. Names: as many blocks of 64 bytes as hold it, under a
//! nonce that follows from the name, so that it is known again when it is opened. Places of members: a keyed permutation of 64 bits for each holder (Luby and Rackoff's, with BLAKE3
//! as the round function). Equal places have equal seals, so that pages have stable cursors; how two
//! places relate is not to be seen.

use crate::model::id::DidId;
use crate::model::place::SealedPlace;

/// More than the four that such a permutation needs to pass for a random one.
const ROUNDS: u8 = 6;

/// Names are sealed in whole blocks: how long they are is not to be seen.
const NAME_BLOCK: usize = 64;
/// How many bytes of a sealed name are its nonce.
const NONCE: usize = 16;

/// The key under which a lake seals places.
#[derive(Clone)]
pub struct PlaceKey([u8; 32]);

impl PlaceKey {
    /// The key that follows from 32 secret bytes.
    pub fn derive(secret: &[u8; 32]) -> Self {
        Self(blake3::derive_key("dapple 2026-11 places of members", secret))
    }

    /// Seals a place.
    pub fn seal(&self, holder: DidId, place: u64) -> SealedPlace {
        let (mut left, mut right) = halves(place);
        for round in 0..ROUNDS {
            (left, right) = (right, left ^ self.mix(holder, round, right));
        }
        SealedPlace(whole(left, right))
    }

    /// Reads a place that was sealed. What was not gives some place or other.
    pub fn open(&self, holder: DidId, sealed: SealedPlace) -> u64 {
        let (mut left, mut right) = halves(sealed.0);
        for round in (0..ROUNDS).rev() {
            (left, right) = (right ^ self.mix(holder, round, left), left);
        }
        whole(left, right)
    }

    /// Seals a name of something within something else.
    pub fn seal_name(&self, within: &str, name: &str) -> String {
        let mut padded = name.as_bytes().to_vec();
        padded.resize((name.len() / NAME_BLOCK + 1) * NAME_BLOCK, 0);
        let nonce = self.nonce(within, &padded);
        self.cover(&nonce, &mut padded);
        let mut text = String::with_capacity(2 * (nonce.len() + padded.len()));
        for byte in nonce.iter().chain(&padded) {
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }

    /// Reads a name that was sealed within the same.
    pub fn open_name(&self, within: &str, sealed: &str) -> Option<String> {
        let digits = sealed.as_bytes().chunks(2).map(|two| std::str::from_utf8(two).ok());
        let bytes: Option<Vec<u8>> = digits.map(|two| u8::from_str_radix(two?, 16).ok()).collect();
        let bytes = bytes?;
        let (nonce, covered) = bytes.split_at_checked(NONCE)?;
        let mut padded = covered.to_vec();
        self.cover(nonce, &mut padded);
        if self.nonce(within, &padded) != *nonce {
            return None;
        }
        let name = padded.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        String::from_utf8(padded[..name].to_vec()).ok()
    }

    fn nonce(&self, within: &str, padded: &[u8]) -> [u8; NONCE] {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"nonce").update(&(within.len() as u64).to_be_bytes()).update(within.as_bytes()).update(padded);
        hasher.finalize().as_bytes()[..NONCE].try_into().expect("a BLAKE3 hash has 32 bytes")
    }

    /// Covers bytes under a nonce, or uncovers them.
    fn cover(&self, nonce: &[u8], bytes: &mut [u8]) {
        let mut stream = vec![0; bytes.len()];
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(b"cover").update(nonce).finalize_xof().fill(&mut stream);
        bytes.iter_mut().zip(stream).for_each(|(byte, with)| *byte ^= with);
    }

    fn mix(&self, holder: DidId, round: u8, half: u32) -> u32 {
        let mut hasher = blake3::Hasher::new_keyed(&self.0);
        hasher.update(&holder.0.to_be_bytes()).update(&[round]).update(&half.to_be_bytes());
        let hash = hasher.finalize();
        u32::from_be_bytes(hash.as_bytes()[..4].try_into().expect("a BLAKE3 hash has 32 bytes"))
    }
}

fn halves(whole: u64) -> (u32, u32) {
    let (left, right) = (whole >> 32, whole & u64::from(u32::MAX));
    let half = |half: u64| u32::try_from(half).expect("a half has 32 bits");
    (half(left), half(right))
}

fn whole(left: u32, right: u32) -> u64 {
    u64::from(left) << 32 | u64::from(right)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_was_sealed_is_read_by_its_key_and_for_its_holder_alone(place: u64, holder: u64, secret: [u8; 32]) {
            let (key, holder) = (PlaceKey::derive(&secret), DidId(holder));
            let sealed = key.seal(holder, place);
            prop_assert_eq!(key.open(holder, sealed), place);
            prop_assert_eq!(sealed.to_string().parse(), Ok(sealed));
            prop_assert_ne!(key.open(DidId(holder.0 ^ 1), sealed), place);
            let mut other = secret;
            other[0] ^= 1;
            prop_assert_ne!(PlaceKey::derive(&other).open(holder, sealed), place);
        }
    }

    #[test]
    fn a_name_is_read_by_its_key_and_within_the_same_alone() {
        let key = PlaceKey::derive(&[7; 32]);
        for name in ["", "a", "ö/ö", &"n".repeat(64), &"n".repeat(1_000)] {
            let sealed = key.seal_name("s", name);
            assert_eq!(key.open_name("s", &sealed).as_deref(), Some(name));
            assert_eq!(key.open_name("other", &sealed), None);
            assert_eq!(PlaceKey::derive(&[8; 32]).open_name("s", &sealed), None);
            let wrong = format!("{}{}", &sealed[..sealed.len() - 1], if sealed.ends_with('0') { '1' } else { '0' });
            assert_eq!(key.open_name("s", &wrong), None);
        }
        assert_eq!(key.seal_name("s", "short").len(), key.seal_name("s", "not so short").len());
        for wrong in ["", "zz", "00", "0", "ö", &"0".repeat(160)] {
            assert_eq!(key.open_name("s", wrong), None, "{wrong}");
        }
    }

    #[test]
    fn neighbours_do_not_look_like_neighbours() {
        let key = PlaceKey::derive(&[7; 32]);
        let seals: Vec<u64> = (0..1_000).map(|place| key.seal(DidId(5), place).0).collect();
        let close = seals.windows(2).filter(|two| two[0].abs_diff(two[1]) < 1 << 48).count();
        assert!(close < 10, "{close}");
        for wrong in ["", "17", "00000000000000001", "+000000000000001"] {
            assert_eq!(wrong.parse::<SealedPlace>(), Err(crate::model::place::InvalidPlace), "{wrong}");
        }
    }
}
