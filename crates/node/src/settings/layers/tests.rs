//! The tests of [`layers`](super).

use limbic_domain::TenantId;
use limbic_metrics::Influx;

use super::*;

fn of(text: &str, environment: &[(&str, &str)]) -> anyhow::Result<Settings> {
    let mut layers = Layers::default();
    merge(&mut layers.merged, toml::from_str(text).unwrap());
    layers.environment(
        environment
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned())),
    )?;
    layers.finish()
}

#[test]
fn a_text_takes_the_type_that_its_setting_wants() {
    let settings = of(
        "[ad_platforms.ads]\nkind = \"webhook\"\nurl = \"https://example.com\"",
        &[
            (
                "LIMBIC_TENANTS__ACME__PSEUDONYM_SECRET",
                "12345678901234567890123456789012",
            ),
            ("LIMBIC_TENANTS__ACME__API_KEYS", "1234,true"),
            ("LIMBIC_INFLUXDB__TOKEN", "2026-11-30"),
            ("LIMBIC_INFLUXDB__ORG", "\"1e3\""),
            ("LIMBIC_AD_PLATFORMS__ADS__SECRET", "42"),
            ("LIMBIC_AD_PLATFORMS__ADS__HEADERS__AUTHORIZATION", "7"),
            ("LIMBIC_STAGES", "[\"affect\"]"),
            ("LIMBIC_LISTEN", "8080"),
            ("LIMBIC_DATA_DIR", "2026"),
        ],
    )
    .unwrap();
    let tenant = &settings.tenants[&TenantId::new("acme").unwrap()];
    assert_eq!(
        tenant.pseudonym_secret.reveal(),
        "12345678901234567890123456789012"
    );
    let keys: Vec<&str> = tenant
        .api_keys
        .iter()
        .map(limbic_domain::Secret::reveal)
        .collect();
    assert_eq!(keys, ["1234", "true"]);
    let influx = settings.section::<Influx>();
    assert_eq!(
        (influx.token.reveal(), influx.org.as_str()),
        ("2026-11-30", "1e3")
    );
    assert_eq!(
        (settings.stages.join(","), settings.listen.as_str()),
        ("affect".to_owned(), "8080")
    );
    assert_eq!(settings.data_dir, Path::new("2026"));
}

#[test]
fn the_environment_overrides_the_file() {
    let settings = of(
        "partitions = 2\n[api]\nwriters = 3",
        &[
            ("LIMBIC_API__MAX_BODY", "77KiB"),
            ("LIMBIC_PARTITIONS", "5"),
            ("LIMBIC_LISTEN", "127.0.0.1:1"),
            ("LIMBIC_DATA", "/elsewhere"),
            ("LIMBIC_TEST_KAFKA", "x"),
            ("HOME", "x"),
        ],
    )
    .unwrap();
    assert_eq!(
        (
            settings.partitions,
            settings.api.max_body.get(),
            settings.api.writers
        ),
        (5, 77 << 10, 3)
    );
    assert_eq!(settings.listen, "127.0.0.1:1");
    assert_eq!(settings.data_dir, Path::new(".limbic"));
}

#[test]
fn an_invalid_value_is_reported_with_its_key() {
    for (text, key, problem) in [
        (
            "[profile.person]\nhalf_life = 30",
            "profile.person.half_life",
            "has no unit",
        ),
        ("[api]\nmax_body = \"64\"", "api.max_body", "has no unit"),
        (
            "partitions = \"many\"",
            "partitions",
            "is text; expected a whole number",
        ),
    ] {
        let error = of(text, &[]).unwrap_err().to_string();
        assert!(error.contains(key) && error.contains(problem), "{error}");
    }
}

#[test]
fn an_unknown_key_of_a_campaign_is_refused() {
    let text = "[[campaigns]]\nid = \"a\"\nplatfroms = []\nplatforms = []\n[campaigns.brief]\nproduct = \"\"\n\
                    promise = \"\"\ncall_to_action = \"\"\nlink = \"\"";
    let error = of(text, &[]).unwrap_err().to_string();
    assert!(
        error.contains("campaigns[0].platfroms: ") && error.contains("did you mean `platforms`?"),
        "{error}"
    );
    let settings = of(&text.replace("platfroms = []", "tenant = \"acme\""), &[]).unwrap();
    assert_eq!(settings.campaigns[0].tenant.as_str(), "acme");
    assert_eq!(settings.campaigns[0].campaign.id.as_str(), "a");
}

#[test]
fn an_entry_is_the_component_that_its_kind_names() {
    let text = "[ad_platforms.ads]\nkind = \"webhook\"\nurl = \"https://example.com\"\n\
                    [connectors.tail]\nkind = \"json_lines\"\npath = \"posts.jsonl\"";
    let settings = of(text, &[("LIMBIC_AD_PLATFORMS__ADS__BURST", "7")]).unwrap();
    let listed = settings.entries.all();
    let listed: Vec<String> = listed
        .map(|(table, name, entry)| format!("{table}.{name} {:?}", entry.component))
        .collect();
    assert_eq!(
        listed,
        [
            "ad_platforms.ads ad platform webhook",
            "connectors.tail connector json_lines"
        ]
    );
    let shown = settings.to_table().unwrap();
    let shown = &shown["ad_platforms"]["ads"];
    assert_eq!(shown["kind"].as_str(), Some("webhook"));
    assert_eq!(shown["burst"].as_integer(), Some(7));
}

#[test]
fn an_entry_without_a_known_kind_is_refused_with_the_known_kinds() {
    for (text, said) in [
        (
            "[ad_platforms.ads]\nurl = \"x\"",
            "has no `kind`: write which ad platform it is, one of `webhook`, `file`",
        ),
        (
            "[ad_platforms.ads]\nkind = \"webhok\"",
            "ad_platforms.ads.kind: there is no ad platform `webhok`; did you mean `webhook`?",
        ),
        ("[ad_platforms]\nads = 1", "ad_platforms.ads: is not a table"),
        ("ad_platforms = 1", "ad_platforms: is not a table"),
        (
            "[ad_platforms.\"not a name\"]\nkind = \"file\"",
            "ad_platforms.not a name: ",
        ),
        ("[llm_providers.local]\nkind = \"openai\"", "base_url"),
    ] {
        let error = of(text, &[]).unwrap_err().to_string();
        assert!(error.contains(said), "`{said}` is not in: {error}");
    }
}

#[test]
fn an_unknown_key_is_refused_with_the_nearest_name() {
    for (text, hint) in [
        ("partition = 3", "`partitions`"),
        ("[profil.person]", "`profile`"),
        ("[api]\nmax_bod = \"3B\"", "`max_body`"),
        ("[profile.person]\nhalflife = \"1s\"", "`half_life`"),
        ("[[optimize.caps]]\ntimes = 1\nwindows = \"1d\"", "`window`"),
        (
            "[ad_platforms.ads]\nkind = \"file\"\npaht = \"x\"\npath = \"x\"",
            "`path`",
        ),
    ] {
        let error = of(text, &[]).unwrap_err().to_string();
        assert!(error.contains("did you mean") && error.contains(hint), "{error}");
    }
    assert!(
        of("", &[("LIMBIC_LISTN", "x")])
            .unwrap_err()
            .to_string()
            .contains("`listen`")
    );
}

/// Documents with an unknown key, one for each table that the schema describes.
fn with_an_unknown_key(schema: &'static Json) -> Vec<Json> {
    let root: &'static Json = &SCHEMA;
    let mut documents = Vec::new();
    for form in forms(root, vec![schema]) {
        let properties = || form["properties"].as_object().into_iter().flatten();
        // What tells the forms of a table apart.
        let tags = properties().filter_map(|(name, inner)| Some((name, inner.get("const")?)));
        let tags: serde_json::Map<String, Json> =
            tags.map(|(name, tag)| (name.clone(), tag.clone())).collect();
        if form.get("properties").is_some() {
            let mut table = tags.clone();
            table.insert("unbekannt".to_owned(), 1.into());
            documents.push(table.into());
        }
        for (name, inner) in properties() {
            for document in with_an_unknown_key(inner) {
                let mut table = tags.clone();
                table.insert(name.clone(), document);
                documents.push(table.into());
            }
        }
        if form["additionalProperties"].is_object() {
            let inside = with_an_unknown_key(&form["additionalProperties"]).into_iter();
            documents.extend(inside.map(|document| serde_json::json!({"x": document})));
        }
        if form["items"].is_object() {
            let inside = with_an_unknown_key(&form["items"]).into_iter();
            documents.extend(inside.map(|document| serde_json::json!([document])));
        }
    }
    documents
}

#[test]
fn every_table_refuses_an_unknown_key_and_names_its_path() {
    let documents = with_an_unknown_key(&SCHEMA);
    assert!(documents.len() > 40, "{}", documents.len());
    for document in documents {
        let text = toml::to_string(&document).unwrap();
        let error = of(&text, &[]).err().map(|error| error.to_string());
        let error = error.unwrap_or_else(|| panic!("accepted: {text}"));
        assert!(error.contains("unbekannt: is not a setting"), "{error}: {text}");
    }
}
