//! Use-cases, the only door to the house: authorise, transact, wake, view. Doors hold a
//! [`Context`], which knows who asks, and call one function here for each request.

use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::catalog::record::DecisionRecord;
use crate::catalog::{Txn, decisions};
use crate::model::account::AccountName;
use crate::model::endpoint::EndpointName;
use crate::model::id::DecisionId;
use crate::policy::decision::{Action, Request, decide};
use crate::policy::token::{SigningKey, Verifier};
use crate::replicas::upload::Uploads;
use crate::service::error::ServiceError;
use crate::service::terms::Terms;
use crate::storage::registry::Registry;

pub mod accounts;
pub mod changes;
pub mod check;
pub mod dids;
pub mod endpoints;
pub mod error;
pub mod explain;
pub mod paging;
mod plan;
pub mod replicas;
pub mod rules;
pub mod scopes;
pub mod terms;
pub mod transfers;
pub mod uploads;
pub mod urls;
pub mod view;

/// A running lake: what its use-cases work on.
pub struct Lake {
    /// What is known.
    pub catalog: Catalog,
    /// Where bytes are.
    pub stores: Arc<Registry>,
    /// Uploads under way.
    pub uploads: Uploads,
    /// Signs URLs.
    pub signer: SigningKey,
    /// Verifies them.
    pub verifier: Verifier,
    /// Where the lake keeps its catalog and keys, if that is on disk. No endpoint may lie there.
    pub directory: Option<PathBuf>,
    /// How this server is reached, without a slash at the end; signed URLs begin with it.
    pub public_url: String,
}

/// A request: who asks, of which lake.
#[derive(Clone)]
pub struct Context {
    /// The lake.
    pub lake: Arc<Lake>,
    /// The account that asks.
    pub account: AccountName,
    /// On which terms.
    pub terms: Terms,
}

/// An act that policy allowed, to be recorded in the transaction that carries it out.
#[derive(Debug, Clone)]
pub struct Permit {
    record: DecisionRecord,
}

impl Permit {
    /// Keeps the decision with what it allows.
    pub fn record(&self, txn: &Txn) -> DecisionId {
        decisions::record(txn, &DecisionRecord { at: txn.now(), ..self.record.clone() })
    }
}

impl Context {
    /// A request on no special terms.
    pub fn new(lake: Arc<Lake>, account: AccountName) -> Self {
        Self { lake, account, terms: Terms::default() }
    }

    /// What the request reads and changes: the lake's catalog, or a rehearsal of it.
    fn catalog(&self) -> &Catalog {
        self.terms.rehearsal.as_ref().unwrap_or(&self.lake.catalog)
    }

    /// Asks policy whether the account may do something.
    pub fn permit(&self, action: Action, resource: impl ToString) -> Result<Permit, ServiceError> {
        self.permit_at(action, resource, None)
    }

    /// Asks policy whether the account may do something at an endpoint.
    pub fn permit_at(
        &self,
        action: Action,
        resource: impl ToString,
        endpoint: Option<EndpointName>,
    ) -> Result<Permit, ServiceError> {
        let resource = resource.to_string();
        let request = Request { principal: self.account.clone(), action, resource, endpoint };
        let decision = decide(&request);
        if !decision.allows() {
            return Err(ServiceError::Denied { action: action.name(), resource: request.resource });
        }
        let record = DecisionRecord {
            principal: request.principal,
            action: action.name().to_owned(),
            resource: request.resource,
            endpoint: request.endpoint,
            allowed: true,
            policies: decision.policies.iter().map(|policy| (*policy).to_owned()).collect(),
            at: self.catalog().clock().now(),
        };
        Ok(Permit { record })
    }
}
