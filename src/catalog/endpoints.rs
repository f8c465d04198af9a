//! Endpoints as the model knows them, read whole: they are few and every plan needs them all.

use crate::catalog::record::placing::CauseRecord;
use crate::catalog::record::{EndpointNames, EndpointRecord, Endpoints, Facts};
use crate::catalog::{CatalogError, Txn, View, placing};
use crate::model::change::Change;
use crate::model::endpoint::{Endpoint, EndpointName};
use crate::model::id::EndpointId;

/// The most endpoints a lake has.
pub const ENDPOINTS_MAX: usize = 10_000;

const REVISION: &str = "endpoints_revision";

/// All endpoints, by name.
pub async fn all(view: &View) -> Result<Vec<Endpoint>, CatalogError> {
    let rows = view.scan::<Endpoints>(&(), ENDPOINTS_MAX).await?;
    let mut endpoints: Vec<_> = rows.into_iter().map(|((id,), record)| to_model(id, record)).collect();
    endpoints.sort_by(|one, other| one.name.cmp(&other.name));
    Ok(endpoints)
}

/// One endpoint by name.
pub async fn by_name(view: &View, name: &EndpointName) -> Result<Option<Endpoint>, CatalogError> {
    let Some(number) = view.get::<EndpointNames>(&(name.to_string(),)).await? else {
        return Ok(None);
    };
    let id = EndpointId(u32::try_from(number).expect("endpoint numbers are handed out as 32 bits"));
    by_id(view, id).await
}

/// One endpoint by number.
pub async fn by_id(view: &View, id: EndpointId) -> Result<Option<Endpoint>, CatalogError> {
    Ok(view.get::<Endpoints>(&(id,)).await?.map(|record| to_model(id, record)))
}

/// Writes an endpoint that is new or changed. Placements that found no place are tried again, and those
/// there are made anew if other attributes say whether they may be.
pub async fn put(txn: &Txn, endpoint: &Endpoint) -> Result<(), CatalogError> {
    let record = to_record(endpoint);
    let old = txn.get::<Endpoints>(&(endpoint.id,)).await?;
    if let Some(old) = old.filter(|old| old.attributes != endpoint.attributes) {
        placing::tell(txn, &CauseRecord::Endpoint { id: endpoint.id, before: old.attributes });
    }
    txn.put::<EndpointNames>(&(endpoint.name.to_string(),), &u64::from(endpoint.id.0));
    txn.put::<Endpoints>(&(endpoint.id,), &record);
    txn.put::<Facts>(&(REVISION.to_owned(),), &(revision(txn).await? + 1));
    txn.emit(&Change::EndpointChanged { endpoint: endpoint.id });
    Ok(())
}

/// Grows with every change of any endpoint.
pub async fn revision(view: &View) -> Result<u64, CatalogError> {
    Ok(view.get::<Facts>(&(REVISION.to_owned(),)).await?.unwrap_or(0))
}

/// An endpoint as it is stored.
pub fn to_record(endpoint: &Endpoint) -> EndpointRecord {
    EndpointRecord {
        name: endpoint.name.clone(),
        kind: endpoint.kind,
        location: endpoint.location.clone(),
        attributes: endpoint.attributes.clone(),
        created_at: endpoint.created_at,
        settings: endpoint.settings.clone(),
        secret: endpoint.secret.clone(),
        probe: endpoint.probe.clone(),
    }
}

fn to_model(id: EndpointId, record: EndpointRecord) -> Endpoint {
    Endpoint {
        id,
        name: record.name,
        kind: record.kind,
        location: record.location,
        attributes: record.attributes,
        created_at: record.created_at,
        settings: record.settings,
        secret: record.secret,
        probe: record.probe,
    }
}
