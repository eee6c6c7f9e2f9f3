//! Normalising the normal form changes nothing, and no invisible character is left.
#![no_main]

use libfuzzer_sys::fuzz_target;
use limbic_affect::normalise;

fuzz_target!(|text: &str| {
    let once = normalise(text);
    assert_eq!(normalise(&once), once);
    assert!(!once.contains(['\u{200b}', '\u{202e}', '\0', '\n']));
});
