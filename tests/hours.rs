//! The first hours of a new user: a copied program in another folder, settings with mistakes, and commands beside a running
//! node.

use std::collections::BTreeSet;
use std::io::{Read as _, Write as _};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::kit::{TestNode, count};

/// Part of every secret of these tests. It must not appear in any output.
const CANARY: &str = "kanarienvogel-8231";

/// A secret of 32 characters or more that contains the canary. `name` makes it another one.
fn secret(name: &str) -> String {
    format!("{CANARY}-abcdefghijklm-{name}")
}

/// A folder with a copy of the program, far from its sources.
struct Elsewhere {
    folder: tempfile::TempDir,
    program: PathBuf,
}

impl Elsewhere {
    fn new() -> Self {
        let folder = tempfile::tempdir().unwrap();
        let program = folder.path().join("limbic");
        let built = Path::new(env!("CARGO_BIN_EXE_limbic"));
        // A link is a copy of the same bytes at another place, and needs no disk.
        if std::fs::hard_link(built, &program).is_err() {
            std::fs::copy(built, &program).unwrap();
        }
        Self { folder, program }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.path(name), text).unwrap();
    }

    fn run_with(&self, arguments: &[&str], environment: &[(&str, &str)]) -> Output {
        let mut command = Command::new(&self.program);
        command
            .current_dir(self.folder.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .envs(environment.iter().copied())
            .args(arguments);
        command.output().unwrap()
    }

    fn run(&self, arguments: &[&str]) -> Output {
        self.run_with(arguments, &[])
    }

    /// Runs a command that must succeed. Returns what it prints.
    fn ok(&self, arguments: &[&str]) -> String {
        let output = self.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", all(&output));
        String::from_utf8(output.stdout).unwrap()
    }

    /// Checks settings that must be refused, by `check` and by `run`, with `said` and without the canary.
    fn refuses(&self, settings: &str, environment: &[(&str, &str)], said: &[&str]) {
        self.write("limbic.toml", settings);
        for command in ["check", "run"] {
            let output = self.run_with(
                &[command, "--config", "limbic.toml", "--data", "data"],
                environment,
            );
            let text = all(&output);
            assert!(!output.status.success(), "{command} accepts {settings}");
            for part in said {
                assert!(
                    text.contains(part),
                    "{command}: `{part}` is not in: {text}\n{settings}"
                );
            }
            assert!(!text.contains(CANARY), "{command}: {text}");
            for word in ["usize", "u32", "struct", "builder error", "TOML parse error"] {
                assert!(!text.contains(word), "{command}: `{word}` is in: {text}");
            }
        }
    }
}

/// Everything that a command printed.
fn all(output: &Output) -> String {
    let part = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    part(&output.stdout) + &part(&output.stderr)
}

const POST: &str =
    r#"{"network":"test","id":"1","author":"ada","text":"What a goal!","created_at":"2026-03-01T10:00:00Z"}"#;

const CAMPAIGN: &str = r#"
[[campaigns]]
id = "lamps"
subjects = ["football"]
bid = 1000
platforms = [{ name = "file", headline = 60, body = 180 }]
declared = { advertiser = "Lumen" }
[campaigns.brief]
product = "Lumen"
promise = "Light that follows the game."
call_to_action = "Try it"
link = "https://lumen.example"

[ad_platforms.file]
kind = "file"
path = "ads.jsonl"
"#;

#[test]
fn a_copied_program_reads_with_its_model_and_explains_itself_in_any_folder() {
    let elsewhere = Elsewhere::new();
    let read = elsewhere.ok(&["read", "--json", "I love my new lamp"]);
    let read: Value = serde_json::from_str(&read).unwrap();
    assert!(read["model"].as_str().unwrap().starts_with("affect-l6"), "{read}");
    let checked = elsewhere.ok(&["check", "--set", "listen=127.0.0.1:0"]);
    assert!(checked.contains("(in the program), kernels "), "{checked}");
    assert!(checked.contains("note  campaigns"), "{checked}");
    assert!(!elsewhere.path(".limbic").exists(), "a check creates nothing");

    for shell in ["bash", "zsh", "fish"] {
        assert!(elsewhere.ok(&["completions", shell]).contains("limbic"));
    }
    assert!(elsewhere.ok(&["man"]).contains(".TH limbic"));
    elsewhere.ok(&["man", "--folder", "man1"]);
    assert!(elsewhere.path("man1/limbic-dead-list.1").is_file());
    let secrets: BTreeSet<String> = (0..4).map(|_| elsewhere.ok(&["secret"])).collect();
    assert!(secrets.len() == 4 && secrets.iter().all(|secret| secret.trim().len() == 64));
}

#[test]
fn a_missing_model_is_an_error_and_the_lexicon_must_be_asked_for() {
    let elsewhere = Elsewhere::new();
    elsewhere.refuses(
        "[affect]\nmodel = \"nowhere\"",
        &[],
        &["nowhere", "affect.engine = \"lexicon\""],
    );
    let checked = elsewhere.ok(&[
        "check",
        "--set",
        "affect.engine=lexicon",
        "--set",
        "listen=127.0.0.1:0",
    ]);
    assert!(checked.contains("the lexica read"), "{checked}");
}

#[test]
fn every_wrong_setting_is_refused_by_its_whole_path_before_anything_runs() {
    let elsewhere = Elsewhere::new();
    let of = |from: &str, to: &str| {
        assert!(CAMPAIGN.contains(from), "{from}");
        CAMPAIGN.replacen(from, to, 1)
    };
    for (settings, said) in [
        (
            of("subjects", "topicz"),
            "campaigns[0].topicz: is not a setting; the settings here are: tenant, id, brief, subjects",
        ),
        (
            of("bid = 1000", "bids = 1000"),
            "campaigns[0].bids: is not a setting; did you mean `bid`?",
        ),
        (
            of("bid = 1000", "tenent = \"acme\""),
            "campaigns[0].tenent: is not a setting; did you mean `tenant`?",
        ),
        (
            of("product", "prodct"),
            "campaigns[0].brief.prodct: is not a setting; did you mean `product`?",
        ),
        (
            of("headline = 60", "headline = \"60\""),
            "campaigns[0].platforms[0].headline: is text; expected a whole number",
        ),
        (
            of("bid = 1000", "bid = -5"),
            "campaign default/lamps: bid = -5: choose 1 to",
        ),
        (of("bid = 1000", "bid = 0"), "bid = 0: choose 1 to"),
        (of("bid = 1000", "bid = 9000000000000000"), "choose 1 to"),
        (
            of("name = \"file\"", "name = \"fiel\""),
            "there is no ad platform `fiel`; did you mean `file`?",
        ),
        (
            of("{ name = \"file\", headline = 60, body = 180 }", ""),
            "platforms is empty",
        ),
        (
            of("bid = 1000", "bid = 1000\ntenant = \"acme\""),
            "there is no tenant `acme`",
        ),
        (
            "listen = \"foo\"".to_owned(),
            "listen = \"foo\": is not an address: write HOST:PORT",
        ),
        (
            "listen = 8080".to_owned(),
            "listen: is a whole number; expected text in quotes",
        ),
        (
            "partitions = 1.5".to_owned(),
            "partitions: is a number with a fraction; expected a whole number",
        ),
        (
            format!("{CAMPAIGN}\n[optimize.budgets.lamp]\nbudget = 5000000\nperiod = \"1d\""),
            "optimize.budgets.lamp: there is no campaign `lamp`; did you mean `lamps`?",
        ),
        ("stages = [\"profil\"]".to_owned(), "did you mean `profile`?"),
        (
            "stages = [\"x\"]".to_owned(),
            "stages: there is no stage `x`. The stages are: ingest,",
        ),
        (
            of("bid = 1000", "bid = 99999999999999999999"),
            "line 5, column 7: a whole number that is too large",
        ),
        (
            "listen = \"0.0.0.0:0\"".to_owned(),
            "other machines can reach this address, and there are no API keys",
        ),
        (
            "view = \"mysql://h\"".to_owned(),
            "view = mysql://h: write `embedded` or `postgres://HOST:PORT/DATABASE`",
        ),
        (
            "[ad_platforms.x]\nkind = \"webhook\"".to_owned(),
            "ad_platforms.x.url: is missing",
        ),
        (
            "[affect]\nkernels = \"abacus\"".to_owned(),
            "affect.kernels = abacus",
        ),
    ] {
        elsewhere.refuses(&settings, &[], &[said]);
    }
    std::fs::write(elsewhere.path("limbic.toml"), b"# caf\xe9").unwrap();
    let output = elsewhere.run(&["check", "--config", "limbic.toml"]);
    assert!(
        all(&output).contains("limbic.toml is not UTF-8 text"),
        "{}",
        all(&output)
    );

    elsewhere.write("limbic.toml", CAMPAIGN);
    let check = ["check", "--config", "limbic.toml", "--set", "listen=127.0.0.1:0"];
    let checked = elsewhere.ok(&check);
    let of_subject = "its subject `football` has no words in [affect.subjects]";
    assert!(checked.contains(of_subject), "{checked}");
    elsewhere.write(
        "limbic.toml",
        &format!("{CAMPAIGN}\n[affect.subjects]\nfootbal = [\"goal\"]"),
    );
    assert!(elsewhere.ok(&check).contains("did you mean `footbal`?"));
    elsewhere.write(
        "limbic.toml",
        &format!("{CAMPAIGN}\n[affect.subjects]\nfootball = [\"goal\"]"),
    );
    let checked = elsewhere.ok(&check);
    assert!(!checked.contains("note  campaign"), "{checked}");
}

#[test]
fn wrong_arguments_are_refused_before_the_work() {
    let elsewhere = Elsewhere::new();
    elsewhere.write("posts.jsonl", POST);
    for (arguments, said) in [
        (&["simulate", "--people", "0"][..], "0 is not in"),
        (&["simulate", "--posts", "0"], "0 is not in"),
        (
            &["simulate", "--page", "nowhere/page.html"],
            "nowhere/page.html cannot be written",
        ),
        (&["check", "--log-level", "loud"], "`loud` is not a level"),
        (&["check", "--set", "partitions"], "expected KEY=VALUE"),
        (&["check", "--set", "=3"], "expected KEY=VALUE"),
        (&["check", "--set", "data_dir="], "data_dir: is empty"),
        (&["demo", "--listen", "127.0.0.1:0"], "--stay"),
        (
            &["export", "decisions", "--data", "nowhere"],
            "there is no log in nowhere",
        ),
        (
            &["dead", "list", "--data", "nowhere"],
            "there is no log in nowhere",
        ),
        // The policy is wrong, and there is no log: the policy is read first.
        (
            &["evaluate", "--data", "nowhere", "--policy", "unifrom"],
            "policy `unifrom`: is not known: choose one of",
        ),
        (
            &["demo", "--stay", "--listen", "foo", "--data", "demo"],
            "cannot listen at foo: choose an address of this machine",
        ),
        (
            &["connect", "list", "--from", "127.0.0.1:1"],
            "Connection refused (os error 111); is `limbic run` running there?",
        ),
        (
            &["replay", "posts.jsonl", "--to", "ftp://host"],
            "write http://HOST:PORT",
        ),
        (
            &[
                "evaluate",
                "--log",
                "posts.jsonl",
                "--policy",
                "uniform",
                "--svg",
                "no/x.svg",
            ],
            "no/x.svg cannot be written",
        ),
        (
            &[
                "evaluate",
                "--log",
                "posts.jsonl",
                "--policy",
                "uniform",
                "--reward-range",
                "1,0",
            ],
            "expected LOW,HIGH",
        ),
    ] {
        let output = elsewhere.run(arguments);
        assert!(
            !output.status.success() && all(&output).contains(said),
            "{arguments:?}: {}",
            all(&output)
        );
    }
    assert!(
        !elsewhere.path("nowhere").exists(),
        "a command that looks creates nothing"
    );
}

/// The paths of all settings that hold a secret, by the schema of the settings file.
fn secret_settings(root: &Value, schema: &Value, path: &str, found: &mut BTreeSet<String>) {
    let target = schema["$ref"].as_str();
    let schema = target.map_or(schema, |target| root.pointer(&target[1..]).unwrap());
    if matches!(schema["format"].as_str(), Some("password" | "connection-url")) {
        found.insert(path.trim_start_matches('.').to_owned());
    }
    for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
        secret_settings(root, inner, &format!("{path}.{name}"), found);
    }
    if schema["items"].is_object() {
        secret_settings(root, &schema["items"], &format!("{path}[]"), found);
    }
    if schema["additionalProperties"].is_object() {
        secret_settings(root, &schema["additionalProperties"], &format!("{path}.*"), found);
    }
    for choice in ["oneOf", "anyOf"] {
        for inner in schema[choice].as_array().into_iter().flatten() {
            secret_settings(root, inner, path, found);
        }
    }
}

#[test]
fn no_secret_of_any_setting_is_in_any_output() {
    let elsewhere = Elsewhere::new();
    let schema: Value = serde_json::from_str(&elsewhere.ok(&["components", "--schema"])).unwrap();
    let mut known = BTreeSet::new();
    secret_settings(&schema, &schema, "", &mut known);
    let planted = [
        "log",
        "view",
        "series",
        "seen",
        "tenants.*.pseudonym_secret",
        "tenants.*.api_keys[]",
        "tenants.*.reviewer_keys[]",
        "api.operator_keys[]",
        "data_keys[]",
        "influxdb.token",
        "kafka.settings.*",
        "ad_platforms.*.url",
        "ad_platforms.*.secret",
        "ad_platforms.*.headers.*",
        "connectors.*.app_secret",
        "connectors.*.client_secret",
        "connectors.*.key",
        "connectors.*.push.callback",
        "connectors.*.push.hub",
        "connectors.*.push.secret",
        "connectors.*.secret",
        "connectors.*.settings.*",
        "connectors.*.token",
        "connectors.*.token_url",
        "connectors.*.url",
        "connectors.*.urls[]",
        "connectors.*.verify_token",
        "creative.generate.index",
        "creative.generate.index_key",
        "llm_providers.*.base_url",
        "llm_providers.*.api_key",
        "picture_providers.*.base_url",
        "picture_providers.*.api_key",
        "video_providers.*.base_url",
        "video_providers.*.api_key",
    ];
    let planted: BTreeSet<String> = planted.into_iter().map(str::to_owned).collect();
    assert_eq!(
        known, planted,
        "plant the canary in every setting that holds a secret"
    );

    let (own, key, operator) = (secret("a"), secret("b"), secret("c"));
    let reviewer = secret("d");
    // A key for data has hexadecimal digits only.
    let data_key = "c0ffee00112233445566778899aabbccddeeff0f1e2d3c4b5a69788796a5b4c3";
    let rest = format!(
        r#"
data_keys = ["{data_key}"]
view = "postgres://user:{CANARY}@127.0.0.1:1/{CANARY}"
series = "http://user:{CANARY}@127.0.0.1:1/{CANARY}?token={CANARY}"
seen = "redis://:{CANARY}@127.0.0.1:1/0"
[api]
operator_keys = ["{operator}"]
[tenants.acme]
pseudonym_secret = "{own}"
api_keys = ["{key}"]
reviewer_keys = ["{reviewer}"]
[influxdb]
org = "limbic"
bucket = "limbic"
token = "{CANARY}"
[kafka.settings]
"sasl.username" = "{CANARY}"
"sasl.password" = "{CANARY}"
[ad_platforms.hook]
kind = "webhook"
url = "http://127.0.0.1:1/{CANARY}?key={CANARY}"
secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
headers = {{ authorization = "Bearer {CANARY}" }}
[connectors.stream]
kind = "bluesky"
tenant = "acme"
urls = ["ws://user:{CANARY}@127.0.0.1:1/{CANARY}?key={CANARY}"]
[connectors.instance]
kind = "mastodon"
tenant = "acme"
url = "http://127.0.0.1:1/{CANARY}"
token = "{CANARY}"
[connectors.subreddits]
kind = "reddit"
tenant = "acme"
client_id = "app"
client_secret = "{CANARY}"
user_agent = "test:limbic:1"
subreddits = ["football"]
url = "http://127.0.0.1:1/{CANARY}"
token_url = "http://127.0.0.1:1/{CANARY}"
[connectors.matching]
kind = "x"
tenant = "acme"
token = "{CANARY}"
rules = ["football"]
url = "http://127.0.0.1:1/{CANARY}"
[connectors.videos]
kind = "youtube"
tenant = "acme"
key = "{CANARY}"
channels = ["UCchannel"]
url = "http://127.0.0.1:1/{CANARY}"
[connectors.videos.push]
callback = "http://127.0.0.1:1/{CANARY}/v1/hooks/videos"
secret = "{CANARY}"
hub = "http://127.0.0.1:1/{CANARY}"
[connectors.organisation]
kind = "linkedin"
tenant = "acme"
token = "{CANARY}"
organizations = ["1"]
url = "http://127.0.0.1:1/{CANARY}"
[connectors.graph]
kind = "meta_graph"
tenant = "acme"
token = "{CANARY}"
pages = ["1"]
url = "http://127.0.0.1:1/{CANARY}"
[connectors.pages]
kind = "meta"
tenant = "acme"
app_secret = "{CANARY}"
verify_token = "{CANARY}"
[connectors.sent]
kind = "webhook"
tenant = "acme"
signature = "hex"
secret = "{CANARY}"
verify_token = "{CANARY}"
map = {{ fields = {{ id = "id", author = "by", text = "body", created_at = "at" }} }}
[connectors.topic]
kind = "kafka_topic"
tenant = "acme"
brokers = "127.0.0.1:1"
topic = "posts"
settings = {{ "sasl.username" = "{CANARY}" }}
map = {{ fields = {{ id = "id", author = "by", text = "body", created_at = "at" }} }}
[creative.generate]
index = "http://127.0.0.1:1/{CANARY}"
index_key = "{CANARY}"
[llm_providers.local]
kind = "openai"
base_url = "http://127.0.0.1:1/{CANARY}"
api_key = "{CANARY}"
[picture_providers.local_pictures]
kind = "openai"
base_url = "http://127.0.0.1:1/{CANARY}"
api_key = "{CANARY}"
[video_providers.local_clips]
kind = "veo"
base_url = "http://127.0.0.1:1/{CANARY}"
api_key = "{CANARY}"
"#
    );
    elsewhere.write("limbic.toml", &rest);
    let settings = [
        "--config",
        "limbic.toml",
        "--log-level",
        "trace",
        "--data",
        "data",
    ];
    let hidden = |arguments: &[&str]| {
        let output = elsewhere.run(&[arguments, &settings].concat());
        let text = all(&output);
        assert!(!text.contains(CANARY), "{arguments:?}: {text}");
        assert!(!text.contains(&data_key[..16]), "{arguments:?}: {text}");
        assert!(
            !text.contains("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"),
            "{arguments:?}: {text}"
        );
        text
    };
    let shown = hidden(&["config", "show"]);
    for part in ["postgres://***@127.0.0.1:1/***", "http://127.0.0.1:1/***", "***"] {
        assert!(shown.contains(part), "`{part}` is not in: {shown}");
    }
    let checked = hidden(&["check"]);
    for part in ["start the server, or correct `view`", "cannot be reached", "FAIL"] {
        assert!(checked.contains(part), "`{part}` is not in: {checked}");
    }
    hidden(&["run", "--listen", "127.0.0.1:0"]);
    let tested = hidden(&["connect", "test", "stream", "--seconds", "1"]);
    assert!(tested.contains("does not answer"), "{tested}");
    let kafka = format!("kafka://user:{CANARY}@127.0.0.1:1");
    hidden(&["check", "--log", &kafka]);

    // Mistakes in a file that holds secrets.
    for (settings, said) in [
        (
            format!("[tenants.acme]\npseudonym_secret = \"{own}\napi_keys = []"),
            "line 2, column",
        ),
        (
            format!("[tenants.acme]\npseudonym_secret = {own}"),
            "line 2, column",
        ),
        (
            format!("[tenants.acme]\npseudonym_secret = [\"{own}\"]"),
            "tenants.acme.pseudonym_secret: is a list",
        ),
        (
            format!("[tenants.acme]\napi_keys = \"{own}\""),
            "tenants.acme.api_keys: is text; expected a list",
        ),
        (
            format!("tenants = \"{own}\""),
            "tenants: is text; expected a table",
        ),
        (format!("partitions = \"{own}\""), "partitions: is text"),
        (
            format!(
                "[tenants.acme]\npseudonym_secret = \"{own}\"\n[tenants.best]\npseudonym_secret = \"{own}\""
            ),
            "tenants.best.pseudonym_secret: is the same as tenants.acme.pseudonym_secret",
        ),
        (
            "[tenants.acme]\npseudonym_secret = \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa\"".to_owned(),
            "can be guessed",
        ),
    ] {
        elsewhere.refuses(&settings, &[], &[said]);
    }
    // A secret of digits without quotes is a number for TOML.
    for digits in [8, 16, 20, 32, 38, 40, 64] {
        let own = "82314657".repeat(8);
        let settings = format!("[tenants.acme]\npseudonym_secret = {}", &own[..digits]);
        elsewhere.refuses(&settings, &[], &["a whole number", "in quotes"]);
        let output = elsewhere.run(&["check", "--config", "limbic.toml"]);
        assert!(!all(&output).contains("8231"), "{}", all(&output));
    }
}

#[test]
fn values_of_the_environment_have_the_type_of_their_setting_and_name_the_settings_file() {
    let elsewhere = Elsewhere::new();
    elsewhere.write("other.toml", CAMPAIGN);
    let digits = "73".repeat(8) + &"0124568".repeat(3);
    let environment = [
        ("LIMBIC_CONFIG", "other.toml"),
        ("LIMBIC_TENANTS__DEFAULT__PSEUDONYM_SECRET", digits.as_str()),
        ("LIMBIC_INFLUXDB__ORG", "20261130"),
        ("LIMBIC_STAGES", "ingest,affect"),
        ("LIMBIC_LISTEN", "localhost:0"),
        ("LIMBIC_SEEN", "localhost:6379"),
    ];
    let shown = elsewhere.run_with(&["config", "show"], &environment);
    let text = all(&shown);
    assert!(shown.status.success(), "{text}");
    for part in [
        "id = \"lamps\"",
        "org = \"20261130\"",
        "seen = \"redis://localhost:6379\"",
        "\"affect\"",
    ] {
        assert!(text.contains(part), "`{part}` is not in: {text}");
    }
    let missing = elsewhere.run_with(&["config", "show"], &[("LIMBIC_CONFIG", "nowhere.toml")]);
    assert!(!missing.status.success() && all(&missing).contains("nowhere.toml"));
}

#[test]
fn commands_work_on_the_folder_of_a_running_node_and_the_export_is_evaluated() {
    let mut node = TestNode::open(&["--set", "partitions=1"]);
    let post = json!({"network": "test", "id": "1", "author": "ada", "text": "What a goal!", "created_at": "2026-03-01T10:00:00Z"});
    node.insist("/v1/posts", &json!([post]));
    let counts = node.settle();
    assert_eq!(count(&counts, "/topics/readings/records"), 1);

    let ok = |arguments: &[&str]| {
        let output = node.run(arguments);
        assert!(output.status.success(), "{arguments:?}: {}", all(&output));
        String::from_utf8(output.stdout).unwrap()
    };
    assert!(ok(&["topics", "list"]).contains("readings"));
    assert!(ok(&["dead", "list"]).contains("no dead letters"));
    let checked = ok(&["check"]);
    assert!(
        checked.contains("answers; ") && !checked.contains("FAIL"),
        "{checked}"
    );
    // Each topic of events can be read, with the records between events that move time.
    ok(&["export", "decisions", "outcomes", "moments"]);
    let readings = ok(&["export", "readings"]);
    let reading: Value = serde_json::from_str(readings.trim()).unwrap();
    assert_eq!(
        (&reading["type"], &reading["tenant"]),
        (&json!("reading"), &json!("default")),
        "{reading}"
    );
    assert!(
        !readings.contains("ada") && !readings.contains("goal!"),
        "{readings}"
    );
    assert_eq!(ok(&["export", "readings", "--until", "2026-03-01"]), "");
    assert_eq!(ok(&["export", "readings", "--tenant", "other"]), "");

    // A second node says who has the folder.
    let second = node.run(&["run", "--listen", "127.0.0.1:0"]);
    let text = all(&second);
    assert!(
        !second.status.success() && text.contains("a node with its API at http://"),
        "{text}"
    );
    // There are no decisions yet.
    let evaluated = node.run(&["evaluate", "--policy", "uniform"]);
    assert!(
        all(&evaluated).contains("there are no decisions"),
        "{}",
        all(&evaluated)
    );
    // The end of the terminal session drains the node.
    let (status, log) = node.end_with("HUP");
    assert!(status.success() && log.contains("draining"), "{log}");
    assert!(!node.data().join("node.sock").exists());
    for line in log.lines() {
        let event: Value = serde_json::from_str(line).unwrap();
        assert!(
            event["level"].is_string() && event["message"].is_string(),
            "{line}"
        );
    }
    for path in [env!("CARGO_MANIFEST_DIR"), ".cargo/registry"] {
        assert!(!log.contains(path), "{log}");
    }
}

#[test]
fn an_interrupted_command_leaves_nothing_in_the_temporary_folder() {
    let elsewhere = Elsewhere::new();
    let temporary = elsewhere.path("tmp");
    std::fs::create_dir(&temporary).unwrap();
    let mut child = Command::new(&elsewhere.program)
        .current_dir(elsewhere.folder.path())
        .env_clear()
        .env("TMPDIR", &temporary)
        .args(["simulate", "--json"])
        .spawn()
        .unwrap();
    let is_empty = || std::fs::read_dir(&temporary).unwrap().next().is_none();
    while is_empty() && child.try_wait().unwrap().is_none() {
        crate::kit::pause();
    }
    let sent = Command::new("kill")
        .arg("-INT")
        .arg(child.id().to_string())
        .status();
    assert!(sent.unwrap().success());
    assert_eq!(child.wait().unwrap().code(), Some(130));
    assert!(is_empty());
}

/// What a terminal would obey: it writes to the clipboard, and turns text red.
const ESCAPES: &str = "\u{1b}]52;c;aGk=\u{7}\u{1b}[31m";

/// A server that gives every request this answer, its address, and how many connections it had.
fn answering(answer: String) -> (String, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            counted.fetch_add(1, Ordering::SeqCst);
            let mut stream = stream.unwrap();
            let mut request = vec![0; 64 << 10];
            let _ = stream.read(&mut request);
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    (address, connections)
}

#[test]
fn what_strangers_write_does_not_reach_the_terminal_and_redirects_are_not_followed() {
    let elsewhere = Elsewhere::new();
    let escaped = serde_json::to_string(ESCAPES).unwrap();
    elsewhere.write(
        "posts.jsonl",
        &format!("{POST}\n{}\n", POST.replace("\"2026-03-01T10:00:00Z\"", &escaped)),
    );
    let raw = |output: &Output| all(output).contains('\u{1b}');
    let replayed = elsewhere.run(&["replay", "posts.jsonl", "--data", "data"]);
    assert!(
        all(&replayed).contains("1 rejected") && !raw(&replayed),
        "{}",
        all(&replayed)
    );

    let body = format!("no {ESCAPES}");
    let refusal = format!(
        "HTTP/1.1 400 Bad Request\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    );
    let (address, _) = answering(refusal);
    let refused = elsewhere.run(&["replay", "posts.jsonl", "--to", &address, "--restart"]);
    assert!(
        !refused.status.success() && all(&refused).contains("answers 400"),
        "{}",
        all(&refused)
    );
    assert!(!raw(&refused), "{}", all(&refused));

    let (elsewhere_address, followed) =
        answering("HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\n{}".to_owned());
    let redirect = format!(
        "HTTP/1.1 307 Temporary Redirect\r\nlocation: http://{elsewhere_address}/v1/posts\r\ncontent-length: 0\r\nconnection: close\r\n\r\n"
    );
    let (address, _) = answering(redirect);
    let redirected = elsewhere.run(&["replay", "posts.jsonl", "--to", &address, "--restart"]);
    assert!(
        all(&redirected).contains("redirects are not followed"),
        "{}",
        all(&redirected)
    );
    assert_eq!(followed.load(Ordering::SeqCst), 0);
}
