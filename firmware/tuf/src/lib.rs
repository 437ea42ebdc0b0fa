//! The Update Framework: what metadata may be trusted. Pure: bytes and the time come in, decisions go out.
