//! Places for many pictures.

use embedded_graphics_core::geometry::{Point, Size};
use embedded_graphics_core::primitives::Rectangle;

/// Cells of one size in rows and columns, as large as an area takes them, in its middle.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Grid {
    first: Rectangle,
    columns: u32,
    rows: u32,
    gap: u32,
}

impl Grid {
    /// `columns` by `rows` cells with `gap` pixels between them.
    pub fn new(area: Rectangle, columns: u32, rows: u32, gap: u32) -> Self {
        let (left, width) = cells(area.top_left.x, area.size.width, columns, gap);
        let (top, height) = cells(area.top_left.y, area.size.height, rows, gap);
        Self { first: Rectangle::new(Point::new(left, top), Size::new(width, height)), columns, rows, gap }
    }

    /// The cell with this number, counted row by row from 0; one of no size where there is none.
    pub fn cell(&self, index: u32) -> Rectangle {
        let Rectangle { top_left, size } = self.first;
        if self.columns == 0 || index / self.columns >= self.rows {
            return Rectangle::new(top_left, Size::zero());
        }
        let place = |start: i32, number: u32, len: u32| {
            start.saturating_add_unsigned(number.saturating_mul(len.saturating_add(self.gap)))
        };
        let left = place(top_left.x, index % self.columns, size.width);
        let top = place(top_left.y, index / self.columns, size.height);
        Rectangle::new(Point::new(left, top), size)
    }
}

/// Start of the first of `count` cells in a range, and their length.
fn cells(start: i32, len: u32, count: u32, gap: u32) -> (i32, u32) {
    let gaps = u64::from(count.saturating_sub(1)) * u64::from(gap);
    let free = u64::from(len).saturating_sub(gaps);
    let cell = free.checked_div(u64::from(count)).unwrap_or(0);
    let margin = (free - cell * u64::from(count)) / 2;
    // Both are at most `len`.
    (start.saturating_add_unsigned(margin as u32), cell as u32)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn area(x: i32, y: i32, width: u32, height: u32) -> Rectangle {
        Rectangle::new(Point::new(x, y), Size::new(width, height))
    }

    #[test]
    fn cells_lie_in_the_middle_row_by_row() {
        // 3 * 5 + 2 * 2 = 19 of 20 columns; 2 * 4 + 2 = 10 of 11 rows; what is left over is less than one on each side.
        let grid = Grid::new(area(100, -7, 20, 11), 3, 2, 2);
        let cells = [(100, -7), (107, -7), (114, -7), (100, -1), (107, -1), (114, -1)];
        for (index, (x, y)) in (0..).zip(cells) {
            assert_eq!(grid.cell(index), area(x, y, 5, 4));
        }
        assert_eq!(grid.cell(6).size, Size::zero());
        // 3 * 6 = 18 of 21 columns, 2 * 5 = 10 of 13 rows.
        assert_eq!(Grid::new(area(0, 0, 22, 13), 3, 2, 1).cell(0), area(1, 0, 6, 6));
    }

    #[test]
    fn no_size_is_too_small_or_too_large() {
        for (columns, rows) in [(0, 0), (0, 1), (1, 0), (4, 4), (u32::MAX, u32::MAX)] {
            for gap in [0, 1, u32::MAX] {
                for len in [0, 1, 5, u32::MAX] {
                    for start in [i32::MIN, 0, i32::MAX] {
                        let grid = Grid::new(area(start, start, len, len), columns, rows, gap);
                        for index in [0, 1, 15, 16, u32::MAX] {
                            assert!(grid.cell(index).size.width <= len);
                        }
                    }
                }
            }
        }
    }
}
