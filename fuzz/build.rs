//! Copies files of other crates without their pages, so that they compile inside a module here, without the rest of those crates.

use std::path::Path;
use std::{env, fs};

const FILES: [&str; 9] = [
    "../crates/edges/ad-platforms/src/customer_list.rs",
    "../crates/edges/api/src/items.rs",
    "../crates/edges/connectors/src/html.rs",
    "../crates/edges/connectors/src/sse.rs",
    "../crates/edges/connectors/src/feed/entry.rs",
    "../crates/edges/connectors/src/seen.rs",
    "../crates/edges/connectors/src/text.rs",
    "../crates/edges/connectors/src/x/events.rs",
    "../crates/edges/connectors/src/x/lines.rs",
];

fn main() {
    let out = env::var_os("OUT_DIR").expect("cargo sets it");
    for source in FILES {
        println!("cargo::rerun-if-changed={source}");
        let text = fs::read_to_string(source).expect("a file of another crate");
        let code: Vec<&str> = text.lines().filter(|line| !line.starts_with("//!")).collect();
        let name = Path::new(source).file_name().expect("a file has a name");
        fs::write(Path::new(&out).join(name), code.join("\n")).expect("the copy is written");
    }
}
