//! Tests of lines.
