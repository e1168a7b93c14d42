//! Profiles and project files.
#![no_main]

use std::path::Path;

use kmodforge::profile::distro::DistroProfile;
use kmodforge::profile::driver::DriverProfile;
use kmodforge::project::Project;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let _ = DriverProfile::load("driver.yaml", text);
    let _ = DistroProfile::load("distro.yaml", text);
    let _ = Project::parse(Path::new("kmodforge.yaml"), text);
});
