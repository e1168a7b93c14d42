//! What holds for every input, tried with hundreds of random ones.

use std::process::Command;

use kmodforge::kernel::KernelRelease;
use kmodforge::kernel_selector::KernelSelector;
use kmodforge::kmod::{Compression, decompress, signature};
use kmodforge::pattern::matches;
use kmodforge::pki;
use kmodforge::reference::{Digest, Reference, TAG_LENGTH, check_tag};
use kmodforge::signer::TokenUri;
use kmodforge::template::{quote_label, quote_shell};
use proptest::collection::vec;
use proptest::prelude::*;

/// Releases as distributions make them, and odder ones.
const RELEASE: &str = "[0-9]{1,3}\\.[0-9]{1,3}([.+~_-][a-zA-Z0-9]{1,8}){0,6}[+]?";
const REFERENCE: &str = "[a-z]{1,8}\\.example(:[0-9]{2,5})?(/[a-z0-9]{1,8}([._-][a-z0-9]{1,4}){0,2}){1,3}(:[a-zA-Z0-9_][a-zA-Z0-9._-]{0,20})?";

proptest! {
    #[test]
    fn a_release_becomes_a_tag_and_one_folder(text in RELEASE) {
        let Ok(release) = text.parse::<KernelRelease>() else { return Ok(()) };
        prop_assert_eq!(release.to_string(), text.as_str());
        let tag = release.tag();
        prop_assert!(tag.len() > TAG_LENGTH || check_tag(&tag).is_ok(), "{}", tag);
        prop_assert!(!release.directory().contains('/') && release.directory() != "..");
        let selector: KernelSelector = text.parse().unwrap();
        prop_assert_eq!(selector.exact(), Some(&release));
        prop_assert!(text.starts_with(release.directory()));
    }

    #[test]
    fn no_text_makes_a_parser_panic(text in "\\PC{0,60}|[a-z0-9.:/@+_%;=?~-]{0,60}") {
        let _ = (text.parse::<KernelRelease>(), text.parse::<KernelSelector>(), text.parse::<Digest>(), text.parse::<TokenUri>());
        if let Ok(reference) = text.parse::<Reference>() {
            prop_assert_eq!(reference.to_string().parse::<Reference>(), Ok(reference));
        }
    }

    #[test]
    fn a_reference_is_read_as_it_is_written(text in REFERENCE, bytes in any::<[u8; 4]>()) {
        let reference: Reference = text.parse().unwrap();
        prop_assert_eq!(reference.to_string(), text);
        let by_digest = reference.with_digest(Digest::of(&bytes));
        prop_assert_eq!(by_digest.to_string().parse::<Reference>(), Ok(by_digest));
    }

    #[test]
    fn releases_are_ordered(a in RELEASE, b in RELEASE, c in RELEASE) {
        let (Ok(a), Ok(b), Ok(c)) = (a.parse::<KernelRelease>(), b.parse::<KernelRelease>(), c.parse::<KernelRelease>()) else { return Ok(()) };
        prop_assert_eq!(a.cmp(&b), b.cmp(&a).reverse());
        prop_assert!(!(a <= b && b <= c) || a <= c);
    }

    #[test]
    fn a_name_matches_itself_and_a_star(name in "[a-z0-9_./-]{0,30}") {
        prop_assert!(matches(&name, &name) && matches("*", &name));
        let (before, behind) = (format!("*{name}"), format!("{name}*"));
        prop_assert!(matches(&before, &name) && matches(&behind, &name));
    }

    #[test]
    fn a_label_stays_on_its_line_and_in_its_quotes(text in "\\PC{0,40}|[\"\\\\$\n\r{}a-z ]{0,40}") {
        let quoted = quote_label(&text);
        prop_assert!(!quoted.contains('\n') && quoted.starts_with('"') && quoted.ends_with('"') && quoted.len() >= 2);
        let inner: Vec<char> = quoted[1..quoted.len() - 1].chars().collect();
        let escaped = |at: usize| inner[..at].iter().rev().take_while(|c| **c == '\\').count() % 2 == 1;
        prop_assert!(inner.iter().enumerate().all(|(at, c)| !['"', '$'].contains(c) || escaped(at)), "{}", quoted);
    }

    #[test]
    fn der_is_read_as_it_is_written(tag in 1u8..0x1f, content in vec(any::<u8>(), 0..400)) {
        let element = pki::element(tag, &[&content]);
        prop_assert!(element.ends_with(&content) && element[0] == tag);
        let sequence = pki::sequence(&[&element]);
        prop_assert!(pki::is_sequence(&sequence));
        prop_assert!(!pki::is_sequence(&sequence[..sequence.len() - 1]));
    }

    #[test]
    fn a_signature_comes_off_as_it_was_put_on(content in vec(any::<u8>(), 0..600), pkcs7 in vec(any::<u8>(), 0..600)) {
        let signed = signature::append(&content, &pkcs7).unwrap();
        prop_assert_eq!(signature::parts(&signed), Some((&content[..], &pkcs7[..])));
        prop_assert_eq!(signature::strip(&signed), signature::strip(&content));
    }

    #[test]
    fn compression_loses_nothing(content in vec(any::<u8>(), 0..2000)) {
        for compression in [Compression::Gzip, Compression::Xz, Compression::Zstd] {
            let packed = compression.compress(&content).unwrap();
            let (found, plain) = decompress("x.ko", &packed).unwrap();
            prop_assert_eq!((found, &*plain), (Some(compression), &content[..]));
        }
    }

    #[test]
    fn a_pin_in_a_uri_is_read_and_never_shown(pin in "[a-zA-Z0-9]{4,12}", token in "[a-z]{1,8}") {
        let pin = format!("PIN{pin}");
        let uri: TokenUri = format!("pkcs11:token={token}?pin-value={pin}").parse().unwrap();
        prop_assert_eq!(uri.pin.as_deref().map(String::as_str), Some(pin.as_str()));
        let shown = format!("{uri} {uri:?}");
        prop_assert!(!shown.contains(&pin), "{}", shown);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(16))]

    /// Many at once, since each time starts a shell.
    #[test]
    fn a_shell_reads_every_word_as_it_was_meant(words in vec("[^\0]{0,30}", 1..40)) {
        let quoted: Vec<_> = words.iter().map(|word| quote_shell(word)).collect();
        prop_assert!(quoted.iter().all(|word| !word.contains(['\n', '\r'])), "a line break would end the Dockerfile's line");
        let output = Command::new("bash").args(["-c", &format!("printf '%s\\0' {}", quoted.join(" "))]).output().unwrap();
        let read: Vec<_> = output.stdout.split(|byte| *byte == 0).map(<[u8]>::to_vec).collect();
        let expected: Vec<_> = words.iter().map(|word| word.clone().into_bytes()).chain([Vec::new()]).collect();
        prop_assert_eq!(read, expected);
    }
}
