//! The judge: answers questions by the policies in force, and remembers answers. Policies are
//! changed as a whole, and answers of the old ones are forgotten with them.

use std::collections::HashMap;
use std::hash::Hash;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, RwLock};

use cedar_policy::{Authorizer, Decision as CedarDecision};

use crate::model::did::Did;
use crate::model::facts::{DidTraits, EndpointFacts, Resource, ScopeFacts, Subject};
use crate::model::time::Timestamp;
use crate::policy::decision::{Action, Decision, EVALUATION_ERROR, Effect, NO_PERMIT, Question};
use crate::policy::entities::build;
use crate::policy::set::PolicySet;

/// How many answers each of the two generations of the memory holds.
const GENERATION: usize = 8_192;
/// How long an answer holds if policies reckon with the time in ways that cannot be foreseen.
const RECKONED_MS: u64 = 1_000;

/// Answers questions by the policies in force.
pub struct Judge {
    force: RwLock<Arc<Force>>,
    /// Why policies that were to come into force did not.
    refused: RwLock<Option<String>>,
    evaluations: AtomicU64,
}

/// Policies in force, with what was answered by them.
struct Force {
    set: Arc<PolicySet>,
    revision: Arc<str>,
    authorizer: Authorizer,
    memory: Mutex<Memory>,
}

impl Judge {
    /// A judge with policies.
    pub fn new(set: PolicySet) -> Self {
        Self {
            force: RwLock::new(Arc::new(Force::new(set))),
            refused: RwLock::default(),
            evaluations: AtomicU64::new(0),
        }
    }

    /// A judge with the policies that dapple brings along.
    pub fn builtin() -> Arc<Self> {
        Arc::new(Self::new(PolicySet::builtin()))
    }

    /// Puts other policies into force, from the next question on.
    pub fn replace(&self, set: PolicySet) {
        *self.force.write().expect("nothing panics while holding it") = Arc::new(Force::new(set));
        *self.refused.write().expect("nothing panics while holding it") = None;
    }

    /// Keeps the policies in force, in place of others that were refused for a reason.
    pub fn refuse(&self, why: String) {
        *self.refused.write().expect("nothing panics while holding it") = Some(why);
    }

    /// Why policies that were to come into force last did not, if they did not.
    pub fn refused(&self) -> Option<String> {
        self.refused.read().expect("nothing panics while holding it").clone()
    }

    /// The policies in force.
    pub fn set(&self) -> Arc<PolicySet> {
        Arc::clone(&self.force().set)
    }

    /// Whether the policies in force name single DIDs, so that two with the same traits may differ.
    pub fn names_dids(&self) -> bool {
        self.force().set.names_dids
    }

    /// How many questions were not answered from memory.
    pub fn evaluations(&self) -> u64 {
        self.evaluations.load(Ordering::Relaxed)
    }

    fn force(&self) -> Arc<Force> {
        Arc::clone(&self.force.read().expect("nothing panics while holding it"))
    }

    /// Answers a question. What cannot be evaluated is denied.
    pub fn decide(&self, question: &Question<'_>) -> Decision {
        let force = self.force();
        let key = Key::of(question, force.set.names_dids);
        if let Some(known) = force.memory().find(&key, question.now) {
            return known;
        }
        self.evaluations.fetch_add(1, Ordering::Relaxed);
        let decision = force.evaluate(question);
        force.memory().keep(key, &decision, question.now);
        decision
    }
}

impl std::fmt::Debug for Judge {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Judge").field("set", &self.set()).finish_non_exhaustive()
    }
}

impl Force {
    fn new(set: PolicySet) -> Self {
        let revision = set.revision().into();
        Self { set: Arc::new(set), revision, authorizer: Authorizer::new(), memory: Mutex::default() }
    }

    fn memory(&self) -> std::sync::MutexGuard<'_, Memory> {
        self.memory.lock().expect("nothing panics while holding it")
    }

    fn evaluate(&self, question: &Question<'_>) -> Decision {
        let of_action = &self.set.by_action[&question.action];
        let answer = |effect, policies: Vec<String>, until| Decision {
            effect,
            policies: policies.into(),
            revision: Arc::clone(&self.revision),
            until,
        };
        let asked = match build(question, None) {
            Ok(asked) => asked,
            Err(misfit) => {
                tracing::error!(resource = %question.resource, "a policy question could not be asked: {misfit}");
                return answer(Effect::Deny, vec![EVALUATION_ERROR.to_owned()], None);
            }
        };
        let response = self.authorizer.is_authorized(&asked.request, &of_action.set, &asked.entities);
        let until = of_action.reads_clock.then(|| self.holds_until(question)).flatten();
        // A policy that fails is passed over; a forbid that is passed over would let in.
        let failed: Vec<String> = response.diagnostics().errors().map(ToString::to_string).collect();
        if !failed.is_empty() {
            tracing::error!(resource = %question.resource, "policies failed, so the answer is no: {}", failed.join("; "));
            return answer(Effect::Deny, vec![EVALUATION_ERROR.to_owned()], until);
        }
        let mut policies: Vec<String> = response.diagnostics().reason().map(ToString::to_string).collect();
        policies.sort();
        match response.decision() {
            CedarDecision::Allow => answer(Effect::Allow, policies, until),
            CedarDecision::Deny if policies.is_empty() => answer(Effect::Deny, vec![NO_PERMIT.to_owned()], until),
            CedarDecision::Deny => answer(Effect::Deny, policies, until),
        }
    }

    /// The next moment at which a policy that reads the time may say something else: the end of an
    /// embargo and the moment behind it, as policies may compare with either.
    fn holds_until(&self, question: &Question<'_>) -> Option<Timestamp> {
        let (own, scope) = match question.resource {
            Resource::Did(facts) => (facts.traits.labels.embargo, facts.traits.scope.labels.embargo),
            Resource::Scope(facts) => (facts.labels.embargo, None),
            Resource::Lake | Resource::Endpoint(_) => (None, None),
        };
        let ends = [own, scope].into_iter().flatten().map(Timestamp::as_millis);
        let now = question.now.as_millis();
        let reckoned = self.set.reckons_time.then_some(now.saturating_add(RECKONED_MS));
        let timeless = own.is_none() && scope.is_none() && reckoned.is_none();
        let ahead = ends.flat_map(|end| [end, end.saturating_add(1)]).filter(|end| *end > now).chain(reckoned).min();
        (!timeless).then(|| Timestamp::from_millis(ahead.unwrap_or(u64::MAX)))
    }
}

/// What an answer depends on, but for the time.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Key {
    subject: Arc<Subject>,
    action: Action,
    resource: Of,
    at: Option<Arc<EndpointFacts>>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Of {
    Lake,
    Scope(Arc<ScopeFacts>),
    Did(DidTraits, Option<Did>),
    Endpoint(Arc<EndpointFacts>),
}

impl Key {
    fn of(question: &Question<'_>, names_dids: bool) -> Self {
        let resource = match question.resource {
            Resource::Lake => Of::Lake,
            Resource::Scope(facts) => Of::Scope(Arc::clone(facts)),
            Resource::Did(facts) => Of::Did(facts.traits.clone(), names_dids.then(|| facts.did.clone())),
            Resource::Endpoint(facts) => Of::Endpoint(Arc::clone(facts)),
        };
        Self {
            subject: Arc::clone(question.subject),
            action: question.action,
            resource,
            at: question.at.map(Arc::clone),
        }
    }
}

/// Answers, in two generations: what was not asked for during a whole generation is forgotten.
#[derive(Default)]
struct Memory {
    young: HashMap<Key, Kept>,
    old: HashMap<Key, Kept>,
}

#[derive(Clone)]
struct Kept {
    decision: Decision,
    from: Timestamp,
}

impl Memory {
    fn find(&mut self, key: &Key, now: Timestamp) -> Option<Decision> {
        if let Some(kept) = self.young.get(key) {
            return kept.at(now);
        }
        let kept = self.old.remove(key)?;
        let decision = kept.at(now)?;
        self.insert(key.clone(), kept);
        Some(decision)
    }

    fn keep(&mut self, key: Key, decision: &Decision, from: Timestamp) {
        self.insert(key, Kept { decision: decision.clone(), from });
    }

    fn insert(&mut self, key: Key, kept: Kept) {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, kept);
    }
}

impl Kept {
    /// The answer, if it holds at a time: one that the clock had to do with holds from when it was
    /// given, and a clock may be set back.
    fn at(&self, now: Timestamp) -> Option<Decision> {
        let holds = self.decision.until.is_none_or(|until| now < until && now >= self.from);
        holds.then(|| self.decision.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn key(number: usize) -> Key {
        let kind = number.to_string();
        let attributes = [("n".to_owned(), kind)].into();
        let name = crate::model::endpoint::EndpointName::parse("x").expect("a name");
        let at = Arc::new(EndpointFacts { name, kind: "posix".to_owned(), attributes });
        Key { subject: Arc::new(Subject::Anonymous), action: Action::Discover, resource: Of::Lake, at: Some(at) }
    }

    #[test]
    fn memory_is_bounded_and_keeps_what_is_asked_often() {
        let now = Timestamp::from_millis(1);
        let (policies, revision) = (Vec::new().into(), "r".into());
        let yes = Decision { effect: Effect::Allow, policies, revision, until: None };
        let mut memory = Memory::default();
        for number in 0..3 * GENERATION {
            memory.keep(key(number), &yes, now);
            assert!(memory.young.len() + memory.old.len() <= 2 * GENERATION);
            if number % 1_000 == 0 {
                assert!(memory.find(&key(0), now).is_some(), "what is asked often is forgotten at {number}");
            }
        }
        assert!(memory.find(&key(1), now).is_none(), "what nobody asks is forgotten");
    }
}
