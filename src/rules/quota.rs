//! How much an account's rules may still hold where. Pure once it is read: what a choice takes is
//! taken here at once, so that choices made together cannot all take the same room.

use std::collections::BTreeSet;

use crate::catalog::ledger::{holdings, reservations};
use crate::catalog::record::AccountLimits;
use crate::catalog::{CatalogError, View};
use crate::model::account::AccountName;
use crate::model::endpoint::Endpoint;
use crate::model::id::{EndpointId, RuleId};
use crate::model::stuck::StuckReason;

/// The most limits of one account.
pub const LIMITS_MAX: usize = 100;

/// A limit of an account, and what it holds of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limit {
    /// The endpoint expression, as it was given.
    pub on: String,
    /// The endpoints it selects; the limit is on all of them together.
    pub endpoints: BTreeSet<EndpointId>,
    /// Bytes that the account may hold there.
    pub bytes: u64,
    /// Bytes that it holds there.
    pub used: u64,
}

/// The limits of an account. One that has none may hold anything.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Quota {
    /// The account.
    pub account: AccountName,
    /// Its limits.
    pub limits: Vec<Limit>,
}

impl Quota {
    /// Reads an account's limits, and what its rules hold or have reserved.
    pub async fn read(view: &View, account: &AccountName, endpoints: &[Endpoint]) -> Result<Self, CatalogError> {
        Self::besides(view, account, endpoints, None).await
    }

    /// The same without what one rule has reserved: for that rule itself.
    pub async fn besides(
        view: &View,
        account: &AccountName,
        endpoints: &[Endpoint],
        rule: Option<RuleId>,
    ) -> Result<Self, CatalogError> {
        let rows = view.scan::<AccountLimits>(&(account.to_string(),), LIMITS_MAX).await?;
        let mut limits = Vec::with_capacity(rows.len());
        if !rows.is_empty() {
            let held = holdings::held(view, account).await?;
            let reserved = reservations::of_others(view, account, rule).await?;
            for (_, record) in rows {
                let endpoints: BTreeSet<_> = record.on.select(endpoints).iter().map(|endpoint| endpoint.id).collect();
                let bytes = |id| held.get(id).map_or(0, |tally| u64::try_from(tally.bytes).unwrap_or(0));
                let taken = endpoints.iter().flat_map(|id| [bytes(id), reserved.get(id).copied().unwrap_or(0)]);
                let used = taken.fold(0, u64::saturating_add);
                limits.push(Limit { on: record.on.as_str().to_owned(), endpoints, bytes: record.bytes, used });
            }
        }
        Ok(Self { account: account.clone(), limits })
    }

    /// Tells whether nothing is limited.
    pub fn is_free(&self) -> bool {
        self.limits.is_empty()
    }

    /// Why the account may not hold so much more at an endpoint, if it may not.
    pub fn shortfall(&self, endpoint: EndpointId, needed: u64) -> Option<StuckReason> {
        let short =
            |limit: &&Limit| limit.endpoints.contains(&endpoint) && needed > limit.bytes.saturating_sub(limit.used);
        let limit = self.limits.iter().filter(|_| needed > 0).find(short)?;
        let (account, on) = (self.account.clone(), limit.on.clone());
        Some(StuckReason::QuotaExceeded { account, on, needed, used: limit.used, limit: limit.bytes })
    }

    /// Counts what was chosen.
    pub fn take(&mut self, endpoint: EndpointId, bytes: u64) {
        for limit in self.limits.iter_mut().filter(|limit| limit.endpoints.contains(&endpoint)) {
            limit.used = limit.used.saturating_add(bytes);
        }
    }
}
