//! The duration of an evaluation of many rows.
//!
//!     cargo bench -p limbic-evaluation --bench evaluate -- --rows 10000000 --affinities 80 --threads 2
//!
//! Writes its own Open Bandit folder (80 items, 3 positions, 240 contexts, clicks of half a percent, and as many
//! user-item affinity columns as the dataset's campaign `all` has, which an evaluation skips), evaluates Bernoulli
//! Thompson sampling on it with every estimator and interval, and prints the times and the memory.
//!
//!     cargo bench -p limbic-evaluation --bench evaluate -- --rows 10000000 --candidates 5 --threads 2
//!
//! With `--candidates` it uses Limbic's own log instead: decisions as the optimize stage writes them (that many
//! candidates, 19 features of 240 contexts, one person each), with a click for one in twenty, evaluated for a uniform
//! choice. `--distinct 1` gives each row a context of its own. `TMPDIR` is the folder of the log during the run. With
//! `LIMBIC_EVALUATE_LOG=PATH` the log is kept, and is read again by later runs, so that two programs can read the same file in turns.

#![expect(clippy::print_stdout, reason = "a program for people")]

use std::fmt::Write as _;
use std::io::Write;
use std::path::Path;
use std::time::Instant;

use limbic_bandit::random::Random;
use limbic_domain::{
    AudienceId, Candidate, Chosen, Creative, Decision, DecisionResult, Envelope, Micros, Outcome,
    OutcomeKind, PolicyVersion, Probability, Pseudonym, Rendering, Slug, TenantId, Utc,
};
use limbic_evaluation::{EvaluationOptions, EvaluationPolicy, LogFormat, Progress, evaluate};

const ITEMS: usize = 80;

struct Settings {
    rows: u64,
    affinities: usize,
    /// Number of candidates in a Limbic log; 0 selects an Open Bandit log.
    candidates: usize,
    /// Whether each row of a Limbic log has a context of its own.
    distinct: bool,
    threads: usize,
}

fn settings() -> Settings {
    let mut settings = Settings {
        rows: 10_000_000,
        affinities: 80,
        candidates: 0,
        distinct: false,
        threads: 2,
    };
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    for pair in arguments.windows(2) {
        let value = || {
            pair[1]
                .parse::<u64>()
                .expect("a whole number follows each option")
        };
        match pair[0].as_str() {
            "--rows" => settings.rows = value(),
            "--affinities" => settings.affinities = value() as usize,
            "--candidates" => settings.candidates = value() as usize,
            "--distinct" => settings.distinct = value() > 0,
            "--threads" => settings.threads = value() as usize,
            _ => {}
        }
    }
    settings
}

fn write_log(folder: &Path, settings: &Settings) -> std::io::Result<u64> {
    let mut items = String::from(",item_id,item_feature_0,item_feature_1\n");
    let mut prior = String::from("log:\n  alpha:\n");
    let mut random = Random::new(1);
    for item in 0..ITEMS {
        let _ = writeln!(items, "{item},{item},{:.6},kind{}", random.normal(), item % 7);
        let _ = writeln!(prior, "    - {}", 2 + random.below(400));
    }
    prior.push_str("  beta:\n");
    for _ in 0..ITEMS {
        let _ = writeln!(prior, "    - {}", 5_000 + random.below(80_000));
    }
    std::fs::write(folder.join("item_context.csv"), items)?;
    std::fs::write(folder.join("prior.yaml"), prior)?;

    let path = folder.join("log.csv");
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(&path)?);
    write!(out, ",timestamp,item_id,position,click,propensity_score")?;
    for feature in 0..4 {
        write!(out, ",user_feature_{feature}")?;
    }
    for affinity in 0..settings.affinities {
        write!(out, ",user-item_affinity_{affinity}")?;
    }
    writeln!(out)?;
    let rest = ",0.0".repeat(settings.affinities);
    // Categories of the dataset have 32 hexadecimal digits.
    let category = |feature: usize, value: usize| {
        let wide = u128::from(limbic_bandit::random::derive(feature as u64, value as u64));
        format!("{:032x}", wide.wrapping_mul(0x1_0000_0000_0001_0001))
    };
    let categories: Vec<Vec<String>> = [3, 5, 8, 8]
        .into_iter()
        .enumerate()
        .map(|(feature, count)| (0..count).map(|value| category(feature, value)).collect())
        .collect();
    let mut line = String::new();
    for row in 0..settings.rows {
        line.clear();
        let item = random.below(ITEMS);
        let click = u8::from(random.unit() < 0.003 + 0.00005 * item as f64);
        let position = 1 + random.below(3);
        let _ = write!(
            line,
            "{row},2019-11-24 00:00:34.762830+00:00,{item},{position},{click},0.0125"
        );
        let common = random.below(240);
        let parts = [common % 3, common / 3 % 5, common / 15 % 8, common / 30];
        for (values, part) in categories.iter().zip(parts) {
            line.push(',');
            line.push_str(&values[part]);
        }
        line.push_str(&rest);
        line.push('\n');
        out.write_all(line.as_bytes())?;
    }
    out.flush()?;
    Ok(std::fs::metadata(path)?.len())
}

/// A decision as text, with the places of the id, the time and the context.
fn decision(context: usize, candidates: usize, chosen: usize) -> Envelope<Decision> {
    let creative = |number: usize| Creative {
        id: format!(
            "{:032x}",
            u128::from(limbic_bandit::random::derive(7, number as u64)) << 64
        ),
        generator: format!("template/tone-{number}"),
        ai_generated: false,
        generator_version: None,
        approval: None,
        model: None,
        factors: limbic_domain::Factors::default(),
        tone: Slug::new("celebrate").expect("a slug"),
        rendering: Rendering {
            platform: Slug::new("webhook").expect("a slug"),
            headline: "What a day for Corner Bakery!".into(),
            body: "Bread that is warm when you come home. Reserve a loaf.".into(),
            link: "https://corner-bakery.example/".into(),
        },
        picture: None,
    };
    let propensity = Probability::new(1.0 / candidates as f64).expect("a probability");
    let mut features: std::collections::BTreeMap<String, f64> = [
        format!("direction={}", ["up", "down"][context % 2]),
        format!("subject=subject-{}", context / 2 % 5),
        format!("hour={}", context / 10),
        "segment=everyone".to_owned(),
        "feeling=up joy".to_owned(),
    ]
    .into_iter()
    .map(|name| (name, 1.0))
    .collect();
    for number in 0..14 {
        features.insert(
            format!("emotion.feeling-{number}"),
            (context * 31 + number * 17) as f64 / 9973.0,
        );
    }
    let decision = Decision {
        moment: "0123456789abcdef0123456789abcdef".into(),
        campaign: Slug::new("corner-bakery").expect("a slug"),
        audience: AudienceId::new("everyone:football").expect("an audience"),
        context: features,
        removals: Vec::new(),
        result: DecisionResult::Chosen(Chosen {
            candidates: (0..candidates)
                .map(|number| Candidate {
                    marginal_propensity: None,
                    creative: creative(number).id,
                    propensity,
                })
                .collect(),
            creative: creative(chosen),
            propensity,
            position: chosen,
            price: Micros(200_000),
            people: vec![Pseudonym::new("9f86d081884c7d659a2feaa0c55ad015").expect("a pseudonym")],
            policy: PolicyVersion {
                name: "linear-ts".into(),
                version: 1,
                hash: "0123456789abcdef".into(),
            },
            seed: 1,
            transparency: None,
            champion_challenger: None,
        }),
    };
    Envelope::new(TenantId::default(), "ID".into(), Utc::from_millis(0), decision)
}

fn write_our_log(path: &Path, settings: &Settings) -> std::io::Result<u64> {
    let mut random = Random::new(1);
    // Encoded once for each context and choice. Only the parts that differ from row to row are inserted.
    let texts: Vec<Vec<(String, String, String)>> = (0..240)
        .map(|context| {
            (0..settings.candidates)
                .map(|chosen| {
                    let bytes = decision(context, settings.candidates, chosen).encode();
                    let text = String::from_utf8(bytes).expect("JSON is text");
                    let (before, rest) = text.split_once("\"ID\"").expect("its id");
                    let (between, after) = rest
                        .split_once("\"1970-01-01T00:00:00Z\"")
                        .or_else(|| rest.split_once("\"1970-01-01T00:00:00.000Z\""))
                        .expect("its time");
                    (before.to_owned(), between.to_owned(), after.to_owned())
                })
                .collect()
        })
        .collect();
    let mut out = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    for row in 0..settings.rows {
        let (context, chosen) = (random.below(240), random.below(settings.candidates));
        let (before, between, after) = &texts[context][chosen];
        let id = format!("corner-bakery.{row:032x}");
        let at = Utc::from_millis(row as i64);
        if settings.distinct {
            // The first number of the context follows the time.
            let (head, number) = after.split_once("feeling-0\":").expect("a feeling");
            let (_, rest) = number.split_once(',').expect("another feeling");
            let value = random.unit();
            writeln!(
                out,
                "{before}\"{id}\"{between}\"{at}\"{head}feeling-0\":{value},{rest}"
            )?;
        } else {
            writeln!(out, "{before}\"{id}\"{between}\"{at}\"{after}")?;
        }
        if random.unit() < 0.02 + 0.01 * chosen as f64 {
            let click = Outcome::new(id, OutcomeKind::Click, "click");
            let envelope = Envelope::new(TenantId::default(), format!("{row:032x}"), at, click);
            out.write_all(&envelope.encode())?;
            writeln!(out)?;
        }
    }
    out.flush()?;
    Ok(std::fs::metadata(path)?.len())
}

/// Peak memory of this process in MiB, if the system reports it.
fn peak_memory() -> Option<u64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find(|line| line.starts_with("VmHWM:"))?;
    let kilobytes: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kilobytes / 1024)
}

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let settings = settings();
    let folder = tempfile::tempdir()?;
    let begin = Instant::now();
    let kept = std::env::var_os("LIMBIC_EVALUATE_LOG").map(std::path::PathBuf::from);
    let own = kept.unwrap_or_else(|| folder.path().join("decisions.jsonl"));
    let size = if settings.candidates > 0 && own.exists() {
        std::fs::metadata(&own)?.len()
    } else if settings.candidates > 0 {
        write_our_log(&own, &settings)?
    } else {
        write_log(folder.path(), &settings)?
    };
    println!(
        "wrote {} rows, {:.2} GB, in {:.1} s",
        settings.rows,
        size as f64 / 1e9,
        begin.elapsed().as_secs_f64()
    );
    let mut options = if settings.candidates > 0 {
        EvaluationOptions::new(&own, LogFormat::Limbic, EvaluationPolicy::named("uniform", None)?)
    } else {
        let prior = folder.path().join("prior.yaml");
        let policy = EvaluationPolicy::BernoulliThompson { prior };
        EvaluationOptions::new(folder.path(), LogFormat::OpenBandit, policy)
    };
    options.threads = settings.threads;
    let begin = Instant::now();
    let report = evaluate(&options, |progress| {
        if !matches!(progress, Progress::Reading { bytes, of } if bytes < of) {
            println!("{:6.2} s {progress:?}", begin.elapsed().as_secs_f64());
        }
    })?;
    let seconds = begin.elapsed().as_secs_f64();
    println!("{report}");
    println!(
        "{} rows in {seconds:.2} s on {} threads ({:.0} rows/s); peak memory {} MiB",
        report.rows,
        settings.threads,
        report.rows as f64 / seconds,
        peak_memory().map_or_else(|| "?".to_owned(), |mebibytes| mebibytes.to_string())
    );
    Ok(())
}
