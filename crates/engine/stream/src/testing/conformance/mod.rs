//! The specification of [`Log`], in code.
//!
//! Each promise is a function over a [`Backend`]. [`conformance!`](crate::conformance) generates a test of each promise
//! for one backend, so that all backends pass the same list.
#![expect(missing_docs, reason = "the name of a promise is its text")]
#![allow(
    clippy::unwrap_used,
    clippy::missing_panics_doc,
    reason = "a test fails by panicking"
)]

pub mod client;
pub mod compaction;
pub mod crashes;
pub mod groups;
pub mod polling;
pub mod publishing;
pub mod state;
pub mod transactions;

use std::sync::Arc;

use crate::{Log, TopicSpec};

/// A log under test.
pub trait Backend {
    /// The log; the same for every call until [`Backend::reopen`].
    fn log(&self) -> Arc<dyn Log>;

    /// The log as another process would open it. For a backend with a server, it is another connection.
    fn other(&self) -> Arc<dyn Log>;

    /// Opens the log at a [`Backend::address`] in another process.
    fn open(address: &str) -> Arc<dyn Log>
    where
        Self: Sized;

    /// Closes the log and opens it again. No thread may use it during the call.
    fn reopen(&mut self);

    /// The steps of a commit at which a process can be killed: the names of failpoints.
    fn steps(&self) -> &'static [&'static str];

    /// The address of this log for a child process: the argument of [`Backend::open`].
    fn address(&self) -> String;

    /// Lets a child process use the log during `run`.
    fn lend(&mut self, run: &mut dyn FnMut());

    /// Compacts a topic. Returns when `is_compacted` returns true. If a backend must trigger the compaction, it may write
    /// records with the key [`compaction::FILLER`].
    fn compact(&self, topic: &Arc<str>, is_compacted: &mut dyn FnMut() -> bool);

    /// Creates topics with `partitions` partitions and returns their names.
    fn topics(&self, bases: &[&str], partitions: u32) -> Vec<Arc<str>> {
        let names: Vec<Arc<str>> = bases.iter().map(|base| (*base).into()).collect();
        let specs: Vec<TopicSpec> = names
            .iter()
            .map(|name| TopicSpec::new(name.clone(), partitions))
            .collect();
        self.log().ensure_topics(&specs).unwrap();
        names
    }
}

/// Generates the tests of every promise, for the backend that an expression opens.
///
/// `conformance!(MyBackend, MyBackend::new())`: the type, and an `Option<MyBackend>` for each test. `None` skips the
/// test; the expression must print the reason.
#[macro_export]
macro_rules! conformance {
    ($backend:ty, $open:expr) => {
        $crate::conformance_promises! { $backend, $open,
        publishing:
            a_key_has_one_partition_and_keeps_its_order
            a_record_is_read_exactly_as_it_was_written
            many_threads_publish_at_once
            a_read_starts_at_any_offset_and_stops_at_the_end
            an_unknown_topic_is_named
            a_topic_is_created_once_and_checked_afterwards
            acknowledged_records_exist_after_reopening;
        polling:
            a_batch_ends_at_the_first_limit_that_it_reaches
            a_record_larger_than_the_limit_comes_alone
            a_poll_without_records_is_idle
            a_waiting_poll_wakes_when_something_is_committed
            reading_continues_at_another_offset_after_a_seek
            positions_show_how_many_records_are_unread;
        groups:
            a_member_reads_everything_in_order
            two_instances_share_the_work_and_take_over
            every_topic_of_a_number_goes_to_the_same_member
            a_rebalance_in_mid_batch_neither_loses_nor_doubles
            a_revived_zombie_is_fenced
            the_progress_of_a_group_can_be_read_without_joining_it
            groups_read_independently_of_each_other;
        transactions:
            outputs_and_offsets_become_visible_together
            aborted_records_are_never_visible
            after_an_abort_the_same_records_are_read_again
            the_metadata_of_an_offset_is_returned_unchanged
            a_transaction_may_span_every_partition;
        state:
            state_is_read_as_committed
            a_scan_returns_entries_in_key_order
            an_aborted_change_of_state_has_no_effect
            state_moves_with_its_partition
            a_value_of_any_size_moves_with_its_partition
            the_state_of_a_group_can_be_read_without_joining_it
            state_exists_after_reopening;
        compaction:
            the_latest_value_of_every_key_survives_compaction
            a_tombstone_removes_its_key
            a_topic_that_should_be_compacted_is_refused_with_a_correction;
        crashes:
            a_kill_at_any_step_of_a_commit_neither_loses_nor_doubles;
            }

        /// The main function of a child process. It is not a test.
        #[test]
        fn child() {
            $crate::testing::conformance::crashes::run_child_if_asked(
                <$backend as $crate::testing::conformance::Backend>::open,
            );
        }
    };
}

/// Generates the tests that [`conformance!`](crate::conformance) lists.
#[doc(hidden)]
#[macro_export]
macro_rules! conformance_promises {
    ($backend:ty, $open:expr, $($module:ident: $($promise:ident)+;)+) => {
        $($(
            #[test]
            fn $promise() {
                let opened: Option<$backend> = $open;
                if let Some(mut backend) = opened {
                    $crate::testing::conformance::$module::$promise(&mut backend);
                }
            }
        )+)+
    };
}
