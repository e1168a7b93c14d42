//! Reads the Modules of a file with several documents, as `kubectl get -o yaml` or a repository has them.

use serde::Deserialize;

use super::check::{self, Problem};
use super::types::{API_VERSION, Module};
use crate::error::{Exit, Failure};
use crate::yaml::{Source, Spot, Trail, YamlError};

/// The Modules of a file, and what else of it matters.
#[derive(Clone, Debug)]
pub struct ModuleFile {
    /// How the file is called.
    pub name: String,
    /// The Modules, in their order.
    pub modules: Vec<Found>,
    /// Names of the `ConfigMap`s with a recipe: their key is `dockerfile`.
    pub dockerfiles: Vec<String>,
}

/// A Module and where it is.
#[derive(Clone, Debug)]
pub struct Found {
    /// The Module, which a cluster would take.
    pub module: Module,
    source: Source,
}

impl Found {
    /// The spot of something in the Module.
    #[must_use]
    pub fn spot(&self, trail: &Trail) -> Spot {
        self.source.spot(trail)
    }
}

/// Why a file's Modules cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ModuleFileError {
    /// It is no YAML, or not that of a Module.
    #[error(transparent)]
    Yaml(#[from] YamlError),
    /// A cluster would refuse the Module.
    #[error("{}:{}:{}: {problem}", spot.file, spot.place.line, spot.place.column)]
    Refused {
        /// Where.
        spot: Box<Spot>,
        /// Why.
        problem: Problem,
    },
    /// Nothing but other resources.
    #[error("`{file}` holds no Module")]
    None {
        /// The file.
        file: String,
        /// What it holds.
        kinds: Vec<String>,
    },
}

/// What every resource has.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Head {
    #[serde(default)]
    api_version: String,
    #[serde(default)]
    kind: String,
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    data: Option<std::collections::BTreeMap<String, serde_json::Value>>,
}

#[derive(Default, Deserialize)]
struct Metadata {
    #[serde(default)]
    name: Option<String>,
}

impl ModuleFile {
    /// Reads a file's text; `name` is how messages call it. Other resources are passed over.
    ///
    /// # Errors
    /// When something is no YAML, there is no Module, or a cluster would refuse one.
    pub fn read(name: &str, text: &str) -> Result<Self, ModuleFileError> {
        let mut file = Self { name: name.to_owned(), modules: Vec::new(), dockerfiles: Vec::new() };
        let mut kinds = Vec::new();
        for document in documents(text) {
            let source = Source::read(name, &document)?;
            let head: Head = source.decode()?;
            let group = head.api_version.split_once('/').map_or("", |(group, _)| group);
            if head.kind == "Module" && (group == "kmm.sigs.x-k8s.io" || group.is_empty()) {
                file.modules.push(module(source, &head)?);
            } else if head.kind == "ConfigMap" && head.data.is_some_and(|data| data.contains_key("dockerfile")) {
                file.dockerfiles.extend(head.metadata.name);
            } else if !kinds.contains(&head.kind) {
                kinds.push(head.kind);
            }
        }
        if file.modules.is_empty() { Err(ModuleFileError::None { file: file.name, kinds }) } else { Ok(file) }
    }
}

fn module(source: Source, head: &Head) -> Result<Found, ModuleFileError> {
    let refused = |source: &Source, trail: &Trail, problem| ModuleFileError::Refused { spot: Box::new(source.spot(trail)), problem };
    if head.api_version != API_VERSION {
        let problem = Problem::ApiVersion(head.api_version.clone());
        return Err(refused(&source, &Trail::to("apiVersion"), problem));
    }
    let module: Module = source.decode()?;
    check::check(&module).map_err(|(trail, problem)| refused(&source, &trail, problem))?;
    Ok(Found { module, source })
}

/// The documents of a text. Each keeps its lines' numbers: what stands before it becomes empty lines.
fn documents(text: &str) -> Vec<String> {
    let mut documents = Vec::new();
    let mut document = String::new();
    let mut lines = 0;
    let mut has_content = false;
    for line in text.strip_prefix('\u{feff}').unwrap_or(text).lines() {
        lines += 1;
        let mark = line.trim_end();
        let line = if mark == "---" || mark == "..." || line.starts_with("--- ") {
            let done = std::mem::replace(&mut document, "\n".repeat(lines - 1));
            documents.extend(has_content.then_some(done));
            has_content = false;
            // A document may begin behind its mark.
            format!("   {}", line.get(3..).unwrap_or_default())
        } else {
            line.to_owned()
        };
        has_content |= !line.trim().is_empty() && !line.trim_start().starts_with('#');
        document.push_str(&line);
        document.push('\n');
    }
    documents.extend(has_content.then_some(document));
    documents
}

impl From<ModuleFileError> for Failure {
    fn from(error: ModuleFileError) -> Self {
        let headline = error.to_string();
        match error {
            ModuleFileError::Yaml(error) => error.into(),
            ModuleFileError::Refused { spot, problem } => {
                let failure = spot.failure(problem.to_string(), &problem.label());
                match problem {
                    Problem::NamesTooLong { .. } => failure.help("they are part of labels, which have at most 63 characters: choose shorter ones"),
                    Problem::Regexp { .. } => failure.help("KMM takes Go's syntax: https://github.com/google/re2/wiki/Syntax"),
                    Problem::BothMatchers => failure.help("split the mapping in two; the first that matches counts"),
                    _ => failure,
                }
            }
            ModuleFileError::None { kinds, .. } => {
                let kinds = kinds.iter().filter(|kind| !kind.is_empty()).map(|kind| format!("`{kind}`")).collect::<Vec<_>>().join(", ");
                let failure = Self::new(Exit::Usage, headline);
                let failure = if kinds.is_empty() { failure } else { failure.fact("found", &kinds) };
                failure.fact("expected", format!("`kind: Module` of `{API_VERSION}`")).help("ask the cluster for one: kubectl get module NAME -o yaml")
            }
        }
    }
}
