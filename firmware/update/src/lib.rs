//! A release on its way into the spare slot: fetched, checked, written.
