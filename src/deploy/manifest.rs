//! Kubernetes objects as YAML: in one stream, or in files for kustomize.

use std::collections::BTreeMap;

use k8s_openapi::Resource;
use serde::Serialize;
use serde_json::Value;

/// One object, as the API takes it.
#[derive(Clone, Debug, PartialEq)]
pub struct Object {
    /// The driver that it is for; `None`: for all of them.
    pub driver: Option<String>,
    /// All of it.
    pub value: Value,
}

/// Why an object cannot be written.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {message}")]
pub struct UnwritableObject {
    /// What it is.
    pub kind: String,
    /// The serialiser's words.
    pub message: String,
}

impl Object {
    /// An object of a driver, or of all.
    ///
    /// # Errors
    /// When its type cannot be written; a fault of kmodforge.
    pub fn new<T: Resource + Serialize>(driver: Option<&str>, object: &T) -> Result<Self, UnwritableObject> {
        let value = serde_json::to_value(object).map_err(|error| UnwritableObject { kind: T::KIND.to_owned(), message: error.to_string() })?;
        Ok(Self { driver: driver.map(str::to_owned), value })
    }

    /// `DaemonSet`.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.value["kind"].as_str().unwrap_or_default()
    }

    /// Its name.
    #[must_use]
    pub fn name(&self) -> &str {
        self.value["metadata"]["name"].as_str().unwrap_or_default()
    }

    fn yaml(&self) -> Result<String, UnwritableObject> {
        yaml(self.kind(), &self.value)
    }
}

/// Anything as YAML: texts of several lines stay readable, long ones whole. `kind` says what it is, should that fail.
pub(crate) fn yaml(kind: &str, value: &impl Serialize) -> Result<String, UnwritableObject> {
    let options = serde_saphyr::ser_options! { folded_wrap_chars: usize::MAX };
    let text = serde_saphyr::to_string_with_options(value, options);
    text.map_err(|error| UnwritableObject { kind: kind.to_owned(), message: error.to_string() })
}

/// All objects as one stream of documents.
///
/// # Errors
/// When one cannot be written.
pub fn stream(objects: &[Object]) -> Result<String, UnwritableObject> {
    objects.iter().map(|object| Ok(format!("---\n{}", object.yaml()?))).collect()
}

/// First line of each `kustomization.yaml` that kmodforge writes.
pub const MARK: &str = "# Written by kmodforge; what it lists is replaced when it is written again.";
/// Folder of what belongs to no driver.
const COMMON: &str = "common";

/// The same as a tree for kustomize: a folder per driver, a file per object. Paths are below the tree's folder.
///
/// # Errors
/// When one cannot be written.
pub fn kustomization(objects: &[Object]) -> Result<BTreeMap<String, String>, UnwritableObject> {
    let mut files = BTreeMap::new();
    let mut folders: BTreeMap<&str, Vec<String>> = BTreeMap::new();
    for object in objects {
        let folder = object.driver.as_deref().unwrap_or(COMMON);
        let file = format!("{}-{}.yaml", object.kind().to_lowercase(), object.name());
        files.insert(format!("{folder}/{file}"), object.yaml()?);
        folders.entry(folder).or_default().push(file);
    }
    for (folder, resources) in &folders {
        files.insert(format!("{folder}/kustomization.yaml"), list(resources.iter().map(String::as_str)));
    }
    files.insert("kustomization.yaml".into(), list(folders.into_keys()));
    Ok(files)
}

fn list<'a>(resources: impl Iterator<Item = &'a str>) -> String {
    let resources: String = resources.map(|resource| format!("- {resource}\n")).collect();
    format!("{MARK}\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n{resources}")
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::ConfigMap;
    use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

    use super::*;

    fn object(driver: Option<&str>, name: &str, text: &str) -> Object {
        let metadata = ObjectMeta { name: Some(name.into()), ..ObjectMeta::default() };
        let data = Some(BTreeMap::from([("text".to_owned(), text.to_owned())]));
        Object::new(driver, &ConfigMap { metadata, data, ..ConfigMap::default() }).unwrap()
    }

    #[test]
    fn texts_stay_what_they_are() {
        for text in [
            "12",
            "true",
            "0.15",
            "1e3",
            "a: b",
            "- a",
            "two\nlines\n",
            "  indented\nlines",
            "tab\tand 'quotes' and \"quotes\"\n",
            "no\n\n",
            &"x".repeat(300),
            &"word ".repeat(90),
        ] {
            let written = object(None, "a", text).yaml().unwrap();
            let read: Value = serde_saphyr::from_str(&written).unwrap();
            assert_eq!(read["data"]["text"], text, "{written}");
        }
    }

    #[test]
    fn a_stream_has_one_document_per_object() {
        let stream = stream(&[object(None, "a", "1"), object(None, "b", "line\nline\n")]).unwrap();
        assert_eq!(
            stream,
            "---\napiVersion: v1\nkind: ConfigMap\ndata:\n  text: \"1\"\nmetadata:\n  name: a\n\
             ---\napiVersion: v1\nkind: ConfigMap\ndata:\n  text: |\n    line\n    line\nmetadata:\n  name: b\n"
        );
    }

    #[test]
    fn kustomize_finds_every_object() {
        let files = kustomization(&[object(None, "a", "1"), object(Some("zfs"), "b", "2"), object(Some("zfs"), "c", "3")]).unwrap();
        let paths: Vec<_> = files.keys().map(String::as_str).collect();
        assert_eq!(
            paths,
            [
                "common/configmap-a.yaml",
                "common/kustomization.yaml",
                "kustomization.yaml",
                "zfs/configmap-b.yaml",
                "zfs/configmap-c.yaml",
                "zfs/kustomization.yaml"
            ]
        );
        assert!(files["kustomization.yaml"].ends_with("resources:\n- common\n- zfs\n"));
        assert!(files["zfs/kustomization.yaml"].ends_with("resources:\n- configmap-b.yaml\n- configmap-c.yaml\n"));
    }
}
