//! LZ4 in the legacy frame that kernels are compressed with (`doc/lz4_Frame_format.md` of LZ4, legacy frame).

/// Undoes the blocks after the magic number; `None` when they are damaged or give more than `limit` bytes.
pub(super) fn unpack(mut data: &[u8], limit: u64) -> Option<Vec<u8>> {
    let mut plain = Vec::new();
    // What is left after the last block is the size of the whole, in four bytes.
    while data.len() > 4 {
        let size = usize::try_from(u32::from_le_bytes(data.get(..4)?.try_into().ok()?)).ok()?;
        block(data.get(4..4 + size)?, &mut plain, limit)?;
        data = &data[4 + size..];
    }
    Some(plain)
}

/// One block (`doc/lz4_Block_format.md`): literals, then a copy of what came before, again and again.
fn block(mut data: &[u8], plain: &mut Vec<u8>, limit: u64) -> Option<()> {
    let start = plain.len();
    while let Some((token, rest)) = data.split_first() {
        data = rest;
        let literals = length(usize::from(token >> 4), &mut data)?;
        plain.extend(data.get(..literals)?);
        data = &data[literals..];
        if plain.len() as u64 > limit {
            return None;
        }
        if data.is_empty() {
            return Some(());
        }
        let offset = usize::from(u16::from_le_bytes(data.get(..2)?.try_into().ok()?));
        data = &data[2..];
        let copies = length(usize::from(token & 15), &mut data)? + 4;
        let from = plain.len().checked_sub(offset).filter(|from| offset > 0 && *from >= start)?;
        if (plain.len() + copies) as u64 > limit {
            return None;
        }
        for index in from..from + copies {
            plain.push(plain[index]);
        }
    }
    Some(())
}

/// A length of 15 goes on in the bytes that follow.
fn length(start: usize, data: &mut &[u8]) -> Option<usize> {
    let mut length = start;
    if start == 15 {
        loop {
            let (byte, rest) = data.split_first()?;
            *data = rest;
            length += usize::from(*byte);
            if *byte != 255 {
                break;
            }
        }
    }
    Some(length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn framed(block: &[u8]) -> Vec<u8> {
        let mut data = u32::try_from(block.len()).unwrap().to_le_bytes().to_vec();
        data.extend(block);
        data.extend([0; 4]);
        data
    }

    #[test]
    fn literals_and_copies_that_overlap_themselves() {
        // `ab`, 8 bytes from 2 back, then 16 literals, whose length goes on in a second byte.
        let block = [&[0x24, b'a', b'b', 2, 0, 0xf0, 1][..], &[b'x'; 16]].concat();
        assert_eq!(unpack(&framed(&block), 100).unwrap(), b"ababababab".iter().chain(&[b'x'; 16]).copied().collect::<Vec<_>>());
    }

    #[test]
    fn damage_and_excess_are_refused() {
        for damaged in [&[0x24, b'a', b'b', 3, 0][..], &[0x24, b'a', b'b', 0, 0], &[0x90, b'a'], &[0xf0, 255], &[0x10]] {
            assert_eq!(unpack(&framed(damaged), 100), None, "{damaged:?}");
        }
        assert_eq!(unpack(&framed(&[0x1f, b'a', 1, 0, 255, 255, 0]), 100), None);
        assert_eq!(unpack(&[9, 0, 0, 0, 1, 2], 100), None);
    }
}
