//! The data folder. It holds texts of people, so only its owner may read it.

use std::io;
use std::path::Path;

#[cfg(unix)]
use std::os::unix::fs::{DirBuilderExt as _, PermissionsExt as _};

/// Creates the folder for its owner only. A folder that exists keeps its permissions.
pub(crate) fn create(folder: &Path) -> io::Result<()> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    builder.mode(0o700);
    builder.create(folder)
}

/// What is wrong with the permissions of the folder, and what to do.
pub(crate) fn problem(folder: &Path) -> Option<String> {
    #[cfg(unix)]
    {
        let mode = folder.metadata().ok()?.permissions().mode() & 0o777;
        if mode & 0o077 != 0 {
            let folder = folder.display();
            return Some(format!(
                "other users of this machine can open the data folder {folder} (mode {mode:03o}), and it holds texts of people: \
                 chmod 700 {folder}, and check what is in it"
            ));
        }
    }
    None
}

#[cfg(all(test, unix))]
mod tests {
    use super::*;

    #[test]
    fn a_new_folder_is_for_its_owner_and_an_open_one_is_reported() {
        let folder = tempfile::tempdir().unwrap();
        let data = folder.path().join("deep/data");
        create(&data).unwrap();
        assert_eq!(problem(&data), None);
        std::fs::set_permissions(&data, std::fs::Permissions::from_mode(0o750)).unwrap();
        let problem = problem(&data).unwrap();
        assert!(
            problem.contains("mode 750") && problem.contains("chmod 700"),
            "{problem}"
        );
        create(&data).unwrap();
    }
}
