//! Clients of librdkafka that end in a thread of their own.

use std::ops::Deref;
use std::thread;

/// A client whose end nobody waits for.
///
/// The threads of librdkafka wait by the wall clock. A wait that began while the clock was far ahead ends at the time that it was told,
/// also if the clock is right again since; only an event ends it earlier. A client joins its threads when it is dropped, so a process
/// whose clock was wrong for a second would not end.
pub(super) struct Aside<T: Send + 'static>(Option<T>);

impl<T: Send + 'static> Aside<T> {
    pub(super) const fn new(client: T) -> Self {
        Self(Some(client))
    }
}

impl<T: Send + 'static> Deref for Aside<T> {
    type Target = T;

    fn deref(&self) -> &T {
        self.0.as_ref().expect("it is there until it is dropped")
    }
}

impl<T: Send + 'static> Drop for Aside<T> {
    fn drop(&mut self) {
        let client = self.0.take();
        // If there is no thread for it, it ends here.
        drop(
            thread::Builder::new()
                .name("end of a client".to_owned())
                .spawn(move || drop(client)),
        );
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc::{Receiver, Sender, channel};

    use super::*;

    /// Ends when the other side does.
    struct Stuck(Receiver<()>, Sender<&'static str>);

    impl Drop for Stuck {
        fn drop(&mut self) {
            let _ = self.0.recv();
            let _ = self.1.send("ended");
        }
    }

    #[test]
    fn a_client_that_does_not_end_holds_nobody_up() {
        let (go, wait) = channel();
        let (ended, news) = channel();
        drop(Aside::new(Stuck(wait, ended)));
        assert!(news.try_recv().is_err());
        drop(go);
        assert_eq!(news.recv(), Ok("ended"));
    }
}
