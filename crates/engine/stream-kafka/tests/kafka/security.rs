//! Managed brokers need TLS, a user and a password.

use limbic_stream::{Error, Log};
use limbic_stream_kafka::{KafkaLog, KafkaOptions};

use crate::cluster::{address, log, options, pass_on, record, subscription, take, values};

fn secured() -> Option<(String, KafkaOptions)> {
    address()?;
    let said = |name: &str| std::env::var(format!("LIMBIC_TEST_KAFKA_SASL{name}")).unwrap();
    let options = options()
        .with("security.protocol", "SASL_SSL")
        .with("sasl.mechanism", "SCRAM-SHA-512")
        .with("sasl.username", said("_USER"))
        .with("sasl.password", said("_PASSWORD"))
        .with("ssl.ca.location", said("_CA"));
    Some((format!("kafka://{}", said("")), options))
}

#[test]
fn a_stage_runs_over_tls_with_scram() {
    let Some((address, options)) = secured() else {
        return;
    };
    let log = log(&address, &options, 1);
    log.publish(vec![record("in", "k", 1)]).unwrap();
    let mut consumer = log.subscribe(subscription("a")).unwrap();
    let records = take(&mut *consumer, 1);
    pass_on(&mut *consumer, &records).unwrap();
    consumer.close().unwrap();
    assert_eq!(values(&log, "out", 1), ["1"]);
}

#[test]
fn a_wrong_password_is_reported_and_not_shown() {
    let Some((address, options)) = secured() else {
        return;
    };
    let options = KafkaOptions {
        call_timeout: std::time::Duration::from_secs(5),
        ..options.with("sasl.password", "not-the-word")
    };
    let error = KafkaLog::connect(&address, options).err().unwrap();
    let text = error.to_string();
    assert!(
        matches!(error, Error::Unavailable { .. } | Error::Settings(_)),
        "{text}"
    );
    assert!(text.to_lowercase().contains("authentication"), "{text}");
    assert!(!text.contains("not-the-word"), "{text}");
}
