//! TLS, and certificates that change.

use std::path::Path;
use std::pin::Pin;
use std::sync::Arc;

use limbic_api::{Settings, Tls, TlsSettings};
use limbic_domain::HumanDuration;
use openssl::asn1::Asn1Time;
use openssl::bn::BigNum;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::ssl::{SslConnector, SslMethod, SslVerifyMode};
use openssl::x509::{X509Builder, X509NameBuilder};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

use crate::kit::{Api, exchange, request, rest_of, within};

/// Writes a new certificate with this serial number, and its key.
fn write_certificate(folder: &Path, serial: u32) {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
    let serial = BigNum::from_u32(serial).unwrap().to_asn1_integer().unwrap();
    builder.set_serial_number(&serial).unwrap();
    builder.set_subject_name(&name).unwrap();
    builder.set_issuer_name(&name).unwrap();
    builder.set_pubkey(&key).unwrap();
    builder
        .set_not_before(&Asn1Time::days_from_now(0).unwrap())
        .unwrap();
    builder
        .set_not_after(&Asn1Time::days_from_now(1).unwrap())
        .unwrap();
    builder.sign(&key, MessageDigest::sha256()).unwrap();
    std::fs::write(folder.join("certificate.pem"), builder.build().to_pem().unwrap()).unwrap();
    std::fs::write(folder.join("key.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
}

fn settings(folder: &Path) -> TlsSettings {
    TlsSettings {
        certificate: folder.join("certificate.pem"),
        key: folder.join("key.pem"),
    }
}

/// A connection over TLS.
async fn connect(api: &Api, protocols: &[u8]) -> SslStream<TcpStream> {
    let mut connector = SslConnector::builder(SslMethod::tls()).unwrap();
    connector.set_verify(SslVerifyMode::NONE);
    connector.set_alpn_protos(protocols).unwrap();
    let ssl = connector
        .build()
        .configure()
        .unwrap()
        .into_ssl("localhost")
        .unwrap();
    let mut stream = SslStream::new(ssl, api.connect().await).unwrap();
    Pin::new(&mut stream).connect().await.unwrap();
    stream
}

/// The serial number of the server's certificate.
fn serial(stream: &SslStream<TcpStream>) -> u32 {
    let certificate = stream.ssl().peer_certificate().unwrap();
    let serial = certificate.serial_number().to_bn().unwrap();
    serial.to_dec_str().unwrap().parse().unwrap()
}

/// Asks `/healthz` over TLS. Returns the serial number of the server's certificate, and the protocol that was chosen.
async fn ask(api: &Api, protocols: &[u8]) -> (u32, Vec<u8>) {
    let stream = connect(api, protocols).await;
    let serial = serial(&stream);
    let chosen = stream.ssl().selected_alpn_protocol().unwrap_or_default().to_vec();
    if chosen != b"h2" {
        let asked = request("GET /healthz HTTP/1.1\r\nhost: localhost\r\n", b"");
        assert_eq!(exchange(stream, &asked).await.status, 200);
    }
    (serial, chosen)
}

/// Sends a request and reads its answer. The connection stays open.
async fn answer_on(stream: &mut SslStream<TcpStream>) {
    let question = b"GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n";
    stream.write_all(question).await.unwrap();
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\nok\n") {
        answer.push(within("the connection answers", stream.read_u8()).await.unwrap());
    }
    assert!(answer.starts_with(b"HTTP/1.1 200"));
}

#[tokio::test]
async fn a_changed_certificate_is_used_and_one_that_is_not_valid_is_not() {
    let folder = tempfile::tempdir().unwrap();
    assert!(Tls::open(&TlsSettings::default()).unwrap().is_none());
    let missing = Tls::open(&settings(folder.path())).unwrap_err();
    assert!(missing.to_string().contains("cannot read"), "{missing}");
    write_certificate(folder.path(), 1);
    let tls = Arc::new(Tls::open(&settings(folder.path())).unwrap().unwrap());
    let api = Api::over_tls(Settings::default(), &[], Some(Arc::clone(&tls))).await;
    assert_eq!(ask(&api, b"\x08http/1.1").await, (1, b"http/1.1".to_vec()));
    assert_eq!(ask(&api, b"\x02h2\x08http/1.1").await, (1, b"h2".to_vec()));

    // A connection that stays open.
    let mut old = connect(&api, b"\x08http/1.1").await;
    answer_on(&mut old).await;
    write_certificate(folder.path(), 2);
    tls.reload().unwrap();
    assert!(!tls.has_changed());
    assert_eq!(ask(&api, b"\x08http/1.1").await.0, 2);
    answer_on(&mut old).await;
    assert_eq!(serial(&old), 1, "an open connection keeps its certificate");

    std::fs::write(folder.path().join("certificate.pem"), "no certificate").unwrap();
    let error = tls.reload().unwrap_err();
    assert!(error.to_string().contains("as PEM"), "{error}");
    assert_eq!(ask(&api, b"\x08http/1.1").await.0, 2);
    // A key that does not belong to the certificate.
    write_certificate(folder.path(), 3);
    let key = std::fs::read(folder.path().join("key.pem")).unwrap();
    write_certificate(folder.path(), 4);
    std::fs::write(folder.path().join("key.pem"), key).unwrap();
    assert!(tls.reload().is_err());
    assert_eq!(ask(&api, b"\x08http/1.1").await.0, 2);
}

#[tokio::test]
async fn a_client_that_begins_no_handshake_is_closed() {
    let folder = tempfile::tempdir().unwrap();
    write_certificate(folder.path(), 1);
    let tls = Tls::open(&settings(folder.path())).unwrap().map(Arc::new);
    let settings = Settings {
        stall_timeout: HumanDuration::from_millis(50),
        ..Settings::default()
    };
    let api = Api::over_tls(settings, &[], tls).await;
    let mut silent = api.connect().await;
    assert_eq!(rest_of(&mut silent).await, b"");
}
