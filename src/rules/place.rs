//! Decides which endpoints shall hold a group of a rule. Pure: the same snapshot gives the same
//! answer. Never looks at transfers: a lock says what is wanted, not how it gets there.

use crate::catalog::record::{ChosenBecause, ChosenRecord};
use crate::model::endpoint::EndpointName;
use crate::model::id::{DidId, EndpointId};
use crate::model::stuck::StuckReason;
use crate::rules::quota::Quota;

/// An endpoint that the rule's expression matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Candidate {
    /// The endpoint.
    pub endpoint: EndpointId,
    /// Bytes of the group that are available there.
    pub bytes_there: u64,
    /// Whether the group was placed there before.
    pub held: bool,
    /// Why policy does not let the group's data be there, if it does not.
    pub denied: Option<Denial>,
    /// Bytes of the group that the rule's account does not hold there yet.
    pub needed: u64,
}

/// Policy's word on an endpoint that is left out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Denial {
    /// The endpoint.
    pub endpoint: EndpointName,
    /// The policies that determined it.
    pub policies: Vec<String>,
}

impl From<Denial> for StuckReason {
    fn from(denial: Denial) -> Self {
        StuckReason::DeniedByPolicy { endpoint: denial.endpoint, policies: denial.policies }
    }
}

/// What was decided for a group.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Choice {
    /// At most as many endpoints as copies are wanted, best first.
    pub chosen: Vec<ChosenRecord>,
    /// Why there are fewer, if there are.
    pub unplaced: Option<StuckReason>,
    /// Room that they take which the account did not hold before.
    pub taken: Vec<(EndpointId, u64)>,
}

/// Chooses endpoints: those held before, then those with most of the bytes, then by the hash of
/// group and endpoint, which spreads groups evenly and always the same way. One where the account may
/// not hold so much is left out; what is chosen is taken from the quota. If there are too few, those
/// there are get chosen all the same: some copies are better than none while a person is asked.
pub fn place(group: DidId, copies: u16, candidates: &[Candidate], quota: &mut Quota) -> Choice {
    let mut allowed: Vec<&Candidate> = candidates.iter().filter(|candidate| candidate.denied.is_none()).collect();
    allowed.sort_by_cached_key(|candidate| {
        let spread = spread(group, candidate.endpoint);
        (!candidate.held, std::cmp::Reverse(candidate.bytes_there), spread)
    });
    let (mut chosen, mut taken, mut short) = (Vec::new(), Vec::new(), None);
    for candidate in &allowed {
        if chosen.len() == usize::from(copies) {
            break;
        }
        match quota.shortfall(candidate.endpoint, candidate.needed) {
            None => {
                quota.take(candidate.endpoint, candidate.needed);
                taken.extend((candidate.needed > 0).then_some((candidate.endpoint, candidate.needed)));
                chosen.push(choose(candidate));
            }
            Some(reason) => short = short.or(Some(reason)),
        }
    }
    let too_few = || why_too_few(copies, candidates, allowed.len(), short);
    let unplaced = (chosen.len() < usize::from(copies)).then(too_few);
    Choice { chosen, unplaced, taken }
}

fn choose(candidate: &Candidate) -> ChosenRecord {
    let because = match candidate {
        Candidate { held: true, .. } => ChosenBecause::KeptPlace,
        Candidate { bytes_there: 1.., .. } => ChosenBecause::HadBytes,
        _ => ChosenBecause::Spread,
    };
    ChosenRecord { endpoint: candidate.endpoint, because }
}

fn why_too_few(copies: u16, candidates: &[Candidate], allowed: usize, short: Option<StuckReason>) -> StuckReason {
    let denied = candidates.iter().find_map(|candidate| candidate.denied.clone());
    if candidates.is_empty() {
        StuckReason::ExpressionMatchesNothing
    } else if let Some(short) = short.filter(|_| allowed >= usize::from(copies)) {
        short
    } else if let Some(denied) = denied.filter(|_| candidates.len() >= usize::from(copies)) {
        denied.into()
    } else {
        let matching = u32::try_from(allowed).expect("a lake has fewer than 2^32 endpoints");
        StuckReason::TooFewEndpoints { matching, copies: u32::from(copies) }
    }
}

/// Rendezvous hashing: each group ranks endpoints in its own order, and a new endpoint takes its
/// share without moving the rest.
fn spread(group: DidId, endpoint: EndpointId) -> u64 {
    let mut hasher = blake3::Hasher::new();
    hasher.update(&group.0.to_be_bytes());
    hasher.update(&endpoint.0.to_be_bytes());
    let hash = hasher.finalize();
    u64::from_be_bytes(hash.as_bytes()[..8].try_into().expect("a BLAKE3 hash has 32 bytes"))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;
    use crate::model::account::AccountName;
    use crate::rules::quota::Limit;

    fn candidate(endpoint: u32) -> Candidate {
        Candidate { endpoint: EndpointId(endpoint), bytes_there: 0, held: false, denied: None, needed: 10 }
    }

    fn quota(limits: &[(&[u32], u64, u64)]) -> Quota {
        let limit = |(endpoints, bytes, used): &(&[u32], u64, u64)| {
            let endpoints = endpoints.iter().copied().map(EndpointId).collect();
            Limit { on: "*".to_owned(), endpoints, bytes: *bytes, used: *used }
        };
        Quota { account: AccountName::root(), limits: limits.iter().map(limit).collect() }
    }

    fn place_freely(group: DidId, copies: u16, candidates: &[Candidate]) -> Choice {
        place(group, copies, candidates, &mut quota(&[]))
    }

    fn names(choice: &Choice) -> Vec<u32> {
        choice.chosen.iter().map(|chosen| chosen.endpoint.0).collect()
    }

    #[test]
    fn places_held_come_first_then_bytes_then_the_spread() {
        let group = DidId(7);
        let candidates = [
            candidate(1),
            Candidate { bytes_there: 5, ..candidate(2) },
            Candidate { held: true, ..candidate(3) },
            Candidate { bytes_there: 9, ..candidate(4) },
        ];
        assert_eq!(names(&place_freely(group, 3, &candidates)), [3, 4, 2]);
        assert_eq!(place_freely(group, 3, &candidates).unplaced, None);
    }

    #[test]
    fn what_there_is_gets_chosen_even_if_it_is_too_little() {
        let choice = place_freely(DidId(1), 3, &[candidate(1)]);
        assert_eq!(names(&choice), [1]);
        assert_eq!(choice.unplaced, Some(StuckReason::TooFewEndpoints { matching: 1, copies: 3 }));
        assert_eq!(place_freely(DidId(1), 1, &[]).unplaced, Some(StuckReason::ExpressionMatchesNothing));
        let lisbon = EndpointName::parse("lisbon").expect("a name");
        let denial = Denial { endpoint: lisbon, policies: vec!["residency".to_owned()] };
        let denied = [Candidate { denied: Some(denial.clone()), held: true, ..candidate(1) }];
        let choice = place_freely(DidId(1), 1, &denied);
        assert_eq!((names(&choice), choice.unplaced), (vec![], Some(denial.into())), "not even where it was before");
    }

    #[test]
    fn where_the_account_has_no_room_is_left_out_and_what_is_chosen_takes_room() {
        let candidates = [1, 2, 3].map(candidate);
        let mut left = quota(&[(&[1], 9, 0), (&[2, 3], 25, 0)]);
        let first = place(DidId(1), 2, &candidates, &mut left);
        assert_eq!((BTreeSet::from_iter(names(&first)), first.unplaced), (BTreeSet::from([2, 3]), None));
        assert_eq!(left.limits[1].used, 20, "both copies count against a limit on both endpoints");
        let second = place(DidId(2), 2, &candidates, &mut left);
        assert_eq!(names(&second), [] as [u32; 0]);
        assert!(matches!(second.unplaced, Some(StuckReason::QuotaExceeded { needed: 10, .. })), "{second:?}");
        // One copy fits, the other does not; what is held already needs no room, however little there is.
        let held = Candidate { held: true, needed: 0, ..candidate(1) };
        let choice = place(DidId(3), 3, &[held, candidate(2), candidate(3)], &mut quota(&[(&[1, 2, 3], 19, 9)]));
        assert_eq!(choice.chosen.len(), 2);
        let reason = StuckReason::QuotaExceeded {
            account: AccountName::root(),
            on: "*".to_owned(),
            needed: 10,
            used: 19,
            limit: 19,
        };
        assert_eq!(choice.unplaced, Some(reason));
        // A lack of endpoints is no lack of room.
        let few = place(DidId(4), 2, &[candidate(1)], &mut quota(&[(&[1], 0, 0)]));
        assert_eq!(few.unplaced, Some(StuckReason::TooFewEndpoints { matching: 1, copies: 2 }));
    }

    #[test]
    fn groups_spread_evenly_and_a_new_endpoint_moves_nobody_else() {
        let four: Vec<_> = (1..=4).map(candidate).collect();
        let five: Vec<_> = (1..=5).map(candidate).collect();
        let mut counts = [0; 6];
        for group in (0..1_000).map(DidId) {
            let before = names(&place_freely(group, 1, &four))[0];
            let after = names(&place_freely(group, 1, &five))[0];
            assert!(after == before || after == 5);
            counts[before as usize] += 1;
        }
        assert!(counts[1..=4].iter().all(|count| (200..300).contains(count)), "{counts:?}");
    }
}
