//! Certificates of private authorities, for steps that fetch.

use crate::profile::distro::Family;

/// The configuration of apt that goes with them, as the secret `apt-authorities`.
pub const APT_AUTHORITIES: &str = "Acquire::https::CAInfo \"/etc/kmodforge/authorities.pem\";\n";

/// Mounts them as the secret `authorities` wherever a step may show who it is. They are no part of what is built, so templates do not know them.
pub(super) fn mount(dockerfile: &str, family: Family) -> String {
    let (beside, places): (_, &[(&str, &str)]) = match family {
        Family::Apt => (
            "--mount=type=secret,id=apt-auth,",
            &[("authorities", "/etc/kmodforge/authorities.pem"), ("apt-authorities", "/etc/apt/apt.conf.d/zz-kmodforge-authorities")],
        ),
        Family::Dnf => ("--mount=type=secret,id=client-certificate,", &[("authorities", "/etc/pki/tls/certs/ca-bundle.crt")]),
        Family::Pacman => ("--mount=type=secret,id=client-certificate,", &[("authorities", "/etc/ssl/certs/ca-certificates.crt")]),
        Family::Zypper => ("--mount=type=secret,id=client-certificate,", &[("authorities", "/etc/ssl/ca-bundle.pem")]),
    };
    let mount = |(id, target): &(&str, &str)| format!("--mount=type=secret,id={id},target={target} \\\n    ");
    let mounts = places.iter().map(mount).collect::<Vec<_>>().concat();
    dockerfile.replace(beside, &format!("{mounts}{beside}"))
}
