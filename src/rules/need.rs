//! How much room the copies of a group take: what of its units the rule's account does not hold yet.

use std::collections::BTreeSet;

use crate::catalog::ledger::holdings;
use crate::catalog::record::RuleRecord;
use crate::catalog::{CatalogError, View};
use crate::model::account::AccountName;
use crate::model::id::{DidId, EndpointId};
use crate::model::rule::Grouping;
use crate::rules::quota::Quota;
use crate::rules::walk::{Level, beginning, walk};

/// How many entries of a walk are read together.
const PAGE: usize = 1_000;

/// Lengths of a group's units, and where each is held already.
#[derive(Debug, Default)]
pub struct Need(Vec<(u64, Vec<EndpointId>)>);

impl Need {
    /// Reads what a group needs. Nothing is read for an account without limits. A group that spans all
    /// of a rule needs room for all of it, whichever units a page is about: its place is one.
    pub async fn read(view: &View, rule: &RuleRecord, units: &[DidId], quota: &Quota) -> Result<Self, CatalogError> {
        let mut need = Self::default();
        if quota.is_free() {
            return Ok(need);
        }
        if rule.grouping != Grouping::All {
            need.add(view, units.iter().copied().collect(), &rule.account).await?;
            return Ok(need);
        }
        let (mut seen, mut rest) = (BTreeSet::new(), beginning(rule.did));
        while !rest.is_empty() {
            let stretch = walk(view, &rest, Level::Datasets, PAGE).await?;
            let new = stretch.units.into_iter().filter(|unit| seen.insert(*unit)).collect();
            need.add(view, new, &rule.account).await?;
            rest = stretch.rest;
        }
        Ok(need)
    }

    async fn add(&mut self, view: &View, units: BTreeSet<DidId>, account: &AccountName) -> Result<(), CatalogError> {
        for unit in units {
            let bytes = u64::try_from(holdings::length(view, unit).await?.bytes).unwrap_or(0);
            self.0.push((bytes, holdings::holding(view, unit, account).await?));
        }
        Ok(())
    }

    /// The bytes that are not held at an endpoint yet.
    pub fn at(&self, endpoint: EndpointId) -> u64 {
        let missing = self.0.iter().filter(|(_, held)| !held.contains(&endpoint));
        missing.map(|(bytes, _)| *bytes).fold(0, u64::saturating_add)
    }
}
