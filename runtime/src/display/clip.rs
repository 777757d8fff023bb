//! What two rectangles share.

use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::primitives::Rectangle;

/// The common part, or `None` where there is no pixel in it.
///
/// `Rectangle::intersection` overflows where a rectangle reaches beyond the largest coordinate; this takes all.
pub(super) fn clip(a: &Rectangle, b: &Rectangle) -> Option<Rectangle> {
    let (left, width) = overlap((a.top_left.x, a.size.width), (b.top_left.x, b.size.width))?;
    let (top, height) = overlap((a.top_left.y, a.size.height), (b.top_left.y, b.size.height))?;
    Some(Rectangle::new(Point::new(left, top), Size::new(width, height)))
}

/// Start and length of what two ranges share.
fn overlap((a, a_len): (i32, u32), (b, b_len): (i32, u32)) -> Option<(i32, u32)> {
    let end = |start: i32, len: u32| start.saturating_add_unsigned(len);
    let start = a.max(b);
    let len = i64::from(end(a, a_len).min(end(b, b_len))) - i64::from(start);
    u32::try_from(len).ok().filter(|&len| len > 0).map(|len| (start, len))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_overlap_as_sets_do() {
        for (a, a_len) in (-3..3).flat_map(|start| (0..5).map(move |len| (start, len))) {
            for (b, b_len) in (-3..3).flat_map(|start| (0..5).map(move |len| (start, len))) {
                let shared = |x: &i32| (a..a + a_len).contains(x) && (b..b + b_len).contains(x);
                let first = (-9..9).find(shared);
                let expected = first.map(|first| (first, (-9..9).filter(shared).count() as u32));
                assert_eq!(overlap((a, a_len as u32), (b, b_len as u32)), expected);
            }
        }
    }

    #[test]
    fn the_ends_of_the_plane_are_no_exception() {
        let all = (i32::MIN, u32::MAX);
        assert_eq!(overlap(all, all), Some((i32::MIN, u32::MAX)));
        assert_eq!(overlap((i32::MAX - 1, u32::MAX), all), Some((i32::MAX - 1, 1)));
        assert_eq!(overlap((i32::MAX, 1), (0, 9)), None);
        assert_eq!(overlap((i32::MIN, 3), (-5, 9)), None);
    }
}
