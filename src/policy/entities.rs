//! Turns facts into what the evaluator reads: entities, and the context of a question. Everything
//! here has the shape of `policies/dapple.cedarschema`; a test checks that against the schema.

use std::collections::{BTreeSet, HashSet};

use cedar_policy::{
    Context, Entities, Entity, EntityId, EntityTypeName, EntityUid, Request, RestrictedExpression as Value, Schema,
};

use crate::model::account::AccountName;
use crate::model::facts::{DidFacts, EndpointFacts, Resource, ScopeFacts, Subject};
use crate::model::label::{Classification, LabelSet};
use crate::model::time::Timestamp;
use crate::policy::decision::{Action, Question};

/// Why facts could not be turned into a question. They can, unless there is a defect.
#[derive(Debug, Clone, thiserror::Error)]
#[error("the facts do not fit the schema: {0}")]
pub(super) struct Misfit(String);

impl Misfit {
    fn of(error: impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// A kind of entity.
#[derive(Debug, Clone, Copy)]
enum Type {
    Anonymous,
    Account,
    Lake,
    Scope,
    Did,
    Endpoint,
    Action,
}

/// Names of types are parsed once: that costs more than a whole decision.
fn type_name(of: Type) -> EntityTypeName {
    use std::sync::LazyLock;
    static NAMES: LazyLock<[EntityTypeName; 7]> = LazyLock::new(|| {
        ["Anonymous", "Account", "Lake", "Scope", "Did", "Endpoint", "Action"]
            .map(|name| format!("Dapple::{name}").parse().expect("the name of a type"))
    });
    NAMES[of as usize].clone()
}

fn uid(of: Type, id: &str) -> EntityUid {
    EntityUid::from_type_name_and_id(type_name(of), EntityId::new(id))
}

fn account(name: &AccountName) -> EntityUid {
    uid(Type::Account, name.as_str())
}

/// A question as the evaluator takes it.
pub(super) struct Asked {
    pub(super) request: Request,
    pub(super) entities: Entities,
}

/// Builds a question; checked against the schema if one is given, which costs as much as the
/// evaluation itself.
pub(super) fn build(question: &Question<'_>, schema: Option<&Schema>) -> Result<Asked, Misfit> {
    let mut entities = Vec::with_capacity(6);
    let principal = subject(question.subject, &mut entities)?;
    let resource = resource(question.resource, &mut entities)?;
    let mut context = vec![("now".to_owned(), time(question.now))];
    // Only these two actions know of a place; the others are asked without.
    if let Some(at) = question.at.filter(|_| matches!(question.action, Action::Read | Action::Place)) {
        let place = uid(Type::Endpoint, at.name.as_str());
        entities.push(endpoint(&place, at)?);
        context.push(("at".to_owned(), Value::new_entity_uid(place)));
    }
    let context = Context::from_pairs(context).map_err(Misfit::of)?;
    let action = uid(Type::Action, question.action.cedar());
    let request = Request::new(principal, action, resource, context, schema).map_err(Misfit::of)?;
    let entities = Entities::from_entities(entities, schema).map_err(Misfit::of)?;
    Ok(Asked { request, entities })
}

fn subject(subject: &Subject, entities: &mut Vec<Entity>) -> Result<EntityUid, Misfit> {
    let Subject::Account { name, kind, admin, groups } = subject else {
        return Ok(uid(Type::Anonymous, "*"));
    };
    let id = account(name);
    let names = groups.iter().map(|group| Value::new_string(group.to_string()));
    let attributes = [
        ("kind".to_owned(), Value::new_string(kind.name().to_owned())),
        ("admin".to_owned(), Value::new_bool(*admin)),
        ("groups".to_owned(), Value::new_set(names)),
    ];
    // Who asks may own what is asked about, and is then there already.
    if entities.iter().any(|known| known.uid() == id) {
        return Ok(id);
    }
    let parents: HashSet<_> = groups.iter().filter(|group| *group != name).map(account).collect();
    entities.push(Entity::new(id.clone(), attributes.into(), parents).map_err(Misfit::of)?);
    Ok(id)
}

fn resource(resource: &Resource, entities: &mut Vec<Entity>) -> Result<EntityUid, Misfit> {
    match resource {
        Resource::Lake => Ok(uid(Type::Lake, "lake")),
        Resource::Scope(facts) => scope(facts, entities),
        Resource::Did(facts) => did(facts, entities),
        Resource::Endpoint(facts) => {
            let id = uid(Type::Endpoint, facts.name.as_str());
            entities.push(endpoint(&id, facts)?);
            Ok(id)
        }
    }
}

fn scope(facts: &ScopeFacts, entities: &mut Vec<Entity>) -> Result<EntityUid, Misfit> {
    let id = uid(Type::Scope, facts.scope.as_str());
    let mut attributes = labels(&facts.labels);
    attributes.push(("owner", Value::new_entity_uid(subject(&facts.owner, entities)?)));
    entities.push(labelled(&id, attributes, HashSet::new(), &facts.labels)?);
    Ok(id)
}

fn did(facts: &DidFacts, entities: &mut Vec<Entity>) -> Result<EntityUid, Misfit> {
    let of = &facts.traits;
    let scope = scope(&of.scope, entities)?;
    let id = uid(Type::Did, &facts.did.to_string());
    let mut attributes = labels(&of.labels);
    attributes.push(("kind", Value::new_string(of.kind.to_string())));
    attributes.push(("owner", Value::new_entity_uid(subject(&of.owner, entities)?)));
    attributes.push(("scope", Value::new_entity_uid(scope.clone())));
    entities.push(labelled(&id, attributes, HashSet::from([scope]), &of.labels)?);
    Ok(id)
}

fn labelled(
    id: &EntityUid,
    attributes: Vec<(&'static str, Value)>,
    parents: HashSet<EntityUid>,
    labels: &LabelSet,
) -> Result<Entity, Misfit> {
    let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), value));
    let tags = labels.tags.iter().map(|(key, values)| (key.clone(), strings(values)));
    Entity::new_with_tags(id.clone(), attributes, parents, tags).map_err(Misfit::of)
}

fn labels(set: &LabelSet) -> Vec<(&'static str, Value)> {
    let classification = set.classification();
    let mut attributes = Vec::with_capacity(9);
    attributes.push(("classification", Value::new_string(classification.name().to_owned())));
    attributes.push(("public", Value::new_bool(classification == Classification::Public)));
    attributes.extend(set.project.iter().map(|project| ("project", Value::new_string(project.clone()))));
    attributes.extend(set.embargo.map(|until| ("embargo", time(until))));
    attributes.extend(set.licence.iter().map(|licence| ("licence", Value::new_string(licence.clone()))));
    attributes.extend(set.residency.iter().map(|countries| ("residency", strings(countries))));
    attributes
}

fn strings(values: &BTreeSet<String>) -> Value {
    Value::new_set(values.iter().map(|value| Value::new_string(value.clone())))
}

fn time(time: Timestamp) -> Value {
    Value::new_datetime(time.to_string())
}

fn endpoint(id: &EntityUid, facts: &EndpointFacts) -> Result<Entity, Misfit> {
    let attributes = [("kind".to_owned(), Value::new_string(facts.kind.clone()))];
    let tags = facts.attributes.iter().map(|(key, value)| (key.clone(), Value::new_string(value.clone())));
    Entity::new_with_tags(id.clone(), attributes, HashSet::new(), tags).map_err(Misfit::of)
}
