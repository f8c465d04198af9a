//! Use-cases, the only door to the house: authorise, transact, wake, view. Doors hold a
//! [`Context`], which knows who asks, and call one function here for each request.

use std::path::PathBuf;
use std::sync::Arc;

use crate::catalog::Catalog;
use crate::catalog::record::DecisionRecord;
use crate::catalog::{Txn, decisions};
use crate::model::account::{AccountName, Principal};
use crate::model::id::DecisionId;
use crate::policy::judge::Judge;
use crate::policy::token::{SigningKey, Verifier};
use crate::replicas::upload::Uploads;
use crate::search::follow::Search;
use crate::service::terms::Terms;
use crate::storage::registry::Registry;

pub mod accounts;
pub mod backup;
pub mod bulk;
pub mod census;
pub mod changes;
pub mod check;
pub mod closing;
pub mod coverage;
pub mod dids;
pub mod endpoints;
pub mod error;
pub mod explain;
pub mod history;
pub mod labels;
pub mod lines;
pub mod metadata;
pub mod paging;
mod plan;
pub mod policy;
mod progress;
pub mod replicas;
pub mod rules;
pub mod scopes;
pub mod search;
mod sight;
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
    /// What can be found.
    pub search: Arc<Search>,
    /// Whose turn it is to search.
    pub searches: search::Turns,
    /// Decides who may do what.
    pub judge: Arc<Judge>,
    /// Guards the door for passwords.
    pub doorkeeper: accounts::Doorkeeper,
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
    /// Who asks.
    pub principal: Principal,
    /// On which terms.
    pub terms: Terms,
    /// What they showed to be let in, where they came through a door.
    shown: Option<accounts::Shown>,
}

/// Who reads where no key is needed for what is public.
#[derive(Clone)]
pub enum Reader {
    /// An account.
    Known(Box<Context>),
    /// Somebody who has not said who they are.
    Anonymous(Arc<Lake>),
}

impl Reader {
    /// The lake that is read.
    pub fn lake(&self) -> &Arc<Lake> {
        match self {
            Reader::Known(ctx) => &ctx.lake,
            Reader::Anonymous(lake) => lake,
        }
    }
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
    pub fn new(lake: Arc<Lake>, principal: Principal) -> Self {
        Self { lake, principal, terms: Terms::default(), shown: None }
    }

    /// The account that asks.
    pub fn account(&self) -> &AccountName {
        &self.principal.account
    }

    /// What the request reads and changes: the lake's catalog, or a rehearsal of it.
    fn catalog(&self) -> &Catalog {
        self.terms.rehearsal.as_ref().unwrap_or(&self.lake.catalog)
    }
}
