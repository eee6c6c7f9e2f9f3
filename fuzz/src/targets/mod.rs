//! The targets, by the kind of input.

mod files;
mod items;
mod networks;
mod pictures;
mod records;
mod requests;
mod settings;
mod texts;

use std::cell::RefCell;
use std::fs;
use std::path::{Path, PathBuf};

/// Every target with its name.
pub const ALL: &[(&str, fn(&[u8]))] = &[
    ("json", requests::json),
    ("items", requests::items),
    ("posts", requests::posts),
    ("consent", requests::consent),
    ("replay", files::replay),
    ("tables", files::tables),
    ("times", files::times),
    ("decision-logs", files::decision_logs),
    ("connector", files::connector),
    ("contacts", files::contacts),
    ("html", networks::plain_text),
    ("events", networks::events),
    ("mapping", networks::mapping),
    ("hooks", networks::hooks),
    ("signatures", networks::signatures),
    ("pushes", networks::pushes),
    ("feeds", networks::feeds),
    ("compliance", networks::compliance),
    ("pictures", pictures::pictures),
    ("records", records::records),
    ("intake", records::intake),
    ("settings", settings::settings),
    ("normalise", texts::normalise),
    ("tokenise", texts::tokenise),
    ("vader", texts::vader),
    ("lexicon", texts::lexicon),
    ("subjects", texts::subjects),
];

thread_local! {
    static FOLDER: RefCell<Option<PathBuf>> = const { RefCell::new(None) };
}

/// Writes a file with these bytes, in memory if the system has a folder for that, and passes on its path.
fn with_file(name: &str, bytes: &[u8], use_it: impl FnOnce(&Path)) {
    let folder = FOLDER.with_borrow_mut(|folder| {
        let new = || {
            let memory = Path::new("/dev/shm");
            let temporary = std::env::temp_dir();
            let parent = if memory.is_dir() { memory } else { &*temporary };
            let folder = parent.join(format!("limbic-fuzz-{}", std::process::id()));
            fs::create_dir_all(&folder).expect("a folder for the inputs");
            folder
        };
        folder.get_or_insert_with(new).clone()
    });
    let path = folder.join(name);
    fs::write(&path, bytes).expect("the input is written");
    use_it(&path);
    fs::remove_file(&path).expect("the input is removed");
}
