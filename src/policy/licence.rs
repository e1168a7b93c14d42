//! Licences, as SPDX names them (SPDX 2.3, annex D), and what of an expression may be passed on.

use spdx::expression::{ExprNode, Operator};
use spdx::{AdditionItem, Expression, LicenseItem, LicenseReq, ParseMode};

use crate::yaml::nearest;

/// A licence, perhaps with an exception: one name, no choice.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Licence {
    name: String,
    exception: Option<String>,
}

/// Why a text is not one licence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotOne {
    /// Several, with `AND` or `OR` between them.
    Several,
    /// SPDX has no such name.
    Unknown,
}

impl NotOne {
    pub(super) fn expected(self) -> &'static str {
        match self {
            Self::Several => "one licence",
            Self::Unknown => "a licence that SPDX lists",
        }
    }

    pub(super) fn advice(self) -> &'static str {
        match self {
            Self::Several => "list each licence as an entry of its own",
            Self::Unknown => "expected a name such as `GPL-2.0-only`, with `WITH` and an exception if need be, or `LicenseRef-NAME`",
        }
    }
}

impl Licence {
    /// Reads a name of the SPDX list, or a `LicenseRef-…`.
    ///
    /// # Errors
    /// When it is another, or more than one.
    pub fn parse(text: &str) -> Result<Self, NotOne> {
        let expression = Expression::parse(text).map_err(|_| NotOne::Unknown)?;
        let mut parts = expression.requirements();
        match (parts.next(), parts.next()) {
            (Some(part), None) => Ok(Self::of(&part.req)),
            _ => Err(NotOne::Several),
        }
    }

    /// The name that is most likely meant: of a name of old, what it is called today.
    pub(super) fn nearest(text: &str) -> Option<&'static str> {
        let names = || spdx::identifiers::LICENSES.iter().map(|licence| licence.name);
        let current = || names().filter(|name| spdx::license_id(name).is_some_and(|id| !id.is_deprecated()));
        current().find(|name| name.strip_suffix("-only") == Some(text)).or_else(|| nearest(text, current()))
    }

    /// By its name of today: `GPL-2.0` and `GPL-2.0+` are names of old.
    fn of(part: &LicenseReq) -> Self {
        let name = match &part.license {
            LicenseItem::Spdx { id, or_later } if id.is_gnu() && !id.name.ends_with("-only") && !id.name.ends_with("-or-later") => {
                format!("{}-{}", id.name.trim_end_matches('+'), if *or_later || id.name.ends_with('+') { "or-later" } else { "only" })
            }
            LicenseItem::Spdx { id, or_later } => format!("{}{}", id.name, if *or_later { "+" } else { "" }),
            LicenseItem::Other(other) => other.to_string(),
        };
        let exception = part.addition.as_ref().map(|addition| match addition {
            AdditionItem::Spdx(id) => id.name.to_owned(),
            AdditionItem::Other(other) => other.to_string(),
        });
        Self { name, exception }
    }

    /// Whether whoever may use this licence may use what asks for `wanted`: the same, or one of the versions that `-or-later` offers.
    fn covers(&self, wanted: &Self) -> bool {
        if self.exception != wanted.exception {
            return false;
        }
        let offered = wanted.name.strip_suffix("-or-later").and_then(version);
        let own = self.name.strip_suffix("-or-later").or_else(|| self.name.strip_suffix("-only")).and_then(version);
        self.name == wanted.name || matches!((offered, own), (Some((family, from)), Some((own, version))) if family == own && version >= from)
    }
}

/// `GPL-2.0` is version 2.0 of `GPL`.
fn version(name: &str) -> Option<(&str, Vec<u32>)> {
    let (family, number) = name.rsplit_once('-')?;
    Some((family, number.split('.').map(|part| part.parse().ok()).collect::<Option<_>>()?))
}

impl std::fmt::Display for Licence {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.name)?;
        self.exception.as_ref().map_or(Ok(()), |exception| write!(f, " WITH {exception}"))
    }
}

/// What keeps an expression from being satisfied by some licences: nothing if it is. Of a choice, one part is sufficient.
///
/// # Errors
/// When it is no expression.
pub(super) fn missing(expression: &str, allowed: &[Licence]) -> Result<Vec<Licence>, String> {
    let parsed = Expression::parse_mode(expression, ParseMode::LAX).map_err(|error| error.reason.to_string())?;
    let mut stack: Vec<Vec<Licence>> = Vec::new();
    for node in parsed.iter() {
        match node {
            ExprNode::Req(part) => {
                let licence = Licence::of(&part.req);
                let is_allowed = allowed.iter().any(|known| known.covers(&licence));
                stack.push(if is_allowed { Vec::new() } else { vec![licence] });
            }
            ExprNode::Op(operator) => {
                let (right, mut left) = (stack.pop().unwrap_or_default(), stack.pop().unwrap_or_default());
                match operator {
                    Operator::Or if left.is_empty() || right.is_empty() => stack.push(Vec::new()),
                    Operator::Or | Operator::And => {
                        left.extend(right);
                        stack.push(left);
                    }
                }
            }
        }
    }
    let mut missing = stack.pop().unwrap_or_default();
    missing.sort();
    missing.dedup();
    Ok(missing)
}

/// The SPDX expression of a module's `license` (`include/linux/module.h`): `GPL` there does not tell `only` from `or-later`, so the stricter is taken.
/// `None` for what is proprietary or unknown.
#[must_use]
pub fn of_module(license: &str) -> Option<&'static str> {
    Some(match license {
        "GPL" | "GPL v2" | "GPL and additional rights" => "GPL-2.0-only",
        "Dual BSD/GPL" => "BSD-3-Clause OR GPL-2.0-only",
        "Dual MIT/GPL" => "MIT OR GPL-2.0-only",
        "Dual MPL/GPL" => "MPL-2.0 OR GPL-2.0-only",
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn missing_of(expression: &str, allowed: &[&str]) -> String {
        let allowed: Vec<_> = allowed.iter().map(|name| Licence::parse(name).unwrap()).collect();
        missing(expression, &allowed).map_or_else(|error| error, |missing| missing.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "))
    }

    #[test]
    fn expressions_are_evaluated() {
        for (expression, allowed, lacks) in [
            ("GPL-2.0-only", &["GPL-2.0-only"][..], ""),
            ("GPL-2.0-only", &["MIT"], "GPL-2.0-only"),
            ("MIT OR GPL-2.0-only", &["MIT"], ""),
            ("MIT OR GPL-2.0-only", &["BSD-3-Clause"], "GPL-2.0-only, MIT"),
            ("CDDL-1.0 AND GPL-2.0-or-later", &["GPL-2.0-or-later"], "CDDL-1.0"),
            ("(CDDL-1.0 OR MIT) AND GPL-2.0-or-later", &["MIT", "GPL-2.0-or-later"], ""),
            ("GPL-2.0-only WITH Linux-syscall-note", &["GPL-2.0-only"], "GPL-2.0-only WITH Linux-syscall-note"),
            ("GPL-2.0-only WITH Linux-syscall-note", &["GPL-2.0-only WITH Linux-syscall-note"], ""),
            ("LicenseRef-NVIDIA", &["LicenseRef-NVIDIA"], ""),
            ("LicenseRef-NVIDIA", &["LicenseRef-Other"], "LicenseRef-NVIDIA"),
        ] {
            assert_eq!(missing_of(expression, allowed), lacks, "{expression} with {allowed:?}");
        }
    }

    #[test]
    fn or_later_offers_later_versions() {
        assert_eq!(missing_of("GPL-2.0-or-later", &["GPL-2.0-only"]), "");
        assert_eq!(missing_of("GPL-2.0-or-later", &["GPL-3.0-or-later"]), "");
        assert_eq!(missing_of("GPL-3.0-or-later", &["GPL-2.0-only"]), "GPL-3.0-or-later");
        assert_eq!(missing_of("GPL-2.0-only", &["GPL-2.0-or-later"]), "GPL-2.0-only");
        assert_eq!(missing_of("LGPL-2.1-or-later", &["GPL-3.0-only"]), "LGPL-2.1-or-later");
    }

    #[test]
    fn old_names_are_understood_in_images() {
        assert_eq!(missing_of("GPL-2.0", &["GPL-2.0-only"]), "");
        assert_eq!(missing_of("GPL-2.0+", &["GPL-3.0-only"]), "");
    }

    #[test]
    fn what_is_no_expression_is_told() {
        for text in ["", "Proprietary", "MIT OR", "MIT AND (GPL-2.0-only"] {
            assert!(missing(text, &[]).is_err(), "{text}");
        }
    }

    #[test]
    fn a_licence_is_one_name() {
        assert_eq!(Licence::parse("MIT OR Apache-2.0"), Err(NotOne::Several));
        for text in ["", "GPL", "GPL-2.0", "mit license"] {
            assert_eq!(Licence::parse(text), Err(NotOne::Unknown), "{text}");
        }
        assert_eq!(Licence::parse("Apache-2.0 WITH LLVM-exception").unwrap().to_string(), "Apache-2.0 WITH LLVM-exception");
    }
}
