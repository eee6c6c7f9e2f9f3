//! Evaluation of valid, invalid and missing input, in each of the three log formats.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

use std::path::{Path, PathBuf};

use limbic_domain::{
    AudienceId, Candidate, Chosen, Creative, Decision, DecisionResult, Envelope, HeldOut, Lift, Micros,
    Outcome, OutcomeKind, PolicyVersion, Probability, Rendering, Slug, Suppressed, SuppressedBy, TenantId,
    Utc,
};
use limbic_evaluation::{
    Estimator, EvaluateError, EvaluationOptions, EvaluationPolicy, EvaluationReport, LogFormat,
    MissingPropensity, evaluate, read_log, svg,
};

const HEADER: &str =
    ",timestamp,item_id,position,click,propensity_score,user_feature_0,user-item_affinity_0\n";
const ITEMS: &str = ",item_id,item_feature_0,item_feature_1\n0,0,0.5,red\n1,1,-0.5,blue\n";

fn open_bandit(folder: &Path, rows: &str) -> EvaluationOptions {
    std::fs::write(folder.join("spring.csv"), format!("{HEADER}{rows}")).unwrap();
    std::fs::write(folder.join("item_context.csv"), ITEMS).unwrap();
    EvaluationOptions::new(folder, LogFormat::OpenBandit, EvaluationPolicy::Uniform)
}

fn value(report: &EvaluationReport, estimator: Estimator) -> f64 {
    report.estimate(estimator).unwrap().value.unwrap()
}

/// Four valid rows: item 0 with probability 0.8, item 1 with 0.2.
const GOOD: &str = "0,t,0,1,1,0.8,a,0.0\n1,t,0,1,0,0.8,b,0.0\n2,t,1,2,1,0.2,a,0.0\n3,t,0,1,0,0.8,a,0.0\n";

#[test]
fn a_log_is_weighed_by_hand() {
    let folder = tempfile::tempdir().unwrap();
    let report = evaluate(&open_bandit(folder.path(), GOOD), |_| {}).unwrap();
    assert_eq!((report.rows, report.clicks, report.rejected.rows), (4, 2, 0));
    let weights = [0.625, 0.625, 2.5, 0.625];
    let sum: f64 = weights.iter().sum();
    assert!((value(&report, Estimator::Ipw) - 3.125 / 4.0).abs() < 1e-12);
    assert!((value(&report, Estimator::Snipw) - 3.125 / sum).abs() < 1e-12);
    let square: f64 = weights.iter().map(|w| w * w).sum();
    assert!((report.effective_sample_size - sum * sum / square).abs() < 1e-9);
    assert!((report.max_weight - 2.5).abs() < 1e-12);
}

#[test]
fn weights_are_cut_where_asked_and_the_report_says_so() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = open_bandit(folder.path(), GOOD);
    options.max_weight = Some(1.0);
    options.estimators = vec![Estimator::Ipw];
    let report = evaluate(&options, |_| {}).unwrap();
    assert!((value(&report, Estimator::Ipw) - 1.625 / 4.0).abs() < 1e-12);
    assert!((report.weights.clipped_share - 0.25).abs() < 1e-12);
    assert_eq!(report.estimates.len(), 1);
    assert!(
        report
            .to_string()
            .contains("weights cut at 1: 25.000% of the rows")
    );
}

#[test]
fn every_malformed_row_is_counted_with_its_line_and_reason() {
    let bad = [
        ("9,t,7,1,0,0.8,a,0.0", "unknown item_id"),
        ("9,t,0,1,x,0.8,a,0.0", "click is not a number"),
        ("9,t,0,1,-1,0.8,a,0.0", "click outside the reward range"),
        ("9,t,0,1,NaN,0.8,a,0.0", "click is not a number"),
        ("9,t,0,1,0,0,a,0.0", "propensity_score outside (0, 1]"),
        ("9,t,0,1,0,1.5,a,0.0", "propensity_score outside (0, 1]"),
        ("9,t,0,1,0,nan,a,0.0", "propensity_score is not a number"),
        ("9,t,0,-1,0,0.8,a,0.0", "position is not a number from 0 to 63"),
        ("9,t,0,1,0,0.8,a", "wrong number of fields"),
        ("9,t,0,1,0,0.8,\"a\",0.0,1", "wrong number of fields"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let mut rows = GOOD.to_owned();
    for (row, _) in bad {
        rows.push_str(row);
        rows.push('\n');
    }
    rows.push_str("4,t,1,2,0,0.2,\"a\",0.0\r\n");
    let report = evaluate(&open_bandit(folder.path(), &rows), |_| {}).unwrap();
    assert_eq!(
        report.rows, 5,
        "a quoted field and a carriage return are no faults"
    );
    assert_eq!(report.rejected.rows, bad.len() as u64);
    for ((line, (_, reason)), found) in (6..).zip(bad).zip(&report.rejected.examples) {
        assert_eq!(found.line, line);
        assert!(found.reason.starts_with(reason), "{found:?} {reason}");
    }
    assert!(report.to_string().contains("rejected: 10 rows"));
}

#[test]
fn missing_propensities_are_refused_or_estimated_with_the_assumption_stated() {
    let folder = tempfile::tempdir().unwrap();
    let rows = "0,t,0,1,1,,a,0.0\n1,t,0,1,0,,b,0.0\n2,t,1,1,1,,a,0.0\n3,t,0,1,0,,a,0.0\n";
    let mut options = open_bandit(folder.path(), rows);
    let refused = evaluate(&options, |_| {}).unwrap_err();
    assert!(matches!(
        refused,
        EvaluateError::MissingPropensity {
            rows: 4,
            total: 4,
            line: 2
        }
    ));
    options.missing_propensity = MissingPropensity::Estimate;
    let report = evaluate(&options, |_| {}).unwrap();
    // Item 0 is in three of four rows.
    assert!((value(&report, Estimator::Ipw) - (0.5 / 0.75 + 0.5 / 0.25) / 4.0).abs() < 1e-12);
    assert!(
        report
            .assumptions
            .iter()
            .any(|a| a.contains("depended on nothing else"))
    );

    let header = HEADER.replace(",propensity_score", "");
    let rows = "0,t,0,1,1,a,0.0\n";
    std::fs::write(folder.path().join("spring.csv"), format!("{header}{rows}")).unwrap();
    options.missing_propensity = MissingPropensity::Refuse;
    assert!(matches!(
        evaluate(&options, |_| {}),
        Err(EvaluateError::MissingPropensity { rows: 1, .. })
    ));
}

#[test]
fn what_cannot_be_evaluated_says_what_to_do() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = open_bandit(folder.path(), "0,t,9,1,0,0.8,a,0.0\n");
    let error = |options: &EvaluationOptions| evaluate(options, |_| {}).unwrap_err().to_string();
    assert!(error(&options).contains("no usable row (1 rejected: line 2: unknown item_id"));

    let options_of = |rows: &str| open_bandit(folder.path(), rows);
    let prior = folder.path().join("prior.json");
    std::fs::write(&prior, r#"{"spring": {"alpha": [1, 2, 3], "beta": [4, 5, 6]}}"#).unwrap();
    options = options_of(GOOD);
    options.policy = EvaluationPolicy::BernoulliThompson { prior };
    assert!(error(&options).contains("3 priors for 2 items"));

    options = options_of(GOOD);
    options.folds = 0;
    assert!(error(&options).contains("`folds` is 0"));
    options = options_of(GOOD);
    options.log = PathBuf::from("/nowhere");
    assert!(error(&options).starts_with("cannot read /nowhere"));
    options = options_of(GOOD);
    std::fs::write(folder.path().join("item_context.csv"), "item_id\n0\n2\n").unwrap();
    assert!(error(&options).contains("found 2 instead of 1"));
    std::fs::write(folder.path().join("another.csv"), "").unwrap();
    assert!(error(&options).contains("2 logs beside item_context.csv"));

    let empty = folder.path().join("empty.jsonl");
    std::fs::write(&empty, "").unwrap();
    options = EvaluationOptions::new(&empty, LogFormat::Limbic, EvaluationPolicy::Uniform);
    assert!(error(&options).contains("has no decision that chose"));

    let settings = EvaluationPolicy::named(r#"{"name": "linear-ts", "draws": 64}"#, None).unwrap();
    assert!(matches!(settings, EvaluationPolicy::Learning(policy) if policy.name() == "linear-ts"));
    assert!(EvaluationPolicy::named(r#"{"name": "linear-ts", "drawz": 64}"#, None).is_err());
    assert!(EvaluationPolicy::named("mystery", None).is_err());
    assert!(EvaluationPolicy::named("uniform", Some(Path::new("p"))).is_err());
}

#[test]
fn the_picture_names_every_estimator_and_warns_of_few_clicks() {
    let folder = tempfile::tempdir().unwrap();
    let report = evaluate(&open_bandit(folder.path(), GOOD), |_| {}).unwrap();
    let picture = svg(&report);
    for estimator in Estimator::ALL {
        assert!(
            picture.contains(&format!(">{}</text>", estimator.name())),
            "{estimator}"
        );
    }
    assert!(picture.contains("not evidence of lift"));
    assert!(!picture.contains("NaN") && !picture.contains("inf"));
    assert_eq!(picture.matches('<').count(), picture.matches('>').count());
}

#[test]
fn an_engines_policy_learns_along_the_log() {
    let folder = tempfile::tempdir().unwrap();
    // Item 1 always has a reward, item 0 never.
    let rows: Vec<String> = (0..400)
        .map(|i| format!("{i},t,{},1,{},0.5,a,0.0\n", i % 2, i % 2))
        .collect();
    let mut options = open_bandit(folder.path(), &rows.concat());
    for name in ["bernoulli-ts", "linear-ts", "square-cb"] {
        options.policy = EvaluationPolicy::named(name, None).unwrap();
        options.estimators = vec![Estimator::Snipw, Estimator::Dr];
        let report = evaluate(&options, |_| {}).unwrap();
        assert_eq!(report.policy, name);
        assert!(value(&report, Estimator::Snipw) > 0.8, "{report}");
        assert!(
            report
                .assumptions
                .iter()
                .any(|a| a.contains("learned along the log"))
        );
    }
}

fn dsjson(lines: &[&str]) -> (tempfile::TempDir, EvaluationOptions) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.dsjson");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let options = EvaluationOptions::new(path, LogFormat::Dsjson, EvaluationPolicy::Uniform);
    (folder, options)
}

const CONTEXT: &str =
    r#""c":{"user":{"name":"tom","age":30},"_multi":[{"article":"sport"},{"article":"art"}]}"#;

#[test]
fn dsjson_is_read_and_its_faults_are_told_apart() {
    let label = |cost: &str, action: u32, p: &str| {
        format!(
            r#"{{"_label_cost":{cost},"_label_probability":{p},"_label_Action":{action},"EventId":"{cost} {action} {p}","a":[1,2],{CONTEXT},"p":[0.8,0.2]}}"#
        )
    };
    let lines = [
        label("-1", 2, "0.2"),
        label("0", 1, "0.8"),
        label("0", 3, "0.8"),
        label("-1", 1, "0"),
        label("3", 1, "0.8"),
        "{".to_owned(),
        r#"{"RewardValue":1,"EventId":"e","Observations":[]}"#.to_owned(),
        r#"{"_outcomes":[]}"#.to_owned(),
        label("0", 1, "0.8").replace(r#""p":[0.8,0.2]"#, r#""p":[0.8,0.3]"#),
        label("0", 1, "0.8").replace(r#""a":[1,2]"#, r#""_skipLearn":true,"a":[1,2]"#),
        label("0", 1, "0.8").replace(r#""a":[1,2]"#, r#""pdrop":0.5,"a":[1,2]"#),
        r#"{"_label_cost":0,"_label_Action":1}"#.to_owned(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (_folder, options) = dsjson(&lines);
    let log = read_log(&options, |_| {}).unwrap();
    assert_eq!(log.feature_names, ["user.age", "user.name=tom"]);
    let report = evaluate(&options, |_| {}).unwrap();
    assert_eq!((report.rows, report.clicks), (2, 1));
    assert!((value(&report, Estimator::Ipw) - 0.5 * 0.5 / 0.2).abs() < 1e-12);
    let lines: Vec<u64> = report.rejected.examples.iter().map(|e| e.line).collect();
    assert_eq!(lines, [3, 4, 5, 6, 8, 9, 10, 11, 12]);
    assert!(report.assumptions[0].starts_with("1 observations without a decision"));
    assert_eq!(
        report.rejected.reasons["a decision that was never activated (_skipLearn)"],
        1
    );
    assert_eq!(report.rejected.reasons["thinned log is not supported"], 1);
}

#[test]
fn a_dsjson_event_that_comes_twice_counts_once_and_blank_lines_are_not_rows() {
    let event = |id: &str, cost: &str| {
        format!(
            r#"{{"_label_cost":{cost},"_label_probability":0.8,"_label_Action":1,"EventId":"{id}","a":[1,2],{CONTEXT},"p":[0.8,0.2]}}"#
        )
    };
    let lines = [
        format!("\u{feff}{}", event("a", "-1")),
        String::new(),
        event("b", "0"),
        event("a", "0"),
        " \r".to_owned(),
        event("b", "0"),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    let (_folder, options) = dsjson(&lines);
    let report = evaluate(&options, |_| {}).unwrap();
    assert_eq!(
        (report.rows, report.clicks),
        (2, 1),
        "the first of the two counts"
    );
    assert_eq!(report.rejected.reasons["an event that is there twice"], 2);
    let lines: Vec<u64> = report.rejected.examples.iter().map(|row| row.line).collect();
    assert_eq!(lines, [4, 6]);
    assert_eq!(report.rejected.rows, 2);
}

#[test]
fn an_open_bandit_log_that_pandas_has_written_is_read() {
    let folder = tempfile::tempdir().unwrap();
    let report = evaluate(&open_bandit(folder.path(), GOOD), |_| {}).unwrap();
    let pandas = "\u{feff}item_id,position,click,propensity_score,user_feature_0\n0.0,1.0,True,0.8,a\n0.0,1.0,False,0.8,b\n1.0,2.0,1.0,0.2,a\n\n0.0,1.0,0.0,0.8,a\n";
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("spring.csv"), pandas).unwrap();
    let items =
        "\u{feff}Unnamed: 0,item_id,item_feature_0,item_feature_1\n0.0,0.0,0.5,red\n1.0,1.0,-0.5,blue\n";
    std::fs::write(folder.path().join("item_context.csv"), items).unwrap();
    let options = EvaluationOptions::new(folder.path(), LogFormat::OpenBandit, EvaluationPolicy::Uniform);
    let read = evaluate(&options, |_| {}).unwrap();
    assert_eq!((read.rows, read.clicks, read.rejected.rows), (4, 2, 0));
    assert!((value(&read, Estimator::Ipw) - value(&report, Estimator::Ipw)).abs() < 1e-12);
    let features = read_log(&options, |_| {}).unwrap().arm_feature_names;
    assert_eq!(
        features,
        ["item_feature_0", "item_feature_1"],
        "the number of a row is no feature"
    );
    let said = read.to_string();
    assert!(
        said.contains("4 rows: too few") && !said.contains("differs too much"),
        "{said}"
    );
}

#[test]
fn a_dsjson_log_without_probabilities_is_refused() {
    let line = format!(r#"{{"_label_cost":0,"_label_Action":1,"a":[],{CONTEXT},"p":[]}}"#);
    let (_folder, options) = dsjson(&[&line]);
    assert!(matches!(
        evaluate(&options, |_| {}),
        Err(EvaluateError::MissingPropensity { line: 1, .. })
    ));
}

fn creative(id: &str) -> Creative {
    let slug = |text| Slug::new(text).unwrap();
    Creative {
        id: id.to_owned(),
        generator: "template/plain-1".to_owned(),
        ai_generated: false,
        generator_version: None,
        approval: None,
        model: None,
        factors: limbic_domain::Factors::default(),
        tone: slug("plain"),
        rendering: Rendering {
            platform: slug("bluesky"),
            headline: "h".to_owned(),
            body: "b".to_owned(),
            link: "https://example.invalid".to_owned(),
        },
        picture: None,
    }
}

fn version() -> PolicyVersion {
    PolicyVersion {
        name: "uniform".to_owned(),
        version: 1,
        hash: "0123456789abcdef".to_owned(),
    }
}

fn chosen_of(decision: &mut Envelope<Decision>) -> &mut Chosen {
    match &mut decision.data.result {
        DecisionResult::Chosen(chosen) => chosen,
        other => panic!("{other:?}"),
    }
}

fn decision(id: &str, at: i64, chosen: usize, probabilities: [f64; 2]) -> Envelope<Decision> {
    let slug = |text| Slug::new(text).unwrap();
    let names = ["calm", "loud"];
    let candidates = names.iter().zip(probabilities).map(|(name, p)| Candidate {
        marginal_propensity: None,
        creative: (*name).to_owned(),
        propensity: Probability::new(p).unwrap(),
    });
    let data = Decision {
        moment: "m".to_owned(),
        campaign: slug("spring"),
        audience: AudienceId::new("everyone:football").unwrap(),
        context: [("mood.valence".to_owned(), 0.5)].into(),
        removals: Vec::new(),
        result: DecisionResult::Chosen(Chosen {
            candidates: candidates.collect(),
            creative: creative(names[chosen]),
            propensity: Probability::new(probabilities[chosen]).unwrap(),
            position: chosen,
            price: Micros(1),
            people: Vec::new(),
            policy: version(),
            seed: 0,
            transparency: None,
            champion_challenger: None,
        }),
    };
    Envelope::new(TenantId::default(), id.to_owned(), Utc::from_millis(at), data)
}

fn outcome(decision: &str, at: i64, kind: OutcomeKind) -> String {
    let data = Outcome::new(decision, kind, format!("{kind:?}"));
    let envelope = Envelope::new(
        TenantId::default(),
        format!("o/{decision}/{at}"),
        Utc::from_millis(at),
        data,
    );
    String::from_utf8(envelope.encode()).unwrap()
}

fn encoded(envelope: &Envelope<Decision>) -> String {
    String::from_utf8(envelope.encode()).unwrap()
}

fn decisions(lines: &[String]) -> (tempfile::TempDir, EvaluationOptions) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("log.jsonl");
    std::fs::write(&path, lines.join("\n")).unwrap();
    let options = EvaluationOptions::new(path, LogFormat::Limbic, EvaluationPolicy::Uniform);
    (folder, options)
}

#[test]
fn our_own_log_joins_late_repeated_and_early_outcomes() {
    let mut silent = decision("d4", 400, 0, [0.5, 0.5]);
    silent.data.result = DecisionResult::Suppressed(Suppressed {
        rule: "no_person_left".to_owned(),
        reason: "r".to_owned(),
        by: SuppressedBy::Policy(version()),
    });
    let mut held_out = decision("d7", 400, 0, [0.5, 0.5]);
    held_out.data.result = DecisionResult::HeldOut(HeldOut {
        beside: "d1".to_owned(),
        people: Vec::new(),
        lift: Lift::default(),
    });
    let mut torn = decision("d5", 500, 0, [0.5, 0.4]);
    chosen_of(&mut torn).seed = 1;
    let lines = [
        outcome("d1", 150, OutcomeKind::Click),
        outcome("d1", 120, OutcomeKind::Impression),
        encoded(&decision("d1", 100, 0, [0.8, 0.2])),
        encoded(&decision("d2", 200, 1, [0.8, 0.2])),
        outcome("d1", 160, OutcomeKind::Click),
        outcome("d2", 250, OutcomeKind::Impression),
        encoded(&decision("d2", 200, 1, [0.8, 0.2])),
        outcome("d9", 300, OutcomeKind::Click),
        outcome("d2", 150, OutcomeKind::Click),
        encoded(&silent),
        encoded(&held_out),
        outcome("d4", 450, OutcomeKind::Click),
        encoded(&torn),
        "{\"type\":\"post\",\"v\":1}".to_owned(),
        "garbage".to_owned(),
        encoded(&decision("d6", 600, 0, [0.5, 0.5])).replacen("\"v\":1", "\"v\":9", 1),
    ];
    let (_folder, options) = decisions(&lines);
    let report = evaluate(&options, |_| {}).unwrap();
    assert_eq!((report.rows, report.clicks), (2, 1));
    assert!((value(&report, Estimator::Ipw) - 0.5 * 0.5 / 0.8).abs() < 1e-12);
    for reason in [
        "a duplicate decision",
        "outcome of an unknown decision",
        "outcome before its decision",
        "outcome of a decision that chose nothing",
        "probabilities do not add up to 1",
        "neither decision nor outcome",
        "not an envelope",
        "not a readable decision",
    ] {
        assert_eq!(report.rejected.reasons.get(reason), Some(&1), "{reason}");
    }
    let assumes = |text: &str| report.assumptions.iter().any(|a| a.contains(text));
    assert!(assumes("2 decisions chose nothing"), "{:?}", report.assumptions);
}

#[test]
fn our_own_log_is_weighed_by_the_marginal_propensity_if_it_has_one() {
    let with_marginal = |id, probabilities: [f64; 2]| {
        let mut decision = decision(id, 100, 0, [0.8, 0.2]);
        for (candidate, p) in chosen_of(&mut decision).candidates.iter_mut().zip(probabilities) {
            candidate.marginal_propensity = Some(Probability::new(p).unwrap());
        }
        encoded(&decision)
    };
    let lines = [
        with_marginal("d1", [0.4, 0.6]),
        outcome("d1", 150, OutcomeKind::Click),
        with_marginal("d2", [0.4, 0.5]),
        with_marginal("d3", [0.0, 1.0]),
    ];
    let (_folder, options) = decisions(&lines);
    let report = evaluate(&options, |_| {}).unwrap();
    assert_eq!((report.rows, report.clicks), (1, 1));
    assert!((value(&report, Estimator::Ipw) - 0.5 / 0.4).abs() < 1e-12);
    for reason in [
        "marginal probabilities do not add up to 1",
        "the choice's marginal propensity is 0",
    ] {
        assert_eq!(report.rejected.reasons.get(reason), Some(&1), "{reason}");
    }
}

#[test]
fn a_young_decision_waits_until_its_attribution_window_is_over() {
    let lines = [
        encoded(&decision("d1", 0, 0, [0.5, 0.5])),
        encoded(&decision("d2", 0, 0, [0.5, 0.5])),
        encoded(&decision("d3", 1000, 0, [0.5, 0.5])),
        outcome("d1", 90, OutcomeKind::Click),
        outcome("d2", 101, OutcomeKind::Click),
    ];
    let (_folder, mut options) = decisions(&lines);
    options.attribution_window_millis = Some(100);
    let report = evaluate(&options, |_| {}).unwrap();
    assert_eq!((report.rows, report.clicks), (2, 1));
    assert!(
        report
            .assumptions
            .iter()
            .any(|a| a.starts_with("1 outcomes came after"))
    );
    assert!(
        report
            .assumptions
            .iter()
            .any(|a| a.starts_with("1 decisions were left out"))
    );
}

#[test]
fn a_name_is_itself_wherever_it_stands_and_however_it_is_spelt() {
    // "calm" always has a reward and "loud" never, in changing order. One row in three writes the name with an
    // escape.
    let mut lines = Vec::new();
    for n in 0..400_usize {
        let id = format!("d{n}");
        let mut row = decision(&id, n as i64, n / 2 % 2, [0.5, 0.5]);
        if n.is_multiple_of(2) {
            let chosen = chosen_of(&mut row);
            chosen.candidates.reverse();
            chosen.position = 1 - chosen.position;
        }
        let text = encoded(&row);
        lines.push(match n % 3 {
            0 => text.replace("calm", "c\\u0061lm").replace("mood", "m\\u006fod"),
            _ => text,
        });
        if n / 2 % 2 == 0 {
            lines.push(outcome(&id, n as i64, OutcomeKind::Click));
        }
    }
    let (_folder, mut options) = decisions(&lines);
    for name in ["bernoulli-ts", "linear-ts"] {
        options.policy = EvaluationPolicy::named(name, None).unwrap();
        options.estimators = vec![Estimator::Snipw];
        let report = evaluate(&options, |_| {}).unwrap();
        assert_eq!((report.rows, report.rejected.rows), (400, 0), "{report}");
        assert!(value(&report, Estimator::Snipw) > 0.8, "{report}");
    }
}

#[test]
fn a_policy_that_runs_elsewhere_is_evaluated_by_its_probabilities() {
    let uniform = |options: &EvaluationOptions| {
        let mut options = options.clone();
        options.policy = EvaluationPolicy::Uniform;
        let mut report = evaluate(&options, |_| {}).unwrap();
        report.policy = "supplied".to_owned();
        report
    };
    let supplied = |options: &EvaluationOptions, lines: &[String]| {
        let path = options.log.with_extension("probabilities");
        std::fs::write(&path, lines.join("\n")).unwrap();
        let mut options = options.clone();
        options.policy = EvaluationPolicy::Supplied { path };
        evaluate(&options, |_| {})
    };
    let line = |id: &str, probabilities: &str| {
        format!(r#"{{"decision": "{id}", "probabilities": {probabilities}}}"#)
    };

    // Limbic: by the decision's id, in any order.
    let mut lines = Vec::new();
    let mut given = Vec::new();
    for n in 0..300_i64 {
        let id = format!("d{n}");
        lines.push(encoded(&decision(&id, n, (n % 2) as usize, [0.5, 0.5])));
        if n % 3 == 0 {
            lines.push(outcome(&id, n, OutcomeKind::Click));
        }
        given.push(line(&id, r#"{"loud": 0.5, "calm": 0.5}"#));
    }
    given.reverse();
    let (_folder, options) = decisions(&lines);
    assert_eq!(supplied(&options, &given).unwrap(), uniform(&options));
    // What does not fit is counted, and decisions without probabilities are left out and noted.
    given[0] = line("d299", r#"{"loud": 0.5, "quiet": 0.5}"#);
    given[1] = line("d298", r#"{"loud": 0.9}"#);
    given[2] = line("d297", "[0.2, 0.3, 0.5]");
    given.push(line("d0", "[1, 0]"));
    given.push(line("d999", "[1, 0]"));
    given.push("{".to_owned());
    let report = supplied(&options, &given).unwrap();
    assert_eq!((report.rows, report.rejected.rows), (297, 6), "{report}");
    assert!(
        report
            .assumptions
            .iter()
            .any(|a| a.starts_with("3 decisions have no supplied"))
    );
    assert!(report.candidate_propensities);
    let error = supplied(&options, &given[..1]).unwrap_err().to_string();
    assert!(error.contains("not a candidate: `quiet`"), "{error}");

    // DSJSON: by EventId. Open Bandit: by the line of the log.
    let row = |id: &str| {
        format!(
            r#"{{"_label_cost":-1,"_label_probability":0.8,"_label_Action":1,"EventId":"{id}","a":[2,1],{CONTEXT},"p":[0.2,0.8]}}"#
        )
    };
    let (_folder, options) = dsjson(&[&row("e1"), &row("e2")]);
    let given = ["e2", "e1"].map(|id| line(id, "[0.5, 0.5]"));
    let report = supplied(&options, &given).unwrap();
    assert_eq!(report, uniform(&options));
    assert!(report.candidate_propensities);
    let folder = tempfile::tempdir().unwrap();
    let mut options = open_bandit(folder.path(), GOOD);
    options.log = folder.path().join("spring.csv");
    let given = ["2", "5", "3", "4"].map(|id| line(id, r#"{"0": 0.5, "1": 0.5}"#));
    assert_eq!(supplied(&options, &given).unwrap(), uniform(&options));
}

#[test]
fn a_saved_policy_is_evaluated_on_another_log_and_learns_nothing_from_it() {
    // Item 1 always has a reward, item 0 never; in the second log it is the other way round.
    let rows = |pays: usize| {
        let row = |i: usize| format!("{i},t,{},1,{},0.5,a,0.0\n", i % 2, usize::from(i % 2 == pays));
        (0..400).map(row).collect::<Vec<String>>().concat()
    };
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    for name in ["bernoulli-ts", "linear-ts", "square-cb"] {
        let mut options = open_bandit(folder.path(), &rows(1));
        options.policy = EvaluationPolicy::named(name, None).unwrap();
        options.save = Some(path.clone());
        evaluate(&options, |_| {}).unwrap();
        options.save = None;
        for (pays, better) in [(1, true), (0, false)] {
            let mut options = open_bandit(folder.path(), &rows(pays));
            options.policy = EvaluationPolicy::Saved { path: path.clone() };
            let report = evaluate(&options, |_| {}).unwrap();
            let found = value(&report, Estimator::Ipw);
            assert_eq!(found > 0.8, better, "{name} {found}");
            assert_eq!(found < 0.2, !better, "{name} {found}");
            assert_eq!(report.policy, format!("{name} (saved)"));
        }
    }
    let mut options = open_bandit(folder.path(), GOOD);
    options.save = Some(path.clone());
    let error = evaluate(&options, |_| {}).unwrap_err().to_string();
    assert!(error.contains("only a policy that learns"), "{error}");
    options.save = None;
    std::fs::write(&path, r#"{"v": 9, "policy": {"name": "uniform"}, "state": {}}"#).unwrap();
    options.policy = EvaluationPolicy::Saved { path: path.clone() };
    let error = evaluate(&options, |_| {}).unwrap_err().to_string();
    assert!(error.contains("version 9"), "{error}");
    std::fs::write(&path, "{}").unwrap();
    let error = evaluate(&options, |_| {}).unwrap_err().to_string();
    assert!(error.contains("not a saved policy"), "{error}");
}

#[test]
fn json_says_why_an_interval_is_missing() {
    let folder = tempfile::tempdir().unwrap();
    let mut options = open_bandit(folder.path(), GOOD);
    options.estimators = vec![Estimator::Ipw, Estimator::Dm, Estimator::Dr];
    let report = evaluate(&options, |_| {}).unwrap();
    let json = serde_json::to_value(&report).unwrap();
    let caveats = |index: usize| json["estimates"][index]["caveats"].to_string();
    assert!(caveats(0).contains("draws decide"), "{json}");
    assert!(
        caveats(0).contains("does not have the propensity of every candidate"),
        "{json}"
    );
    assert!(caveats(1).contains("the error of the reward model"), "{json}");
    assert_eq!(json["candidate_propensities"], false);
    assert!(
        json["assumptions"]
            .to_string()
            .contains("the propensity of the choice alone"),
        "{json}"
    );
    let guaranteed = &json["estimates"][0]["difference"]["intervals"]["confidence_sequence"];
    assert!(guaranteed["low"].as_f64() < Some(0.0), "{json}");
    assert!(report.to_string().contains("dm: no interval"), "{report}");

    // Estimated propensities guarantee nothing, and cut weights estimate something else.
    options.max_weight = Some(1.0);
    let report = evaluate(&options, |_| {}).unwrap();
    assert!(report.estimate(Estimator::Dr).unwrap().caveats[0].contains("weights were cut"));
    options = open_bandit(folder.path(), "0,t,0,1,1,,a,0.0\n1,t,1,1,0,,b,0.0\n");
    options.missing_propensity = MissingPropensity::Estimate;
    let report = evaluate(&options, |_| {}).unwrap();
    let estimate = report.estimate(Estimator::Ipw).unwrap();
    assert!(!estimate.intervals.contains_key("confidence_sequence"));
    assert!(
        estimate
            .caveats
            .iter()
            .any(|c| c.contains("propensities were estimated"))
    );
}
