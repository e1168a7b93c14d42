use std::collections::BTreeMap;
use std::io::Cursor;

use backhand::{FilesystemReader, InnerNode};
use base64::Engine as _;

use super::extension::{Extension, Node};
use super::*;
use crate::arch::Arch;
use crate::fixture;
use crate::image::contents::Contents;
use crate::image::tar::TarWriter;
use crate::rollout::Load;

const KERNEL: &str = "6.1.0-56-amd64";

fn fleet() -> Fleet {
    Fleet::of(&[fixture::published("v4l2loopback", KERNEL), fixture::published("v4l2loopback", "6.1.0-55-amd64")]).unwrap()
}

/// One image, after a change.
fn changed(change: impl FnOnce(&mut FleetImage)) -> Fleet {
    let mut fleet = Fleet::of(&[fixture::published("v4l2loopback", KERNEL)]).unwrap();
    change(&mut fleet.images[0]);
    fleet
}

fn text_of(fleet: &Fleet, path: &str) -> String {
    tree(fleet).unwrap().into_iter().find(|file| file.path == path).unwrap().text
}

#[test]
fn a_tree_has_the_runner_its_units_and_one_description_per_kernel() {
    let files = tree(&fleet()).unwrap();
    let paths: Vec<_> = files.iter().map(|file| (file.path.as_str(), file.executable)).collect();
    assert_eq!(
        paths,
        [
            ("opt/kmodforge/bin/kmodforge-node", true),
            ("etc/kmodforge/drivers/v4l2loopback/debian-12/6.1.0-56-amd64", false),
            ("etc/kmodforge/drivers/v4l2loopback/debian-12/6.1.0-55-amd64", false),
            ("etc/systemd/system/kmodforge@.service", false),
            ("etc/systemd/system/kmodforge-fetch.service", false),
            ("etc/systemd/system/kmodforge-fetch.path", false),
            ("etc/systemd/system/kmodforge-fetch.timer", false),
        ]
    );
    let service = text_of(&fleet(), "etc/systemd/system/kmodforge@.service");
    assert!(service.contains("\nExecStart=/opt/kmodforge/bin/kmodforge-node start %i\nExecStop=/opt/kmodforge/bin/kmodforge-node stop %i\n"), "{service}");
}

#[test]
fn a_description_says_everything_that_a_node_does() {
    let fleet = changed(|image| {
        image.arches.push(Arch::Arm64);
        image.rollout.remove_first = vec!["r8169-old".into()];
        image.rollout.load_first = vec!["mii".into()];
        image.rollout.loads[0].parameters = BTreeMap::from([("card_label".into(), "two words".into()), ("devices".into(), "2".into())]);
        image.rollout.loads.push(Load { module: "second".into(), parameters: BTreeMap::new() });
        image.rollout.unload = false;
    });
    let digest = fixture::index_digest();
    let expected = format!(
        "# v4l2loopback 0.15.3\nimage registry.example/drivers/v4l2loopback@{digest}\narch amd64\narch arm64\nremove r8169_old\nfirst mii\n\
         load v4l2loopback\nparameter card_label=\"two words\"\nparameter devices=2\nload second\nunload no\n"
    );
    assert_eq!(text_of(&fleet, "etc/kmodforge/drivers/v4l2loopback/debian-12/6.1.0-56-amd64"), expected);
}

/// They share a tag and a label, but never a file.
#[test]
fn kernels_that_differ_by_a_plus_have_descriptions_of_their_own() {
    let mut fleet = fleet();
    fleet.images[0].kernel = "5.10.109+".parse().unwrap();
    fleet.images[1].kernel = "5.10.109".parse().unwrap();
    let paths: Vec<_> = tree(&fleet).unwrap().into_iter().map(|file| file.path).filter(|path| path.contains("5.10")).collect();
    assert_eq!(paths, ["etc/kmodforge/drivers/v4l2loopback/debian-12/5.10.109+", "etc/kmodforge/drivers/v4l2loopback/debian-12/5.10.109"]);
}

#[test]
fn systems_without_versions_are_named_without_one() {
    let fleet = changed(|image| image.rollout.system.version = None);
    assert!(tree(&fleet).unwrap().iter().any(|file| file.path == "etc/kmodforge/drivers/v4l2loopback/debian/6.1.0-56-amd64"));
}

#[test]
fn what_would_leave_its_line_or_folder_is_refused() {
    let refused = |fleet: &Fleet| tree(fleet).unwrap_err().to_string();
    assert_eq!(refused(&changed(|image| image.driver = "../x".into())), "the name of ../x is `../x`");
    assert_eq!(refused(&changed(|image| image.rollout.system.id = "a/b".into())), "the system of v4l2loopback is `a/b-12`");
    let line_break = changed(|image| image.rollout.loads[0].parameters = BTreeMap::from([("a".into(), "1\nload evil".into())]));
    assert_eq!(refused(&line_break), "the parameter of v4l2loopback is `a=1\\nload evil`");
    assert_eq!(refused(&changed(|image| image.rollout.loads[0].module = String::new())), "the load of v4l2loopback is ``");
}

/// Whatever the language, hosts get the same files and units.
#[test]
fn butane_ignition_and_cloud_init_say_what_the_tree_has() {
    let fleet = fleet();
    let expected: BTreeMap<_, _> = tree(&fleet).unwrap().into_iter().map(|file| (format!("/{}", file.path), file.text)).collect();
    let butane: serde_json::Value = serde_saphyr::from_str(&formats::butane(&fleet).unwrap()).unwrap();
    let ignition: serde_json::Value = serde_json::from_str(&formats::ignition(&fleet).unwrap()).unwrap();
    let decoded = |source: &str| {
        let bytes = base64::engine::general_purpose::STANDARD.decode(source.strip_prefix("data:;base64,").unwrap()).unwrap();
        String::from_utf8(bytes).unwrap()
    };
    let all = |config: &serde_json::Value, text: &dyn Fn(&serde_json::Value) -> String| {
        let files = config["storage"]["files"].as_array().unwrap().iter().map(|file| (file["path"].as_str().unwrap().to_owned(), text(&file["contents"])));
        let units = config["systemd"]["units"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|unit| Some((format!("/etc/systemd/system/{}", unit["name"].as_str()?), unit["contents"].as_str()?.to_owned())));
        files.chain(units).collect::<BTreeMap<_, _>>()
    };
    assert_eq!(all(&butane, &|contents| contents["inline"].as_str().unwrap().to_owned()), expected);
    assert_eq!(all(&ignition, &|contents| decoded(contents["source"].as_str().unwrap())), expected);
    for config in [&butane, &ignition] {
        let units = config["systemd"]["units"].as_array().unwrap();
        let enabled: Vec<_> = units.iter().filter(|unit| unit["enabled"] == true).map(|unit| unit["name"].as_str().unwrap()).collect();
        assert_eq!(enabled, ["kmodforge-fetch.path", "kmodforge-fetch.timer", "kmodforge@v4l2loopback.service"]);
        assert_eq!(config["storage"]["files"][0]["mode"], 0o755);
    }
    assert_eq!(
        (butane["variant"].as_str(), butane["version"].as_str(), ignition["ignition"]["version"].as_str()),
        (Some("flatcar"), Some("1.0.0"), Some("3.3.0"))
    );

    let text = formats::cloud_init(&fleet).unwrap();
    let data: serde_json::Value = serde_saphyr::from_str(text.strip_prefix("#cloud-config\n").unwrap()).unwrap();
    let files = data["write_files"].as_array().unwrap();
    let written: BTreeMap<_, _> = files.iter().map(|file| (file["path"].as_str().unwrap().to_owned(), file["content"].as_str().unwrap().to_owned())).collect();
    assert_eq!(written, expected);
    assert_eq!((files[0]["permissions"].as_str(), files[1]["permissions"].as_str()), (Some("0755"), Some("0644")));
    assert_eq!(data["runcmd"][1].as_array().unwrap().len(), 6);
}

#[test]
fn fedora_has_a_variant_of_its_own() {
    let fleet = changed(|image| image.rollout.system.id = "fedora".into());
    assert!(formats::butane(&fleet).unwrap().starts_with("variant: fcos\nversion: 1.4.0\n"));
}

/// The layers of an image for a kernel, as far as extensions care.
fn contents(folder: &std::path::Path, release: &str) -> Contents {
    let mut tar = TarWriter::new(Vec::new(), 0);
    let module = format!("opt/lib/modules/{release}/extra/v4l2loopback.ko");
    for path in ["firmware", "firmware/a.bin", "opt", "opt/lib", "opt/lib/modules", &format!("opt/lib/modules/{release}"), &module, "usr", "usr/bin"] {
        if path.contains('.') && !path.ends_with("amd64") {
            tar.file(path, false, 3, &mut &b"abc"[..]).unwrap();
        } else {
            tar.directory(path).unwrap();
        }
    }
    tar.symlink("opt/lib/modules/other+", release).unwrap();
    let layer = folder.join("layer");
    std::fs::write(&layer, tar.finish().unwrap()).unwrap();
    Contents::open(&[layer], folder).unwrap()
}

#[test]
fn an_extension_brings_image_description_and_units_below_usr() {
    let folder = tempfile::tempdir().unwrap();
    let image = &fleet().images[0];
    let extension = Extension::new(image, Arch::Amd64, &contents(folder.path(), KERNEL)).unwrap();
    assert_eq!(extension.name, "kmodforge-v4l2loopback-6.1.0-56-amd64");
    let images = format!("usr/lib/kmodforge/images/{}", fixture::index_digest().hex());
    let mut expected = vec![
        "usr/lib/extension-release.d/extension-release.kmodforge-v4l2loopback-6.1.0-56-amd64".to_owned(),
        "usr/lib/kmodforge/bin/kmodforge-node".to_owned(),
        "usr/lib/kmodforge/drivers/v4l2loopback/debian-12/6.1.0-56-amd64".to_owned(),
        format!("{images}/firmware/a.bin"),
        format!("{images}/lib/modules/6.1.0-56-amd64/extra/v4l2loopback.ko"),
        format!("{images}/lib/modules/other+"),
    ];
    expected.extend(["-fetch.path", "-fetch.service", "-fetch.timer", "@.service"].map(|unit| format!("usr/lib/systemd/system/kmodforge{unit}")));
    expected.push("usr/lib/systemd/system/multi-user.target.d/10-kmodforge-v4l2loopback.conf".to_owned());
    assert_eq!(extension.nodes.keys().cloned().collect::<Vec<_>>(), expected);
    let text = |path: &str| match &extension.nodes[path] {
        Node::File { bytes, .. } => String::from_utf8(bytes.clone()).unwrap(),
        Node::Symlink(target) => target.clone(),
    };
    assert_eq!(text(&expected[0]), "ID=debian\nVERSION_ID=12\nARCHITECTURE=x86-64\nEXTENSION_RELOAD_MANAGER=1\n");
    assert!(text("usr/lib/systemd/system/kmodforge@.service").contains("ExecStart=/usr/lib/kmodforge/bin/kmodforge-node start %i"));
    assert_eq!(text(&expected[10]), "[Unit]\nUpholds=kmodforge@v4l2loopback.service\n");
}

#[test]
fn an_extension_for_another_kernel_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let error = Extension::new(&fleet().images[0], Arch::Amd64, &contents(folder.path(), "6.1.0-55-amd64")).unwrap_err();
    let image = &fleet().images[0].image;
    assert_eq!(error.to_string(), format!("`{image}` has no `/opt/lib/modules/6.1.0-56-amd64`"));
}

#[test]
fn a_squashfs_holds_the_extension_and_is_the_same_every_time() {
    let folder = tempfile::tempdir().unwrap();
    let extension = Extension::new(&fleet().images[0], Arch::Amd64, &contents(folder.path(), KERNEL)).unwrap();
    let write = || {
        let mut bytes = Cursor::new(Vec::new());
        extension.write_squashfs(&mut bytes).unwrap();
        bytes.into_inner()
    };
    let bytes = write();
    assert_eq!(bytes, write());
    let image = FilesystemReader::from_reader(Cursor::new(bytes)).unwrap();
    let mut seen = 0;
    for node in image.files() {
        let path = node.fullpath.display().to_string();
        let expected = extension.nodes.get(path.trim_start_matches('/'));
        assert_eq!((node.header.uid, node.header.gid, node.header.mtime), (0, 0, 0), "{path}");
        match &node.inner {
            InnerNode::File(file) => {
                let mut content = Vec::new();
                std::io::Read::read_to_end(&mut image.file(file).reader(), &mut content).unwrap();
                let executable = node.header.permissions == 0o755;
                assert_eq!(expected, Some(&Node::File { executable, bytes: content }), "{path}");
                seen += 1;
            }
            InnerNode::Symlink(link) => {
                assert_eq!(expected, Some(&Node::Symlink(link.link.display().to_string())), "{path}");
                seen += 1;
            }
            _ => assert_eq!(node.header.permissions, 0o755, "{path}"),
        }
    }
    assert_eq!(seen, extension.nodes.len());
}

#[test]
fn templates_know_their_names() {
    for template in ["systemd/kmodforge@.service.tera", "systemd/kmodforge-fetch.service.tera"] {
        assert_eq!(template::names_used(template).unwrap(), ["runner"]);
    }
}
