//! Results of keys, the cache, and one shared request for equal ones.

use std::sync::Arc;

use tokio::sync::watch;

use super::cache::Found;
use super::call::{Resolved, Running};
use super::ledger::Payer;
use super::{
    CacheKey, CacheUse, GatewayError, Inner, Made, Outcome, Pieces, SharedResult, Source, Work, cache_key,
};

/// The key under which a request with an idempotency key runs.
pub(super) fn request_key(payer: &Payer) -> CacheKey {
    let mut hasher = blake3::Hasher::new_derive_key("limbic llm request 1");
    let tenant = payer.tenant.as_str();
    hasher.update(&(tenant.len() as u64).to_le_bytes());
    hasher.update(tenant.as_bytes());
    hasher.update(payer.request.as_deref().unwrap_or_default().as_bytes());
    *hasher.finalize().as_bytes()
}

impl Inner {
    pub(super) async fn answer(
        self: &Arc<Self>,
        resolved: Resolved,
        cache: CacheUse,
        pieces: &Pieces,
    ) -> Result<Outcome<Made>, GatewayError> {
        let Some(request) = resolved.payer.request.clone() else {
            return self.cached(resolved, cache, pieces).await;
        };
        let key = request_key(&resolved.payer);
        let (inner, own) = (Arc::clone(self), pieces.clone());
        let work = async move { inner.keyed(resolved, &request, cache, &own).await };
        self.shared(key, pieces, Source::Repeated, work).await
    }

    /// A request with an idempotency key: its result, if it has one.
    async fn keyed(
        self: &Arc<Self>,
        resolved: Resolved,
        request: &str,
        cache: CacheUse,
        pieces: &Pieces,
    ) -> Result<Outcome<Made>, GatewayError> {
        let payer = resolved.payer.clone();
        let known = self.ledger.result(&payer.tenant, request).await?;
        let now = self.clock.now();
        let is_there = |made: &Made| match made {
            Made::Picture(painted) => painted.is_there(&self.pictures, now),
            Made::Clip(filmed) => filmed.is_there(&self.clips, now),
            Made::Text(_) | Made::Job(_) => true,
        };
        if let Some(answered) = known {
            if is_there(&answered.generated) {
                pieces.whole(&answered.generated);
                return Ok(Outcome {
                    answered: Arc::new(answered),
                    source: Source::Repeated,
                });
            }
            self.ledger.forget(&payer).await?;
        }
        if matches!(*resolved.work, Work::Clip(_)) {
            return self.film(&resolved, request).await;
        }
        let outcome = self.cached(resolved, cache, pieces).await?;
        // The result of an own attempt is stored with its cost.
        if outcome.source != Source::Provider {
            self.ledger.finish(&payer, &outcome.answered).await?;
        }
        Ok(outcome)
    }

    async fn cached(
        self: &Arc<Self>,
        resolved: Resolved,
        cache: CacheUse,
        pieces: &Pieces,
    ) -> Result<Outcome<Made>, GatewayError> {
        let Work::Text(generate) = &*resolved.work else {
            return self.call(&resolved, pieces).await;
        };
        if cache == CacheUse::Off {
            return self.call(&resolved, pieces).await;
        }
        let key = cache_key(&resolved.payer.tenant, generate);
        if cache == CacheUse::Use {
            let found = self.cache.lock().find(&key, self.clock.elapsed());
            let (answered, source) = match found {
                Found::Fresh(answered) => (answered, Source::Cache),
                Found::Stale(answered) => {
                    self.refresh(key, resolved);
                    (answered, Source::Stale)
                }
                Found::Nothing => return self.ask_or_join(key, resolved, cache, pieces).await,
            };
            pieces.whole(&answered.generated);
            return Ok(Outcome { answered, source });
        }
        self.ask_or_join(key, resolved, cache, pieces).await
    }

    /// Asks for a new reply, while the old one is used.
    fn refresh(self: &Arc<Self>, key: CacheKey, mut resolved: Resolved) {
        // The request with the key has its result already.
        resolved.payer.request = None;
        let inner = Arc::clone(self);
        tokio::spawn(async move {
            if let Err(error) = inner
                .ask_or_join(key, resolved, CacheUse::Use, &Pieces(None))
                .await
            {
                tracing::warn!(%error, "a stale reply of a language model was not replaced");
            }
        });
    }

    /// Asks providers, unless an equal request is running: then waits for its reply.
    async fn ask_or_join(
        self: &Arc<Self>,
        key: CacheKey,
        resolved: Resolved,
        cache: CacheUse,
        pieces: &Pieces,
    ) -> Result<Outcome<Made>, GatewayError> {
        let (inner, own) = (Arc::clone(self), pieces.clone());
        let work = async move {
            // An equal request can have ended since the cache was looked at.
            let found = inner.cache.lock().fresh(&key, inner.clock.elapsed());
            if let Some(answered) = found.filter(|_| cache == CacheUse::Use) {
                own.whole(&answered.generated);
                return Ok(Outcome {
                    answered,
                    source: Source::Cache,
                });
            }
            let outcome = inner.call(&resolved, &own).await?;
            let now = inner.clock.elapsed();
            let tenant = &resolved.payer.tenant;
            inner.cache.lock().store(key, tenant, &outcome.answered, now);
            Ok(outcome)
        };
        self.shared(key, pieces, Source::Shared, work).await
    }

    async fn call(
        self: &Arc<Self>,
        resolved: &Resolved,
        pieces: &Pieces,
    ) -> Result<Outcome<Made>, GatewayError> {
        let answered = Running::new(self, resolved, pieces).run().await?;
        Ok(Outcome {
            answered: Arc::new(answered),
            source: Source::Provider,
        })
    }

    /// Runs `work`, or waits for the work under this key that is running, and then has the source `joined`.
    async fn shared(
        self: &Arc<Self>,
        key: CacheKey,
        pieces: &Pieces,
        joined: Source,
        work: impl Future<Output = Result<Outcome<Made>, GatewayError>> + Send + 'static,
    ) -> Result<Outcome<Made>, GatewayError> {
        let (mut shared, is_own) = self.join(key, work);
        let ended = shared.wait_for(Option::is_some).await;
        let result = ended.ok().and_then(|result| result.clone());
        let mut outcome = result.ok_or(GatewayError::Stopped)??;
        if !is_own {
            outcome.source = joined;
            pieces.whole(&outcome.answered.generated);
        }
        Ok(outcome)
    }

    pub(super) fn join(
        self: &Arc<Self>,
        key: CacheKey,
        work: impl Future<Output = Result<Outcome<Made>, GatewayError>> + Send + 'static,
    ) -> (SharedResult, bool) {
        let mut running = self.running.lock();
        if let Some(shared) = running.get(&key) {
            return (shared.clone(), false);
        }
        let (sender, shared) = watch::channel(None);
        running.insert(key, shared.clone());
        let entry = Entry {
            inner: Arc::clone(self),
            key,
        };
        // A task of its own: what is paid is finished, also if the caller goes away.
        tokio::spawn(async move {
            let result = work.await;
            drop(entry);
            let _ = sender.send(Some(result));
        });
        (shared, true)
    }
}

/// The entry of a shared request that runs. It is removed when the request ends, also by a panic.
struct Entry {
    inner: Arc<Inner>,
    key: CacheKey,
}

impl Drop for Entry {
    fn drop(&mut self) {
        self.inner.running.lock().remove(&self.key);
    }
}
