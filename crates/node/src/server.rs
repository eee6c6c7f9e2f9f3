//! The HTTP server of this node.

use std::net::SocketAddr;
use std::time::Instant;

use anyhow::Context as _;
use limbic_api::Context;
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio::task::JoinHandle;

/// Binds the listener before any stage starts, because a port that is already in use is the most frequent error.
pub(crate) fn bind(handle: &Handle, listen: &str) -> anyhow::Result<TcpListener> {
    handle.block_on(TcpListener::bind(listen)).with_context(|| {
        format!("cannot listen at {listen}: the port may be in use; choose another with --listen ADDR:PORT")
    })
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
        let router = limbic_api::router(context);
        let (stop, mut stopped) = watch::channel(false);
        let task = handle.spawn(async move {
            let shutdown = async move {
                let _ = stopped.wait_for(|stopped| *stopped).await;
            };
            let served = axum::serve(listener, router)
                .with_graceful_shutdown(shutdown)
                .await;
            if let Err(error) = served {
                tracing::error!(%error, "the API stopped");
            }
        });
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
