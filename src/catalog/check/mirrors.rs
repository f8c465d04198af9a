//! Rows that say the same thing twice, from two sides: names, members, paths, and every index.

use std::fmt::Debug;

use crate::catalog::check::{Report, all, has_index};
use crate::catalog::record::{
    ContentRecord, Contents, DidNames, Dids, EndpointNames, Endpoints, Failed, Intents, Locks, LocksByUnit, NameRecord,
    Parents, Paths, Placements, Ready, Replicas, ReplicasByEndpoint, Rules, RulesByDid, RulesByExpiry, Running,
    Transfers, Unplaced, UploadsDue,
};
use crate::catalog::table::{Parts as _, Typed};
use crate::catalog::{CatalogError, View};
use crate::model::id::{DidId, EndpointId};

/// A name stands for one DID, which has that name and kind; the same for endpoints.
pub(super) async fn names(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<DidNames>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        let ids: Vec<_> = rows.iter().map(|(_, name)| (name.id,)).collect();
        for ((key, name), record) in rows.iter().zip(view.get_many::<Dids>(&ids).await?) {
            let agrees = record.is_some_and(|record| {
                record.scope.as_str() == key.0 && record.name.as_str() == key.1 && record.kind() == name.kind
            });
            let what = || format!("name {}:{}", key.0, key.1);
            report.expect(agrees, what, || format!("did {} is another, or not there", name.id));
        }
    }
    let mut pages = all::<Dids>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        let names: Vec<_> = rows.iter().map(|(_, did)| (did.scope.to_string(), did.name.to_string())).collect();
        for (((id,), did), name) in rows.iter().zip(view.get_many::<DidNames>(&names).await?) {
            let expected = NameRecord { id: *id, kind: did.kind() };
            let agrees = name == Some(expected);
            report.expect(agrees, || format!("did {id}"), || format!("its name says {name:?}"));
        }
    }
    endpoint_names(view, report).await
}

async fn endpoint_names(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Endpoints>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((id,), endpoint) in rows {
            let known = view.get::<EndpointNames>(&(endpoint.name.to_string(),)).await?;
            let agrees = known == Some(u64::from(id.0));
            report.expect(agrees, || format!("endpoint {id}"), || format!("its name says {known:?}"));
        }
    }
    let mut pages = all::<EndpointNames>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        for ((name,), number) in rows {
            let id = EndpointId(u32::try_from(number).unwrap_or(u32::MAX));
            let record = view.get::<Endpoints>(&(id,)).await?;
            let agrees = record.is_some_and(|record| record.name.as_str() == name);
            report.expect(
                agrees,
                || format!("endpoint name {name}"),
                || format!("endpoint {id} is another, or not there"),
            );
        }
    }
}

/// A member has a place in its parent, and the place holds the member.
pub(super) async fn membership(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Contents>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        let members: Vec<_> = rows
            .into_iter()
            .filter_map(|((parent, seq), content)| match content {
                ContentRecord::Member(child) => Some((child, parent, seq)),
                ContentRecord::Detached(_) => None,
            })
            .collect();
        let keys: Vec<_> = members.iter().map(|(child, parent, _)| (*child, *parent)).collect();
        for ((child, parent, seq), place) in members.iter().zip(view.get_many::<Parents>(&keys).await?) {
            report.expect(
                place == Some(*seq),
                || format!("place {seq} of did {parent}"),
                || format!("holds did {child}, which says its place is {place:?}"),
            );
        }
    }
    let mut pages = all::<Parents>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let places: Vec<_> = rows.iter().map(|((_, parent), seq)| (*parent, *seq)).collect();
        let contents = view.get_many::<Contents>(&places).await?;
        let children: Vec<_> = rows.iter().map(|((child, _), _)| (*child,)).collect();
        let records = view.get_many::<Dids>(&children).await?;
        for ((((child, parent), seq), content), record) in rows.iter().zip(contents).zip(records) {
            let agrees = content == Some(ContentRecord::Member(*child)) && record.is_some();
            report.expect(
                agrees,
                || format!("did {child} in did {parent}"),
                || format!("its place {seq} has {content:?}, and it should be a DID"),
            );
        }
    }
}

/// A path that is stated belongs to the replica that states it.
pub(super) async fn paths(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    let mut pages = all::<Replicas>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        for ((file, endpoint), replica) in rows {
            let Some(path) = replica.path else { continue };
            let holder = view.get::<Paths>(&(endpoint, path.clone())).await?;
            report.expect(
                holder == Some(file.0),
                || format!("did {file} at endpoint {endpoint}"),
                || format!("lies at {path}, which belongs to {holder:?}"),
            );
        }
    }
    let mut pages = all::<Paths>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let replicas: Vec<_> = rows.iter().map(|((at, _), file)| (DidId(*file), *at)).collect();
        for (((endpoint, path), file), replica) in rows.iter().zip(view.get_many::<Replicas>(&replicas).await?) {
            let agrees = replica.is_some_and(|replica| replica.path.as_ref() == Some(path));
            report.expect(
                agrees,
                || format!("path {path} at endpoint {endpoint}"),
                || format!("did {file} does not lie there"),
            );
        }
    }
}

/// Every index has the rows that follow from the records, and no others.
pub(super) async fn indexes(view: &View, report: &mut Report<'_>) -> Result<(), CatalogError> {
    mirror::<Replicas, ReplicasByEndpoint>(view, report, |(endpoint, file)| (*file, *endpoint)).await?;
    mirror::<Rules, RulesByDid>(view, report, |(_, rule)| (*rule,)).await?;
    mirror::<Rules, RulesByExpiry>(view, report, |(_, rule)| (*rule,)).await?;
    mirror::<Placements, Unplaced>(view, report, |key| *key).await?;
    mirror::<Locks, LocksByUnit>(view, report, |(unit, endpoint, rule)| (*rule, *unit, *endpoint)).await?;
    mirror::<Intents, UploadsDue>(view, report, |(_, file, endpoint)| (*file, *endpoint)).await?;
    mirror::<Transfers, Ready>(view, report, |(_, _, id)| (*id,)).await?;
    mirror::<Transfers, Running>(view, report, |(_, id)| (*id,)).await?;
    mirror::<Transfers, Failed>(view, report, |(_, id)| (*id,)).await
}

async fn mirror<T: Typed, I: Typed>(
    view: &View,
    report: &mut Report<'_>,
    owner: fn(&I::Key) -> T::Key,
) -> Result<(), CatalogError>
where
    T::Key: Debug,
    I::Key: Debug,
{
    let mut pages = all::<T>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            break;
        }
        let expected: Vec<I::Key> = rows
            .iter()
            .flat_map(|(key, value)| T::indexes(key, value))
            .filter(|(table, _)| *table == I::TABLE)
            .filter_map(|(_, row)| I::Key::decode(&row).ok())
            .collect();
        for (key, found) in expected.iter().zip(view.get_many::<I>(&expected).await?) {
            let what = || format!("{} {:?}", T::TABLE.name, owner(key));
            report.expect(found.is_some(), what, || format!("its row {key:?} of {} is missing", I::TABLE.name));
        }
    }
    let mut pages = all::<I>();
    loop {
        let rows = pages.next(view, report).await?;
        if rows.is_empty() {
            return Ok(());
        }
        let owners: Vec<_> = rows.iter().map(|(key, _)| owner(key)).collect();
        let values = view.get_many::<T>(&owners).await?;
        for (((key, _), owner), value) in rows.iter().zip(&owners).zip(values) {
            let follows = value.is_some_and(|value| has_index::<I>(&T::indexes(owner, &value), key));
            let what = || format!("{} {key:?}", I::TABLE.name);
            report.expect(follows, what, || format!("does not follow from {} {owner:?}", T::TABLE.name));
        }
    }
}
