//! The share of names in public posts that is found.

use std::collections::{BTreeMap, BTreeSet};

use limbic_affect::{AffectEngine, LexiconReader};
use limbic_domain::{Entity, EntityKind};

fn entities(texts: &[String]) -> Vec<Vec<Entity>> {
    let texts: Vec<&str> = texts.iter().map(String::as_str).collect();
    let readings = LexiconReader::new().read(&texts);
    readings.into_iter().map(|reading| reading.entities).collect()
}

#[test]
fn mentions_and_hashtags_are_those_that_twitter_found() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let (mut texts, mut linked) = (Vec::new(), Vec::new());
    for name in ["a", "b", "e"] {
        let path = data.join(format!("replay_broad_twitter_corpus/{name}.no-labels.json"));
        for line in std::fs::read_to_string(path)
            .unwrap()
            .lines()
            .filter(|line| !line.is_empty())
        {
            let post: serde_json::Value = serde_json::from_str(line).unwrap();
            texts.push(post["text"].as_str().unwrap().to_owned());
            let starts = |key: &str| -> BTreeSet<u64> {
                let all = post["entities"][key].as_array().unwrap();
                all.iter()
                    .map(|one| one["indices"][0].as_u64().unwrap())
                    .collect()
            };
            linked.push((starts("user_mentions"), starts("hashtags")));
        }
    }
    let (mut found, mut missed, mut more) = (0, 0, 0);
    for ((text, entities), (mentions, hashtags)) in texts.iter().zip(entities(&texts)).zip(&linked) {
        for (kind, linked) in [(EntityKind::Mention, mentions), (EntityKind::Hashtag, hashtags)] {
            // Twitter counts characters.
            let ours: BTreeSet<u64> = entities
                .iter()
                .filter(|entity| entity.kind == kind)
                .map(|entity| text[..entity.start as usize].chars().count() as u64)
                .collect();
            found += linked.intersection(&ours).count();
            missed += linked.difference(&ours).count();
            // Twitter links only accounts that exist.
            more += ours.difference(linked).count();
            if linked != &ours && std::env::var_os("LIMBIC_SHOW").is_some() {
                eprintln!("{kind:?} {linked:?} {ours:?} {text}");
            }
        }
    }
    eprintln!(
        "mentions and hashtags: {found} of Twitter's found, {missed} missed, {more} that Twitter did not link"
    );
    assert!(missed * 100 <= found, "{missed} of {}", found + missed);
}

#[test]
fn brands_are_found_in_posts_about_them_at_the_stated_rate() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let mut rows = csv::ReaderBuilder::new()
        .flexible(true)
        .from_path(data.join("sanders_brands/full-corpus.csv"))
        .unwrap();
    let (mut topics, mut texts) = (Vec::new(), Vec::new());
    for row in rows.byte_records().map(Result::unwrap) {
        topics.push(String::from_utf8_lossy(&row[0]).to_lowercase());
        texts.push(String::from_utf8_lossy(&row[4]).into_owned());
    }
    let products = |topic: &str| -> &[&str] {
        match topic {
            "apple" => &[
                "apple", "iphone", "ipad", "ipod", "siri", "ios", "itunes", "icloud", "macbook", "imac",
            ],
            "google" => &["google", "android", "nexus", "chrome", "gmail", "youtube"],
            "microsoft" => &["microsoft", "windows", "xbox", "kinect", "skype"],
            _ => &["twitter"],
        }
    };
    let mut counts = BTreeMap::<&str, (usize, usize)>::new();
    for ((topic, text), entities) in topics.iter().zip(&texts).zip(entities(&texts)) {
        let count = counts.entry(topic).or_default();
        count.1 += 1;
        let names_it = entities.iter().any(|entity| {
            let name = entity.name.as_deref().unwrap_or(&entity.text).to_lowercase();
            products(topic).iter().any(|product| name.contains(product))
        });
        count.0 += usize::from(names_it);
        if !names_it && std::env::var_os("LIMBIC_SHOW").is_some() {
            eprintln!("{topic}: {text}");
        }
    }
    let (found, total) = counts
        .values()
        .fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    eprintln!("brands: {found} of {total} posts name their brand or a product of it: {counts:?}");
    assert!(found * 100 > total * 75, "{found} of {total}");
}

/// Topics of `SemEval` 2017 task 4 CE are mostly names, and most posts about a topic contain its name.
#[test]
fn subjects_that_a_post_names_are_found_at_the_stated_rate() {
    let Some(data) = limbic_domain::testing::data_dir() else {
        return;
    };
    let folder = data.join("semeval2017_task4/Subtask_CE/gold");
    let path = std::fs::read_dir(&folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.to_string_lossy().contains("test.subtask-CE"))
        .unwrap();
    let file = String::from_utf8_lossy(&std::fs::read(&path).unwrap()).into_owned();
    let (mut topics, mut texts) = (Vec::new(), Vec::new());
    for line in file.lines() {
        let mut columns = line.split('\t').skip(1);
        let (Some(topic), Some(text)) = (columns.next(), columns.nth(1)) else {
            continue;
        };
        // Only as a capitalised name, because lower-case names are not detected.
        let Some(start) = text.to_lowercase().find(&topic.to_lowercase()) else {
            continue;
        };
        let is_name = text
            .get(start..)
            .is_some_and(|rest| rest.starts_with(char::is_uppercase));
        if is_name && start > 0 {
            topics.push((topic.to_owned(), start));
            texts.push(text.to_owned());
        }
    }
    let mut found = 0;
    for (((topic, start), text), entities) in topics.iter().zip(&texts).zip(entities(&texts)) {
        let end = start + topic.len();
        let is_seen = entities
            .iter()
            .any(|entity| (entity.start as usize) < end && *start < entity.end as usize);
        found += usize::from(is_seen);
        if !is_seen && std::env::var_os("LIMBIC_SHOW").is_some() {
            eprintln!("{topic}: {text}");
        }
    }
    eprintln!(
        "{}: {found} of {} topics in capitals overlap with what is found",
        path.display(),
        texts.len()
    );
    assert!(
        texts.is_empty() || found * 100 > texts.len() * 60,
        "{found} of {}",
        texts.len()
    );
}
