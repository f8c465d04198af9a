//! What a store was seen to do: found out by doing it and looking at the effect, never by what the
//! store says of itself. Kept with the endpoint; backends choose their ways by it.

use serde::{Deserialize, Serialize};

use crate::model::time::Timestamp;

/// Something that stores differ in. Stored in the catalog, so variants are only ever added, at the
/// end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Feature {
    /// A range of an object can be read.
    RangedRead,
    /// A PUT that would replace an object is refused when asked to be.
    PutRefusesToReplace,
    /// Completing a multipart upload that would replace an object is refused when asked to be.
    CompleteRefusesToReplace,
    /// A MOVE that would replace an object is refused when asked to be.
    MoveRefusesToReplace,
    /// A PUT that breaks off leaves nothing under the object's name.
    WholePut,
    /// The store copies an object of its own without its bytes passing through dapple.
    ServerCopy,
    /// An unfinished multipart upload can be found again and gone on with.
    ResumableUpload,
    /// The store refuses bytes that do not fit the MD5 sent with them.
    ChecksMd5,
    /// The store refuses bytes that do not fit the CRC-32C sent with them, and keeps it.
    ChecksCrc32c,
    /// The store gives an object's Adler-32.
    TellsAdler32,
    /// The store gives an object's CRC-32C.
    TellsCrc32c,
    /// The store gives an object's MD5.
    TellsMd5,
    /// A signed URL of the store's own opens an object.
    SignedUrl,
    /// The store says how much room is left.
    Room,
    /// The store names an object of parts by the MD5 of their MD5s.
    TellsMd5OfParts,
}

impl Feature {
    /// A stable name for scripts and the docs.
    pub const fn code(self) -> &'static str {
        match self {
            Feature::RangedRead => "ranged-read",
            Feature::PutRefusesToReplace => "put-refuses-to-replace",
            Feature::CompleteRefusesToReplace => "complete-refuses-to-replace",
            Feature::MoveRefusesToReplace => "move-refuses-to-replace",
            Feature::WholePut => "whole-put",
            Feature::ServerCopy => "server-copy",
            Feature::ResumableUpload => "resumable-upload",
            Feature::ChecksMd5 => "checks-md5",
            Feature::ChecksCrc32c => "checks-crc32c",
            Feature::TellsAdler32 => "tells-adler32",
            Feature::TellsCrc32c => "tells-crc32c",
            Feature::TellsMd5 => "tells-md5",
            Feature::SignedUrl => "signed-url",
            Feature::Room => "room",
            Feature::TellsMd5OfParts => "tells-md5-of-parts",
        }
    }

    /// What dapple does where a store lacks it.
    pub const fn without(self) -> &'static str {
        match self {
            Feature::RangedRead => "whole objects are read and cut, so ranged reads are slow",
            Feature::PutRefusesToReplace | Feature::CompleteRefusesToReplace | Feature::MoveRefusesToReplace => {
                "dapple looks before it writes and relies on being the only one that writes there"
            }
            Feature::WholePut => "every object is written under a temporary name and moved",
            Feature::ServerCopy => "copies within the store pass through dapple",
            Feature::ResumableUpload => "an upload that breaks off begins afresh",
            Feature::ChecksMd5 | Feature::ChecksCrc32c => "the store does not check bytes on their way by itself",
            Feature::TellsAdler32 | Feature::TellsCrc32c | Feature::TellsMd5 | Feature::TellsMd5OfParts => {
                "a copy is verified by another checksum, or by its length and the hash taken on the way"
            }
            Feature::SignedUrl => "readers are never sent to the store; bytes pass through the gateway",
            Feature::Room => "a full store is noticed only when it refuses bytes",
        }
    }
}

/// One thing that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// What.
    pub feature: Feature,
    /// Whether the store did it.
    pub holds: bool,
    /// What was seen, where that says more; empty if not.
    pub seen: String,
}

/// All that was tried at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Probe {
    /// When.
    pub at: Timestamp,
    /// What came of it, in the order of [`Feature`].
    pub findings: Vec<Finding>,
}

impl Probe {
    /// Tells whether the store was seen to do something.
    pub fn holds(&self, feature: Feature) -> bool {
        self.findings.iter().any(|finding| finding.feature == feature && finding.holds)
    }
}
