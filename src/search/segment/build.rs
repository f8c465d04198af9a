//! Makes a segment from documents, new ones or those of older segments.

use std::collections::BTreeMap;
use std::io::Write;

use crate::search::area::{NOWHERE, fills, grow, sides};
use crate::search::blob::Blob;
use crate::search::document::{Body, Head, Row};
use crate::search::error::SearchError;
use crate::search::segment::field::FieldBuilder;
use crate::search::segment::postings::PostingsBuilder;
use crate::search::segment::strings::Strings;
use crate::search::segment::tree::Tree;
use crate::search::segment::{Columns, Group, Segment};
use crate::search::words::words;

/// A segment in memory.
pub(in crate::search) fn in_memory(rows: &[Row]) -> Result<Segment, SearchError> {
    let heads = rows.iter().map(|row| row.head.clone()).collect();
    let mut bytes = Vec::new();
    let columns = write(heads, |index| Ok(rows[index].clone()), &mut bytes)?;
    Ok(Segment::new(columns, Blob::Memory(bytes.into())))
}

/// Writes the documents of `heads` and makes their columns; `row` reads one by its place in
/// `heads`. Only one document is in memory at a time.
pub(in crate::search) fn write(
    heads: Vec<Head>,
    row: impl Fn(usize) -> Result<Row, SearchError>,
    to: &mut dyn Write,
) -> Result<Columns, SearchError> {
    let groups = groups(&heads);
    let mut order: Vec<usize> = (0..heads.len()).collect();
    order.sort_unstable_by(|&one, &two| {
        let (one, two) = (&heads[one], &heads[two]);
        let place = |head: &'_ Head| std::cmp::Reverse(head.start);
        place(one)
            .cmp(&place(two))
            .then_with(|| one.collection_id.cmp(&two.collection_id))
            .then_with(|| one.id.cmp(&two.id))
    });
    let mut builder = Builder::new(groups, heads.len());
    for index in order {
        let row = row(index)?;
        let body = Body::read(&row.body)?;
        to.write_all(&row.json).and_then(|()| to.write_all(&row.body)).map_err(SearchError::disk("write"))?;
        builder.add(&heads[index], body, row.json.len(), row.body.len());
    }
    Ok(builder.finish())
}

/// The groups of documents, without what is in them.
fn groups(heads: &[Head]) -> Vec<Group> {
    let mut found: Vec<(&str, u64, u32)> =
        heads.iter().map(|head| (head.collection_id.as_str(), head.collection, head.access)).collect();
    found.sort_unstable();
    found.dedup();
    let group = |(id, collection, access): (&str, u64, u32)| Group {
        collection,
        collection_id: id.to_owned(),
        access,
        count: 0,
        sides: NOWHERE,
        from: i64::MAX,
        to: i64::MIN,
    };
    found.into_iter().map(group).collect()
}

struct Builder {
    columns: Columns,
    fields: BTreeMap<String, FieldBuilder>,
    postings: PostingsBuilder,
}

impl Builder {
    fn new(groups: Vec<Group>, count: usize) -> Self {
        let columns = Columns {
            groups,
            group: Vec::with_capacity(count),
            keys: Vec::with_capacity(count),
            starts: Vec::with_capacity(count),
            ends: Vec::with_capacity(count),
            longest: 0,
            boxes: Vec::with_capacity(count),
            full: Vec::with_capacity(count),
            ids: Strings::default(),
            json_at: vec![0],
            body_at: Vec::with_capacity(count),
            by_key: Vec::new(),
            by_id: Vec::new(),
            tree: Tree::default(),
            fields: BTreeMap::new(),
            postings: PostingsBuilder::default().finish(),
        };
        Self { columns, fields: BTreeMap::new(), postings: PostingsBuilder::default() }
    }

    fn add(&mut self, head: &Head, body: Body, json: usize, rest: usize) {
        let columns = &mut self.columns;
        let ordinal = u32::try_from(columns.keys.len()).expect("segments are small");
        let known = columns.groups.binary_search_by(|group| {
            let mine = (group.collection_id.as_str(), group.collection, group.access);
            mine.cmp(&(head.collection_id.as_str(), head.collection, head.access))
        });
        let known = known.expect("groups are those of all heads");
        let place = body.geometry.as_ref().and_then(sides).unwrap_or(NOWHERE);
        let group = &mut columns.groups[known];
        group.count += 1;
        grow(&mut group.sides, &place);
        group.from = group.from.min(head.start);
        group.to = group.to.max(head.end);
        let known = u32::try_from(known).expect("fewer groups than documents");
        columns.group.push(known);
        columns.keys.push(head.key);
        columns.starts.push(head.start);
        columns.ends.push(head.end);
        columns.longest = columns.longest.max(head.end.saturating_sub(head.start));
        columns.boxes.push(place);
        columns.full.push(body.geometry.as_ref().is_some_and(fills));
        columns.ids.push(&head.id);
        let from = columns.json_at.last().copied().unwrap_or(0);
        columns.body_at.push(from + json as u64);
        columns.json_at.push(from + (json + rest) as u64);
        for leaf in body.leaves {
            match self.fields.get_mut(&leaf.path) {
                Some(field) => field.add(ordinal, known, leaf.value, leaf.element),
                None => self.fields.entry(leaf.path).or_default().add(ordinal, known, leaf.value, leaf.element),
            }
        }
        for word in words(&body.text) {
            self.postings.add(ordinal, word);
        }
    }

    fn finish(self) -> Columns {
        let mut columns = self.columns;
        let count = columns.keys.len();
        let ordinals = || (0u32..).take(count).collect::<Vec<_>>();
        columns.by_key = ordinals();
        columns.by_key.sort_unstable_by_key(|&ordinal| columns.keys[ordinal as usize]);
        columns.by_id = ordinals();
        let (ids, group) = (&columns.ids, &columns.group);
        let name = |ordinal: u32| (ids.get(ordinal as usize), group[ordinal as usize]);
        columns.by_id.sort_unstable_by(|&one, &two| name(one).cmp(&name(two)));
        columns.tree = Tree::build(&columns.boxes);
        columns.fields = self.fields.into_iter().map(|(path, field)| (path, field.finish(count))).collect();
        columns.postings = self.postings.finish();
        columns
    }
}
