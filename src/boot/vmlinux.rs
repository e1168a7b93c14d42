//! A kernel's image, uncompressed before it runs: an emulated processor takes seconds for what this machine's does in a blink.
//!
//! Formats: x86 `bzImage` (Documentation/arch/x86/boot.rst), arm64 `Image` (Documentation/arch/arm64/booting.rst) and
//! EFI zboot (drivers/firmware/efi/libstub/zboot-header.S).

use std::io::Read as _;

use super::lz4;
use crate::arch::Arch;

/// More than any kernel has, in bytes.
const LIMIT: u64 = 1 << 30;

/// ELF note `XEN_ELFNOTE_PHYS32_ENTRY`: the entry that QEMU's PVH loader jumps to (include/xen/interface/elfnote.h).
const PVH_ENTRY: u32 = 18;

/// Why a file is no kernel that can be started.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub(super) struct ImageError(pub(super) String);

fn wrong(text: impl Into<String>) -> ImageError {
    ImageError(text.into())
}

/// What QEMU starts fastest: the uncompressed kernel where it can start that, else the image as it is.
pub(super) fn startable(image: Vec<u8>, arch: Arch) -> Result<Vec<u8>, ImageError> {
    match arch {
        Arch::Amd64 => from_bzimage(image),
        Arch::Arm64 => from_arm64(image),
    }
}

fn from_bzimage(image: Vec<u8>) -> Result<Vec<u8>, ImageError> {
    if image.get(0x202..0x206) != Some(b"HdrS") {
        return Err(wrong("not a bzImage: it has no setup header"));
    }
    let plain = payload(&image).and_then(|payload| unpack(payload).ok());
    Ok(plain.filter(|kernel| has_pvh_entry(kernel)).unwrap_or(image))
}

/// The compressed kernel in a `bzImage`. Its place counts from the end of the real-mode code.
fn payload(image: &[u8]) -> Option<&[u8]> {
    let setup_sectors = match *image.get(0x1f1)? {
        0 => 4,
        sectors => usize::from(sectors),
    };
    let start = (setup_sectors + 1) * 512 + number(image, 0x248)?;
    image.get(start..start.checked_add(number(image, 0x24c)?)?)
}

fn from_arm64(image: Vec<u8>) -> Result<Vec<u8>, ImageError> {
    if image.get(..2) == Some(b"MZ") && image.get(4..8) == Some(b"zimg") {
        let place = number(&image, 8).zip(number(&image, 12)).and_then(|(start, size)| image.get(start..start.checked_add(size)?));
        return unpack(place.ok_or_else(|| wrong("an EFI image that ends before its payload"))?);
    }
    if image.get(0x38..0x3c) == Some(b"ARM\x64") {
        return Ok(image);
    }
    let plain = unpack(&image)?;
    if plain.get(0x38..0x3c) == Some(b"ARM\x64") { Ok(plain) } else { Err(wrong("not an arm64 `Image`")) }
}

/// Undoes the compressions that kernels use. After the data, `bzImage` and zboot have its size, which is left alone.
fn unpack(data: &[u8]) -> Result<Vec<u8>, ImageError> {
    let mut plain = Vec::new();
    let result = match data {
        [0x1f, 0x8b, ..] => flate2::bufread::GzDecoder::new(data).take(LIMIT).read_to_end(&mut plain),
        [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => liblzma::bufread::XzDecoder::new(data).take(LIMIT).read_to_end(&mut plain),
        [0x28, 0xb5, 0x2f, 0xfd, ..] => {
            let decoder = zstd::Decoder::with_buffer(data).and_then(|mut decoder| decoder.window_log_max(30).map(|()| decoder.single_frame()));
            decoder.and_then(|decoder| decoder.take(LIMIT).read_to_end(&mut plain))
        }
        [0x02, 0x21, 0x4c, 0x18, rest @ ..] => return lz4::unpack(rest, LIMIT).ok_or_else(|| wrong("damaged lz4 data")),
        _ => return Err(wrong("compressed in a way that is not known")),
    };
    result.map(|_| plain).map_err(|error| wrong(format!("cannot be decompressed: {error}")))
}

/// Whether a 64-bit ELF file has the note that QEMU needs.
fn has_pvh_entry(kernel: &[u8]) -> bool {
    kernel.get(..5) == Some(b"\x7fELF\x02") && notes(kernel).is_some_and(|found| found)
}

fn notes(kernel: &[u8]) -> Option<bool> {
    let headers = usize::try_from(u64::from_le_bytes(kernel.get(0x20..0x28)?.try_into().ok()?)).ok()?;
    let (size, count) = (short(kernel, 0x36)?, short(kernel, 0x38)?);
    for index in 0..count {
        let header = kernel.get(headers + index * size..)?;
        if number(header, 0)? != 4 {
            continue;
        }
        let long = |at: usize| usize::try_from(u64::from_le_bytes(header.get(at..at + 8)?.try_into().ok()?)).ok();
        let (start, length) = (long(8)?, long(0x20)?);
        let mut rest = kernel.get(start..start.checked_add(length)?)?;
        while let (Some(name), Some(value), Some(kind)) = (number(rest, 0), number(rest, 4), rest.get(8..12)) {
            let is_entry = kind == PVH_ENTRY.to_le_bytes() && rest.get(12..16) == Some(b"Xen\0");
            if is_entry {
                return Some(true);
            }
            let Some(next) = rest.get(12 + name.next_multiple_of(4) + value.next_multiple_of(4)..) else { break };
            rest = next;
        }
    }
    Some(false)
}

fn number(bytes: &[u8], at: usize) -> Option<usize> {
    usize::try_from(u32::from_le_bytes(bytes.get(at..at + 4)?.try_into().ok()?)).ok()
}

fn short(bytes: &[u8], at: usize) -> Option<usize> {
    Some(usize::from(u16::from_le_bytes(bytes.get(at..at + 2)?.try_into().ok()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An ELF file with one note.
    fn elf(kind: u32) -> Vec<u8> {
        let mut file = vec![0; 64 + 56];
        file[..5].copy_from_slice(b"\x7fELF\x02");
        file[0x20] = 64;
        file[0x36] = 56;
        file[0x38] = 1;
        file[64] = 4;
        file[64 + 8] = 120;
        file[64 + 0x20] = 20;
        file.extend([4_u32, 4, kind].iter().flat_map(|number| number.to_le_bytes()));
        file.extend(b"Xen\0\x00\x00\x00\x01");
        file
    }

    /// A `bzImage` with one sector of setup code.
    fn bzimage(payload: &[u8]) -> Vec<u8> {
        let mut image = vec![0; 1024];
        image[0x1f1] = 1;
        image[0x202..0x206].copy_from_slice(b"HdrS");
        image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
        image.extend(payload);
        image
    }

    fn with_size(mut packed: Vec<u8>) -> Vec<u8> {
        packed.extend([120, 0, 0, 0]);
        packed
    }

    #[test]
    fn the_kernel_is_taken_out_of_its_image_whatever_compresses_it() {
        let kernel = elf(PVH_ENTRY);
        let xz = with_size(liblzma::encode_all(&kernel[..], 1).unwrap());
        let zstd = with_size(zstd::encode_all(&kernel[..], 1).unwrap());
        for packed in [xz, zstd] {
            assert_eq!(startable(bzimage(&packed), Arch::Amd64).unwrap(), kernel);
        }
    }

    #[test]
    fn an_image_that_qemu_cannot_start_without_its_own_code_stays_as_it_is() {
        let other = bzimage(&with_size(zstd::encode_all(&elf(1)[..], 1).unwrap()));
        assert_eq!(startable(other.clone(), Arch::Amd64).unwrap(), other);
        let unknown = bzimage(b"LZO?");
        assert_eq!(startable(unknown.clone(), Arch::Amd64).unwrap(), unknown);
        assert_eq!(startable(vec![0; 4096], Arch::Amd64).unwrap_err().to_string(), "not a bzImage: it has no setup header");
        assert_eq!(startable(vec![0; 4096], Arch::Arm64).unwrap_err().to_string(), "compressed in a way that is not known");
    }

    #[test]
    fn arm64_images_are_plain_compressed_or_wrapped_for_efi() {
        let mut plain = vec![7; 100];
        plain[0x38..0x3c].copy_from_slice(b"ARM\x64");
        let packed = zstd::encode_all(&plain[..], 1).unwrap();
        let mut wrapped = b"MZ\0\0zimg".to_vec();
        wrapped.extend([64_u32, u32::try_from(packed.len()).unwrap()].iter().flat_map(|number| number.to_le_bytes()));
        wrapped.resize(64, 0);
        wrapped.extend(&packed);
        for image in [plain.clone(), packed, wrapped] {
            assert_eq!(startable(image, Arch::Arm64).unwrap(), plain);
        }
    }

    #[test]
    fn damaged_headers_are_no_reason_to_panic() {
        let mut image = bzimage(b"");
        image[0x248..0x250].fill(0xff);
        assert!(startable(image, Arch::Amd64).is_ok());
        let mut kernel = elf(PVH_ENTRY);
        kernel[0x20..0x28].fill(0xff);
        assert!(!has_pvh_entry(&kernel) || kernel.is_empty());
    }
}
