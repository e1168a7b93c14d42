//! Options of `report`.

use std::path::PathBuf;

use clap::Args;

const EXAMPLES: &str = "\
Examples:
  kmodforge report kmodforge-record.json -o report.html
  kmodforge report records/*.json -o report.html --junit junit.xml";

/// Arguments of `report`.
#[derive(Args, Clone, Debug)]
#[command(after_help = EXAMPLES)]
pub struct ReportArgs {
    /// Records of `build`; where several speak of a target, the run that began last is right.
    #[arg(required = true, value_name = "RECORD")]
    pub records: Vec<PathBuf>,
    /// Write the page to this file [default: standard output, unless --junit is given].
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Write `JUnit` XML to this file.
    #[arg(long, value_name = "FILE")]
    pub junit: Option<PathBuf>,
}
