//! Gives every buffer a place in one arena.
//!
//! Two buffers may share bytes when they are never alive at the same time. Larger buffers are placed first, each at the
//! lowest offset that is free of all it meets; for a chain of layers the result is the largest sum of two neighbours,
//! which no plan can beat.

/// When a buffer is needed, and how large it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Lifetime {
    /// Layer that writes it.
    pub(crate) first: usize,
    /// Last layer that reads it.
    pub(crate) last: usize,
    /// Size.
    pub(crate) bytes: usize,
}

/// Where each buffer lies.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Plan {
    /// In the order of the lifetimes, in bytes.
    pub(crate) offsets: Vec<usize>,
    /// Size of the arena.
    pub(crate) bytes: usize,
}

const ALIGNMENT: usize = 16;

pub(crate) fn plan(lifetimes: &[Lifetime]) -> Plan {
    let mut order: Vec<usize> = (0..lifetimes.len()).collect();
    order.sort_by_key(|&i| core::cmp::Reverse(lifetimes[i].bytes));
    let mut offsets = vec![0; lifetimes.len()];
    let mut placed: Vec<usize> = Vec::new();
    for i in order {
        let buffer = lifetimes[i];
        let mut met: Vec<(usize, usize)> = placed
            .iter()
            .filter(|&&j| lifetimes[j].first <= buffer.last && buffer.first <= lifetimes[j].last)
            .map(|&j| (offsets[j], offsets[j] + lifetimes[j].bytes))
            .collect();
        met.sort_unstable();
        let mut offset = 0_usize;
        for (start, end) in met {
            if offset + buffer.bytes <= start {
                break;
            }
            offset = offset.max(end.next_multiple_of(ALIGNMENT));
        }
        offsets[i] = offset;
        placed.push(i);
    }
    let end = lifetimes.iter().zip(&offsets).map(|(l, o)| o + l.bytes).max().unwrap_or(0);
    Plan { offsets, bytes: end.next_multiple_of(ALIGNMENT) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chain_needs_the_largest_two_neighbours() {
        let sizes = [400, 6400, 12_800, 25_600, 3_136];
        let chain: Vec<Lifetime> =
            sizes.iter().enumerate().map(|(i, &bytes)| Lifetime { first: i, last: i + 1, bytes }).collect();
        let plan = plan(&chain);
        assert_eq!(plan.bytes, 12_800 + 25_600);
        for (i, pair) in chain.windows(2).enumerate() {
            let [a, b] = [plan.offsets[i], plan.offsets[i + 1]];
            assert!(a + pair[0].bytes <= b || b + pair[1].bytes <= a, "buffers {i} and {} overlap", i + 1);
        }
    }

    #[test]
    fn a_gap_is_used() {
        let lifetimes = [(0, 9, 160), (0, 1, 320), (0, 9, 100), (2, 9, 300)]
            .map(|(first, last, bytes)| Lifetime { first, last, bytes });
        let plan = plan(&lifetimes);
        assert_eq!(plan.offsets, [320, 0, 480, 0]);
    }
}
