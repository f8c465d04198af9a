//! What somebody may do: what the policies let their account do, less what the key holds back with
//! which they came.

use std::sync::Arc;

use crate::model::account::{AccountName, Principal};
use crate::model::api_key::KeyReach;
use crate::model::facts::{EndpointFacts, Resource, Subject};
use crate::model::time::Timestamp;
use crate::policy::decision::{Action, Decision, Effect, KEY_SCOPE, Question};
use crate::policy::judge::Judge;

/// What somebody may do.
#[derive(Debug, Clone)]
pub struct Standing {
    judge: Arc<Judge>,
    /// `None` for those who have not said who they are.
    account: Option<AccountName>,
    subject: Arc<Subject>,
    key: KeyReach,
}

impl Standing {
    /// Of whoever asks.
    pub fn new(judge: &Arc<Judge>, principal: &Principal) -> Self {
        Self {
            judge: Arc::clone(judge),
            account: Some(principal.account.clone()),
            subject: Arc::new(Subject::from(principal)),
            key: principal.key.clone(),
        }
    }

    /// Of an account for which something stands that was signed.
    pub fn of_account(judge: &Arc<Judge>, account: AccountName, subject: Subject) -> Self {
        Self { account: Some(account), subject: Arc::new(subject), ..Self::anonymous(judge) }
    }

    /// Of somebody who has not said who they are.
    pub fn anonymous(judge: &Arc<Judge>) -> Self {
        let (judge, subject) = (Arc::clone(judge), Arc::new(Subject::Anonymous));
        Self { judge, account: None, subject, key: KeyReach::whole() }
    }

    /// Whose it is, if they have said who they are.
    pub fn account(&self) -> Option<&AccountName> {
        self.account.as_ref()
    }

    /// The account as policies know it.
    pub fn subject(&self) -> &Arc<Subject> {
        &self.subject
    }

    /// What the key lets through.
    pub fn key(&self) -> &KeyReach {
        &self.key
    }

    /// Whether answers may differ by the names of DIDs alone.
    pub fn depends_on_names(&self) -> bool {
        self.judge.names_dids()
    }

    /// Asks the policies, and nothing else.
    pub fn ask(
        &self,
        action: Action,
        resource: &Resource,
        at: Option<&Arc<EndpointFacts>>,
        now: Timestamp,
    ) -> Decision {
        self.judge.decide(&Question { subject: &self.subject, action, resource, at, now })
    }

    /// Tells whether the key reaches the data at all.
    pub fn reaches(&self, resource: &Resource) -> bool {
        match resource {
            Resource::Did(facts) => self.key.covers(&facts.did.scope),
            Resource::Scope(facts) => self.key.covers(&facts.scope),
            Resource::Lake | Resource::Endpoint(_) => true,
        }
    }

    /// Tells whether something is there for them. Which acts the key lets through has no say: one that
    /// may only write is told so, and not that there is nothing.
    pub fn sees(&self, resource: &Resource, now: Timestamp) -> bool {
        self.reaches(resource) && self.ask(Action::Discover, resource, None, now).allows()
    }

    /// Decides, with what the key takes away.
    pub fn decide(
        &self,
        action: Action,
        resource: &Resource,
        at: Option<&Arc<EndpointFacts>>,
        now: Timestamp,
    ) -> Decision {
        let decision = self.ask(action, resource, at, now);
        if !decision.allows() || (self.key.lets(action.key_scope()) && self.reaches(resource)) {
            return decision;
        }
        Decision { effect: Effect::Deny, policies: [KEY_SCOPE.to_owned()].into(), ..decision }
    }
}
