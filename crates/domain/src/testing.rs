//! For tests: the folder of the public data sets.

use std::path::PathBuf;

/// The folder of public data sets: `$LIMBIC_DATA`, or `../shared/data` beside the repository.
///
/// `None` if the folder does not exist. It then prints a notice to standard error, and the caller skips its test.
#[expect(
    clippy::print_stderr,
    reason = "the person who runs the tests must see a skipped one"
)]
pub fn data_dir() -> Option<PathBuf> {
    let beside = || PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../../shared/data");
    let folder = std::env::var_os("LIMBIC_DATA").map_or_else(beside, PathBuf::from);
    if folder.is_dir() {
        return Some(folder);
    }
    eprintln!(
        "\n*** SKIPPED: no data sets at {} (set LIMBIC_DATA to their folder) ***\n",
        folder.display()
    );
    None
}
