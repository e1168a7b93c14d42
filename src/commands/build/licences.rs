//! What may not simply be passed on is not pushed, unless somebody says that he may.

use crate::error::{Exit, Failure};
use crate::plan::{Plan, State, Target};
use crate::profile::driver::Redistribution;
use crate::template::quote_shell;

/// Refuses to publish what nobody has accepted the licence of. `accepted` holds licences as profiles have them.
///
/// # Errors
/// When a target's modules or firmware need an acceptance that is not there.
pub(super) fn refuse(plan: &Plan, accepted: &[String]) -> Result<(), Failure> {
    let building = plan.targets.iter().filter(|target| matches!(target.state, State::Build(_)));
    let Some(first) = building.flat_map(restricted).find(|part| !accepted.iter().any(|licence| licence == part.licence)) else { return Ok(()) };
    let Part { what, licence, redistribution } = first;
    let why = match redistribution {
        Redistribution::Permitted | Redistribution::Unmodified => "may be passed on only unmodified",
        Redistribution::Disputed => "may perhaps not be passed on: lawyers disagree",
        Redistribution::Forbidden => "may not be passed on without an agreement",
    };
    Err(Failure::new(Exit::Usage, format!("{what} {why}"))
        .fact("licence", licence)
        .help(format!("if you may publish it: --accept-licence {}", quote_shell(licence)))
        .help("or build it for this machine alone: --output docker in place of --push"))
}

/// A part of an image that may not simply be passed on.
struct Part<'a> {
    what: String,
    licence: &'a str,
    redistribution: Redistribution,
}

fn restricted(target: &Target) -> Vec<Part<'_>> {
    let driver = &target.driver;
    let id = &driver.profile.id;
    let modules = Part { what: format!("driver `{id}`"), licence: &driver.profile.licence, redistribution: driver.profile.redistribution };
    let firmware = driver.version().firmware.iter().map(|firmware| Part {
        what: format!("the firmware of `{id}`"),
        licence: &firmware.licence,
        redistribution: firmware.redistribution,
    });
    let is_restricted = |part: &Part<'_>| !matches!(part.redistribution, Redistribution::Permitted);
    let modules = Some(modules).filter(is_restricted);
    modules.into_iter().chain(firmware.filter(|part| is_restricted(part) && part.redistribution != Redistribution::Unmodified)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture;
    use crate::plan::PlannedDriver;

    fn plan(redistribution: Redistribution) -> Plan {
        let mut plan = fixture::plan(&["v4l2loopback"], &["6.1.0-56-amd64"]).unwrap();
        let mut profile = plan.targets[0].driver.profile.as_ref().clone();
        profile.redistribution = redistribution;
        plan.targets[0].driver = PlannedDriver { profile: profile.into(), index: 0 }.into();
        plan
    }

    #[test]
    fn what_anybody_may_pass_on_needs_no_acceptance() {
        assert_eq!(refuse(&plan(Redistribution::Permitted), &[]), Ok(()));
    }

    #[test]
    fn the_rest_needs_exactly_its_own_licence_accepted() {
        for (redistribution, words) in [
            (Redistribution::Disputed, "may perhaps not be passed on: lawyers disagree"),
            (Redistribution::Forbidden, "may not be passed on without an agreement"),
            (Redistribution::Unmodified, "may be passed on only unmodified"),
        ] {
            let plan = plan(redistribution);
            let failure = refuse(&plan, &["MIT".into()]).unwrap_err();
            assert_eq!(
                failure.to_string(),
                format!(
                    "error: driver `v4l2loopback` {words}\n  licence   GPL-2.0-or-later\n  help      if you may publish it: --accept-licence GPL-2.0-or-later\n  \
                     help      or build it for this machine alone: --output docker in place of --push"
                )
            );
            assert_eq!(failure.exit, Exit::Usage);
            assert_eq!(refuse(&plan, &["GPL-2.0-or-later".into()]), Ok(()));
        }
    }
}
