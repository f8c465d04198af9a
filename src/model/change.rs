//! Changes: entries of the catalog's ordered change feed. An entry names what changed; whoever
//! follows the feed reads the record itself.

use serde::{Deserialize, Serialize};

use crate::model::id::{DidId, EndpointId, RuleId};

/// What changed. Stored in the feed, so variants are only ever added, at the end.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Change {
    /// A scope was added.
    ScopeAdded {
        /// Its name.
        scope: String,
    },
    /// DIDs were registered: `count` ids from `first` on.
    DidsRegistered {
        /// The first of a run of ids.
        first: DidId,
        /// How many.
        count: u64,
    },
    /// A dataset's or container's members changed.
    ContentsChanged {
        /// The parent.
        parent: DidId,
        /// The first sequence number that is new.
        from_seq: u64,
    },
    /// An endpoint was added or changed.
    EndpointChanged {
        /// The endpoint.
        endpoint: EndpointId,
    },
    /// Replicas of `count` files from `first` on appeared or changed at an endpoint.
    ReplicasChanged {
        /// Where.
        endpoint: EndpointId,
        /// The first of a run of files.
        first: DidId,
        /// How many neighbours the run spans.
        count: u64,
    },
    /// A rule was made, changed, removed, or changed its state.
    RuleChanged {
        /// The rule.
        rule: RuleId,
    },
    /// An account was added.
    AccountAdded {
        /// Its name.
        account: String,
    },
    /// An account, its groups, keys, password or limits changed.
    AccountChanged {
        /// Its name.
        account: String,
    },
    /// A scope was changed.
    ScopeChanged {
        /// Its name.
        scope: String,
    },
    /// A scope's labels changed, and so those of all that is in it.
    ScopeLabelled {
        /// Its name.
        scope: String,
    },
    /// A DID's labels changed, and so those of all that it holds.
    DidLabelled {
        /// The DID.
        did: DidId,
    },
    /// The metadata of DIDs changed: `count` of them from `first` on.
    MetadataChanged {
        /// The first of a run of ids.
        first: DidId,
        /// How many.
        count: u64,
    },
}
