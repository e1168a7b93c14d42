use super::*;
use crate::error::Failure;

/// Words in place of a line, below which the mistake is.
const MODULE: &str = "\
apiVersion: kmm.sigs.x-k8s.io/v1beta1
kind: Module
metadata:
  name: loop
  namespace: drivers
spec:
  selector: {kubernetes.io/os: linux}
  moduleLoader:
    container:
      modprobe:
        moduleName: v4l2loopback
      kernelMappings:
        - literal: 6.1.0-56-amd64
          containerImage: r.example/loop:1
";

fn read(text: &str) -> ModuleFile {
    ModuleFile::read("module.yaml", text).map_err(Failure::from).unwrap_or_else(|failure| panic!("{failure}"))
}

fn failure(from: &str, to: &str) -> String {
    assert!(MODULE.contains(from), "{from}");
    Failure::from(ModuleFile::read("module.yaml", &MODULE.replacen(from, to, 1)).unwrap_err()).to_string()
}

#[test]
fn a_module_is_found_among_other_resources() {
    let text = format!(
        "# all of it\n---\napiVersion: v1\nkind: ConfigMap\nmetadata: {{name: recipe}}\ndata:\n  dockerfile: |\n    FROM scratch\n--- # the Module\n{MODULE}\nstatus: {{moduleLoader: {{availableNumber: 1}}}}\n---\n"
    );
    let file = read(&text);
    assert_eq!((file.modules.len(), file.dockerfiles), (1, vec!["recipe".to_owned()]));
    assert_eq!(file.modules[0].module.resolve("6.1.0-56-amd64").unwrap().image, "r.example/loop:1");
    assert_eq!(file.modules[0].spot(&crate::yaml::Trail::to("kind")).place.line, 11);
}

#[test]
fn what_a_cluster_does_not_take_is_told_with_its_place() {
    assert_eq!(
        failure("moduleName:", "modulName:"),
        "error: unknown key `modulName`\n   --> module.yaml:11:9\n    |\n 11 |         modulName: v4l2loopback\n    |         ^^^^^^^^^ expected one of `moduleName`, `dirName`, `firmwarePath`, `parameters`, `args`, `rawArgs`, `modulesLoadingOrder`\n  help      did you mean `moduleName`?"
    );
    assert_eq!(
        failure("          containerImage", "          regexp: '^6'\n          containerImage"),
        "error: a mapping has both `literal` and `regexp`\n   --> module.yaml:14:19\n    |\n 14 |           regexp: '^6'\n    |                   ^^^^ expected one of the two\n  help      split the mapping in two; the first that matches counts"
    );
    assert_eq!(
        failure("literal: 6.1.0-56-amd64", "regexp: '^(6'"),
        "error: `^(6` is not a regular expression\n   --> module.yaml:13:19\n    |\n 13 |         - regexp: '^(6'\n    |                   ^^^^^ unclosed group\n  help      KMM takes Go's syntax: https://github.com/google/re2/wiki/Syntax"
    );
    assert_eq!(
        failure("name: loop", "name: a-name-that-is-longer-than-it-may-be"),
        "error: name and namespace `a-name-that-is-longer-than-it-may-be` and `drivers` have 43 characters together\n  --> module.yaml:4:9\n   |\n 4 |   name: a-name-that-is-longer-than-it-may-be\n   |         ^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^^ KMM takes 40\n  help      they are part of labels, which have at most 63 characters: choose shorter ones"
    );
    assert_eq!(
        failure("v1beta1", "v1beta2"),
        "error: there is no Module of `kmm.sigs.x-k8s.io/v1beta2`\n  --> module.yaml:1:13\n   |\n 1 | apiVersion: kmm.sigs.x-k8s.io/v1beta2\n   |             ^^^^^^^^^^^^^^^^^^^^^^^^^ expected `kmm.sigs.x-k8s.io/v1beta1`"
    );
    assert_eq!(
        failure("kind: Module", "kind: Pod"),
        "error: `module.yaml` holds no Module\n  found     `Pod`\n  expected  `kind: Module` of `kmm.sigs.x-k8s.io/v1beta1`\n  help      ask the cluster for one: kubectl get module NAME -o yaml"
    );
}

#[test]
fn the_webhooks_rules_hold() {
    let headline = |from: &str, to: &str| failure(from, to).lines().next().unwrap().to_owned();
    for (from, to, expected) in [
        ("  name: loop\n", "", "error: the Module has no name"),
        ("literal: 6.1.0-56-amd64\n          ", "", "error: a mapping has neither `literal` nor `regexp`"),
        ("r.example/loop:1", "''", "error: a mapping has no image"),
        ("r.example/loop:1", "r.example/loop", "error: the image `r.example/loop` has neither tag nor digest"),
        ("moduleName: v4l2loopback", "parameters: [a=b]", "error: `modprobe` must have either `moduleName` or `rawArgs` with `load` and `unload`"),
        (
            "moduleName: v4l2loopback",
            "moduleName: a\n        rawArgs: {load: [a]}",
            "error: `modprobe` must have either `moduleName` or `rawArgs` with `load` and `unload`",
        ),
        ("moduleName: v4l2loopback", "moduleName: a\n        modulesLoadingOrder: [a]", "error: `modulesLoadingOrder` must have at least two entries"),
        ("moduleName: v4l2loopback", "moduleName: a\n        modulesLoadingOrder: [b, a]", "error: `modulesLoadingOrder` must begin with `moduleName`"),
        ("moduleName: v4l2loopback", "moduleName: a\n        modulesLoadingOrder: [a, b, b]", "error: `modulesLoadingOrder` names a module twice"),
        ("      kernelMappings", "      sign: {keySecret: {name: k}, certSecret: {name: c}}\n      kernelMappings", "error: `sign` names no `filesToSign`"),
        (
            "      kernelMappings",
            "      sign: {keySecret: {name: k}, certSecret: {name: c}, filesToSign: [/lib/a.ko]}\n      kernelMappings",
            "error: `/lib/a.ko` is not below `dirName`, `/opt`",
        ),
        (
            "      kernelMappings",
            "      inTreeModuleToRemove: a\n      inTreeModulesToRemove: [b]\n      kernelMappings",
            "error: both `inTreeModuleToRemove` and `inTreeModulesToRemove` are used",
        ),
    ] {
        assert_eq!(headline(from, to), expected, "{to}");
    }
    let nameless = MODULE.replace("  namespace: drivers\n", "").replace("loop:1", "$MOD_NAMESPACE:1");
    let error = ModuleFile::read("module.yaml", &nameless).unwrap_err();
    assert_eq!(error.to_string(), "module.yaml:13:27: the image's name depends on the Module's namespace, which is not given");
}

#[test]
fn globs_stay_within_a_directory() {
    assert!(glob_fits("/opt/lib/modules/*/extra/*.ko", "/opt/lib/modules/6.1/extra/a.ko"));
    assert!(!glob_fits("/opt/lib/modules/*/*.ko", "/opt/lib/modules/6.1/extra/a.ko"));
}
