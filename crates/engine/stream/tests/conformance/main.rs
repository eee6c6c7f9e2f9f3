//! The specification of [`limbic_stream::Log`], in code, and every backend held to it.
//!
//! Each promise is a function over a [`backend::Backend`]; [`promises!`] makes a test of it for each backend. The embedded
//! log needs nothing. Kafka is tested when `LIMBIC_TEST_KAFKA` names a bootstrap server (`scripts/services up kafka`).
#![expect(clippy::unwrap_used, reason = "a test that cannot go on ends")]
#![expect(clippy::print_stderr, reason = "a test that is skipped must be seen")]

mod backend;
mod client;
mod crashes;
mod embedded_only;
mod groups;
mod polling;
mod publishing;
mod state;
mod transactions;

macro_rules! promises {
    ($($module:ident: $($promise:ident)+;)+) => {
        mod embedded {
            $($(
                #[test]
                fn $promise() {
                    crate::$module::$promise(&mut crate::backend::Embedded::new());
                }
            )+)+
        }

        mod kafka {
            $($(
                #[test]
                fn $promise() {
                    if let Some(mut kafka) = crate::backend::Kafka::new() {
                        crate::$module::$promise(&mut kafka);
                    }
                }
            )+)+
        }
    };
}

promises! {
    publishing:
        a_key_has_one_partition_and_keeps_its_order
        everything_of_a_record_comes_back
        many_threads_publish_at_once
        reading_begins_anywhere_and_ends_at_the_end
        an_unknown_topic_is_named
        a_topic_is_created_once_and_checked_ever_after
        what_was_acknowledged_is_there_after_reopening;
    polling:
        a_batch_closes_at_its_first_limit
        a_record_larger_than_the_limit_comes_alone
        nothing_there_is_idle
        a_waiting_poll_wakes_when_something_is_committed
        reading_goes_on_from_another_offset
        positions_tell_what_is_left;
    groups:
        a_member_reads_everything_in_order
        two_instances_share_the_work_and_take_over
        every_topic_of_a_number_goes_to_the_same_member
        a_rebalance_in_mid_batch_neither_loses_nor_doubles
        a_revived_zombie_is_fenced
        anyone_can_ask_how_far_a_group_has_come
        groups_do_not_disturb_each_other;
    transactions:
        outputs_and_offsets_are_seen_together
        what_was_aborted_is_never_seen
        after_an_abort_the_same_records_come_again
        the_metadata_of_an_offset_comes_back
        a_transaction_may_span_every_partition;
    state:
        state_is_read_as_committed
        a_scan_goes_in_key_order
        an_aborted_change_of_state_leaves_no_trace
        state_moves_with_its_partition
        state_is_there_after_reopening;
    crashes:
        a_kill_at_any_step_of_a_commit_neither_loses_nor_doubles;
}

/// What a killed process runs: not a test of its own.
#[test]
fn child() {
    crashes::run_child_if_asked();
    embedded_only::run_child_if_asked();
}
