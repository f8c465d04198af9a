//! What the catalog stores of what happened to DIDs.

use serde::{Deserialize, Serialize};

use crate::catalog::table::stored_v1;
use crate::model::account::AccountName;
use crate::model::id::{DidId, EndpointId, RuleId};
use crate::model::time::Timestamp;

/// That a dataset or container takes no more members.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ClosedRecord {
    /// Since when.
    pub at: Timestamp,
    /// Who closed it.
    pub account: AccountName,
}

/// Something that happened to a DID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct HistoryRecord {
    /// When; of several alike, the first.
    pub at: Timestamp,
    /// Who did it; nobody, if it came by itself.
    pub account: Option<AccountName>,
    /// What.
    pub what: Happening,
}

/// What happened. Variants are only ever added, at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum Happening {
    /// Members joined.
    Attached(Several),
    /// Members left.
    Detached(Several),
    /// Labels were set or taken away, as `KEY=VALUE` or `KEY=`.
    Labelled(Vec<String>),
    /// It takes no more members.
    Closed,
    /// It takes members again.
    Reopened,
    /// A rule was made on it.
    RuleMade(RuleId),
    /// A rule on it was changed.
    RuleChanged(RuleId),
    /// A rule on it was removed.
    RuleRemoved(RuleId),
    /// The lifetime of a rule on it was over.
    RuleExpired(RuleId),
    /// Replicas of it, or of its files, were found or declared bad.
    ReplicasBad(EndpointId, Several),
}

/// Some DIDs: one of them, and how many they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Several {
    /// One of them.
    pub first: DidId,
    /// How many.
    pub count: u64,
}

stored_v1!(ClosedRecord);
stored_v1!(HistoryRecord);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::table::Value as _;

    #[test]
    fn what_happened_is_written_as_it_was() {
        let root = [&[4][..], b"root"].concat();
        let closed = ClosedRecord { at: Timestamp::from_millis(3), account: AccountName::root() };
        let golden = [&[1, 3][..], &root].concat();
        assert_eq!(closed.encode(), golden);
        assert_eq!(ClosedRecord::decode(&golden).expect("a golden record"), closed);
        let several = Several { first: DidId(7), count: 2 };
        let rule = RuleId(1);
        let id = [&[0; 15][..], &[1]].concat();
        let table: [(Happening, Vec<u8>); 10] = [
            (Happening::Attached(several), vec![0, 7, 2]),
            (Happening::Detached(several), vec![1, 7, 2]),
            (Happening::Labelled(vec!["a=b".to_owned()]), vec![2, 1, 3, b'a', b'=', b'b']),
            (Happening::Closed, vec![3]),
            (Happening::Reopened, vec![4]),
            (Happening::RuleMade(rule), [&[5][..], &id].concat()),
            (Happening::RuleChanged(rule), [&[6][..], &id].concat()),
            (Happening::RuleRemoved(rule), [&[7][..], &id].concat()),
            (Happening::RuleExpired(rule), [&[8][..], &id].concat()),
            (Happening::ReplicasBad(EndpointId(5), several), vec![9, 5, 7, 2]),
        ];
        for (what, bytes) in table {
            let golden = [&[1, 3, 1][..], &root, &bytes].concat();
            let at = Timestamp::from_millis(3);
            let record = HistoryRecord { at, account: Some(AccountName::root()), what };
            assert_eq!(record.encode(), golden, "{record:?}");
            assert_eq!(HistoryRecord::decode(&golden).expect("a golden record"), record);
        }
    }
}
