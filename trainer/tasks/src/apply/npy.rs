//! The `.npy` format of numpy, version 1.0 ([its
//! definition](https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html)).

/// What a file starts with whose rows are float32, `[rows, width]`, little endian.
pub(super) fn header(rows: u64, width: i64) -> Vec<u8> {
    /// Values start at a multiple of this.
    const ALIGNMENT: usize = 64;
    const MAGIC: &[u8] = b"\x93NUMPY\x01\x00";
    let mut text = format!("{{'descr': '<f4', 'fortran_order': False, 'shape': ({rows}, {width}), }}");
    let before = MAGIC.len() + 2;
    let padding = (before + text.len() + 1).next_multiple_of(ALIGNMENT) - (before + text.len() + 1);
    text.extend(std::iter::repeat_n(' ', padding));
    text.push('\n');
    [MAGIC, &(text.len() as u16).to_le_bytes(), text.as_bytes()].concat()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_are_aligned_and_give_the_shape() {
        for rows in [1, 9, 10, 12_345, 1_000_000_000] {
            let header = header(rows, 768);
            assert_eq!(header.len() % 64, 0);
            assert_eq!(usize::from(u16::from_le_bytes([header[8], header[9]])) + 10, header.len());
            let text = String::from_utf8_lossy(&header[10..]);
            assert!(text.contains(&format!("'shape': ({rows}, 768), }}")) && text.ends_with('\n'), "{text}");
        }
    }
}
