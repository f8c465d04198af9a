//! What the catalog stores of the lake itself: which one it is, how often it was restored, and which
//! endpoints wait for somebody to accept what is there.

use serde::{Deserialize, Serialize};

use crate::catalog::table::stored_v1;
use crate::model::account::AccountName;
use crate::model::id::LakeId;
use crate::model::time::Timestamp;

/// The lake itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LakeRecord {
    /// Which lake it is; a restore keeps it.
    pub id: LakeId,
    /// Begins with 1; raised by every restore.
    pub epoch: u64,
    /// When the epoch began, so that two restores of one backup can be told apart.
    pub since: Timestamp,
}

/// A restore.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestoreRecord {
    /// When.
    pub at: Timestamp,
    /// When the backup was made.
    pub backup_at: Timestamp,
    /// The newest change that the backup has.
    pub position: u64,
    /// The version of dapple that made the backup.
    pub dapple: String,
}

/// An endpoint that lay there when the lake was restored. The catalog may know less, or more, of what
/// is there than is true, so nothing is to be removed there until somebody has accepted it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AuditRecord {
    /// When the lake was restored.
    pub restored_at: Timestamp,
    /// Who accepted what is there, and when; nobody yet, if absent.
    pub accepted: Option<AcceptedRecord>,
}

/// That somebody accepted what is at an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AcceptedRecord {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub account: AccountName,
}

stored_v1!(LakeRecord);
stored_v1!(RestoreRecord);
stored_v1!(AuditRecord);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::catalog::table::Value as _;

    #[test]
    fn what_is_stored_of_the_lake_is_written_as_it_was() {
        let id = [&[0; 15][..], &[9]].concat();
        let lake = LakeRecord { id: LakeId(9), epoch: 2, since: Timestamp::from_millis(3) };
        assert_eq!(lake.encode(), [&[1][..], &id, &[2, 3]].concat());
        assert_eq!(LakeRecord::decode(&lake.encode()).expect("a golden record"), lake);
        let at = Timestamp::from_millis(4);
        let restore = RestoreRecord { at, backup_at: Timestamp::from_millis(3), position: 7, dapple: "0".to_owned() };
        assert_eq!(restore.encode(), vec![1, 4, 3, 7, 1, b'0']);
        assert_eq!(RestoreRecord::decode(&restore.encode()).expect("a golden record"), restore);
        let locked = AuditRecord { restored_at: at, accepted: None };
        assert_eq!(locked.encode(), vec![1, 4, 0]);
        let accepted = AcceptedRecord { at: Timestamp::from_millis(5), account: AccountName::root() };
        let open = AuditRecord { accepted: Some(accepted), ..locked };
        assert_eq!(open.encode(), [&[1, 4, 1, 5, 4][..], b"root"].concat());
        assert_eq!(AuditRecord::decode(&open.encode()).expect("a golden record"), open);
    }
}
