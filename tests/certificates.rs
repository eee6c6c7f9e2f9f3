//! TLS of the program: a certificate that changes is used without a restart.

use std::path::Path;
use std::time::Duration;

use openssl::asn1::Asn1Time;
use openssl::ec::{EcGroup, EcKey};
use openssl::hash::MessageDigest;
use openssl::nid::Nid;
use openssl::pkey::PKey;
use openssl::x509::{X509Builder, X509NameBuilder};

use crate::kit::TestNode;

/// Writes a new certificate and its key, and returns its bytes.
fn write_certificate(folder: &Path) -> Vec<u8> {
    let group = EcGroup::from_curve_name(Nid::X9_62_PRIME256V1).unwrap();
    let key = PKey::from_ec_key(EcKey::generate(&group).unwrap()).unwrap();
    let mut name = X509NameBuilder::new().unwrap();
    name.append_entry_by_text("CN", "localhost").unwrap();
    let name = name.build();
    let mut builder = X509Builder::new().unwrap();
    builder.set_version(2).unwrap();
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
    let certificate = builder.build();
    std::fs::write(folder.join("key.pem"), key.private_key_to_pem_pkcs8().unwrap()).unwrap();
    std::fs::write(folder.join("certificate.pem"), certificate.to_pem().unwrap()).unwrap();
    certificate.to_der().unwrap()
}

/// A client that keeps its connection open.
struct Client {
    client: reqwest::Client,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    fn new() -> Self {
        let client = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .tls_info(true)
            .danger_accept_invalid_certs(true)
            .build();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        Self {
            client: client.unwrap(),
            runtime: runtime.unwrap(),
        }
    }

    /// The certificate of the connection that answers `/healthz`.
    fn certificate(&self, node: &TestNode) -> Vec<u8> {
        let url = format!("{}/healthz", node.url().replace("http://", "https://"));
        self.runtime.block_on(async {
            let answer = self.client.get(url).send().await.unwrap();
            assert_eq!(answer.status(), 200);
            let tls = answer.extensions().get::<reqwest::tls::TlsInfo>().unwrap();
            let certificate = tls.peer_certificate().unwrap().to_vec();
            answer.bytes().await.unwrap();
            certificate
        })
    }
}

#[test]
fn hang_up_reads_the_certificate_again_and_open_connections_go_on() {
    let folder = tempfile::tempdir().unwrap();
    let first = write_certificate(folder.path());
    let path = |name: &str| folder.path().join(name).display().to_string();
    let certificate = format!("api.tls.certificate={}", path("certificate.pem"));
    let key = format!("api.tls.key={}", path("key.pem"));
    let mut node = TestNode::new(&["--set", &certificate, "--set", &key]);
    node.start();
    let old = Client::new();
    assert_eq!(old.certificate(&node), first);

    let second = write_certificate(folder.path());
    node.signal("HUP");
    node.until("new connections have the new certificate", |node| {
        (Client::new().certificate(node) == second).then_some(())
    });
    assert_eq!(old.certificate(&node), first, "an open connection keeps its own");

    // The files are looked at from time to time, too, and perhaps between the writing of one and the other.
    let refused = |node: &TestNode| node.log().matches("the one in use stays").count();
    let before = refused(&node);
    std::fs::write(folder.path().join("certificate.pem"), "no certificate").unwrap();
    node.signal("HUP");
    node.until("the log says that the certificate is not valid", |node| {
        (refused(node) > before).then_some(())
    });
    assert_eq!(Client::new().certificate(&node), second);
    assert_eq!(old.certificate(&node), first);
    assert!(node.is_alive());
    let (status, log) = node.terminate();
    assert!(status.success(), "{log}");
}
