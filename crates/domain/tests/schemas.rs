//! The JSON Schema of every record is in `schemas/`, one file for each type and version. Stored records have those
//! shapes. So a change that old readers or old records cannot handle fails here.
//!
//! After a compatible change, run `LIMBIC_WRITE_SCHEMAS=1 cargo test -p limbic-domain --test schemas`. An incompatible
//! change needs a new `Record::VERSION`, which gets its own file.
#![expect(clippy::unwrap_used, reason = "tests")]

use std::path::PathBuf;

use limbic_domain::{
    AudienceStatus, Campaign, CampaignStatus, ConnectorPause, ConnectorPosition, CreativeSet, Decision,
    Deletion, Draft, Envelope, Feeling, Hold, Moment, Outcome, PaintedBackground, PlatformStatus, Post,
    Posterior, Progress, Reading, Record, ReviewRequest, ReviewVerdict, Withdrawal, WrittenTexts,
};
use schemars::JsonSchema;
use serde_json::Value;

fn path_of<T: Record>() -> PathBuf {
    let name = format!("{}.v{}.json", T::TYPE, T::VERSION);
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
        .join("schemas")
        .join(name)
}

fn check<T: Record + JsonSchema>() {
    let schema = schemars::schema_for!(Envelope<T>);
    let now: Value = serde_json::to_value(schema).unwrap();
    let path = path_of::<T>();
    let kept: Option<Value> = std::fs::read(&path)
        .ok()
        .map(|bytes| serde_json::from_slice(&bytes).unwrap());
    if let Some(kept) = &kept {
        let problems = incompatible(kept, &now);
        assert!(
            problems.is_empty(),
            "{}: old records or readers break: {problems:#?}",
            T::TYPE
        );
    }
    if std::env::var_os("LIMBIC_WRITE_SCHEMAS").is_some() {
        std::fs::write(
            &path,
            format!("{}\n", serde_json::to_string_pretty(&now).unwrap()),
        )
        .unwrap();
    } else {
        let hint = "run with LIMBIC_WRITE_SCHEMAS=1 and commit what changed";
        assert!(
            kept.as_ref() == Some(&now),
            "{} is not the schema of today: {hint}",
            path.display()
        );
    }
}

/// The changes in `new` that break records or readers of `old`.
fn incompatible(old: &Value, new: &Value) -> Vec<String> {
    let mut problems = Vec::new();
    compare("", old, new, &mut problems);
    problems
}

fn compare(at: &str, old: &Value, new: &Value, problems: &mut Vec<String>) {
    if old.get("type") != new.get("type") {
        problems.push(format!(
            "{at}: type {:?} became {:?}",
            old.get("type"),
            new.get("type")
        ));
    }
    let names = |schema: &Value, key: &str| -> Vec<String> {
        schema[key]
            .as_array()
            .into_iter()
            .flatten()
            .map(ToString::to_string)
            .collect()
    };
    for required in names(new, "required") {
        if !names(old, "required").contains(&required) {
            problems.push(format!(
                "{at}: {required} is required now; old records may lack it"
            ));
        }
    }
    for key in ["enum", "oneOf"] {
        for value in names(old, key) {
            // Descriptions may change. Only the constants must remain.
            let constant = |text: &str| {
                serde_json::from_str::<Value>(text)
                    .ok()
                    .map(|v| v.get("const").cloned().unwrap_or(v))
            };
            if !names(new, key)
                .iter()
                .any(|other| constant(other) == constant(&value))
            {
                problems.push(format!("{at}: {value} is no longer allowed"));
            }
        }
    }
    for key in ["properties", "$defs"] {
        for (name, of_old) in old[key].as_object().into_iter().flatten() {
            match new[key].get(name) {
                Some(of_new) => compare(&format!("{at}/{name}"), of_old, of_new, problems),
                None => problems.push(format!("{at}: `{name}` is gone")),
            }
        }
    }
    if let (Some(of_old), Some(of_new)) = (old.get("items"), new.get("items")) {
        compare(&format!("{at}[]"), of_old, of_new, problems);
    }
}

#[test]
fn every_record_keeps_its_schema() {
    check::<Post>();
    check::<Deletion>();
    check::<ConnectorPosition>();
    check::<ConnectorPause>();
    check::<Reading>();
    check::<Feeling>();
    check::<Moment>();
    check::<Hold>();
    check::<Draft>();
    check::<CreativeSet>();
    check::<Decision>();
    check::<Outcome>();
    check::<Campaign>();
    check::<Posterior>();
    check::<AudienceStatus>();
    check::<CampaignStatus>();
    check::<PlatformStatus>();
    check::<Progress>();
    check::<ReviewRequest>();
    check::<ReviewVerdict>();
    check::<WrittenTexts>();
    check::<Withdrawal>();
    check::<PaintedBackground>();
}

#[test]
fn a_change_that_breaks_old_records_is_detected() {
    let old: Value = serde_json::from_str(
        r#"{"type":"object","required":["a"],"properties":{"a":{"type":"string"},"b":{"enum":["x","y"]}}}"#,
    )
    .unwrap();
    let broken = [
        r#"{"type":"object","required":["a","c"],"properties":{"a":{"type":"string"},"b":{"enum":["x","y"]},"c":{}}}"#,
        r#"{"type":"object","required":["a"],"properties":{"a":{"type":"integer"},"b":{"enum":["x","y"]}}}"#,
        r#"{"type":"object","required":["a"],"properties":{"a":{"type":"string"},"b":{"enum":["x"]}}}"#,
        r#"{"type":"object","required":["a"],"properties":{"a":{"type":"string"}}}"#,
    ];
    for new in broken {
        assert_eq!(
            incompatible(&old, &serde_json::from_str(new).unwrap()).len(),
            1,
            "{new}"
        );
    }
    let fine = r#"{"type":"object","required":[],"properties":{"a":{"type":"string"},"b":{"enum":["x","y","z"]},"n":{}}}"#;
    assert!(incompatible(&old, &serde_json::from_str(fine).unwrap()).is_empty());
}
