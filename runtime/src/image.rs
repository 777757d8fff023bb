//! From the generator's values to pixels.

use pocketgan_format::crc32;

/// A picture in the generator's arena.
#[derive(Clone, Copy, Debug)]
pub struct Image<'a> {
    /// Rows.
    pub height: usize,
    /// Columns.
    pub width: usize,
    /// 3 (red, green, blue), or any other number, of which only the first is shown, as grey.
    pub channels: usize,
    /// The values that are black and white.
    pub range: [f32; 2],
    /// `[height, width, channels]`
    pub values: &'a [f32],
}

impl Image<'_> {
    /// Writes one byte a pixel; colours by their luma (ITU-R BT.601).
    ///
    /// # Panics
    /// When `pixels` has not `height * width` bytes.
    pub fn to_gray8(&self, pixels: &mut [u8]) {
        self.write(pixels, |[r, g, b]| [luma(r, g, b)]);
    }

    /// Writes three bytes a pixel: red, green, blue.
    ///
    /// # Panics
    /// When `pixels` has not `height * width * 3` bytes.
    pub fn to_rgb888(&self, pixels: &mut [u8]) {
        self.write(pixels, |rgb| rgb);
    }

    /// Writes four bytes a pixel, as a page's canvas wants them: red, green, blue, 255.
    ///
    /// # Panics
    /// When `pixels` has not `height * width * 4` bytes.
    pub fn to_rgba8888(&self, pixels: &mut [u8]) {
        self.write(pixels, |[r, g, b]| [r, g, b, 255]);
    }

    /// Writes two bytes a pixel, the higher first as displays on SPI want them: 5 bits red, 6 green, 5 blue.
    ///
    /// # Panics
    /// When `pixels` has not `height * width * 2` bytes.
    pub fn to_rgb565(&self, pixels: &mut [u8]) {
        self.write(pixels, |[r, g, b]| {
            let scale = |v: u8, most: u16| (u16::from(v) * most + 127) / 255;
            (scale(r, 31) << 11 | scale(g, 63) << 5 | scale(b, 31)).to_be_bytes()
        });
    }

    /// CRC-32/ISO-HDLC of the values as `f32`, little-endian; each NaN counts as 0x7fc00000. Pictures in exact arithmetic
    /// have the same on every device.
    pub fn crc32(&self) -> u32 {
        let bits = |value: &f32| if value.is_nan() { 0x7fc0_0000 } else { value.to_bits() };
        crc32(self.values.iter().map(|value| bits(value).to_le_bytes()))
    }

    /// Red, green and blue of the pixel at `(row, col)`, or `None` outside.
    pub fn pixel(&self, row: usize, col: usize) -> Option<[u8; 3]> {
        if row >= self.height || col >= self.width {
            return None;
        }
        let start = row.checked_mul(self.width)?.checked_add(col)?.checked_mul(self.channels)?;
        self.values.get(start..)?.get(..self.channels).map(|values| self.rgb(values))
    }

    /// Writes the picture as tile number `index` of a sheet with `columns` tiles in a row, three bytes a pixel.
    ///
    /// # Panics
    /// When the tile does not lie in the sheet.
    pub fn tile_rgb888(&self, sheet: &mut [u8], columns: usize, index: usize) {
        let row_bytes = self.width * 3;
        let (tile_row, tile_col) = (index / columns, index % columns);
        for row in 0..self.height {
            let start = ((tile_row * self.height + row) * columns + tile_col) * row_bytes;
            let line = &mut sheet[start..start + row_bytes];
            let values = &self.values[row * self.width * self.channels..];
            for (pixel, values) in line.chunks_exact_mut(3).zip(values.chunks_exact(self.channels)) {
                pixel.copy_from_slice(&self.rgb(values));
            }
        }
    }

    fn write<const N: usize>(&self, pixels: &mut [u8], encode: impl Fn([u8; 3]) -> [u8; N]) {
        let count = self.height * self.width;
        assert_eq!(pixels.len(), count * N, "{count} pixels of {N} bytes");
        for (pixel, values) in pixels.chunks_exact_mut(N).zip(self.values.chunks_exact(self.channels)) {
            pixel.copy_from_slice(&encode(self.rgb(values)));
        }
    }

    fn rgb(&self, values: &[f32]) -> [u8; 3] {
        match *values {
            [r, g, b] => [r, g, b].map(|v| self.byte(v)),
            [v, ..] => [self.byte(v); 3],
            [] => [0; 3],
        }
    }

    /// The nearest of 256 levels; outside the range, the nearer end.
    fn byte(&self, value: f32) -> u8 {
        let [low, high] = self.range;
        // `as` saturates, and takes NaN to 0.
        ((value - low) / (high - low) * 255.0 + 0.5) as u8
    }
}

fn luma(r: u8, g: u8, b: u8) -> u8 {
    let sum = 299 * u32::from(r) + 587 * u32::from(g) + 114 * u32::from(b);
    ((sum + 500) / 1000) as u8
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLOURS: Image<'_> = Image {
        height: 1,
        width: 2,
        channels: 3,
        range: [-1.0, 1.0],
        values: &[-1.0, 0.0, 1.0, 7.0, -7.0, f32::NAN],
    };

    #[test]
    fn levels_round_and_saturate() {
        let mut pixels = [9; 6];
        COLOURS.to_rgb888(&mut pixels);
        assert_eq!(pixels, [0, 128, 255, 255, 0, 0]);
    }

    #[test]
    fn rgba_is_opaque() {
        let mut pixels = [9; 8];
        COLOURS.to_rgba8888(&mut pixels);
        assert_eq!(pixels, [0, 128, 255, 255, 255, 0, 0, 255]);
    }

    #[test]
    fn rgb565_packs_high_byte_first() {
        let mut pixels = [9; 4];
        COLOURS.to_rgb565(&mut pixels);
        assert_eq!(pixels, [0b0000_0100, 0b0001_1111, 0b1111_1000, 0]);
    }

    #[test]
    fn grey_is_luma_of_colours_and_itself_of_grey() {
        let mut pixels = [9; 2];
        COLOURS.to_gray8(&mut pixels);
        // 0.587 * 128 + 0.114 * 255 = 104.2; 0.299 * 255 = 76.2
        assert_eq!(pixels, [104, 76]);
        let grey = Image { channels: 1, values: &[0.0, 1.0], ..COLOURS };
        grey.to_gray8(&mut pixels);
        assert_eq!(pixels, [128, 255]);
    }

    #[test]
    fn tiles_lie_side_by_side() {
        let mut sheet = [9; 24];
        let grey = Image { channels: 1, values: &[-1.0, 1.0], ..COLOURS };
        grey.tile_rgb888(&mut sheet, 2, 3);
        assert_eq!(sheet[..18], [9; 18]);
        assert_eq!(sheet[18..], [0, 0, 0, 255, 255, 255]);
    }

    #[test]
    fn pixels_outside_are_none() {
        assert_eq!(COLOURS.pixel(0, 1), Some([255, 0, 0]));
        assert_eq!(COLOURS.pixel(1, 0), None);
        assert_eq!(COLOURS.pixel(0, 2), None);
    }
}
