//! TLS for the connections of the API.

use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::SystemTime;

use openssl::error::ErrorStack;
use openssl::ssl::{AlpnError, Ssl, SslAcceptor, SslFiletype, SslMethod, select_next_proto};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use tokio::net::TcpStream;
use tokio_openssl::SslStream;

/// The protocols that the server offers, in the format of ALPN: HTTP/2 and HTTP/1.1.
const PROTOCOLS: &[u8] = b"\x02h2\x08http/1.1";

/// TLS of the API. Both files or none.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct TlsSettings {
    /// File with the certificate and those of its issuers, as PEM. Empty (default) = no TLS.
    pub certificate: PathBuf,
    /// File with the certificate's private key, as PEM.
    pub key: PathBuf,
}

impl TlsSettings {
    /// Whether TLS is on.
    pub fn is_on(&self) -> bool {
        !self.certificate.as_os_str().is_empty() || !self.key.as_os_str().is_empty()
    }
}

/// Why certificates cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// One of the two files is not set.
    #[error("api.tls needs both files: set api.tls.certificate and api.tls.key")]
    Incomplete,
    /// A file cannot be read.
    #[error("cannot read {path}: {source}")]
    Unreadable {
        /// The file.
        path: PathBuf,
        /// The reason.
        source: std::io::Error,
    },
    /// A file is not a certificate or key, or the two do not belong together.
    #[error("{certificate} and {key} are not a certificate and its key, as PEM: {source}")]
    Unusable {
        /// The file of the certificate.
        certificate: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// The reason.
        source: ErrorStack,
    },
}

/// The certificate in use. It can be replaced while connections are open; they keep theirs.
pub struct Tls {
    settings: TlsSettings,
    current: RwLock<Arc<Current>>,
}

struct Current {
    acceptor: SslAcceptor,
    /// When the files were changed.
    changed: [Option<SystemTime>; 2],
}

impl std::fmt::Debug for Tls {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Tls")
            .field("settings", &self.settings)
            .finish_non_exhaustive()
    }
}

impl Tls {
    /// Reads the files. `None` if TLS is off.
    pub fn open(settings: &TlsSettings) -> Result<Option<Self>, TlsError> {
        if !settings.is_on() {
            return Ok(None);
        }
        Ok(Some(Self {
            current: RwLock::new(Arc::new(load(settings)?)),
            settings: settings.clone(),
        }))
    }

    /// Reads the files again, and uses them for new connections. If they are not valid, the certificate in use stays.
    pub fn reload(&self) -> Result<(), TlsError> {
        let loaded = Arc::new(load(&self.settings)?);
        *self.current.write().unwrap_or_else(PoisonError::into_inner) = loaded;
        Ok(())
    }

    /// Whether a file was changed after it was read.
    pub fn has_changed(&self) -> bool {
        self.current().changed != changed(&self.settings)
    }

    pub(crate) async fn accept(
        &self,
        stream: TcpStream,
    ) -> Result<SslStream<TcpStream>, openssl::ssl::Error> {
        let ssl = Ssl::new(self.current().acceptor.context())?;
        let mut stream = SslStream::new(ssl, stream)?;
        Pin::new(&mut stream).accept().await?;
        Ok(stream)
    }

    fn current(&self) -> Arc<Current> {
        Arc::clone(&self.current.read().unwrap_or_else(PoisonError::into_inner))
    }
}

fn changed(settings: &TlsSettings) -> [Option<SystemTime>; 2] {
    [&settings.certificate, &settings.key].map(|path| path.metadata().and_then(|data| data.modified()).ok())
}

fn load(settings: &TlsSettings) -> Result<Current, TlsError> {
    let TlsSettings { certificate, key } = settings;
    if [certificate, key].iter().any(|path| path.as_os_str().is_empty()) {
        return Err(TlsError::Incomplete);
    }
    // Before they are read, so that a change during the reading is seen later.
    let changed = changed(settings);
    for path in [certificate, key] {
        readable(path)?;
    }
    let unusable = |source| TlsError::Unusable {
        certificate: certificate.clone(),
        key: key.clone(),
        source,
    };
    Ok(Current {
        acceptor: acceptor(certificate, key).map_err(unusable)?,
        changed,
    })
}

fn readable(path: &Path) -> Result<(), TlsError> {
    let opened = std::fs::File::open(path).map(drop);
    opened.map_err(|source| TlsError::Unreadable {
        path: path.to_owned(),
        source,
    })
}

fn acceptor(certificate: &Path, key: &Path) -> Result<SslAcceptor, ErrorStack> {
    // TLS 1.2 and 1.3 with the ciphers that Mozilla recommends.
    let mut acceptor = SslAcceptor::mozilla_intermediate_v5(SslMethod::tls_server())?;
    acceptor.set_certificate_chain_file(certificate)?;
    acceptor.set_private_key_file(key, SslFiletype::PEM)?;
    acceptor.check_private_key()?;
    acceptor
        .set_alpn_select_callback(|_, offered| select_next_proto(PROTOCOLS, offered).ok_or(AlpnError::NOACK));
    Ok(acceptor.build())
}
