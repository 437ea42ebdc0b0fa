//! Updates of a whole box: the tests beside this crate start the real cloud, the real supervisor and the real agent in its slots,
//! make releases as a house that makes releases does, and look from outside at what runs afterwards.
