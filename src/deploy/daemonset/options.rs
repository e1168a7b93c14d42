//! What users decide about `DaemonSet`s.

use std::collections::BTreeMap;
use std::str::FromStr;

use k8s_openapi::api::apps::v1::{DaemonSetUpdateStrategy, RollingUpdateDaemonSet};
use k8s_openapi::api::core::v1::{AppArmorProfile, Toleration};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::DeployError;
use crate::deploy::naming::DnsLabel;
use crate::deploy::nodes::{LabelKey, cut, label_value};
use crate::reference::Reference;

/// How important loaders are where nothing else is said.
pub const PRIORITY_CLASS: &str = "system-node-critical";
/// What SELinux confines loaders to where nothing else is said: nothing.
pub const SELINUX_TYPE: &str = "spc_t";

/// How drivers are deployed.
#[derive(Clone, Debug)]
pub struct Options {
    /// The label that tells which kernel a node runs.
    pub kernel_label: LabelKey,
    /// Where the objects are, or how the namespaces of drivers begin.
    pub namespace: DnsLabel,
    /// What has a namespace of its own.
    pub namespace_per: NamespacePer,
    /// Labels that nodes must have besides.
    pub node_selector: BTreeMap<String, String>,
    /// Taints that do not keep pods away.
    pub tolerations: Vec<TolerationArg>,
    /// Secrets with the login for the registry.
    pub pull_secrets: Vec<DnsLabel>,
    /// How pods are replaced.
    pub update: Update,
    /// How important pods are.
    pub priority_class: String,
    /// The type that SELinux confines loaders to.
    pub selinux_type: String,
    /// The profile that AppArmor confines loaders to; `None`: the node's default.
    pub apparmor: Option<AppArmor>,
    /// Image with `kubectl` and a shell, which labels nodes.
    pub labeller_image: Option<Reference>,
    /// Whether nodes that no image serves are told.
    pub catch_all: bool,
}

impl Options {
    /// What holds where nothing else is said.
    #[must_use]
    pub fn new(namespace: DnsLabel) -> Self {
        Self {
            kernel_label: LabelKey::nfd(),
            namespace,
            namespace_per: NamespacePer::None,
            node_selector: BTreeMap::new(),
            tolerations: Vec::new(),
            pull_secrets: Vec::new(),
            update: Update::Rolling(IntOrString::Int(1)),
            priority_class: PRIORITY_CLASS.into(),
            selinux_type: SELINUX_TYPE.into(),
            apparmor: None,
            labeller_image: None,
            catch_all: false,
        }
    }

    /// The namespace of a driver's objects.
    pub(super) fn namespace_of(&self, driver: &str) -> Result<DnsLabel, DeployError> {
        match self.namespace_per {
            NamespacePer::None => Ok(self.namespace.clone()),
            NamespacePer::Driver => {
                let name = format!("{}-{driver}", self.namespace);
                name.parse().map_err(|reason| DeployError::Namespace { name, driver: driver.to_owned(), reason })
            }
        }
    }
}

/// A label that nodes must have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeLabel {
    /// Its key.
    pub key: LabelKey,
    /// Its value.
    pub value: String,
}

impl FromStr for NodeLabel {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        const FORM: InvalidOption = InvalidOption("`KEY=VALUE` as a node's label has them");
        let (key, value) = text.split_once('=').ok_or(FORM)?;
        if label_value(value) != value || cut(value) != value {
            return Err(FORM);
        }
        Ok(Self { key: key.parse().map_err(|_| FORM)?, value: value.to_owned() })
    }
}

/// What has a namespace of its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum NamespacePer {
    /// Nothing: all objects are in one.
    #[default]
    None,
    /// Each driver.
    Driver,
}

impl FromStr for NamespacePer {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        match text {
            "none" => Ok(Self::None),
            "driver" => Ok(Self::Driver),
            _ => Err(InvalidOption("`none` or `driver`")),
        }
    }
}

/// Why the value of an option is not understood.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("expected {0}")]
pub struct InvalidOption(&'static str);

/// How pods are replaced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Update {
    /// So many, or so many per cent, at a time.
    Rolling(IntOrString),
    /// When somebody deletes them.
    OnDelete,
}

impl Update {
    pub(super) fn strategy(&self) -> DaemonSetUpdateStrategy {
        match self {
            Self::Rolling(most) => DaemonSetUpdateStrategy {
                type_: Some("RollingUpdate".into()),
                rolling_update: Some(RollingUpdateDaemonSet { max_unavailable: Some(most.clone()), ..RollingUpdateDaemonSet::default() }),
            },
            Self::OnDelete => DaemonSetUpdateStrategy { type_: Some("OnDelete".into()), rolling_update: None },
        }
    }
}

impl FromStr for Update {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        let number = |text: &str| text.parse::<i32>().ok().filter(|number| *number > 0);
        let most = match text {
            "on-delete" => return Ok(Self::OnDelete),
            "rolling" => Some(IntOrString::Int(1)),
            text => text.strip_prefix("rolling:").and_then(|most| match most.strip_suffix('%') {
                Some(percent) => number(percent).filter(|percent| *percent <= 100).map(|_| IntOrString::String(most.to_owned())),
                None => number(most).map(IntOrString::Int),
            }),
        };
        most.map(Self::Rolling).ok_or(InvalidOption("`rolling`, `rolling:N`, `rolling:N%` or `on-delete`"))
    }
}

/// A taint that does not keep pods away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TolerationArg {
    key: Option<String>,
    value: Option<String>,
    effect: Option<String>,
}

impl TolerationArg {
    /// As pods have it.
    #[must_use]
    pub fn toleration(&self) -> Toleration {
        Toleration {
            key: self.key.clone(),
            operator: Some(if self.value.is_some() { "Equal" } else { "Exists" }.to_owned()),
            value: self.value.clone(),
            effect: self.effect.clone(),
            toleration_seconds: None,
        }
    }
}

impl FromStr for TolerationArg {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        const FORM: InvalidOption = InvalidOption("`KEY[=VALUE][:EFFECT]` with NoSchedule, PreferNoSchedule or NoExecute, or `*` for all");
        if text == "*" {
            return Ok(Self { key: None, value: None, effect: None });
        }
        let (taint, effect) = text.split_once(':').map_or((text, None), |(taint, effect)| (taint, Some(effect)));
        if effect.is_some_and(|effect| !["NoSchedule", "PreferNoSchedule", "NoExecute"].contains(&effect)) {
            return Err(FORM);
        }
        let (key, value) = taint.split_once('=').map_or((taint, None), |(key, value)| (key, Some(value.to_owned())));
        let key: LabelKey = key.parse().map_err(|_| FORM)?;
        Ok(Self { key: Some(key.to_string()), value, effect: effect.map(str::to_owned) })
    }
}

/// A profile of AppArmor. Kubelets refuse any but the second where AppArmor is off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AppArmor {
    /// The container runtime's.
    RuntimeDefault,
    /// None.
    Unconfined,
    /// One that the nodes have.
    Localhost(String),
}

impl AppArmor {
    pub(super) fn profile(&self) -> AppArmorProfile {
        let (type_, localhost_profile) = match self {
            Self::RuntimeDefault => ("RuntimeDefault", None),
            Self::Unconfined => ("Unconfined", None),
            Self::Localhost(name) => ("Localhost", Some(name.clone())),
        };
        AppArmorProfile { type_: type_.to_owned(), localhost_profile }
    }
}

impl FromStr for AppArmor {
    type Err = InvalidOption;

    fn from_str(text: &str) -> Result<Self, InvalidOption> {
        match text {
            "runtime-default" => Ok(Self::RuntimeDefault),
            "unconfined" => Ok(Self::Unconfined),
            text => match text.strip_prefix("localhost:") {
                Some(name) if !name.is_empty() => Ok(Self::Localhost(name.to_owned())),
                _ => Err(InvalidOption("`runtime-default`, `unconfined` or `localhost:PROFILE`")),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn updates_are_limited_by_number_or_share() {
        assert_eq!("rolling".parse(), Ok(Update::Rolling(IntOrString::Int(1))));
        assert_eq!("rolling:10%".parse(), Ok(Update::Rolling(IntOrString::String("10%".into()))));
        assert_eq!("on-delete".parse(), Ok(Update::OnDelete));
        for wrong in ["", "rolling:", "rolling:0", "rolling:101%", "rolling:-1", "recreate"] {
            assert!(wrong.parse::<Update>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn tolerations_are_written_as_kubectl_writes_taints() {
        let toleration = |text: &str| {
            let it = text.parse::<TolerationArg>().unwrap().toleration();
            (it.key.unwrap_or_default(), it.operator.unwrap_or_default(), it.value.unwrap_or_default(), it.effect.unwrap_or_default())
        };
        let words = |key: &str, operator: &str, value: &str, effect: &str| (key.to_owned(), operator.to_owned(), value.to_owned(), effect.to_owned());
        assert_eq!(toleration("gpu=a100:NoSchedule"), words("gpu", "Equal", "a100", "NoSchedule"));
        assert_eq!(toleration("nvidia.com/gpu"), words("nvidia.com/gpu", "Exists", "", ""));
        assert_eq!(toleration("*"), words("", "Exists", "", ""));
        for wrong in ["", "gpu:Never", "=a", "g p u"] {
            assert!(wrong.parse::<TolerationArg>().is_err(), "{wrong}");
        }
    }
}
