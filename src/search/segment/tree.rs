//! A packed R-tree: documents in the order of their centres along a Z-shaped curve, sixteen to a
//! node, sixteen nodes to a node above. Built once, never changed.

use serde::{Deserialize, Serialize};

use crate::search::area::{NOWHERE, Sides, grow, touch};

/// How many children a node has.
const CHILDREN: usize = 16;

#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Tree {
    /// Ordinals of all documents that are somewhere.
    order: Vec<u32>,
    /// The sides of nodes; the first level has nodes of documents, the last has one node.
    levels: Vec<Vec<Sides>>,
}

impl Tree {
    pub(super) fn build(boxes: &[Sides]) -> Self {
        let mut order: Vec<(u64, u32)> = (0u32..)
            .zip(boxes)
            .filter(|(_, sides)| !sides[0].is_nan())
            .map(|(ordinal, sides)| (curve(sides), ordinal))
            .collect();
        order.sort_unstable();
        let order: Vec<u32> = order.into_iter().map(|(_, ordinal)| ordinal).collect();
        let mut levels: Vec<Vec<Sides>> = Vec::new();
        if order.is_empty() {
            return Self { order, levels };
        }
        let around = |children: &mut dyn Iterator<Item = Sides>| {
            let mut all = NOWHERE;
            children.for_each(|sides| grow(&mut all, &sides));
            all
        };
        levels.push(
            order
                .chunks(CHILDREN)
                .map(|chunk| around(&mut chunk.iter().map(|&ordinal| boxes[ordinal as usize])))
                .collect(),
        );
        while let Some(below) = levels.last().filter(|level| level.len() > 1) {
            let above = below.chunks(CHILDREN).map(|chunk| around(&mut chunk.iter().copied())).collect();
            levels.push(above);
        }
        Self { order, levels }
    }

    /// Appends the ordinals of documents that may touch the box. Stops once there are more than
    /// `most`, and says whether it got through.
    pub(super) fn collect(&self, area: &Sides, most: usize, found: &mut Vec<u32>) -> bool {
        let Some(top) = self.levels.len().checked_sub(1) else { return true };
        let mut open = vec![(top, 0)];
        while let Some((level, node)) = open.pop() {
            if !touch(&self.levels[level][node], area) {
                continue;
            }
            let first = node * CHILDREN;
            if level == 0 {
                let last = (first + CHILDREN).min(self.order.len());
                found.extend_from_slice(&self.order[first..last]);
                if found.len() > most {
                    return false;
                }
            } else {
                let last = (first + CHILDREN).min(self.levels[level - 1].len());
                open.extend((first..last).map(|child| (level - 1, child)));
            }
        }
        true
    }
}

/// Where a box's centre is on the curve.
fn curve(sides: &Sides) -> u64 {
    let x = f64::midpoint(sides[0], sides[2]);
    let y = f64::midpoint(sides[1], sides[3]);
    interleave((x + 180.0) / 360.0) | interleave((y + 90.0) / 180.0) << 1
}

/// The first 16 bits of a part of one, each with a zero before it.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the number is between 0 and 65535")]
fn interleave(part: f64) -> u64 {
    let mut bits = (part * 65536.0).clamp(0.0, 65535.0) as u64;
    for (shift, mask) in [(8, 0x00ff_00ff), (4, 0x0f0f_0f0f), (2, 0x3333_3333), (1, 0x5555_5555)] {
        bits = (bits | bits << shift) & mask;
    }
    bits
}
