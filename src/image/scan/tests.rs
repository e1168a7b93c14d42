use std::fs;

use ::tar::EntryType;

use super::*;
use crate::error::Failure;
use crate::image::artifacts::{Artifacts, ArtifactsError};
use crate::image::fixture::TestTar;

fn open(tar: Vec<u8>) -> Result<Artifacts, ArtifactsError> {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.tar");
    fs::write(&path, tar).unwrap();
    Artifacts::open(&path)
}

fn refusal(tar: TestTar) -> String {
    open(tar.bytes()).unwrap_err().to_string()
}

#[test]
fn indexes_what_a_builder_sends() {
    let artifacts = open(TestTar::driver("module").bytes()).unwrap();
    assert_eq!(artifacts.read("modules/opt/lib/modules/6.1.0/extra/x.ko").unwrap(), b"module");
    assert_eq!(artifacts.read("tools/usr/bin/depmod").unwrap(), b"kmod", "a hard link has the bytes of its target");
    assert_eq!(artifacts.get("tools/bin"), Some(&Kind::Symlink("/usr/bin".into())));
    let paths: Vec<_> = artifacts.paths("tools/usr").map(|(path, _)| path).collect();
    assert_eq!(paths, ["tools/usr/bin", "tools/usr/bin/depmod", "tools/usr/bin/kmod", "tools/usr/bin/modprobe"]);
    assert_eq!(artifacts.read("evidence/none").unwrap_err().to_string(), "the builder's tar has no file `evidence/none`");
}

#[test]
fn reads_names_longer_than_a_header() {
    let long = format!("modules/{}/x.ko", "d".repeat(150));
    let pax = format!("{} path={long}\n", long.len() + 10);
    let tar = TestTar::new().entry(EntryType::XHeader, b"PaxHeaders.0/x", b"", 0o644, pax.as_bytes()).file("modules/short", 0o644, b"pax");
    assert_eq!(open(tar.bytes()).unwrap().read(&long).unwrap(), b"pax");
    let tar = TestTar::new().entry(EntryType::GNULongName, b"././@LongLink", b"", 0o644, format!("{long}\0").as_bytes()).file("modules/short", 0o644, b"gnu");
    assert_eq!(open(tar.bytes()).unwrap().read(&long).unwrap(), b"gnu");
}

#[test]
fn refuses_paths_that_leave_their_place() {
    let file = |name: &str| refusal(TestTar::new().file(name, 0o644, b""));
    assert_eq!(file("/etc/passwd"), "the builder's tar is refused: entry `/etc/passwd` has an absolute path");
    assert_eq!(file("tools/../../x"), "the builder's tar is refused: entry `tools/../../x` has `..` in its path");
    assert_eq!(file("home/x"), "the builder's tar is refused: entry `home/x` is not below `tools/`, `modules/`, `evidence/`");
    assert_eq!(file("tools/a\nb"), "the builder's tar is refused: entry `tools/a\\nb` has control characters in its path or target");
    assert_eq!(file("tools/.wh.x"), "the builder's tar is refused: entry `tools/.wh.x` is an overlay whiteout");
    let foreign = TestTar::new().entry(EntryType::Regular, b"tools/\xff", b"", 0o644, b"");
    assert_eq!(refusal(foreign), "the builder's tar is refused: entry `tools/\u{fffd}` has a path or target that is not UTF-8");
}

#[test]
fn refuses_what_is_no_file_directory_or_link() {
    let special = |kind| refusal(TestTar::new().entry(kind, b"tools/x", b"", 0o644, b""));
    assert_eq!(special(EntryType::Char), "the builder's tar is refused: entry `tools/x` is a device node");
    assert_eq!(special(EntryType::Block), "the builder's tar is refused: entry `tools/x` is a device node");
    assert_eq!(special(EntryType::Fifo), "the builder's tar is refused: entry `tools/x` is a fifo");
    assert_eq!(special(EntryType::GNUSparse), "the builder's tar is refused: entry `tools/x` is a sparse file");
    assert_eq!(special(EntryType::new(b'?')), "the builder's tar is refused: entry `tools/x` is a thing of unknown type");
}

#[test]
fn refuses_links_out_of_the_image() {
    let link = |name: &str, target: &str| refusal(TestTar::new().link(name, target));
    assert_eq!(link("tools/a/x", "../../etc"), "the builder's tar is refused: entry `tools/a/x` is a link out of the image: `../../etc`");
    assert_eq!(link("tools/x", "/../etc"), "the builder's tar is refused: entry `tools/x` is a link out of the image: `/../etc`");
    assert_eq!(link("tools/x", "a/../x"), "the builder's tar is refused: entry `tools/x` is a link that leads nowhere: `a/../x`");
    let through_another = TestTar::new().link("tools/deep/up", "..").link("tools/deep/x", "up/../y");
    assert_eq!(refusal(through_another), "the builder's tar is refused: entry `tools/deep/x` is a link out of the image: `up/../y`");
    let hard = |target: &str| refusal(TestTar::new().file("modules/m", 0o644, b"m").hard_link("tools/x", target));
    assert_eq!(hard("../etc/shadow"), "the builder's tar is refused: entry `tools/x` is a hard link to `../etc/shadow`, which is no file of the same layer");
    assert_eq!(hard("modules/m"), "the builder's tar is refused: entry `tools/x` is a hard link to `modules/m`, which is no file of the same layer");
    assert_eq!(hard("tools/x"), "the builder's tar is refused: entry `tools/x` is a hard link to `tools/x`, which is no file of the same layer");
}

#[test]
fn allows_links_within_the_image() {
    for target in ["/", "/usr/lib", "lib", "../..", "../../usr/./lib", "/lib/modules/6.1.0"] {
        assert!(open(TestTar::new().link("modules/a/b/x", target).bytes()).is_ok(), "{target}");
    }
}

#[test]
fn refuses_what_overlaps() {
    let twice = TestTar::new().file("tools/x", 0o644, b"1").file("./tools//x", 0o644, b"2");
    assert_eq!(refusal(twice), "the builder's tar is refused: entry `tools/x` occurs twice");
    let through_link = TestTar::new().file("tools/etc/x", 0o644, b"").link("tools/etc", "/");
    assert_eq!(refusal(through_link), "the builder's tar is refused: entry `tools/etc/x` is below something that is no directory");
}

#[test]
fn keeps_firmware_below_its_directory() {
    let dir = tempfile::tempdir().unwrap();
    let open = |tar: TestTar| Artifacts::open_firmware(&tar.write(dir.path())).map_err(|error| error.to_string());
    assert!(
        open(TestTar::new().file("firmware/nvidia/gsp.bin", 0o644, b"").link("firmware/a", "/firmware/nvidia/gsp.bin").link("firmware/b", "nvidia")).is_ok()
    );
    let out = open(TestTar::new().link("firmware/a", "../usr/x")).unwrap_err();
    assert_eq!(out, "the firmware tar is refused: entry `firmware/a` is a link out of the image: `../usr/x`");
    let elsewhere = open(TestTar::new().file("lib/firmware/x", 0o644, b"")).unwrap_err();
    assert_eq!(elsewhere, "the firmware tar is refused: entry `lib/firmware/x` is not below `firmware/`");
}

#[test]
fn refuses_archives_that_end_early() {
    let whole = TestTar::new().file("tools/a", 0o644, &[7; 2000]).file("tools/b", 0o644, b"b").bytes();
    assert!(open(whole.clone()).is_ok());
    let near_blocks = (0..whole.len()).filter(|length| length % 512 < 2 || length % 512 == 511);
    for length in near_blocks {
        let error = open(whole[..length].to_vec()).unwrap_err().to_string();
        assert_eq!(error, format!("the builder's tar is refused: it is truncated: it ends at byte {length}"));
    }
}

#[test]
fn refuses_archives_that_are_damaged() {
    let mut tar = TestTar::new().file("tools/a", 0o644, b"a").bytes();
    tar[3] ^= 1;
    assert_eq!(open(tar).unwrap_err().to_string(), "the builder's tar is refused: it is damaged: archive header checksum mismatch");
    let long = vec![b'x'; 2 << 20];
    let record = TestTar::new().entry(EntryType::GNULongName, b"x", b"", 0o644, &long);
    assert_eq!(refusal(record), "the builder's tar is refused: it is damaged: a header record is too long");
    let sparse = TestTar::new().entry(EntryType::XHeader, b"x", b"", 0o644, b"22 GNU.sparse.major=1\n").file("tools/a", 0o644, b"");
    assert_eq!(refusal(sparse), "the builder's tar is refused: it is damaged: it has sparse files");
}

#[test]
fn refuses_archives_out_of_proportion() {
    let dir = tempfile::tempdir().unwrap();
    let tar = TestTar::new().file("a", 0o644, b"12345").file("b", 0o644, b"12345").write(dir.path());
    let open = |limits| TarIndex::open(&tar, Rules::Lenient, limits).unwrap_err().to_string();
    assert_eq!(open(Limits { entries: 1, ..LIMITS }), "it has more than 1 entries");
    assert_eq!(open(Limits { bytes: 9, ..LIMITS }), "its files have more than 9 bytes together");
    let tar = TestTar::new().file("tools/x", 0o644, b"").write(dir.path());
    let error = TarIndex::open(&tar, Rules::Lenient, Limits { path: 6, ..LIMITS }).unwrap_err().to_string();
    assert_eq!(error, "entry `tools/x` has a path or target longer than 6 bytes");
}

#[test]
fn tells_what_to_do_about_a_refused_tar() {
    let dir = tempfile::tempdir().unwrap();
    let tar = TestTar::new().file("/etc/passwd", 0o644, b"").write(dir.path());
    let failure = Failure::from(Artifacts::open(&tar).unwrap_err()).to_string();
    assert_eq!(
        failure,
        format!(
            "error: the builder's tar is refused: entry `/etc/passwd` has an absolute path\n  tar       {}\n  help      nothing was published; look at what the driver's build recipe installs",
            tar.display()
        )
    );
}
