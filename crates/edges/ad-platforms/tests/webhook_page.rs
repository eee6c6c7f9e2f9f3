//! The examples in `docs/webhook.md` accept the test message of Standard Webhooks, and refuse a changed one.
#![expect(
    clippy::unwrap_used,
    clippy::print_stderr,
    reason = "a test fails by panicking, and says what it skips"
)]

use std::path::Path;
use std::process::Command;

use limbic_ad_platforms::SigningKey;
use limbic_domain::Secret;

const SECRET: &str = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw";
const ID: &str = "msg_p5jXN8AQM9LWM0D4loKWxJek";
const TIMESTAMP: i64 = 1_614_265_330;
const BODY: &str = r#"{"test": 2432232314}"#;
const SIGNATURE: &str = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=";

fn page() -> String {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/webhook.md");
    std::fs::read_to_string(path).unwrap()
}

/// The example in this language.
fn example(language: &str) -> String {
    let page = page();
    let (_, rest) = page.split_once(&format!("```{language}\n")).unwrap();
    rest.split_once("```").unwrap().0.to_owned()
}

/// Runs a program that prints `true` for the message and `false` for a changed one. Does nothing if this machine lacks the
/// interpreter.
fn accepts_only_the_message(interpreter: &[&str], file: &Path, program: &str) {
    std::fs::write(file, program).unwrap();
    let run = Command::new(interpreter[0])
        .args(&interpreter[1..])
        .arg(file)
        .env("GOCACHE", file.parent().unwrap().join("cache"))
        .output();
    let Ok(run) = run else {
        eprintln!("\n*** SKIPPED: no {} ***\n", interpreter[0]);
        return;
    };
    let said = String::from_utf8_lossy(&run.stdout).to_lowercase();
    let complained = String::from_utf8_lossy(&run.stderr);
    assert_eq!(
        said.split_whitespace().collect::<Vec<_>>(),
        ["true", "false"],
        "{complained}"
    );
}

#[test]
fn the_test_message_of_the_page_is_that_of_the_program() {
    let key = SigningKey::new(&Secret::new(SECRET)).unwrap();
    assert_eq!(key.sign(ID, TIMESTAMP, BODY.as_bytes()), SIGNATURE);
    let page = page();
    for part in [SECRET, ID, "1614265330", BODY, SIGNATURE] {
        assert!(page.contains(&format!("`{part}`")), "{part}");
    }
}

#[test]
fn the_example_in_python_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let program = format!(
        "{}\nheaders = {{'webhook-id': '{ID}', 'webhook-timestamp': '{TIMESTAMP}', 'webhook-signature': 'v1,AAAA {SIGNATURE}'}}\n\
         print(verify('{SECRET}', headers, b'{BODY}'))\nprint(verify('{SECRET}', headers, b'{{}}'))\n",
        example("python")
    );
    accepts_only_the_message(&["python3"], &folder.path().join("example.py"), &program);
}

#[test]
fn the_example_in_javascript_is_right() {
    let folder = tempfile::tempdir().unwrap();
    let program = format!(
        "{}\nconst headers = {{'webhook-id': '{ID}', 'webhook-timestamp': '{TIMESTAMP}', 'webhook-signature': 'v1,AAAA {SIGNATURE}'}};\n\
         console.log(verify('{SECRET}', headers, '{BODY}'));\nconsole.log(verify('{SECRET}', headers, '{{}}'));\n",
        example("javascript")
    );
    accepts_only_the_message(&["node"], &folder.path().join("example.js"), &program);
}

/// Go compiles its standard library first, which takes a minute of processor time.
#[test]
fn the_example_in_go_is_right() {
    if std::env::var_os("LIMBIC_TEST_GO").is_none() {
        eprintln!("\n*** SKIPPED: LIMBIC_TEST_GO is not set ***\n");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let program = format!(
        "{}\nfunc main() {{\n\theaders := map[string]string{{\"webhook-id\": \"{ID}\", \"webhook-timestamp\": \"{TIMESTAMP}\", \
         \"webhook-signature\": \"v1,AAAA {SIGNATURE}\"}}\n\tprintln2(verify(\"{SECRET}\", headers, []byte(`{BODY}`)))\n\
         \tprintln2(verify(\"{SECRET}\", headers, []byte(`{{}}`)))\n}}\n\nfunc println2(right bool) {{\n\tif right {{\n\
         \t\tos.Stdout.WriteString(\"true\\n\")\n\t}} else {{\n\t\tos.Stdout.WriteString(\"false\\n\")\n\t}}\n}}\n",
        example("go").replacen("\"encoding/base64\"\n", "\"encoding/base64\"\n\t\"os\"\n", 1)
    );
    accepts_only_the_message(&["go", "run"], &folder.path().join("example.go"), &program);
}
