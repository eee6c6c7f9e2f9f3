//! The HTTP server of this node.

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use anyhow::{Context as _, bail};
use limbic_api::{Context, Tls};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::settings::Settings;

/// How often the files of the certificate are looked at.
const LOOK: Duration = Duration::from_secs(5);

/// Binds the listener before any stage starts, because a port that is already in use is the most frequent error.
pub(crate) fn bind(handle: &Handle, settings: &Settings, listen: &str) -> anyhow::Result<TcpListener> {
    let bound = handle.block_on(TcpListener::bind(listen));
    let listener = bound.map_err(|error| {
        let advice = advice_for(&error);
        anyhow::Error::new(error).context(format!("cannot listen at {listen}: {advice}"))
    })?;
    let address = listener.local_addr().context("the listener has no address")?;
    check_exposure(settings, listen, address)?;
    Ok(listener)
}

/// What to do if the API cannot listen.
pub(crate) fn advice_for(error: &std::io::Error) -> &'static str {
    match error.kind() {
        ErrorKind::AddrInUse => {
            "another program uses this port: stop it, or choose another port with --listen ADDR:PORT"
        }
        _ => "choose an address of this machine with --listen ADDR:PORT, for instance 127.0.0.1:8080",
    }
}

/// Returns an error if other machines can reach `address`, which `listen` names, and the API has no keys.
pub(crate) fn check_exposure(settings: &Settings, listen: &str, address: SocketAddr) -> anyhow::Result<()> {
    if !address.ip().is_loopback() && !settings.has_api_keys() && !settings.api.public_without_keys {
        bail!(
            "listen = {listen}: other machines can reach this address, and there are no API keys, so everyone there could read and \
             write everything: set tenants.default.api_keys, listen at 127.0.0.1:{}, or allow it with api.public_without_keys = true",
            address.port()
        );
    }
    Ok(())
}

/// A running API server.
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Server {
    /// Serves the API over `context`.
    pub(crate) fn start(handle: &Handle, listener: TcpListener, context: Context) -> anyhow::Result<Self> {
        let address = listener.local_addr().context("the listener has no address")?;
        limbic_api::raise_descriptor_limit();
        let tls = Tls::open(&context.settings.tls)?.map(Arc::new);
        if let Some(tls) = &tls {
            handle.spawn(keep_certificate(Arc::downgrade(tls)));
        }
        let (stop, stopped) = watch::channel(false);
        let task = handle.spawn(limbic_api::serve(listener, context, tls, stopped));
        Ok(Self { address, stop, task })
    }

    /// Accepts no more requests, and lets open ones finish until the deadline.
    pub(crate) fn stop(self, handle: &Handle, deadline: Instant) {
        let _ = self.stop.send(true);
        let left = deadline.saturating_duration_since(Instant::now());
        let ended = handle.block_on(async { tokio::time::timeout(left, self.task).await });
        if ended.is_err() {
            tracing::warn!("some requests were still open at the deadline");
        }
    }
}

/// Reads the certificate again when its files change, and on SIGHUP, until the server has ended.
async fn keep_certificate(tls: Weak<Tls>) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => hangup,
        Err(error) => {
            tracing::error!(%error, "cannot listen for SIGHUP: the certificate does not change");
            return;
        }
    };
    let mut look = tokio::time::interval(LOOK);
    // A change that is not valid is reported once.
    let mut reported = false;
    loop {
        let is_asked = tokio::select! {
            _ = hangup.recv() => true,
            _ = look.tick() => false,
        };
        let Some(tls) = tls.upgrade() else { return };
        if !is_asked && !tls.has_changed() {
            reported = false;
            continue;
        }
        match tls.reload() {
            Ok(()) => tracing::info!("new connections use the changed certificate"),
            Err(error) if is_asked || !reported => {
                tracing::error!(%error, "the certificate was not changed: the one in use stays");
                reported = true;
            }
            Err(_) => {}
        }
    }
}
