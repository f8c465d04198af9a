//! Walks what lies below a DID, page by page: datasets, or files where a rule places each by itself.
//! A dataset that can be reached twice comes twice; whoever uses the walk is idempotent.

use crate::catalog::record::{ContentRecord, Contents, Dids, WalkPosition};
use crate::catalog::{CatalogError, View};
use crate::model::did::DidKind;
use crate::model::id::DidId;

/// What a walk is after.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// Datasets below containers.
    Datasets,
    /// Files below datasets.
    Files,
}

/// A page of a walk.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Stretch {
    /// What was found.
    pub units: Vec<DidId>,
    /// Where the walk goes on; empty at its end.
    pub rest: Vec<WalkPosition>,
}

/// Where a walk of a whole DID begins.
pub fn beginning(did: DidId) -> Vec<WalkPosition> {
    vec![WalkPosition { parent: did, seq: 0 }]
}

/// Goes on with a walk until about `limit` entries have been looked at.
pub async fn walk(view: &View, from: &[WalkPosition], level: Level, limit: usize) -> Result<Stretch, CatalogError> {
    let mut stretch = Stretch { units: Vec::new(), rest: from.to_vec() };
    let mut looked_at = 0;
    while looked_at < limit {
        let Some(position) = stretch.rest.pop() else { break };
        let Some(parent) = view.get::<Dids>(&(position.parent,)).await? else {
            continue;
        };
        match (parent.kind(), level) {
            (DidKind::File, _) | (DidKind::Dataset, Level::Datasets) => stretch.units.push(position.parent),
            (DidKind::Dataset, Level::Files) => {
                looked_at += enter(view, position, limit - looked_at, &mut stretch, true).await?;
            }
            (DidKind::Container, _) => {
                looked_at += enter(view, position, limit - looked_at, &mut stretch, false).await?;
            }
        }
        looked_at += 1;
    }
    Ok(stretch)
}

/// Looks at members of one parent: files are units themselves, others are walked into next.
async fn enter(
    view: &View,
    position: WalkPosition,
    limit: usize,
    stretch: &mut Stretch,
    members_are_units: bool,
) -> Result<usize, CatalogError> {
    let range = members_from(position, limit);
    let rows = view.range::<Contents>(range).await?;
    if rows.len() == limit
        && let Some(((parent, seq), _)) = rows.last()
    {
        stretch.rest.push(WalkPosition { parent: *parent, seq: seq + 1 });
    }
    let count = rows.len();
    let members = rows.into_iter().filter_map(|(_, content)| match content {
        ContentRecord::Member(child) => Some(child),
        ContentRecord::Detached(_) => None,
    });
    if members_are_units {
        stretch.units.extend(members);
    } else {
        stretch.rest.extend(members.map(|child| WalkPosition { parent: child, seq: 0 }));
    }
    Ok(count)
}

/// The places of a parent from a position on.
pub fn members_from(position: WalkPosition, limit: usize) -> crate::catalog::engine::Range {
    use crate::catalog::table::Parts as _;
    let mut range = crate::catalog::engine::Range::prefix(&(position.parent,).encode(), limit);
    range.from = (position.parent, position.seq).encode();
    range
}
