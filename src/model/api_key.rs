//! What an API key lets through: a small closed set of key scopes, and the data scopes it is limited
//! to. A key only ever takes away from what its account may do.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::model::address::AddressRange;
use crate::model::scope::Scope;
use crate::model::time::Timestamp;

/// One kind of act that a key lets through. Stored, so variants are only ever added, at the end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, utoipa::ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum KeyScope {
    /// See what there is, and read it.
    Read,
    /// Register, upload, attach, detach, and place what is written.
    Write,
    /// Make, change and remove rules.
    Rules,
    /// Change accounts, scopes, endpoints and workers.
    Admin,
}

impl KeyScope {
    /// Every key scope.
    pub const ALL: [KeyScope; 4] = [KeyScope::Read, KeyScope::Write, KeyScope::Rules, KeyScope::Admin];

    /// The word for it.
    pub const fn name(self) -> &'static str {
        match self {
            KeyScope::Read => "read",
            KeyScope::Write => "write",
            KeyScope::Rules => "rules",
            KeyScope::Admin => "admin",
        }
    }
}

impl fmt::Display for KeyScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// The text is no key scope.
#[derive(Debug, Clone, thiserror::Error)]
#[error("`{text}` is no key scope: use read, write, rules or admin")]
pub struct InvalidKeyScope {
    text: String,
}

impl FromStr for KeyScope {
    type Err = InvalidKeyScope;

    fn from_str(text: &str) -> Result<Self, InvalidKeyScope> {
        let found = Self::ALL.into_iter().find(|scope| scope.name() == text);
        found.ok_or_else(|| InvalidKeyScope { text: text.to_owned() })
    }
}

/// How far a key reaches: which acts, on which data, from where, until when.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyReach {
    /// The acts it lets through.
    pub scopes: BTreeSet<KeyScope>,
    /// The only data scopes it lets at; `None` for all.
    pub only: Option<BTreeSet<Scope>>,
    /// Where it may be used; empty for everywhere.
    pub ranges: Vec<AddressRange>,
    /// When it ends; only sessions and the key in the lake's directory say nothing here.
    pub ends_at: Option<Timestamp>,
}

impl KeyReach {
    /// All that the account may do.
    pub fn whole() -> Self {
        Self { scopes: KeyScope::ALL.into(), only: None, ranges: Vec::new(), ends_at: None }
    }

    /// Tells whether acts of a kind come through.
    pub fn lets(&self, scope: KeyScope) -> bool {
        self.scopes.contains(&scope)
    }

    /// Tells whether data of a scope can be got at.
    pub fn covers(&self, scope: &Scope) -> bool {
        self.only.as_ref().is_none_or(|only| only.contains(scope))
    }

    /// Tells whether it may be used from an address; one that is not known is outside every range.
    pub fn admits(&self, address: Option<IpAddr>) -> bool {
        let inside = |address| self.ranges.iter().any(|range| range.contains(address));
        self.ranges.is_empty() || address.is_some_and(inside)
    }

    /// Tells whether it holds no act and no data back from what the account may do.
    pub fn is_whole(&self) -> bool {
        self.scopes.len() == KeyScope::ALL.len() && self.only.is_none()
    }

    /// Tells whether it is as good as the account itself: it holds nothing back, opens from everywhere and
    /// has no end of its own.
    pub fn is_boundless(&self) -> bool {
        self.includes(&Self::whole())
    }

    /// Tells whether it lets through all acts, on all data, that `other` does, wherever and until whenever
    /// it may be used.
    pub fn shows_as_much_as(&self, other: &Self) -> bool {
        let data = match (&self.only, &other.only) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(own), Some(other)) => other.is_subset(own),
        };
        data && other.scopes.is_subset(&self.scopes)
    }

    /// Tells whether everything that `other` lets through comes through here as well.
    pub fn includes(&self, other: &Self) -> bool {
        let inside = |range| self.ranges.iter().any(|own| own.includes(range));
        let places = self.ranges.is_empty() || (!other.ranges.is_empty() && other.ranges.iter().all(inside));
        let time = self.ends_at.is_none_or(|end| other.ends_at.is_some_and(|other| other <= end));
        self.shows_as_much_as(other) && places && time
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn reach(scopes: &[KeyScope], only: Option<&[&str]>) -> KeyReach {
        let only = only.map(|only| only.iter().map(|scope| Scope::parse(scope).expect("a scope")).collect());
        KeyReach { scopes: scopes.iter().copied().collect(), only, ..KeyReach::whole() }
    }

    fn within(range: &str, ends_at: u64) -> KeyReach {
        let ranges = vec![range.parse().expect("a range")];
        KeyReach { ranges, ends_at: Some(Timestamp::from_millis(ends_at)), ..KeyReach::whole() }
    }

    #[test]
    fn a_reach_includes_what_is_not_wider() {
        let (read, write) = (KeyScope::Read, KeyScope::Write);
        let table = [
            (KeyReach::whole(), reach(&[read], Some(&["a"])), true),
            (reach(&[read], None), reach(&[read], Some(&["a"])), true),
            (reach(&[read, write], Some(&["a", "b"])), reach(&[write], Some(&["b"])), true),
            (reach(&[read], None), reach(&[write], None), false),
            (reach(&[read], Some(&["a"])), reach(&[read], None), false),
            (reach(&[read], Some(&["a"])), reach(&[read], Some(&["a", "b"])), false),
            (KeyReach::whole(), within("10.0.0.0/8", 5), true),
            (within("10.0.0.0/8", 5), within("10.1.0.0/16", 5), true),
            (within("10.0.0.0/8", 5), within("10.1.0.0/16", 6), false),
            (within("10.0.0.0/8", 5), within("0.0.0.0/0", 5), false),
            (within("10.0.0.0/8", 5), KeyReach::whole(), false),
        ];
        for (own, other, includes) in table {
            assert_eq!(own.includes(&other), includes, "{own:?} {other:?}");
        }
    }
}
