//! What every storage promises, asked of every backend: one line each at the end.

mod large;
mod posix;
mod promises;
mod s3;
mod webdav;
mod world;
mod xrootd;

/// Makes a test of each promise for a backend; `$world` makes it afresh for each.
macro_rules! keeps_promises {
    ($backend:ident, $world:expr) => {
        keeps_promises! { $backend, $world =>
            an_object_comes_back_as_it_was_put
            ranges_give_their_bytes_and_nothing_beyond_the_end
            a_stream_of_another_length_is_refused_and_leaves_nothing
            a_failing_stream_leaves_nothing
            nothing_has_the_final_name_before_publishing
            publishing_refuses_to_replace_unless_asked
            publishing_what_was_never_staged_is_not_found
            discarding_is_repeatable_and_leaves_no_trace
            deleting_removes_the_object_alone
            what_is_missing_is_not_found
            a_list_has_everything
            odd_names_are_names
            a_stage_begins_afresh_over_what_a_dropped_one_left
            intents_do_not_disturb_each_other
            of_concurrent_publishes_one_wins
            many_objects_come_and_go_at_once
            a_copy_within_a_store_equals_its_source
            hashes_taken_in_passing_equal_those_read_back
            a_probe_leaves_nothing
            an_object_of_several_parts_comes_back
            an_object_of_several_parts_replaces_only_when_asked
            several_parts_are_copied_within_a_store
        }
    };
    ($backend:ident, $world:expr => $($promise:ident)*) => {
        mod $backend {
            $(keeps_promises! { @one $promise, $world })*
        }
    };
    (@one $promise:ident, $world:expr) => {
        #[tokio::test(flavor = "multi_thread", worker_threads = 2)]
        async fn $promise() {
            super::world::ask(async || $world, super::promises::$promise).await;
        }
    };
}

keeps_promises!(memory, crate::storage_conformance::world::World::memory());
keeps_promises!(on_posix, crate::storage_conformance::world::World::posix());
keeps_promises!(on_posix_without_openat2, crate::storage_conformance::world::World::posix_without_openat2());
keeps_promises!(webdav_on_apache, crate::storage_conformance::world::World::webdav_on_apache().await);
keeps_promises!(webdav_on_nginx, crate::storage_conformance::world::World::webdav_on_nginx().await);
keeps_promises!(webdav_on_xrootd, crate::storage_conformance::world::World::webdav_on_xrootd().await);
keeps_promises!(webdav_on_dav_server, crate::storage_conformance::world::World::webdav_on_dav_server().await);
keeps_promises!(s3_on_radosgw, crate::storage_conformance::world::World::s3_on_radosgw().await);
keeps_promises!(s3_on_s3s, crate::storage_conformance::world::World::s3_on_s3s().await);
