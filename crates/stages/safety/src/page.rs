//! The page of all rules, for people: `docs/safety.md`.

use std::fmt::Write as _;

use limbic_domain::Region;

use crate::regions::REGIONS;
use crate::rule::{Protection, Rule};
use crate::rules::RULES;
use crate::words::WORD_LISTS;

/// The reference page of protections, rules, word lists and regions, in Markdown.
pub fn page() -> String {
    let mut page = String::from(INTRODUCTION);
    protections(&mut page);
    regions(&mut page);
    word_lists(&mut page);
    page
}

const INTRODUCTION: &str = "\
# Safety rules

`limbic safety rules --markdown > docs/safety.md` writes this page.

The safety gate judges every draft before a policy decides. It cannot be switched off, and settings can only make it stricter. What
it cannot judge does not run. A rule is one file in `crates/stages/safety/src/rules`: an id, a version, and a pure function that gives
its reason in a sentence.

`limbic safety test FILE` judges texts. `limbic safety explain DECISION` says why a decision is what it is.

";

fn protections(page: &mut String) {
    page.push_str("## Protections and their rules\n");
    for protection in Protection::ALL {
        let _ = writeln!(page, "\n### {} {}\n", protection.id(), protection.title());
        let rules: Vec<&Rule> = RULES
            .iter()
            .filter(|rule| rule.protection == protection)
            .collect();
        if !rules.is_empty() {
            page.push_str("| rule | version | removes | protects | objects when |\n|---|---|---|---|---|\n");
            for rule in rules {
                let _ = writeln!(
                    page,
                    "| `{}` | {} | {} | {} | {} |",
                    rule.id,
                    rule.version,
                    removes(rule),
                    rule.protects,
                    rule.objects_when
                );
            }
            page.push('\n');
        }
        let _ = writeln!(page, "{}", protection.elsewhere());
    }
}

/// What an objection removes, in words.
fn removes(rule: &Rule) -> &'static str {
    match rule.removes() {
        "campaign" => "the campaign, for this moment",
        "person" => "the person",
        "ad" => "the ad",
        _ => "what is left",
    }
}

fn regions(page: &mut String) {
    page.push_str(
        "\n## Regions\n\nA campaign says in `declared.regions` where its ads run. Without regions they run everywhere, and the requirements of \
         all regions apply. `transparency` and `ai_mark` apply where a region requires them. All other rules apply everywhere; the table \
         says where the law asks for them, too. The table is no legal advice.\n\n| region | rule | source | since |\n|---|---|---|---|\n",
    );
    for pack in REGIONS.iter() {
        let region = name(pack.region);
        for required in &pack.requires {
            let _ = writeln!(
                page,
                "| `{region}` | `{}` | {} | {} |",
                required.rule, required.source, required.since
            );
        }
        for refused in &pack.refuses {
            let _ = writeln!(
                page,
                "| `{region}` | refuses {} | {} | {} |",
                refused.category.name(),
                refused.source,
                refused.since
            );
        }
    }
}

/// The region, as in settings.
fn name(region: Region) -> String {
    serde_json::to_value(region)
        .ok()
        .and_then(|name| name.as_str().map(str::to_owned))
        .expect("a region is a text")
}

fn word_lists(page: &mut String) {
    page.push_str(
        "\n## Word lists\n\nA language without all of these lists is unknown, and an ad in it does not run.\n\n\
         | list | language | entries | source | date | licence |\n|---|---|---|---|---|---|\n",
    );
    for list in WORD_LISTS {
        let header = |key| list.header(key).unwrap_or("–");
        let _ = writeln!(
            page,
            "| `{}` | {} | {} | {} | {} | {} |",
            list.file,
            list.language(),
            list.entries().count(),
            header("source"),
            header("date"),
            header("licence")
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    #[test]
    fn the_page_in_the_documentation_is_the_one_of_the_rules() {
        let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/safety.md");
        let kept = std::fs::read_to_string(&file).unwrap_or_default();
        assert!(
            kept == page(),
            "run `limbic safety rules --markdown > docs/safety.md` and commit what changed"
        );
    }

    #[test]
    fn every_rule_is_described_and_has_an_id_of_its_own() {
        for rule in &RULES {
            let same = RULES.iter().filter(|other| other.id == rule.id).count();
            assert_eq!(same, 1, "{}", rule.id);
            assert!(
                rule.version >= 1 && rule.protects.len() > 8 && rule.objects_when.len() > 8,
                "{}",
                rule.id
            );
            assert!(
                rule.id.bytes().all(|b| b.is_ascii_lowercase() || b == b'_'),
                "{}",
                rule.id
            );
        }
        let kinds: Vec<&str> = RULES.iter().map(Rule::removes).collect();
        let mut sorted = kinds.clone();
        sorted.dedup();
        assert_eq!(
            sorted,
            ["campaign", "person", "ad", "rest"],
            "in the order of application"
        );
    }

    /// P4, P7 (partly) and P10 hold by what the program does not do, or outside the gate.
    #[test]
    fn a_protection_without_a_rule_says_what_keeps_it() {
        let without: Vec<&str> = Protection::ALL
            .into_iter()
            .filter(|protection| RULES.iter().all(|rule| rule.protection != *protection))
            .map(Protection::id)
            .collect();
        assert_eq!(without, ["P4", "P10"]);
        for protection in Protection::ALL {
            assert!(protection.elsewhere().ends_with('.') && protection.elsewhere().len() > 40);
        }
    }

    #[test]
    fn the_page_names_everything() {
        let page = page();
        for rule in &RULES {
            assert!(
                page.contains(&format!("| `{}` | {} |", rule.id, rule.version)),
                "{}",
                rule.id
            );
        }
        for pack in REGIONS.iter() {
            assert!(
                page.contains(&format!("| `{}` |", name(pack.region))),
                "{}",
                pack.name
            );
        }
        for list in WORD_LISTS {
            assert!(page.contains(list.file), "{}", list.file);
        }
    }
}
