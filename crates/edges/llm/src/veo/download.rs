//! The download of a clip from the address that a reply names. A reply must not decide where the key is sent.

use limbic_domain::{ConnectionUrl, Secret};
use reqwest::Url;
use reqwest::header::HeaderMap;

use super::shown;
use crate::film::FilmJob;
use crate::gemini::failure;
use crate::provider::{Attempt, Failure, FailureKind};
use crate::server::{Download, Endpoint, SettingsError, base_url, unknown};

/// Maximum bytes of a clip: some times what a clip of 8 seconds in 1080p has.
const CLIP_BYTES: usize = 64 << 20;

/// Maximum number of redirects. Google's server sends one, to another path of its host.
const REDIRECTS: usize = 3;

/// Where clips are downloaded from.
#[derive(Debug)]
pub(super) struct Downloads {
    base: Url,
    hosts: Vec<String>,
    /// A client without the key, for the hosts that are not that of the base URL.
    keyless: Endpoint,
}

impl Downloads {
    /// Returns an error if a host is not one.
    pub(super) fn check(hosts: &[String]) -> Result<(), SettingsError> {
        let is_host = |host: &&String| {
            let url = Url::parse(&format!("https://{host}/"));
            url.is_ok_and(|url| shown(&url) == **host)
        };
        match hosts.iter().find(|host| !is_host(host)) {
            Some(wrong) => Err(SettingsError::Host(wrong.clone())),
            None => Ok(()),
        }
    }

    pub(super) fn new(base: &ConnectionUrl, hosts: &[String]) -> Result<Self, SettingsError> {
        Self::check(hosts)?;
        Ok(Self {
            base: base_url(base)?,
            hosts: hosts.to_vec(),
            keyless: Endpoint::new(base, HeaderMap::new(), &Secret::default())?,
        })
    }

    /// The bytes of a clip. `endpoint` has the key.
    pub(super) async fn get(
        &self,
        uri: &str,
        endpoint: &Endpoint,
        attempt: Attempt<'_, FilmJob>,
    ) -> Result<Vec<u8>, Failure> {
        let wrong = |_| unknown("200, but the address of the clip is not a URL");
        let mut url = Url::parse(uri).map_err(wrong)?;
        for _ in 0..=REDIRECTS {
            let from = self.client(&url, endpoint)?;
            match from.download(url.clone(), CLIP_BYTES, attempt, failure).await? {
                Download::Whole(bytes) => return Ok(bytes),
                Download::Elsewhere(location) => {
                    url = url
                        .join(&location)
                        .map_err(|_| unknown("the clip is at a redirect that is not a URL"))?;
                }
            }
        }
        Err(unknown(format!(
            "the clip is behind more than {REDIRECTS} redirects"
        )))
    }

    /// The client for an address: with the key only for the base URL's own server.
    fn client<'a>(&'a self, url: &Url, endpoint: &'a Endpoint) -> Result<&'a Endpoint, Failure> {
        let has_login = !url.username().is_empty() || url.password().is_some();
        if url.origin() == self.base.origin() && !has_login {
            return Ok(endpoint);
        }
        let is_safe = url.scheme() == "https" || url.scheme() == self.base.scheme();
        let host = shown(url);
        if is_safe && !has_login && self.hosts.contains(&host) {
            return Ok(&self.keyless);
        }
        let detail = format!(
            "the clip is at {}://{host}, which is neither the host of base_url nor one of download_hosts: nothing was sent there. Add \
             the host to download_hosts if clips are to be downloaded from it",
            url.scheme()
        );
        Err(Failure::new(FailureKind::Blocked, detail))
    }
}
