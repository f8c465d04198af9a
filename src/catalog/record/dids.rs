//! Records of scopes, of DIDs, and of what holds what.

use serde::{Deserialize, Serialize};

use crate::catalog::table::stored_v1;
use crate::model::account::AccountName;
use crate::model::checksum::Checksum;
use crate::model::did::{Did, DidKind, DidName};
use crate::model::id::DidId;
use crate::model::scope::Scope;
use crate::model::time::Timestamp;

/// A scope.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeRecord {
    /// Its owner.
    pub account: AccountName,
    /// When it was added.
    pub created_at: Timestamp,
}

/// What a name stands for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct NameRecord {
    /// The DID's number.
    pub id: DidId,
    /// What it is.
    pub kind: DidKind,
}

/// A DID.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DidRecord {
    /// Its scope.
    pub scope: Scope,
    /// Its name there.
    pub name: DidName,
    /// Who registered it.
    pub account: AccountName,
    /// When.
    pub created_at: Timestamp,
    /// What it is, with a file's facts.
    pub content: DidContent,
}

/// What a DID is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub enum DidContent {
    /// A file.
    File(FileFacts),
    /// A dataset.
    Dataset,
    /// A container.
    Container,
}

/// What is registered of a file. Never changes once a replica has been there.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFacts {
    /// Its length.
    pub bytes: u64,
    /// Its checksums, at least one.
    pub checksums: Vec<Checksum>,
    /// Whether it was only announced: no replica has been there yet, so the facts may still change.
    pub announced: bool,
}

impl DidRecord {
    /// `scope:name`.
    pub fn did(&self) -> Did {
        Did { scope: self.scope.clone(), name: self.name.clone() }
    }

    /// What it is.
    pub fn kind(&self) -> DidKind {
        match self.content {
            DidContent::File(_) => DidKind::File,
            DidContent::Dataset => DidKind::Dataset,
            DidContent::Container => DidKind::Container,
        }
    }

    /// A file's facts.
    pub fn file(&self) -> Option<&FileFacts> {
        match &self.content {
            DidContent::File(facts) => Some(facts),
            DidContent::Dataset | DidContent::Container => None,
        }
    }
}

/// The head row of a dataset or container.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct HeadRecord {
    /// The place that the next member gets; places are never given twice.
    pub next_seq: u64,
    /// Members attached now.
    pub members: u64,
    /// Bytes of the files attached now.
    pub bytes: u64,
}

/// What changed below a ruled DID.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct BacklogRecord {
    /// The first place of the unit that changed.
    pub from_seq: u64,
    /// Whether something was detached.
    pub detached: bool,
}

/// What happened at a place of a parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum ContentRecord {
    /// The member was attached here and is still.
    Member(DidId),
    /// The member that was attached elsewhere was detached here.
    Detached(DidId),
}

stored_v1!(ScopeRecord);
stored_v1!(NameRecord);
stored_v1!(DidRecord);
stored_v1!(HeadRecord);
stored_v1!(ContentRecord);
stored_v1!(BacklogRecord);
