//! What every engine promises, asked of each. A new engine is done when this is green.

#[path = "../support/mod.rs"]
mod support;

mod events;
mod random;
mod reads;
mod writes;

use support::Bench;

macro_rules! conformance {
    ($($room:ident::$case:ident)*) => {
        mod sqlite {
            $(#[tokio::test] async fn $case() {
                crate::$room::$case(super::Bench::sqlite().await.expect("always there")).await
            })*
        }
        mod postgres {
            $(#[tokio::test] async fn $case() {
                if let Some(bench) = super::Bench::postgres().await { crate::$room::$case(bench).await }
            })*
        }
    };
}

conformance! {
    writes::of_many_writes_with_one_guard_exactly_one_happens
    writes::a_refused_write_leaves_no_trace_and_its_neighbours_happen
    writes::positions_are_dense_and_in_order
    writes::a_known_batch_gets_its_first_places_before_its_revision_is_looked_at
    writes::an_event_id_is_used_once
    writes::an_append_needs_the_revision_it_expects
    writes::two_appends_of_one_write_follow_each_other
    writes::of_two_changes_to_one_row_in_one_batch_the_last_stays
    writes::what_passes_a_bound_is_refused_before_it_is_queued
    reads::what_was_acknowledged_is_there_after_reopening
    reads::each_opening_raises_the_epoch
    reads::lists_of_rows_filter_and_page_by_key_in_bytes
    reads::rows_of_one_name_are_found_by_state
    reads::a_page_ends_by_bytes_too
    reads::the_size_counts_what_is_there
    random::random_writes_do_what_the_model_does
    events::a_stream_is_read_from_any_revision_both_ways
    events::whatever_is_wanted_of_the_log_is_what_a_plain_filter_gives
    events::streams_and_types_are_listed_with_their_counts
    events::with_new_ids_asked_for_a_known_one_refuses_the_whole_write
    events::a_follower_misses_nothing_while_others_write
}
