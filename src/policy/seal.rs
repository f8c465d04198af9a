//! Seals places of members: a keyed permutation of 64 bits for each holder (Luby and Rackoff's, with BLAKE3
//! as the round function). Equal places have equal seals, so that pages have stable cursors; how two
//! places relate is not to be seen.

use crate::model::id::DidId;
use crate::model::place::SealedPlace;

/// More than the four that such a permutation needs to pass for a random one.
const ROUNDS: u8 = 6;

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
